// Values out of range, ranges that are none, flags that contradict each other: one line, exit code 2 where the command
// line alone tells (1 where it takes the topic to know), and nothing is done.
#include <algorithm>
#include <filesystem>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class BadFlagsTest : public CliTest {
 protected:
  BadFlagsTest() { MakeTopic(); }
  ~BadFlagsTest() override {
    EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\n");
    EXPECT_EQ(Out({"ls"}), "t\n");
  }

  using Words = std::vector<std::string>;

  // Each of `values` behind `words`.
  void ExpectEach(const Words& words, const Words& values, int code, const std::string& says) const {
    for (const std::string& value : values) {
      Words command = words;
      command.push_back(value);
      ExpectOneLine(command, code, says);
    }
  }

  void ExpectOneLine(const Words& command, int code, const std::string& says) const {
    std::string trace;
    for (const std::string& word : command) trace += word + " ";
    SCOPED_TRACE(trace);
    const Result result = Run(command, "x\n");
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.find("bus: "), 0u) << result.err;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
};

TEST_F(BadFlagsTest, RangesThatAreNone) {
  for (const Words& words : {Words{"cat", "t", "-o"}, {"tail", "t", "-o"}, {"replay", "t", "--to", "-", "-o"}}) {
    ExpectEach(words,
               {"middle", "::", "+", "-", "+x", "+-1", "--1", "@", "@yesterday", "@-2x", "@2026-13-01T00:00:00Z",
                "64:x", "x:96", "64:96:128", "1.5", "99999999999999999999", "-99999999999999999999", "@inf", " 64"},
               2, "not a range: use A:B of start, end, N, +N, -N, @TIME, @-2h");
  }
}

TEST_F(BadFlagsTest, RangesThatEndBeforeTheyBegin) {
  for (const Words& words : {Words{"cat", "t", "-o"}, {"cat", "t", "-f", "-o"}, {"replay", "t", "--to", "-", "-o"}}) {
    ExpectEach(
        words,
        {"128:64", "96:start", "+2:+1", "-1:-2", "end:start", "end:96", "@2030-01-01T00:00:00Z:@2020-01-01T00:00:00Z"},
        1, "ends before it begins");
  }
}

// Nothing is between its ends: nothing is printed, and that is no error.
TEST_F(BadFlagsTest, RangesThatAreEmpty) {
  for (const std::string range : {"96:96", "+1:+1", "end:end", "start:start", "-1:-1", "start:64",
                                  "@2020-01-01T00:00:00Z:@2020-01-01T00:00:00Z", "@2030-01-01T00:00:00Z"}) {
    EXPECT_EQ(Out({"cat", "t", "-o", range}), "") << range;
    EXPECT_EQ(Out({"cat", "t", "-o", range, "--json"}), "") << range;
  }
}

TEST_F(BadFlagsTest, RangesBeyondTheLog) {
  ExpectEach({"cat", "t", "-o"}, {"161", "168", "9999999999"}, 1, "beyond the end");
  ExpectEach({"cat", "t", "-o"}, {"100", "100:"}, 1, "inside the record that starts at 96");
  // Where it ends is no record: whatever begins before it is read.
  EXPECT_EQ(Out({"cat", "t", "-o", "64:100"}), "one\ntwo\n");
  EXPECT_EQ(Out({"cat", "t", "-o", "96:9999999999"}), "two\nthree\n");
}

TEST_F(BadFlagsTest, PlacesThatAreNone) {
  ExpectEach({"trim", "t", "--before"}, {"x", "64:96", "+", "@x"}, 2, "use ");
  ExpectEach({"cursor", "seek", "t", "c"}, {"x", "64:96", "+", "@x"}, 2, "");
  ExpectEach({"dump", "t"}, {"-1", "x", "1.0", "0x40", "18446744073709551616"}, 2, "");
}

TEST_F(BadFlagsTest, NumbersOutOfRange) {
  const Words none = {"-1", "x", "1.5", "18446744073709551616", "1e3", "0x1"};
  ExpectEach({"cat", "t", "-n"}, none, 2, "not a number: use 0 to 18446744073709551615");
  ExpectEach({"tail", "t", "-n"}, none, 2, "not a number: use 0 to 18446744073709551615");
  ExpectEach({"dump", "t", "-n"}, none, 2, "not a number: use 0 to 18446744073709551615");
  ExpectEach({"replay", "t", "--to", "-", "-n"}, none, 2, "not a number: use 0 to 18446744073709551615");
  ExpectEach({"replay", "t", "--to", "-", "--speed"}, {"0", "-1", "fast", "nan", "inf"}, 2, "not a speed");
  ExpectEach({"bench", "--producers"}, {"0", "65", "-1", "x"}, 2, "");
  ExpectEach({"bench", "--size"}, {"-1", "x", "1T"}, 2, "");
}

TEST_F(BadFlagsTest, OptionsOfATopicOutOfRange) {
  const auto create = [](const std::string& option) { return Words{"topic", "create", "u", option}; };
  ExpectEach(create("--segment-size"), {"1", "4095", "65G", "0"}, 1, "choose from 4096 to 68719476736 bytes");
  ExpectEach(create("--segment-size"), {"-1", "64X", "1.5M", "M", "99999999999G"}, 2, "not a size");
  ExpectEach(create("--retain-bytes"), {"-1", "x"}, 2, "not a size");
  ExpectEach(create("--retain-age"), {"-1h", "x", "7", "36501d", "inf"}, 2, "not a duration");
  ExpectEach(create("--claim-timeout"), {"-1s", "x", "7", "inf"}, 2, "not a duration");
  ExpectEach(create("--sync"), {"-1", "x", "often", "inf"}, 2, "not a sync policy");
  ExpectEach(create("--sync"), {"2h", "1us"}, 1, "choose from 1ms to 1h");
  ExpectEach(create("--sync"), {"0"}, 1, "sync every 0 bytes");
  ExpectEach(create("--timestamps"), {"fine", "COARSE"}, 2, "use coarse, precise or none");
  ExpectEach({"init", "new", "--access"}, {"all", "0755"}, 2, "use owner, group or world");
}

TEST_F(BadFlagsTest, ChoicesThatAreNone) {
  ExpectEach({"cat", "t", "--gaps"}, {"none", "LOSS"}, 2, "use loss, all or error");
  ExpectEach({"cat", "t", "--limit"}, {"all"}, 2, "use committed or durable");
  ExpectEach({"cat", "t", "--format"}, {"json", "csv"}, 2, "not a format");
  ExpectEach({"cat", "t", "--format"}, {"%", "%z", "%p %", "100%"}, 2, "means nothing");
  ExpectEach({"bench", "--mode"}, {"other"}, 2, "");
  ExpectEach({"bench", "--wait"}, {"other"}, 2, "");
  ExpectEach({"completion"}, {"tcsh"}, 2, "");
}

TEST_F(BadFlagsTest, PatternsThatDoNotCompile) {
  ExpectEach({"cat", "t", "--grep"}, {"(", "[", "a**", "\\", "x{2,1}", "(?P<n", "\\8", "a{1001}"}, 2,
             ": not a regular expression: ");
}

// What a script gives where a variable is not set.
TEST_F(BadFlagsTest, EmptyValues) {
  for (const Words& words : {Words{"cat", "t", "-o"},
                             {"cat", "t", "-n"},
                             {"cat", "t", "--format"},
                             {"cat", "t", "--gaps"},
                             {"cat", "t", "--cursor"},
                             {"pub", "t", "--type"},
                             {"pub", "t", "--rate"},
                             {"pub", "t", "--batch"},
                             {"trim", "t", "--before"},
                             {"topic", "create", "u", "--sync"},
                             {"cat", "t", "--bus"}}) {
    ExpectEach(words, {""}, 2, "its value is empty");
  }
  ExpectOneLine({"--bus", "", "ls"}, 2, "--bus: its value is empty");
}

TEST_F(BadFlagsTest, FlagsThatContradict) {
  for (const Words& words : {Words{"ls", "-q", "-v"},
                             {"recover", "--dry-run", "--apply"},
                             {"recover"},
                             {"cat", "t", "--commit"},
                             {"cat", "t", "--json", "--format", "raw"},
                             {"cat", "t", "--json", "--format", "%p"},
                             {"replay", "t", "--to", "-", "--json", "--format", "hex"},
                             {"replay", "t", "--to", "t"},
                             {"trim", "t"},
                             {"topic", "rm", "t"},
                             {"bench", "--durable", "--mode", "exclusive"},
                             {"cat", "t", "u"},
                             {"doctor", "b", "b"},
                             {"config"},
                             {"cat", "t", "-n"}}) {
    ExpectOneLine(words, 2, "");
  }
  ExpectOneLine({"topic", "create", "u", "--exclusive", "--claim-timeout", "5s"}, 1, "never revoked");
  EXPECT_EQ(Out({"cat", "t", "--json", "--format", "ndjson"}), Out({"cat", "t", "--json"})) << "the same, said twice";
}

}  // namespace
}  // namespace libbus::test
