#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

namespace fs = std::filesystem;

class CopyCommandTest : public CliTest {
 protected:
  CopyCommandTest() {
    MakeTopic();
    Out({"topic", "create", "u"});
  }
};

TEST_F(CopyCommandTest, WorksAtOnce) {
  EXPECT_EQ(Run({"cat", "t", "--cursor", "c", "--commit", "-n", "2"}).code, 0);
  EXPECT_EQ(Out({"copy", "c"}), "t: 3 records up to 160, 1 cursor\nu: 0 records up to 64, 0 cursors\n");
  EXPECT_EQ(Out({"cat", "t", "--bus", "c", "--json"}), Out({"cat", "t", "--json"}));
  EXPECT_EQ(Out({"cat", "t", "--bus", "c", "--cursor", "c"}), "three\n");
  EXPECT_EQ(Run({"verify", "--bus", "c"}).code, 0);
  EXPECT_NE(Out({"info", "t", "--bus", "c"}).find("from 160 to 160 (copied)"), std::string::npos);
  Out({"pub", "t", "--bus", "c"}, "four\n");
  EXPECT_EQ(Out({"cat", "t", "--bus", "c", "-o", "160", "--format", "%p %s\\n"}), "160 four\n");
  EXPECT_EQ(Run({"verify", "--bus", "c"}).code, 0);
  EXPECT_EQ(Out({"recover", "t", "--dry-run", "--bus", "c"}).find("clean"),
            Out({"recover", "t", "--dry-run"}).find("clean"));
}

TEST_F(CopyCommandTest, AsJsonAndInParts) {
  EXPECT_EQ(Out({"copy", "c", "--json", "--topic", "t"}),
            "{\"topic\":\"t\",\"first\":64,\"end\":160,\"segments\":1,\"bytes\":160,\"records\":3,\"losses\":0,"
            "\"cursors\":0,\"lost_cursors\":0}\n");
  EXPECT_EQ(Out({"ls", "--bus", "c"}), "t\n");
  EXPECT_EQ(Out({"copy", "d", "-q", "--topic", "t", "--topic", "u"}), "");
  EXPECT_EQ(Out({"ls", "--bus", "d"}), "t\nu\n");
}

TEST_F(CopyCommandTest, ATopicWithoutItsControlFileIsDamage) {
  Out({"topic", "rm", "u", "--yes"});
  ASSERT_TRUE(fs::remove(Path("b/t/control")));
  const Result result = Run({"copy", "c"});
  EXPECT_EQ(result.code, 4);
  EXPECT_NE(result.err.find("b/t: its control file is gone"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(Path("c")));
  EXPECT_EQ(Out({"ls"}), "t\n");
}

TEST_F(CopyCommandTest, WhatIsRefused) {
  EXPECT_EQ(Run({"copy"}).code, 2);
  EXPECT_EQ(Run({"copy", "c", "--topic", "none"}).code, 1);
  ExpectError({"copy", "b"}, 1, "b: something is there: a copy is made anew, choose another place");
  EXPECT_EQ(Run({"copy", "b/c"}).code, 1);
  EXPECT_EQ(Run({"copy", "none/c"}).code, 1);
  EXPECT_EQ(Run({"copy", "c", "--bus", "none"}).code, 1);
  EXPECT_FALSE(fs::exists(Path("c")));
}

TEST_F(CopyCommandTest, SaysWhereSomethingIsLost) {
  EXPECT_EQ(Run({"cat", "t", "--cursor", "bad", "--commit"}).code, 0);
  Patch(Path("b/t/cursors/bad"), 4096, std::string(8192, 'x'));
  Patch(SegmentPath(), 96 + 24, "!");
  const Result result = Run({"copy", "c"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "t: 2 records up to 160, 0 cursors, 1 gap of loss\nu: 0 records up to 64, 0 cursors\n");
  EXPECT_NE(result.err.find("bus: t: gap from 96 to 128 (damage): records may be lost: see bus verify\n"),
            std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("/cursors/bad: this cursor is damaged"), std::string::npos) << result.err;
  EXPECT_EQ(Run({"cat", "t", "--bus", "c"}).out, "one\nthree\n");
}

TEST_F(CopyCommandTest, AFullDiskLeavesNothing) {
  const auto limit = [] {
    const rlimit small = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &small);
  };
  const Result result = Run({"copy", "c"}, "", limit);
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  for (const auto& entry : fs::directory_iterator(Path("")))
    EXPECT_EQ(entry.path().filename().string().find(".c."), std::string::npos);
  EXPECT_FALSE(fs::exists(Path("c")));
}

}  // namespace
}  // namespace libbus::test
