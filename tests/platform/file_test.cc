#include "libbus/platform/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::platform {
namespace {

using test::Scratch;

absl::Status NoContent(const File&) { return absl::OkStatus(); }

class FileTest : public testing::Test {
 protected:
  ~FileTest() override { seam_control.allocate_error = 0; }
  std::vector<std::string> Names() const { return *ListDirectory(scratch_.path()); }

  Scratch scratch_;
  const File directory_ = *OpenDirectory(scratch_.path());
};

TEST_F(FileTest, CreateWholeMakesTheFileWithSizeModeAndContent) {
  const auto fill = [&](const File& file) { return WriteAt(file, "x", 10, "abc", 3); };
  const auto made = CreateWhole(directory_, scratch_.path(), "name", 4096, 0640, fill);
  ASSERT_TRUE(made.ok()) << made.status();
  struct stat info;
  ASSERT_EQ(stat((scratch_ / "name").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 4096);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  EXPECT_GE(info.st_blocks * 512, 4096);  // allocated, not a hole
  char bytes[3];
  EXPECT_EQ(*ReadAt(*made, "x", 10, bytes, 3), 3u);
  EXPECT_EQ(std::string(bytes, 3), "abc");
  EXPECT_EQ(Names(), std::vector<std::string>{"name"});
}

TEST_F(FileTest, CreateWholeLeavesNothingWhenItCannotFill) {
  const auto fail = [](const File&) { return absl::InternalError("no"); };
  EXPECT_EQ(CreateWhole(directory_, scratch_.path(), "name", 4096, 0600, fail).status().message(), "no");
  EXPECT_TRUE(Names().empty());
}

TEST_F(FileTest, CreateWholeLeavesNothingWhenTheDiskIsFull) {
  seam_control.allocate_error = ENOSPC;
  const auto made = CreateWhole(directory_, scratch_.path(), "name", 4096, 0600, NoContent);
  EXPECT_EQ(made.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Names().empty());
}

TEST_F(FileTest, CreateWholeDoesNotReplace) {
  ASSERT_TRUE(CreateWhole(directory_, scratch_.path(), "name", 4096, 0600, NoContent).ok());
  const auto before = *IdentifyPath(scratch_ / "name");
  const auto again = CreateWhole(directory_, scratch_.path(), "name", 8192, 0600, NoContent);
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*IdentifyPath(scratch_ / "name"), before);
}

TEST_F(FileTest, OpensRegularFilesOnly) {
  std::ofstream(scratch_ / "file") << "x";
  std::filesystem::create_symlink("file", scratch_ / "link");
  ASSERT_EQ(mkfifo((scratch_ / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(OpenFile(scratch_ / "file", true).ok());
  EXPECT_EQ(OpenFile(scratch_ / "link", false).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenFile(scratch_ / "fifo", false).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenFile(scratch_.path(), false).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenFile(scratch_ / "none", false).status().code(), absl::StatusCode::kNotFound);
}

// What a program that has no stdout prints must not land in a segment.
TEST_F(FileTest, NeverTakesTheDescriptorOfAClosedStdin) {
  const int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
  close(STDIN_FILENO);
  const auto made = CreateWhole(directory_, scratch_.path(), "name", 4096, 0600, NoContent);
  const auto opened = OpenFile(scratch_ / "name", true);
  const bool free = fcntl(STDIN_FILENO, F_GETFD) == -1;
  if (kept >= 0) dup2(kept, STDIN_FILENO), close(kept);
  EXPECT_TRUE(free);
  ASSERT_TRUE(made.ok() && opened.ok());
  EXPECT_GT(made->fd(), STDERR_FILENO);
  EXPECT_GT(opened->fd(), STDERR_FILENO);
  EXPECT_EQ(fcntl(opened->fd(), F_GETFD), FD_CLOEXEC);
}

TEST_F(FileTest, ReadsUpToTheEnd) {
  std::ofstream(scratch_ / "file") << "0123456789";
  const auto file = OpenFile(scratch_ / "file", false);
  char bytes[8];
  EXPECT_EQ(*ReadAt(*file, "x", 6, bytes, 8), 4u);
  EXPECT_EQ(*ReadAt(*file, "x", 100, bytes, 8), 0u);
  EXPECT_EQ(*FileSize(*file, "x"), 10u);
}

TEST_F(FileTest, SignalBlockerTakesBackWhatItsScopeRaised) {
  struct sigaction fatal = {};
  fatal.sa_handler = [](int) { _exit(1); };
  struct sigaction before;
  sigaction(SIGXFSZ, &fatal, &before);
  {
    const SignalBlocker blocker(SIGXFSZ);
    raise(SIGXFSZ);
  }
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGXFSZ), 0);
  sigaction(SIGXFSZ, &before, nullptr);
}

}  // namespace
}  // namespace libbus::platform
