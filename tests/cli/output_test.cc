// Output that cannot be written: every command that prints says so in one line, and nothing is done that would need it.
#include <absl/strings/str_join.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

constexpr char kCannotWrite[] =
    "bus: stdout: cannot write: No space left on device: what was written last may be cut off\n";

// What makes each command print, by its words.
const std::map<std::string, std::vector<std::string>>& Printing() {
  static const std::map<std::string, std::vector<std::string>> arguments = {
      {"bench", {"--records", "64", "--rounds", "1", "--size", "64", "--wait", "spin"}},
      {"cat", {"t"}},
      {"completion", {"bash"}},
      {"config", {"t"}},
      {"copy", {"copied"}},
      {"cursor ls", {"t"}},
      {"cursor seek", {"t", "c", "end", "--json"}},
      {"cursor show", {"t", "c"}},
      {"doctor", {}},
      {"dump", {"t"}},
      {"help", {}},
      {"info", {"t"}},
      {"init", {"new", "--json"}},
      {"ls", {}},
      {"ps", {"t"}},
      {"pub", {"t", "--json"}},
      {"recover", {"--dry-run"}},
      {"replay", {"t", "--to", "-"}},
      {"segments", {"t"}},
      {"stat", {"t"}},
      {"tail", {"t", "-n", "1"}},
      {"topic config", {"t"}},
      {"topic create", {"new", "--json"}},
      {"topic ls", {}},
      {"trim", {"t", "--before", "start"}},
      {"verify", {"t"}},
  };
  return arguments;
}

// These print nothing.
bool Silent(const std::string& command) { return command == "topic rm" || command == "cursor rm"; }

class OutputTest : public CliTest {
 protected:
  OutputTest() {
    MakeTopic();
    Out({"cat", "t", "--cursor", "c", "--commit", "-n", "1"});
  }

  std::string Stands() const { return Out({"cat", "t", "--cursor", "c", "--format", "%s "}); }
};

void ToFullDevice() {
  const int full = open("/dev/full", O_WRONLY);
  if (full < 0 || dup2(full, STDOUT_FILENO) < 0) _exit(125);
}

TEST_F(OutputTest, EveryCommandThatPrintsSaysThatItCannot) {
  for (const std::vector<std::string>& words : Commands()) {
    const std::string command = absl::StrJoin(words, " ");
    if (Silent(command)) continue;
    SCOPED_TRACE(command);
    const auto found = Printing().find(command);
    if (found == Printing().end()) {
      ADD_FAILURE() << "is not tried here";
      continue;
    }
    std::vector<std::string> arguments = words;
    arguments.insert(arguments.end(), found->second.begin(), found->second.end());
    const Result result = Run(arguments, "", ToFullDevice);
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(result.err, kCannotWrite);
  }
  for (const std::string flag : {"--help", "--version"}) {
    const Result result = Run({flag}, "", ToFullDevice);
    EXPECT_EQ(result.code, 1) << flag;
    EXPECT_EQ(result.err, kCannotWrite) << flag;
  }
}

TEST_F(OutputTest, NothingIsCommittedOfWhatWasNotWritten) {
  const Result result = Run({"cat", "t", "--cursor", "c", "--commit"}, "", ToFullDevice);
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, kCannotWrite);
  EXPECT_EQ(Stands(), "two three ");
  EXPECT_EQ(Run({"tail", "t", "-f", "--cursor", "c", "--commit"}, "", ToFullDevice).code, 1) << "it does not wait";
  EXPECT_EQ(Stands(), "two three ");
}

TEST_F(OutputTest, WhatWasPublishedStaysThoughItCannotBeTold) {
  EXPECT_EQ(Run({"pub", "t", "--json"}, "four\n", ToFullDevice).code, 1);
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nfour\n");
}

// A disk that fills up in the middle: what is there is the beginning of the output, and the cursor stands where a
// record was not written to its end, or before.
TEST_F(OutputTest, ADiskThatFillsUp) {
  std::filesystem::create_directory(Path("disk"));
  if (mount("none", Path("disk").c_str(), "tmpfs", 0, "size=256k,mode=777") != 0) {
    GTEST_SKIP() << "needs root that may mount a tmpfs: " << std::strerror(errno);
  }
  const auto unmount = [&](int*) { umount2(Path("disk").c_str(), MNT_DETACH); };
  int guard = 0;
  const std::unique_ptr<int, decltype(unmount)> mounted(&guard, unmount);
  std::string lines;
  for (int i = 0; i < 20'000; ++i) lines += std::to_string(i) + " is a line of some length\n";
  Out({"pub", "long", "--create"}, lines);
  const std::string file = Path("disk/out");
  const Result result = Run({"cat", "long", "--cursor", "d", "--commit"}, "", [&] {
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0) _exit(125);
  });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, kCannotWrite);
  const std::string written = Read(file);
  EXPECT_GT(written.size(), 100'000u);
  EXPECT_EQ(written, lines.substr(0, written.size()));
  const std::string left = Out({"cat", "long", "--cursor", "d"});
  ASSERT_LT(left.size(), lines.size()) << "what was written was committed now and then";
  EXPECT_EQ(left, lines.substr(lines.size() - left.size()));
  EXPECT_GE(written.size() + left.size(), lines.size()) << "nothing between what arrived and what is left";
}

}  // namespace
}  // namespace libbus::test
