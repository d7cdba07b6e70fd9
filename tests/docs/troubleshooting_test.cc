// What docs/troubleshooting.md lists is what the library and the tool say: each message is searched for in the sources.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void ReplaceAll(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// All sources, with literals that stand one behind the other joined, as the compiler does.
std::string Sources() {
  std::string all;
  for (const char* folder : {"libbus", "tools"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(LIBBUS_SOURCE_DIR) / folder)) {
      if (entry.path().extension() == ".cc") all += ReadFile(entry.path());
    }
  }
  all = std::regex_replace(all, std::regex("\"\\s*\\n\\s*\""), "");
  ReplaceAll(all, "\\\"", "\"");
  return all;
}

// The first cell of each row, where it is a piece of code.
std::vector<std::string> Messages() {
  std::vector<std::string> messages;
  std::istringstream page(ReadFile(fs::path(LIBBUS_SOURCE_DIR) / "docs/troubleshooting.md"));
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| `")) messages.push_back(line.substr(3, line.find("` |") - 3));
  }
  return messages;
}

TEST(Troubleshooting, EveryMessageIsOneThatIsSaid) {
  const std::string sources = Sources();
  const std::vector<std::string> messages = Messages();
  EXPECT_GT(messages.size(), 50u);
  for (const std::string& message : messages) {
    EXPECT_NE(sources.find(message), std::string::npos) << "nobody says \"" << message << "\"";
  }
}

TEST(Troubleshooting, NoRowIsThereTwice) {
  std::vector<std::string> messages = Messages();
  std::sort(messages.begin(), messages.end());
  EXPECT_EQ(std::adjacent_find(messages.begin(), messages.end()), messages.end());
}

TEST(Troubleshooting, EachRowHasFourCells) {
  std::istringstream page(ReadFile(fs::path(LIBBUS_SOURCE_DIR) / "docs/troubleshooting.md"));
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| `")) continue;
    size_t cells = 0;
    for (size_t at = line.find(" |"); at != std::string::npos; at = line.find(" |", at + 1)) ++cells;
    EXPECT_EQ(cells, 4u) << line;
  }
}

}  // namespace
