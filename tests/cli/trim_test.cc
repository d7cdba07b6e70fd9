#include <filesystem>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class TrimCommandTest : public CliTest {
 protected:
  // Segments of a page, a few dozen of them.
  void Fill() const {
    Out({"topic", "create", "t", "--segment-size", "4096"});
    std::string lines;
    for (int i = 0; i < 100; ++i) lines += std::to_string(i) + std::string(500, '.') + "\n";
    Out({"pub", "t", "--lines"}, lines);
  }
  std::string First() const {
    const std::string json = Out({"info", "t", "--json"});
    const size_t at = json.find("\"first\":") + 8;
    return json.substr(at, json.find(',', at) - at);
  }
};

TEST_F(TrimCommandTest, DeletesWhatIsBefore) {
  Fill();
  const std::string dry = Out({"trim", "t", "--before", "20000", "--dry-run"});
  EXPECT_EQ(dry, "t: would delete 4 segments, 16384 bytes: the log would begin at 16448\n");
  EXPECT_EQ(First(), "64");
  EXPECT_EQ(Out({"trim", "t", "--before", "20000"}), "t: deleted 4 segments, 16384 bytes: the log begins at 16448\n");
  EXPECT_EQ(First(), "16448");
  EXPECT_FALSE(std::filesystem::exists(SegmentPath()));
  EXPECT_EQ(Out({"trim", "t", "--before", "20000"}), "t: nothing to delete: the log begins at 16448\n");
  EXPECT_EQ(Run({"verify", "t"}).code, 0);
  // What is gone is a loss for who asks for it, and none for who reads from the start.
  EXPECT_EQ(Run({"cat", "t", "-o", "64", "-n", "1"}).code, 3);
  EXPECT_EQ(Run({"cat", "t", "-n", "1"}).code, 0);
  EXPECT_EQ(Out({"cat", "t", "-o", "+99", "-n", "1"}).substr(0, 3), "99.");
}

TEST_F(TrimCommandTest, ByTimeAndAsJson) {
  Fill();
  EXPECT_EQ(Out({"trim", "t", "--before", "@0", "--json"}),
            "{\"topic\":\"t\",\"dry_run\":false,\"segments\":0,\"bytes\":0,\"first\":64}\n");
  const std::string all = Out({"trim", "t", "--before", "end", "--json"});
  EXPECT_EQ(all.find("{\"topic\":\"t\",\"dry_run\":false,\"segments\":14,"), 0u) << all;
}

TEST_F(TrimCommandTest, SaysWhichCursorNeedsTheRest) {
  Fill();
  EXPECT_EQ(Run({"cat", "t", "--cursor", "slow", "--commit", "-n", "20"}).code, 0);
  // A power loss could take it back to where it stood before: only the second commit lets go of the start.
  EXPECT_NE(Out({"trim", "t", "--before", "64"}).find("nothing to delete"), std::string::npos);
  EXPECT_EQ(Run({"cat", "t", "--cursor", "slow", "--commit", "-n", "20"}).code, 0);
  const Result result = Run({"trim", "t", "--before", "end"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.out.find("deleted 2 segments"), std::string::npos) << result.out;
  EXPECT_NE(result.err.find("kept what cursor slow needs, which stands at "), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  Out({"cursor", "rm", "t", "slow"});
  EXPECT_EQ(Run({"trim", "t", "--before", "end"}).code, 0);
}

TEST_F(TrimCommandTest, BadPoints) {
  Fill();
  EXPECT_EQ(Run({"trim", "t"}).code, 2);
  EXPECT_EQ(Run({"trim", "t", "--before", "yesterday"}).code, 2);
  EXPECT_EQ(Run({"trim", "t", "--before", "1:2"}).code, 2);
  const Result beyond = Run({"trim", "t", "--before", "99999999"});
  EXPECT_EQ(beyond.code, 1);
  EXPECT_NE(beyond.err.find("beyond the end: the log ends at"), std::string::npos) << beyond.err;
  EXPECT_EQ(First(), "64");
}

TEST_F(TrimCommandTest, RetentionIsATopicsOption) {
  Out({"topic", "create", "t", "--retain-bytes", "1G", "--retain-age", "7d"});
  const std::string info = Out({"info", "t"});
  EXPECT_NE(info.find("retained       1073741824 bytes, 168h\n"), std::string::npos) << info;
  EXPECT_NE(Out({"info", "t", "--json"}).find("\"retain_bytes\":1073741824,\"retain_age_ns\":604800000000000"),
            std::string::npos);
  EXPECT_EQ(Run({"topic", "create", "u", "--retain-age", "long"}).code, 2);
}

}  // namespace
}  // namespace libbus::test
