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

// --- batches ---------------------------------------------------------------------------------------------------------

TEST_F(PubTest, ABatchHoldsSoManyRecordsAndTheLastTheRest) {
  Out({"pub", "t", "--create", "--batch", "3", "--key", "k", "--type", "7"}, "1\n2\n3\n4\n5\n6\n7\n");
  EXPECT_EQ(Out({"cat", "t", "--format", "%s%k%y "}), "1k7 2k7 3k7 4k7 5k7 6k7 7k7 ");
  const std::string verified = Out({"verify", "t", "--json"});
  EXPECT_NE(verified.find("\"records\":7"), std::string::npos) << verified;
  EXPECT_NE(verified.find("\"batches\":3"), std::string::npos) << verified;
}

TEST_F(PubTest, ABatchTakesEveryInput) {
  Out({"pub", "t", "--create", "--batch", "2", "--frames"}, Frame("a\nb") + Frame("") + Frame("c"));
  std::ofstream(Path("f")) << "whole file";
  Out({"pub", "t", "--batch", "10", "--file", "f", "f", "f"});
  Out({"pub", "t", "--batch", "10", "--ndjson"}, "[1]\n[2]\n");
  EXPECT_EQ(Out({"cat", "t", "--format", "[%s]"}), "[a\nb][][c][whole file][whole file][whole file][[1]][[2]]");
  EXPECT_NE(Out({"verify", "t", "--json"}).find("\"batches\":4"), std::string::npos);
}

TEST_F(PubTest, WhatStandsBeforeAWrongLineIsPublishedWithABatchToo) {
  const Result result = Run({"pub", "t", "--create", "--ndjson", "--json", "--batch", "100"}, "1\n2\n{\n4\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.out.find("\"published\":2"), std::string::npos) << result.out;
  EXPECT_EQ(Out({"cat", "t"}), "1\n2\n");
}

TEST_F(PubTest, JsonTellsTheFirstAndTheLastPositionOfBatches) {
  const std::string told = Out({"pub", "t", "--create", "--json", "--batch", "2"}, "one\ntwo\nthree\nfour\n");
  const std::string first = Out({"cat", "t", "-n", "1", "--format", "%p"});
  const std::string last = Out({"cat", "t", "-o", "-1", "--format", "%p"});
  EXPECT_EQ(told,
            "{\"topic\":\"t\",\"published\":4,\"first_position\":" + first + ",\"last_position\":" + last + "}\n");
}

TEST_F(PubTest, SlowInputIsNotHeldBackByABatch) {
  MakeTopic();
  RunningTool pub({"pub", "t", "--batch", "1000", "--sync", "--json"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "2"}, scratch_.path());
  pub.Write("four\n");
  EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");
  pub.Write("five\n");
  EXPECT_EQ(tail.ReadUntil("five\n"), "four\nfive\n");
  pub.Signal(SIGINT);
  pub.ReadUntil("}\n");
  const Result result = pub.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_NE(result.out.find("\"published\":2"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("\"durable\":true"), std::string::npos) << result.out;
}

// A line's turn comes once in a second: a batch of a thousand would keep the first for a quarter of an hour.
TEST_F(PubTest, ARateDoesNotHoldRecordsBack) {
  MakeTopic();
  std::ofstream(Path("lines")) << "four\nfive\nsix\n" << std::string(2000, '\n');
  RunningTool pub({"pub", "t", "--batch", "1000", "--rate", "2/s", "lines"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "2"}, scratch_.path());
  EXPECT_EQ(tail.ReadUntil("five\n"), "four\nfive\n");
  pub.Signal(SIGINT);
  EXPECT_EQ(pub.Wait().code, 130);
}

TEST_F(PubTest, ABatchOfNothingIsRefused) {
  for (const std::string text : {"0", "-1", "x", "1.5"}) {
    const Result result = Run({"pub", "t", "--create", "--batch", text}, "1\n");
    EXPECT_EQ(result.code, 2) << text;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(Out({"ls"}), "");
  EXPECT_EQ(Out({"pub", "t", "--create", "--batch", "5"}, ""), "") << "no records, no batch";
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
