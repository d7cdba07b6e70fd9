#include <csignal>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class CatTest : public CliTest {
 protected:
  CatTest() { MakeTopic(); }

  std::string Range(const std::string& range) const { return Out({"cat", "t", "--format", "%s ", "-o", range}); }
};

TEST_F(CatTest, RangesAreHalfOpen) {
  EXPECT_EQ(Range("start"), "one two three ");
  EXPECT_EQ(Range("end"), "");
  EXPECT_EQ(Range("96"), "two three ");
  EXPECT_EQ(Range("64:128"), "one two ");
  EXPECT_EQ(Range(":96"), "one ");
  EXPECT_EQ(Range("96:"), "two three ");
  EXPECT_EQ(Range("96:96"), "");
  EXPECT_EQ(Range("+1"), "two three ");
  EXPECT_EQ(Range("+0:+2"), "one two ");
  EXPECT_EQ(Range("-1"), "three ");
  EXPECT_EQ(Range("-2:-1"), "two ");
  EXPECT_EQ(Range("-100"), "one two three ");
  EXPECT_EQ(Range("+1:end"), "two three ");
}

TEST_F(CatTest, RangesInTime) {
  EXPECT_EQ(Range("@-1h"), "one two three ");
  EXPECT_EQ(Range("@-2h:@-1h"), "");
  EXPECT_EQ(Range("@0"), "one two three ");
  EXPECT_EQ(Range("@1.5:@1600000000"), "");
  EXPECT_EQ(Range("@2020-01-01T00:00:00Z"), "one two three ");
  EXPECT_EQ(Range("@2020-01-01T00:00:00Z:@2020-01-01T00:00:00.5+01:00"), "");
  EXPECT_EQ(Range("@2020-01-01T00:00:00+01:00:96"), "one ");
  EXPECT_EQ(Range(":@2020-01-01T00:00:00Z"), "");
}

TEST_F(CatTest, SoManyRecords) {
  EXPECT_EQ(Out({"cat", "t", "-n", "2"}), "one\ntwo\n");
  EXPECT_EQ(Out({"cat", "t", "-n", "0"}), "");
  EXPECT_EQ(Out({"tail", "t", "-n", "3"}), "one\ntwo\nthree\n");
}

TEST_F(CatTest, GrepPrintsWhatMatches) {
  EXPECT_EQ(Out({"cat", "t", "--grep", "o"}), "one\ntwo\n");
  EXPECT_EQ(Out({"cat", "t", "--grep", "^t.*e$"}), "three\n");
  EXPECT_EQ(Out({"cat", "t", "--grep", "(?i)ONE|THREE", "--format", "%p "}), "64 128 ");
  EXPECT_EQ(Out({"cat", "t", "--grep", "four"}), "");
  EXPECT_EQ(Out({"cat", "t", "--grep", "^$"}), "");
  EXPECT_EQ(Out({"cat", "t", "--grep", ""}), "one\ntwo\nthree\n");
  EXPECT_EQ(Run({"cat", "t", "-v", "--grep", "o"}).err, "bus: t: 2 records\n");
}

TEST_F(CatTest, GrepCountsWhatItPrints) {
  Out({"pub", "t"}, "four\nfive\nsix\n");
  EXPECT_EQ(Out({"cat", "t", "--grep", "^t", "-n", "2"}), "two\nthree\n");
  EXPECT_EQ(Out({"cat", "t", "--grep", "^f", "-n", "1"}), "four\n");
  EXPECT_EQ(Out({"tail", "t", "--grep", "^f", "-n", "2"}), "four\nfive\n");
}

TEST_F(CatTest, GrepTakesPayloadsOfAnyBytes) {
  Out({"pub", "u", "--create"}, "\xff\xfeneedle\x80\n\xc3\xa4rger\n");
  EXPECT_EQ(Out({"cat", "u", "--grep", "needle", "--format", "%p "}), "64 ");
  EXPECT_EQ(Out({"cat", "u", "--grep", "\\C\\Cneedle\\C$", "--format", "%p "}), "64 ");
  EXPECT_EQ(Out({"cat", "u", "--grep", "..needle", "--format", "%p "}), "") << "what is no UTF-8 is no character";
  EXPECT_EQ(Out({"cat", "u", "--grep", "^.rger", "--format", "%s "}), "\xc3\xa4rger ") << "one character";
  EXPECT_EQ(Out({"cat", "u", "--grep", "(?i)\xc3\x84R", "--format", "%s "}), "\xc3\xa4rger ");
}

TEST_F(CatTest, GrepMovesACursorPastWhatDoesNotMatch) {
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c", "--commit", "--grep", "two"}), "two\n");
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), "");
  EXPECT_EQ(Out({"cat", "t", "--cursor", "d", "--commit", "--grep", "o", "-n", "1"}), "one\n");
  EXPECT_EQ(Out({"cat", "t", "--cursor", "d"}), "two\nthree\n") << "not past what was not looked at";
}

TEST_F(CatTest, GrepTellsGapsAllTheSame) {
  Patch(SegmentPath(), 96 + 24, "X");
  const Result result = Run({"cat", "t", "--grep", "three"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "three\n");
  EXPECT_EQ(result.err.find("bus: t: gap from 96 to 128 (damage"), 0u) << result.err;
}

TEST_F(CatTest, APatternThatDoesNotCompileIsToldWithTheReason) {
  ExpectError({"cat", "t", "--grep", "a(b"}, 2, "--grep a(b: not a regular expression: missing ): a(b");
  ExpectError({"tail", "t", "--grep", "[z-a]"}, 2,
              "--grep [z-a]: not a regular expression: invalid character class range: z-a");
  ExpectError({"cat", "t", "--grep", "(?<x"}, 2, "--grep (?<x: not a regular expression: invalid perl operator: (?<");
  ExpectError({"cat", "t", "--grep", "\xff"}, 2, "--grep \\xff: not a regular expression: invalid UTF-8");
}

TEST_F(CatTest, Formats) {
  EXPECT_EQ(Out({"cat", "t", "-n", "1", "--format", "text"}), "one\n");
  EXPECT_EQ(Out({"cat", "t", "-n", "1", "--format", "raw"}), "one");
  EXPECT_EQ(Out({"cat", "t", "-n", "1", "--format", "hex"}), "6f6e65\n");
  EXPECT_EQ(Out({"cat", "t", "--format", "%p\\t%l %% %y\\n"}), "64\t3 % 0\n96\t3 % 0\n128\t5 % 0\n");
  EXPECT_EQ(Out({"cat", "t", "--format", "ndjson"}), Out({"cat", "t", "--json"}));
}

TEST_F(CatTest, JsonHasEverything) {
  Out({"pub", "u", "--create", "--key", "k\"", "--type", "9", "--header", "a=1"}, "pay\tload\n");
  Out({"pub", "u"}, "\xff\xfe\x01\n");
  const std::string json = Out({"cat", "u", "--json"});
  const size_t time = json.find("\"timestamp\":\"");
  EXPECT_EQ(json.substr(0, time), "{\"position\":64,\"next_position\":136,\"sequence\":0,");
  EXPECT_EQ(json[time + 13 + 29], 'Z');
  EXPECT_NE(json.find("\"type\":9,\"key\":\"k\\\"\",\"headers\":[{\"name\":\"a\",\"value\":\"1\"}],"
                      "\"payload\":\"pay\\tload\"}\n"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find("\"payload_base64\":\"//4B\"}\n"), std::string::npos) << json;
}

TEST_F(CatTest, TailFollowsUntilItIsInterrupted) {
  RunningTool tail({"tail", "t"}, scratch_.path());
  tail.ReadUntil("three\n");
  Out({"pub", "t"}, "four\n");
  tail.ReadUntil("four\n");
  Out({"pub", "t"}, "five\n");
  EXPECT_EQ(tail.ReadUntil("five\n"), "one\ntwo\nthree\nfour\nfive\n");
  tail.Signal(SIGINT);
  const Result result = tail.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_EQ(result.err, "");
}

TEST_F(CatTest, FollowEndsAtTheEndOfItsRange) {
  RunningTool cat({"cat", "t", "-f", "-o", "96:160"}, scratch_.path());
  EXPECT_EQ(cat.Wait().out, "two\nthree\n");
}

TEST_F(CatTest, AClosedPipeIsAGoodEnd) {
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += "a line that is long enough to fill a pipe\n";
  Out({"pub", "t"}, lines);
  RunningTool cat({"cat", "t"}, scratch_.path());
  cat.ReadUntil("");
  RunningTool closed({"cat", "t"}, scratch_.path());
  closed.CloseOutput();
  const Result result = closed.Wait();
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
}

TEST_F(CatTest, AFollowerWhoseReaderLeavesEndsAtTheNextRecord) {
  RunningTool tail({"tail", "t"}, scratch_.path());
  tail.ReadUntil("three\n");
  tail.CloseOutput();
  Out({"pub", "t"}, "four\n");
  EXPECT_EQ(tail.Wait().code, 0);
}

TEST_F(CatTest, OutputThatCannotBeWrittenIsAnError) {
  const Result result = Run({"cat", "t"}, "", [] {
    if (freopen("/dev/full", "w", stdout) == nullptr) _exit(125);
  });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "bus: stdout: cannot write: No space left on device: what was written last may be cut off\n");
}

TEST_F(CatTest, AGapOfLossIsToldAndIsTheExitCode) {
  Patch(SegmentPath(), 96 + 24, "X");
  const Result result = Run({"cat", "t"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "one\nthree\n");
  EXPECT_EQ(result.err.find("bus: t: gap from 96 to 128 (damage"), 0u) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  EXPECT_EQ(Run({"cat", "-q", "t"}).err, "");
}

TEST_F(CatTest, JsonHasTheGapInItsPlace) {
  Patch(SegmentPath(), 96 + 24, "X");
  const Result result = Run({"cat", "t", "--json", "-q"});
  EXPECT_EQ(result.code, 3);
  EXPECT_NE(result.out.find("}\n{\"gap\":{\"cause\":\"damage\",\"from\":96,\"to\":128,"), std::string::npos)
      << result.out;
}

TEST_F(CatTest, GapsCanBeAnError) {
  Patch(SegmentPath(), 96 + 24, "X");
  const Result result = Run({"cat", "t", "--gaps", "error"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "one\n");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST_F(CatTest, APositionInALostRangeBeginsWithTheGap) {
  Patch(SegmentPath(), 96 + 3, "X");
  const Result result = Run({"cat", "t", "-o", "104"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "three\n");
  EXPECT_EQ(result.err.find("bus: t: gap from 96 to 128 (damage"), 0u) << result.err;
}

TEST_F(CatTest, WhatAKilledProducerLeftIsNoLoss) {
  RunningTool pub({"pub", "t"}, scratch_.path());
  pub.Write("four\n");
  RunningTool tail({"tail", "t", "-n", "4"}, scratch_.path());
  tail.Wait();
  pub.Signal(SIGKILL);
  EXPECT_EQ(pub.Wait().code, -SIGKILL);
  EXPECT_EQ(Out({"cat", "t", "--gaps", "all"}), "one\ntwo\nthree\nfour\n");
}

}  // namespace
}  // namespace libbus::test
