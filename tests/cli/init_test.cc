#include <filesystem>

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
