#include <filesystem>
#include <map>
#include <string>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

using InitTest = CliTest;

TEST_F(InitTest, MakesABusOnce) {
  EXPECT_EQ(Out({"init", "new"}), "");
  EXPECT_TRUE(std::filesystem::is_regular_file(Path("new/bus")));
  ExpectError({"init", "new"}, 1, "new: is a bus already: use another path, or --if-missing");
  EXPECT_EQ(Out({"init", "new", "--if-missing"}), "");
}

TEST_F(InitTest, JsonTellsWhetherItMadeOne) {
  const std::string made = Out({"init", "new", "--json"});
  const std::string found = Out({"init", "new", "--json", "--if-missing"});
  EXPECT_NE(made.find("\"made\":true"), std::string::npos) << made;
  EXPECT_NE(found.find("\"made\":false"), std::string::npos) << found;
  const size_t uuid = made.find("\"uuid\":");
  EXPECT_EQ(made.substr(uuid, 45), found.substr(uuid, 45));
}

TEST_F(InitTest, AccessIsChosenOnceAndShown) {
  using std::filesystem::perms;
  const std::map<std::string, perms> all = {{"owner", perms(0700)}, {"group", perms(02750)}, {"world", perms(0755)}};
  for (const auto& [access, mode] : all) {
    EXPECT_EQ(Out({"init", access, "--access", access}), "");
    EXPECT_EQ(std::filesystem::status(Path(access)).permissions(), mode) << access;
    const std::string text = Out({"--bus", Path(access), "info"});
    EXPECT_NE(text.find("access         " + access + "\n"), std::string::npos) << text;
    const std::string json = Out({"--bus", Path(access), "info", "--json"});
    EXPECT_NE(json.find("\"access\":\"" + access + "\""), std::string::npos) << json;
    Out({"--bus", Path(access), "topic", "create", "t"});
    const std::string topic = Out({"--bus", Path(access), "info", "t", "--json"});
    EXPECT_NE(topic.find("\"access\":\"" + access + "\""), std::string::npos) << topic;
  }
  EXPECT_EQ(Out({"init", "group", "--access", "group", "--if-missing"}), "");
  const Result other = Run({"init", "group", "--access", "world", "--if-missing"});
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("made with access group, opened with world"), std::string::npos) << other.err;
}

TEST_F(InitTest, AnUnknownAccessIsAUsageError) {
  const Result result = Run({"init", "new", "--access", "everyone"});
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("owner, group or world"), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(Path("new")));
}

TEST_F(InitTest, ADirectoryWithOtherThingsInItIsLeftAlone) {
  std::filesystem::create_directory(Path("full"));
  std::filesystem::create_directory(Path("full/thing"));
  const Result result = Run({"init", "full"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("not a bus, and not empty"), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(Path("full/bus")));
}

}  // namespace
}  // namespace libbus::test
