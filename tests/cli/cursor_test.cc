#include <csignal>
#include <filesystem>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class CursorCommandTest : public CliTest {
 protected:
  CursorCommandTest() { MakeTopic(); }

  Result Take(int count) const {
    return Run({"cat", "t", "--cursor", "c", "--commit", "-n", std::to_string(count), "--format", "%s "});
  }
};

TEST_F(CursorCommandTest, CatGoesOnWhereItCommitted) {
  EXPECT_EQ(Take(1).out, "one ");
  EXPECT_EQ(Take(1).out, "two ");
  // Without --commit it is only looked at.
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), "three\n");
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), "three\n");
  EXPECT_EQ(Take(10).out, "three ");
  EXPECT_EQ(Take(10).out, "");
  Out({"pub", "t"}, "four\n");
  EXPECT_EQ(Take(10).out, "four ");
}

TEST_F(CursorCommandTest, ANewOneBeginsWhereTheRangeDoes) {
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c", "--commit", "-o", "-1"}), "three\n");
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c", "--commit", "-o", "start"}), "");
}

TEST_F(CursorCommandTest, ListsAndShows) {
  EXPECT_EQ(Out({"cursor", "ls", "t"}), "");
  Take(1);
  Out({"cat", "t", "--cursor", "all", "--commit"});
  const std::string text = Out({"cursor", "ls", "t"});
  EXPECT_EQ(text.find("all: at 160 (record 3), at the end, committed 20"), 0u) << text;
  EXPECT_NE(text.find("\nc: at 96 (record 1), 2 records, 64 bytes behind, committed 20"), std::string::npos) << text;
  const std::string json = Out({"cursor", "show", "t", "c", "--json"});
  EXPECT_EQ(json.find("{\"cursor\":\"c\",\"uid\":"), 0u) << json;
  EXPECT_NE(json.find(",\"position\":96,\"sequence\":1,\"lag_bytes\":64,\"lag_records\":2,\"committed_at\":\"20"),
            std::string::npos)
      << json;
  ExpectError({"cursor", "show", "t", "no"}, 1, "t: no cursor \"no\": see `bus cursor ls t`");
}

TEST_F(CursorCommandTest, Moves) {
  Take(3);
  for (const auto& [place, first] : {std::pair{"start", "one"}, {"+1", "two"}, {"128", "three"}, {"@0", "one"}}) {
    EXPECT_EQ(Out({"cursor", "seek", "t", "c", place}), "");
    EXPECT_EQ(Out({"cat", "t", "--cursor", "c", "-n", "1"}), std::string(first) + "\n");
  }
  EXPECT_EQ(Out({"cursor", "seek", "t", "c", "-1"}), "");
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), "three\n");
  const std::string json = Out({"cursor", "seek", "t", "c", "end", "--json"});
  EXPECT_NE(json.find("\"position\":160,"), std::string::npos) << json;
  ExpectError({"cursor", "seek", "t", "c", "start:end"}, 2,
              "start:end: not a place: use start, end, N, +N, -N, @TIME or @-2h");
  for (const std::string place : {":", "5:", ":5", ""})
    EXPECT_EQ(Run({"cursor", "seek", "t", "c", place}).code, 2) << place;
  EXPECT_EQ(Run({"cursor", "seek", "t", "c", "70"}).code, 1);
  EXPECT_EQ(Run({"cursor", "seek", "t", "no", "start"}).code, 1);
  EXPECT_EQ(Run({"cursor", "seek", "t", "c"}).code, 2);
}

TEST_F(CursorCommandTest, Removes) {
  Take(1);
  EXPECT_EQ(Out({"cursor", "rm", "t", "c"}), "");
  EXPECT_EQ(Out({"cursor", "ls", "t"}), "");
  EXPECT_EQ(Run({"cursor", "rm", "t", "c"}).code, 1);
  EXPECT_EQ(Take(1).out, "one ");
}

TEST_F(CursorCommandTest, OneThatIsHeldIsNotTouched) {
  RunningTool tail({"tail", "t", "--cursor", "c", "--commit", "-o", "start"}, scratch_.path(),
                   [] { setenv("BUS_PATH", "b", 1); });
  EXPECT_EQ(tail.ReadUntil("three\n"), "one\ntwo\nthree\n");
  for (const std::vector<std::string>& command : {std::vector<std::string>{"cursor", "seek", "t", "c", "start"},
                                                  {"cursor", "rm", "t", "c"},
                                                  {"cat", "t", "--cursor", "c", "--commit"}}) {
    const Result result = Run(command);
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("cursor c is held by process "), std::string::npos) << result.err;
  }
  EXPECT_NE(Out({"cursor", "ls", "t"}).find(", held by process "), std::string::npos);
  tail.Signal(SIGINT);
  EXPECT_EQ(tail.Wait().code, 130);
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), "") << "what was printed is committed";
}

// What nobody read is not committed.
TEST_F(CursorCommandTest, AClosedPipeCommitsNothing) {
  Take(1);
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "line\n";
  Out({"pub", "t"}, many);
  RunningTool cat({"cat", "t", "--cursor", "c", "--commit"}, scratch_.path(), [] { setenv("BUS_PATH", "b", 1); });
  cat.CloseOutput();
  EXPECT_EQ(cat.Wait().code, 0);
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c", "-n", "1"}), "two\n");
}

TEST_F(CursorCommandTest, Usage) {
  ExpectError({"cat", "t", "--commit"}, 2, "--commit: of which cursor? name it by --cursor");
  EXPECT_EQ(Run({"cat", "t", "--cursor", "a/b", "--commit"}).code, 1);
  EXPECT_EQ(Run({"cat", "t", "--cursor", "no"}).code, 1);
  EXPECT_EQ(Run({"cursor"}).code, 2);
  EXPECT_EQ(Run({"cursor", "sek", "t"}).code, 2);
}

TEST_F(CursorCommandTest, OneWhoseFirstBytesAreOverwrittenIsDamage) {
  EXPECT_EQ(Run({"cat", "t", "--cursor", "c", "--commit", "-n", "2"}).code, 0);
  Patch(Path("b/t/cursors/c"), 0, "overwritten");
  EXPECT_EQ(Run({"cursor", "show", "t", "c"}).code, 4);
  EXPECT_EQ(Run({"cat", "t", "--cursor", "c"}).code, 4);
  EXPECT_EQ(Run({"verify", "t"}).code, 4);
}

TEST_F(CursorCommandTest, ADamagedOneIsToldAndMended) {
  Take(1);
  std::filesystem::resize_file(Path("b/t/cursors/c"), 100);
  EXPECT_NE(Out({"cursor", "ls", "t"}).find("truncated"), std::string::npos);
  const Result shown = Run({"cursor", "show", "t", "c"});
  EXPECT_EQ(shown.code, 4);
  EXPECT_NE(shown.err.find("`bus cursor seek t c POSITION`"), std::string::npos) << shown.err;
  EXPECT_EQ(Run({"cat", "t", "--cursor", "c"}).code, 4);
  const Result verified = Run({"verify", "t"});
  EXPECT_EQ(verified.code, 4);
  EXPECT_NE(verified.out.find("cursors/c"), std::string::npos) << verified.out;
  EXPECT_EQ(Out({"cursor", "seek", "t", "c", "+1"}), "");
  EXPECT_EQ(Run({"verify", "t"}).code, 0);
  const std::string dumped = Out({"dump", "b/t/cursors/c"});
  EXPECT_NE(dumped.find("position"), std::string::npos) << dumped;
  EXPECT_NE(Out({"dump", "b/t/cursors/c.lock"}).find("pid"), std::string::npos);
  EXPECT_NE(Out({"info", "t"}).find("cursors        1"), std::string::npos);
}

// What was lost is told each time, until somebody moves the cursor: it was not printed.
TEST_F(CursorCommandTest, StopsAtTheSameLossAgain) {
  Patch(SegmentPath(), 96 + 24, "T");
  for (const char* printed : {"one\n", "", ""}) {
    const Result result = Run({"cat", "t", "--gaps", "error", "--cursor", "c", "--commit"});
    EXPECT_EQ(result.out, printed);
    EXPECT_EQ(result.code, 3) << result.err;
  }
  EXPECT_EQ(Run({"cat", "t", "--cursor", "c", "--commit"}).out, "three\n");
}

}  // namespace
}  // namespace libbus::test
