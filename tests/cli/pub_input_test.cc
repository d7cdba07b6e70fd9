// Bad input for pub: one line, its exit code, and what stood before it is published.
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class PubInputTest : public CliTest {
 protected:
  PubInputTest() { MakeTopic(); }

  std::string Added() const { return Out({"cat", "t", "-o", "+3"}); }
};

// A frame as pub --frames reads it.
std::string Frame(uint32_t size, std::string_view payload) {
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + std::string(payload);
}

TEST_F(PubInputTest, NothingIsNoRecord) {
  for (const std::string form : {"--lines", "--ndjson", "--records", "--frames"}) {
    EXPECT_EQ(Out({"pub", "t", form, "--json"}, ""), "{\"topic\":\"t\",\"published\":0}\n");
  }
  std::ofstream(Path("empty")).flush();
  EXPECT_EQ(Out({"pub", "t", "empty", "empty"}), "");
  EXPECT_EQ(Added(), "");
  EXPECT_EQ(Out({"pub", "t", "--file", "empty"}), "") << "but an empty file is an empty record";
  EXPECT_EQ(Added(), "\n");
}

TEST_F(PubInputTest, ALineBeyondTheLimitIsToldByItsNumber) {
  const Result result = Run({"pub", "t", "--max-record", "5"}, "12345\n1234\n123456\nmore\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err,
            "bus: stdin: line 3 is longer than 5 bytes: raise --max-record, or split it; what stands before it was "
            "published\n");
  EXPECT_EQ(Added(), "12345\n1234\n");
  EXPECT_EQ(Run({"pub", "t", "--ndjson", "--max-record", "2"}, "[]\n[1]\n").code, 1);
  EXPECT_EQ(Out({"pub", "t", "--max-record", "5"}, "12345"), "") << "as long as may be, and no newline";
  EXPECT_EQ(Run({"pub", "t", "--max-record", "5"}, "123456").code, 1);
}

// A line that never ends takes so much memory and no more.
TEST_F(PubInputTest, ALineThatNeverEndsEnds) {
  RunningTool pub({"pub", "t", "--max-record", "1M", "/dev/zero"}, scratch_.path());
  const Result result = pub.Wait();
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err.find("bus: /dev/zero: line 1 is longer than 1048576 bytes: "), 0u) << result.err;
}

TEST_F(PubInputTest, AFrameBeyondTheLimitIsToldBeforeItIsRead) {
  RunningTool pub({"pub", "t", "--frames"}, scratch_.path());
  pub.Write(Frame(4, "four") + Frame(1'702'195'828, "text that is no frame"));
  pub.ReadUntil("");  // it does not wait for the rest
  const Result result = pub.Wait();
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err,
            "bus: stdin: frame 2 of 1702195828 bytes is longer than 268435456 bytes: raise --max-record, or split it; "
            "what stands before it was published\n");
  EXPECT_EQ(Added(), "four\n");
}

TEST_F(PubInputTest, AFileBeyondTheLimitIsNamed) {
  std::ofstream(Path("small")) << "small";
  std::ofstream(Path("large")) << std::string(200'000, 'x');
  const Result result = Run({"pub", "t", "--file", "--max-record", "100K", "small", "large", "small"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err,
            "bus: large: it is longer than 102400 bytes: raise --max-record, or split it; what stands before it was "
            "published\n");
  EXPECT_EQ(Added(), "small\n");
}

TEST_F(PubInputTest, ADirectoryIsNoInput) {
  std::filesystem::create_directory(Path("folder"));
  for (const std::string form : {"--lines", "--file", "--frames"}) {
    ExpectError({"pub", "t", form, "folder"}, 1, "folder: cannot read: Is a directory: name the files in it");
  }
}

TEST_F(PubInputTest, AClosedStdinIsTold) {
  const Result result = Run({"pub", "t"}, "", [] { close(STDIN_FILENO); });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "bus: stdin: cannot read: Bad file descriptor: it is closed: give a file, or a pipe\n");
  EXPECT_EQ(Added(), "") << "no file of the bus was read instead";
}

// Else the first file that is opened is what is printed to.
TEST_F(PubInputTest, AClosedStdoutIsNoFileOfTheBus) {
  const auto close_all = [] { close(STDIN_FILENO), close(STDOUT_FILENO), close(STDERR_FILENO); };
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"cat", "t"}, {"info"}, {"pub", "t", "--json"}, {"topic", "create", "t"}, {"verify"}}) {
    const std::string before = Read(SegmentPath());
    EXPECT_EQ(Run(command, "", close_all).code, 1) << command[0];
    EXPECT_EQ(Read(SegmentPath()), before) << command[0];
    EXPECT_EQ(Run({"verify", "t"}).code, 0) << command[0];
  }
  const Result result = Run({"cat", "t"}, "", [] { close(STDOUT_FILENO); });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "bus: stdout: cannot write: Bad file descriptor: what was written last may be cut off\n");
}

TEST_F(PubInputTest, WhatCannotBeSaidOnStderrIsNotSaid) {
  const Result result = Run({"cat", "none"}, "", [] {
    if (freopen("/dev/full", "w", stderr) == nullptr) _exit(125);
  });
  EXPECT_EQ(result.code, 1);
}

TEST_F(PubInputTest, FlagsThatContradictAreTold) {
  const std::vector<std::string> forms = {"--lines", "--ndjson", "--records", "--frames", "--file"};
  for (const std::string& one : forms) {
    for (const std::string& other : forms) {
      if (one == other) continue;
      const Result result = Run({"pub", "t", one, other}, "x\n");
      EXPECT_EQ(result.code, 2) << one << other;
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    }
  }
  EXPECT_EQ(Added(), "");
}

TEST_F(PubInputTest, ValuesOutOfRangeAreTold) {
  for (const std::string rate : {"0", "-1", "0/s", "nan", "inf", "1/m", "1e999"}) {
    ExpectError({"pub", "t", "--rate", rate}, 2, rate + ": not a rate: use records per second: 1000/s");
  }
  for (const std::string type : {"-1", "4294967296", "1.0", "0x1", "99999999999999999999"}) {
    ExpectError({"pub", "t", "--type", type}, 2, type + ": not a number: use 0 to 4294967295");
  }
  ExpectError({"pub", "t", "--batch", "0"}, 2, "--batch 0: no batch: use at least 1, or leave it out");
  ExpectError({"pub", "t", "--batch", "4294967296"}, 2, "4294967296: not a number: use 0 to 4294967295");
  ExpectError({"pub", "t", "--max-record", "0"}, 2, "--max-record 0: out of range: use 1 to 4G");
  ExpectError({"pub", "t", "--max-record", "5G"}, 2, "--max-record 5G: out of range: use 1 to 4G");
  ExpectError({"pub", "t", "--max-record", "-1"}, 2, "-1: not a size: use bytes, or a number with K, M or G");
  ExpectError({"pub", "t", "--header", "=v"}, 2, "--header =v: not a header: use NAME=VALUE");
  ExpectError({"pub", "t", "none"}, 1, "none: cannot open: No such file or directory: check the path");
}

#ifndef __SANITIZE_ADDRESS__  // which takes all of the address space

TEST_F(PubInputTest, MemoryThatIsNotThereIsTold) {
  const Result result = Run({"pub", "t", "--max-record", "4G", "/dev/zero"}, "", [] {
    const rlimit limit = {size_t{512} << 20, size_t{512} << 20};
    setrlimit(RLIMIT_AS, &limit);
  });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err.find("bus: no memory is left"), 0u) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

#endif

}  // namespace
}  // namespace libbus::test
