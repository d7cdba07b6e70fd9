// The store must be able to lose what a disk may lose, and nothing else: else the power cuts prove nothing.
#include "tests/crash/power_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::Seam;

constexpr int kDraws = 300;

// A directory with one file "f" of four sectors of '0'.
class PowerStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(scratch_ / "topic");
    std::filesystem::create_directory(scratch_ / "stash");
    directory_ = open((scratch_ / "topic").c_str(), O_RDONLY | O_DIRECTORY);
    file_ = open(Path("f").c_str(), O_RDWR | O_CREAT, 0600);
    Write(file_, 0, std::string(4 * kSector, '0'));
    store_ = std::make_unique<PowerStore>(scratch_ / "topic", scratch_ / "stash");
    store_->Start();
  }
  void TearDown() override {
    store_.reset();
    close(file_);
    close(directory_);
  }

  std::string Path(const std::string& name) const { return scratch_ / "topic/" + name; }

  static void Write(int fd, uint64_t sector, const std::string& bytes) {
    ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(sector * kSector)),
              static_cast<ssize_t>(bytes.size()));
    platform::SeamPoint();
  }
  static void Put(int fd, uint64_t sector, char c) { Write(fd, sector, std::string(kSector, c)); }

  // A new file that has no name in the directory.
  int MakeFile() const {
    const int fd = open((scratch_ / "made").c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(Seam::Allocate(fd, 2 * kSector), 0);
    Put(fd, 0, 'n');
    Put(fd, 1, 'n');
    return fd;
  }
  void Link(int fd, const char* name) const {
    EXPECT_EQ(Seam::Link(("/proc/self/fd/" + std::to_string(fd)).c_str(), directory_, name), 0);
  }

  // The first letters of each sector of `name`, "-" if there is no such file.
  std::string Letters(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    if (!file.is_open()) return "-";
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    std::string letters;
    for (size_t at = 0; at < bytes.size(); at += kSector) letters += bytes[at] == '\0' ? '.' : bytes[at];
    return letters;
  }

  // What `name` may be after a cut at `moment`.
  std::set<std::string> Draws(const History& history, Moment moment, const std::string& name, Mix mix = Mix::kUniform) {
    std::set<std::string> found;
    for (int i = 0; i < kDraws; ++i) {
      store_->Restore(history.Draw(moment, mix, random_));
      found.insert(Letters(name));
    }
    return found;
  }
  std::set<std::string> Draws(const History& history, const std::string& name, Mix mix = Mix::kUniform) {
    return Draws(history, history.now(), name, mix);
  }

  using Set = std::set<std::string>;

  const Scratch scratch_{access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"};
  std::unique_ptr<PowerStore> store_;
  Random random_{1};
  int directory_ = -1;
  int file_ = -1;
};

TEST_F(PowerStoreTest, WhatIsNotSyncedIsOfAnyAgeEachSectorForItself) {
  Put(file_, 0, 'a');
  Put(file_, 0, 'b');
  Put(file_, 2, 'c');
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, "f"), (Set{"0000", "a000", "b000", "00c0", "a0c0", "b0c0"}));
  EXPECT_EQ(Draws(history, "f", Mix::kOld), Set{"0000"});
  EXPECT_EQ(Draws(history, "f", Mix::kNew), Set{"b0c0"});
  EXPECT_EQ(Draws(history, "f", Mix::kPerFile), (Set{"0000", "b0c0"}));
  EXPECT_EQ(Draws(history, "f", Mix::kMoment), (Set{"0000", "a000", "b000", "b0c0"}));
  EXPECT_EQ(Draws(history, "f", Mix::kOneNew), (Set{"b000", "00c0"}));
  EXPECT_EQ(Draws(history, "f", Mix::kOneOld), (Set{"00c0", "a0c0", "b000"}));
}

TEST_F(PowerStoreTest, WhatIsSyncedStays) {
  Put(file_, 0, 'a');
  ASSERT_EQ(Seam::DataSync(file_), 0);
  Put(file_, 1, 'b');
  const History history = store_->Stop();
  for (int mix = 0; mix < kMixes; ++mix) {
    for (const std::string& found : Draws(history, "f", static_cast<Mix>(mix))) EXPECT_EQ(found[0], 'a') << mix;
  }
  EXPECT_EQ(Draws(history, "f"), (Set{"a000", "ab00"}));
}

TEST_F(PowerStoreTest, WhatIsWrittenDuringASyncIsNotYetDurable) {
  Put(file_, 0, 'a');
  store_->during_sync = [this] { Put(file_, 0, 'b'); };
  ASSERT_EQ(Seam::Sync(file_), 0);
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, "f"), (Set{"a000", "b000"}));
}

TEST_F(PowerStoreTest, ASyncThatHasNotEndedOrHasFailedProvesNothing) {
  Put(file_, 0, 'a');
  Moment in_between = 0;
  store_->during_sync = [&] { in_between = store_->now(); };
  ASSERT_EQ(Seam::Sync(file_), 0);
  store_->during_sync = nullptr;
  Put(file_, 1, 'b');
  platform::seam_control.sync_error = EIO;
  EXPECT_EQ(Seam::Sync(file_), EIO);
  platform::seam_control.sync_error = 0;
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, in_between, "f"), (Set{"0000", "a000"}));
  EXPECT_EQ(Draws(history, "f"), (Set{"a000", "ab00"}));
}

TEST_F(PowerStoreTest, ACutComesAtAnyMoment) {
  Put(file_, 0, 'a');
  const Moment first = store_->now();
  Put(file_, 0, 'b');
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, 0, "f", Mix::kNew), Set{"0000"});
  EXPECT_EQ(Draws(history, first, "f", Mix::kNew), Set{"a000"});
}

TEST_F(PowerStoreTest, ANameMayComeWithoutItsContent) {
  const int made = MakeFile();
  Link(made, "g");
  ASSERT_EQ(Seam::Sync(directory_), 0);
  close(made);
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, "g"), (Set{"", "..", "n.", ".n", "nn"}));
}

TEST_F(PowerStoreTest, ContentThatWasSyncedBeforeItsNameIsWhole) {
  const int made = MakeFile();
  ASSERT_EQ(Seam::Sync(made), 0);
  Link(made, "g");
  const Moment linked = store_->now();
  ASSERT_EQ(Seam::Sync(directory_), 0);
  close(made);
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, linked, "g"), (Set{"-", "nn"}));
  EXPECT_EQ(Draws(history, "g"), Set{"nn"});
}

TEST_F(PowerStoreTest, ARenameComesWholeOrNotAtAll) {
  const int made = MakeFile();
  ASSERT_EQ(Seam::Sync(made), 0);
  Link(made, "g");
  ASSERT_EQ(Seam::Sync(directory_), 0);
  ASSERT_EQ(Seam::Rename(directory_, "g", "f"), 0);
  close(made);
  const History history = store_->Stop();
  Set found;
  for (int i = 0; i < kDraws; ++i) {
    store_->Restore(history.Draw(history.now(), Mix::kUniform, random_));
    found.insert(Letters("f") + " " + Letters("g"));
  }
  EXPECT_EQ(found, (Set{"0000 nn", "nn -"}));
}

TEST_F(PowerStoreTest, WhatWasRemovedMayComeBack) {
  ASSERT_EQ(Seam::Unlink(directory_, "f"), 0);
  const Moment removed = store_->now();
  ASSERT_EQ(Seam::Sync(directory_), 0);
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, removed, "f"), (Set{"-", "0000"}));
  EXPECT_EQ(Draws(history, "f"), Set{"-"});
}

TEST_F(PowerStoreTest, FilesKeepTheirInodes) {
  struct stat before, after;
  ASSERT_EQ(stat(Path("f").c_str(), &before), 0);
  ASSERT_EQ(Seam::Unlink(directory_, "f"), 0);
  const History history = store_->Stop();
  store_->Restore(history.Draw(history.now(), Mix::kNew, random_));
  ASSERT_EQ(Letters("f"), "-");
  store_->Restore(history.Draw(0, Mix::kNew, random_));
  ASSERT_EQ(stat(Path("f").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(Letters("f"), "0000");
}

TEST_F(PowerStoreTest, WhatIsDoneAfterAKillIsUndone) {
  Put(file_, 0, 'a');
  const int made = MakeFile();
  store_->Kill([&] {
    Put(file_, 1, 'b');
    Link(made, "g");
    Seam::Sync(file_);
  });
  close(made);
  EXPECT_EQ(Letters("f"), "a000");
  EXPECT_EQ(Letters("g"), "-");
  const History history = store_->Stop();
  EXPECT_EQ(Draws(history, "f"), (Set{"0000", "a000"}));
}

TEST_F(PowerStoreTest, CountsWhatIsStale) {
  Put(file_, 0, 'a');
  Put(file_, 1, 'b');
  const History history = store_->Stop();
  EXPECT_EQ(history.Draw(history.now(), Mix::kOld, random_).stale, 2u);
  EXPECT_EQ(history.Draw(history.now(), Mix::kOneOld, random_).stale, 1u);
  EXPECT_EQ(history.Draw(history.now(), Mix::kNew, random_).stale, 0u);
  EXPECT_EQ(history.Draw(0, Mix::kOld, random_).stale, 0u);
}

}  // namespace
}  // namespace libbus::test
