// docs/recovery.md and the code say the same: the table of cases, the causes of gaps, and what the example prints.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/recovery.h"
#include "tests/support/disk.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

// In place of the directory in which the commands ran.
constexpr char kDirectory[] = "/home/me";

std::vector<std::string> PageLines() {
  std::ifstream in(LIBBUS_SOURCE_DIR "/docs/recovery.md");
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The rows of the table with this heading.
std::vector<std::string> TableBelow(const std::string& heading) {
  std::vector<std::string> rows;
  bool inside = false;
  for (const std::string& line : PageLines()) {
    inside = line == heading || (inside && line.starts_with("|"));
    if (inside) rows.push_back(line);
  }
  if (rows.size() >= 2) rows.erase(rows.begin(), rows.begin() + 2);
  return rows;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::string Row(std::string_view a, std::string_view b, std::string_view c) {
  return "| " + std::string(a) + " | " + std::string(b) + " | " + std::string(c) + " |";
}

TEST(RecoveryPage, HasTheTableOfTheCode) {
  std::vector<std::string> wanted;
  for (const RecoveryRow& row : RecoveryTable()) wanted.push_back(Row(row.label, row.arises, row.done));
  EXPECT_EQ(TableBelow("| case | how it arises | what is done |"), wanted) << "the right table is:\n" << Joined(wanted);
}

TEST(RecoveryPage, NamesEveryCauseOfAGapAndWhetherItIsALoss) {
  const auto rows = TableBelow("| cause | a committed record may be lost | how it arises |");
  std::vector<GapCause> causes;
  for (int value = 0; value < 256; ++value) {
    const auto cause = static_cast<GapCause>(value);
    if (GapCauseName(cause) != "unknown") causes.push_back(cause);
  }
  ASSERT_EQ(rows.size(), causes.size());
  for (size_t i = 0; i < causes.size(); ++i) {
    const bool loss = Gap{.cause = causes[i], .from = {}, .to = {}, .owner = {}}.loss();
    const std::string begin = "| " + std::string(GapCauseName(causes[i])) + (loss ? " | yes | " : " | no | ");
    EXPECT_TRUE(rows[i].starts_with(begin)) << rows[i] << " should begin with " << begin;
  }
}

// A fenced block with its language.
struct Block {
  std::string language;
  std::string text;
};

std::vector<Block> Blocks() {
  std::vector<Block> blocks;
  bool inside = false;
  for (const std::string& line : PageLines()) {
    const bool fence = line.starts_with("```");
    if (fence && !inside) blocks.push_back({line.substr(3), ""});
    if (!fence && inside) blocks.back().text += line + "\n";
    inside = inside != fence;
  }
  return blocks;
}

// What commands print, on stdout and stderr.
std::string OutputOf(const std::string& commands, const std::string& directory) {
  const std::string line =
      "cd '" + directory + "' && export PATH='" LIBBUS_BIN_DIR "':\"$PATH\" && { " + commands + "\n} 2>&1 </dev/null";
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  std::string output;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  pclose(pipe);
  for (size_t at; (at = output.find(directory)) != std::string::npos;) output.replace(at, directory.size(), kDirectory);
  return output;
}

// The commands run one block after the other, each prints what the block behind it says, or nothing.
TEST(RecoveryPage, TheExampleIsTrue) {
  const test::Scratch scratch(test::DiskParent());
  const std::string directory = std::filesystem::canonical(scratch.path());
  const std::vector<Block> blocks = Blocks();
  int commands = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].language != "sh") continue;
    ++commands;
    const bool told = i + 1 < blocks.size() && blocks[i + 1].language == "text";
    EXPECT_EQ(OutputOf(blocks[i].text, directory), told ? blocks[i + 1].text : "") << blocks[i].text;
  }
  EXPECT_EQ(commands, 4);
}

}  // namespace
}  // namespace libbus
