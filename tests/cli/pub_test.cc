#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

using PubTest = CliTest;

// A frame as pub --frames reads it.
std::string Frame(std::string_view payload) {
  const auto size = static_cast<uint32_t>(payload.size());
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + std::string(payload);
}

TEST_F(PubTest, ALineIsARecordWithoutItsNewline) {
  Out({"pub", "t", "--create"}, "one\n\ntwo\r\nlast");
  EXPECT_EQ(Out({"cat", "t", "--format", "[%s]"}), "[one][][two\r][last]");
}

TEST_F(PubTest, NothingIsMadeWithoutCreate) {
  const Result result = Run({"pub", "t"}, "x\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("no such topic"), std::string::npos) << result.err;
  EXPECT_EQ(Out({"ls"}), "");
}

TEST_F(PubTest, EachRecordHasKeyTypeAndHeaders) {
  Out({"pub", "t", "--create", "--key", "k", "--type", "7", "--header", "a=1", "--header", "b=x=y"}, "one\ntwo\n");
  EXPECT_EQ(Out({"cat", "t", "--format", "%k %y %h %l %s\\n"}), "k 7 a=1,b=x=y 3 one\nk 7 a=1,b=x=y 3 two\n");
}

TEST_F(PubTest, FilesAreReadInOrder) {
  std::ofstream(Path("a")) << "1\n2\n";
  std::ofstream(Path("c")) << "4\n";
  Out({"pub", "t", "--create", "a", "-", "c"}, "3\n");
  EXPECT_EQ(Out({"cat", "t"}), "1\n2\n3\n4\n");
}

TEST_F(PubTest, AFileIsARecord) {
  const std::string bytes("any\nbytes\0at all\n", 17);
  std::ofstream(Path("a")) << bytes;
  Out({"pub", "t", "--create", "--file", "a", "a"});
  EXPECT_EQ(Out({"cat", "t", "--format", "raw"}), bytes + bytes);
}

TEST_F(PubTest, FramesHoldAnyBytes) {
  Out({"pub", "t", "--create", "--frames"}, Frame("one\ntwo") + Frame("") + Frame(std::string(100'000, 'x')));
  EXPECT_EQ(Out({"cat", "t", "--format", "%l\\n"}), "7\n0\n100000\n");
}

TEST_F(PubTest, AFrameThatIsCutOffIsToldAndTheOnesBeforeArePublished) {
  Result result = Run({"pub", "t", "--create", "--frames"}, Frame("one") + Frame("two").substr(0, 5));
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err,
            "bus: stdin: frame 2: its payload of 3 bytes is cut off: the frames before it were published\n");
  result = Run({"pub", "t", "--frames"}, "ab");
  EXPECT_EQ(result.err, "bus: stdin: frame 1: its length is cut off: the frames before it were published\n");
  EXPECT_EQ(Out({"cat", "t"}), "one\n");
}

TEST_F(PubTest, NdjsonIsCheckedLineByLine) {
  EXPECT_EQ(Out({"pub", "t", "--create", "--ndjson"}, "{\"a\":1}\n[2]\n\"three\"\n"), "");
  const Result result = Run({"pub", "t", "--ndjson", "--json"}, "{\"b\":1}\n{\"b\":\n{\"b\":3}\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err.find("bus: stdin: line 2: not JSON: "), 0u) << result.err;
  EXPECT_NE(result.out.find("\"published\":1"), std::string::npos) << result.out;
  EXPECT_EQ(Out({"cat", "t"}), "{\"a\":1}\n[2]\n\"three\"\n{\"b\":1}\n");
}

TEST_F(PubTest, JsonTellsWhatWasPublished) {
  EXPECT_EQ(Out({"pub", "t", "--create", "--json"}, "one\ntwo\n"),
            "{\"topic\":\"t\",\"published\":2,\"first_position\":64,\"last_position\":96}\n");
  EXPECT_EQ(Out({"pub", "t", "--json"}), "{\"topic\":\"t\",\"published\":0}\n");
}

TEST_F(PubTest, AMissingFileIsToldAfterTheOnesBeforeIt) {
  std::ofstream(Path("a")) << "1\n";
  const Result result = Run({"pub", "t", "--create", "a", "none"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "bus: none: cannot open: No such file or directory: check the path\n");
  EXPECT_EQ(Out({"cat", "t"}), "1\n");
}

TEST_F(PubTest, AnInterruptLosesNothingThatWasPublished) {
  MakeTopic();
  RunningTool pub({"pub", "t", "--json"}, scratch_.path());
  pub.Write("four\n");
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
  EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");  // now pub waits for more
  pub.Signal(SIGINT);
  pub.ReadUntil("}\n");
  const Result result = pub.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_NE(result.out.find("\"published\":1"), std::string::npos) << result.out;
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nfour\n");
}

// The rate is an upper bound. Nine gaps lie between ten records; a process that was stopped between its look at the
// clock and the first record sees one less, and the clocks that wait and that stamp may differ a little.
TEST_F(PubTest, ARateIsKept) {
  Out({"topic", "create", "t", "--timestamps", "precise"});
  Out({"pub", "t", "--rate", "100/s"}, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
  const std::string times = Out({"cat", "t", "--format", "%t\\n"});
  const auto seconds = [](const std::string& time) {
    return 60 * std::stod(time.substr(14, 2)) + std::stod(time.substr(17));
  };
  const double first = seconds(times), last = seconds(times.substr(size_t{9} * 31));
  EXPECT_GE(last < first ? last + 3600 - first : last - first, 0.075);
}

TEST_F(PubTest, WhereThereIsNoRoomItEndsWholeAndGoesOnLater) {
  Out({"topic", "create", "t", "--segment-size", "1M"});
  std::string lines;
  for (int i = 0; i < 40'000; ++i) lines += std::to_string(i) + std::string(40, '.') + "\n";
  const auto no_room = [] {
    const rlimit limit = {512 << 10, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
  };
  const Result full = Run({"pub", "t", "--json"}, lines, no_room);
  EXPECT_EQ(full.code, 1);
  EXPECT_EQ(std::count(full.err.begin(), full.err.end(), '\n'), 1) << full.err;
  const std::string before = Out({"cat", "t"});
  EXPECT_NE(full.out.find("\"published\":" + std::to_string(std::count(before.begin(), before.end(), '\n'))),
            std::string::npos)
      << full.out;
  EXPECT_EQ(lines.substr(0, before.size()), before);
  Out({"pub", "t"}, lines.substr(before.size()));
  EXPECT_EQ(Out({"cat", "t"}), lines);
}

}  // namespace
}  // namespace libbus::test
