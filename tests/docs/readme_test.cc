// What README.md shows is run: a page that a newcomer copies from must not be wrong.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string Readme() { return ReadFile(std::filesystem::path(LIBBUS_SOURCE_DIR) / "README.md"); }

// The fenced blocks of one language, in order, without their fences.
std::vector<std::string> Blocks(const std::string& page, const std::string& language) {
  std::vector<std::string> blocks;
  const std::string fence = "```" + language + "\n";
  for (size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
    at += fence.size();
    blocks.push_back(page.substr(at, page.find("```", at) - at));
  }
  return blocks;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

struct Outcome {
  int exit_code = -1;
  std::string output;  // stdout and stderr
};

// A directory that goes away with the test, and commands that run in it.
class ReadmeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "libbus-readme-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr) << path;
    directory_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Outcome Run(const std::string& command) const {
    const std::string line = "cd '" + directory_.string() + "' && PATH='" LIBBUS_BIN_DIR "':\"$PATH\" && { " + command +
                             "\n} 2>&1 </dev/null";
    Outcome outcome;
    FILE* pipe = popen(line.c_str(), "r");
    if (pipe == nullptr) return outcome;
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) outcome.output.append(buffer, n);
    const int status = pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return outcome;
  }

  std::filesystem::path directory_;
};

TEST_F(ReadmeTest, FirstProgramPrintsWhatThePageSays) {
  const std::string readme = Readme();
  const std::vector<std::string> programs = Blocks(readme, "cpp");
  const std::vector<std::string> expected = Blocks(readme, "text");
  ASSERT_FALSE(programs.empty());
  ASSERT_FALSE(expected.empty());
  EXPECT_LE(Lines(programs[0]).size(), 20u) << "a first program is short";
  const Outcome first = Run("readme_1");
  EXPECT_EQ(first.exit_code, 0);
  EXPECT_EQ(first.output, expected[0]);
}

TEST_F(ReadmeTest, RecordsOfAnEarlierRunAreStillThere) {
  const Outcome first = Run("readme_1");
  const Outcome second = Run("readme_1");
  ASSERT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(second.output.substr(0, first.output.size()), first.output);
  EXPECT_EQ(Lines(second.output).size(), 2 * Lines(first.output).size());
}

TEST_F(ReadmeTest, EveryProgramRuns) {
  for (size_t i = 1; i <= Blocks(Readme(), "cpp").size(); ++i) {
    const Outcome outcome = Run("readme_" + std::to_string(i));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  }
}

TEST_F(ReadmeTest, TheProgramOfExclusiveTopicsPrintsWhatItsPageSays) {
  const std::string page = ReadFile(std::filesystem::path(LIBBUS_SOURCE_DIR) / "docs/exclusive.md");
  ASSERT_EQ(Blocks(page, "text").size(), 1u);
  const Outcome outcome = Run("exclusive_1");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.output, Blocks(page, "text")[0]);
}

// Commands of the tool, as they stand on the page, over what the first program left.
TEST_F(ReadmeTest, EveryCommandOfTheToolRuns) {
  ASSERT_EQ(Run("readme_1").exit_code, 0);
  int commands = 0;
  for (const std::string& block : Blocks(Readme(), "sh")) {
    for (const std::string& line : Lines(block)) {
      if (line.find("bus --bus ") == std::string::npos) continue;
      ++commands;
      const Outcome outcome = Run(line);
      EXPECT_EQ(outcome.exit_code, 0) << line << "\n" << outcome.output;
    }
  }
  EXPECT_GT(commands, 0);
}

// Of README.md and of every page in docs/.
TEST(Pages, EveryLinkLeadsSomewhere) {
  const std::filesystem::path root = LIBBUS_SOURCE_DIR;
  std::vector<std::filesystem::path> pages = {root / "README.md"};
  for (const auto& entry : std::filesystem::directory_iterator(root / "docs")) {
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  }
  int links = 0;
  for (const std::filesystem::path& path : pages) {
    const std::string page = ReadFile(path);
    for (size_t at = page.find("]("); at != std::string::npos; at = page.find("](", at + 1)) {
      std::string target = page.substr(at + 2, page.find(')', at) - at - 2);
      if (target.starts_with("http")) continue;
      target = target.substr(0, target.find('#'));
      if (target.empty()) continue;
      ++links;
      EXPECT_TRUE(std::filesystem::exists(path.parent_path() / target)) << path << " leads to " << target;
    }
  }
  EXPECT_GT(links, 0);
}

}  // namespace
