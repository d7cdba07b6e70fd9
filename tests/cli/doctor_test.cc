#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class DoctorTest : public CliTest {
 protected:
  // What is said of a check, in JSON.
  static std::string Line(const std::string& out, const std::string& check) {
    const size_t at = out.find("\"check\":\"" + check + "\"");
    if (at == std::string::npos) return "";
    const size_t begin = out.rfind('{', at);
    return out.substr(begin, out.find('\n', at) - begin);
  }
};

TEST_F(DoctorTest, TheExitCodeIsWhetherSomethingIsBroken) {
  MakeTopic();
  const Result result = Run({"doctor", "--json"});
  EXPECT_EQ(result.code, result.out.find("\"level\":\"broken\"") == std::string::npos ? 0 : 1) << result.out;
  EXPECT_EQ(result.err, "");
  for (const std::string check : {"file system", "kernel", "limits", "memory", "processor", "rights", "space"}) {
    EXPECT_NE(Line(result.out, check), "") << check << "\n" << result.out;
  }
  const std::string text = Run({"doctor"}).out;
  EXPECT_NE(text.find("rights             only the owner writes\n"), std::string::npos) << text;
}

TEST_F(DoctorTest, NothingIsChanged) {
  const auto list = [this] {
    std::string names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch_.path())) {
      names += entry.path().string() + "\n";
    }
    return names;
  };
  MakeTopic();
  const std::string before = list();
  const std::string control = Read(Path("b/t/control"));
  Run({"doctor"});
  EXPECT_EQ(list(), before);
  EXPECT_EQ(Read(Path("b/t/control")), control);
}

TEST_F(DoctorTest, ALimitBelowASegmentIsBroken) {
  MakeTopic();
  const Result result = Run({"doctor", "--json"}, "", [] {
    const rlimit limit = {32 << 10, 32 << 10};
    setrlimit(RLIMIT_FSIZE, &limit);
  });
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(Line(result.out, "limits").find("{\"level\":\"broken\""), 0u) << result.out;
  EXPECT_NE(Line(result.out, "limits").find("\"cure\":\"ulimit -f unlimited"), std::string::npos) << result.out;
}

// Nobody can make a file there, whatever its mode says to root.
TEST_F(DoctorTest, APlaceWhereNoFileCanBeMadeIsBroken) {
  for (const std::string place : {"/proc", "/sys"}) {
    const Result result = Run({"doctor", place});
    EXPECT_EQ(result.code, 1) << place;
    EXPECT_NE(result.out.find("broken"), std::string::npos) << result.out;
  }
}

TEST_F(DoctorTest, ADirectoryAboveThatAnybodyMayWriteIsBroken) {
  std::filesystem::permissions(scratch_.path(), std::filesystem::perms::all);
  const Result result = Run({"doctor"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.out.find("anybody can put another bus in the place of this one\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("cure: chmod o-w "), std::string::npos) << result.out;
  std::filesystem::permissions(scratch_.path(), std::filesystem::perms::owner_all);
}

TEST_F(DoctorTest, APlaceForABusIsLookedAtToo) {
  for (const std::string path : {".", "new", "./new/"}) {
    const Result result = Run({"doctor", path, "--json"});
    EXPECT_NE(Line(result.out, "owner").find("no bus yet"), std::string::npos) << result.out;
  }
  EXPECT_FALSE(std::filesystem::exists(Path("new")));
  const std::string text = Run({"doctor", "--bus", "b"}).out;
  EXPECT_NE(text.find("you (uid " + std::to_string(geteuid()) + ")\n"), std::string::npos) << text;
}

TEST_F(DoctorTest, APathThatLeadsNowhereIsTold) {
  ExpectError({"doctor", "no/where"}, 1, "no/where: no such directory, nor the one above it: check the path");
  const Result result = Run({"doctor", "b/bus"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

// Somebody who may read and not write: nothing is tried out, and what can be seen is told.
TEST_F(DoctorTest, AReaderMayAskToo) {
  constexpr uid_t kNobody = 65534;
  if (geteuid() != 0) GTEST_SKIP() << "needs root: there is no second uid to become";
  Out({"init", "w", "--access", "world"});
  std::filesystem::permissions(scratch_.path(), std::filesystem::perms(0755));
  const Result result = Run({"doctor", "w", "--json"}, "", [] {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(125);
  });
  EXPECT_NE(Line(result.out, "tried out").find("you may not write there"), std::string::npos) << result.out;
  EXPECT_NE(Line(result.out, "owner").find("you can read, and not publish"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace libbus::test
