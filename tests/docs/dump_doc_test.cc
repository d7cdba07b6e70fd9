// What docs/tools.md shows of `bus dump` is what it prints.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <regex>
#include <string>

#include "tests/docs/format_page.h"

namespace libbus::format {
namespace {

struct Sample {
  std::string command;  // behind the prompt
  std::string output;
};

// The first block of the page that runs `bus dump`.
Sample PageSample() {
  Sample sample;
  bool inside = false;
  for (const std::string& line : SourceLines("docs/tools.md")) {
    if (line.starts_with("$ bus dump ")) {
      sample.command = line.substr(2);
      inside = true;
    } else if (inside && line == "```") {
      break;
    } else if (inside) {
      sample.output += line + "\n";
    }
  }
  return sample;
}

// Inodes and who is alive are those of the machine at hand.
std::string Settled(const std::string& text) { return std::regex_replace(text, std::regex("inode [0-9]+"), "inode N"); }

std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1 </dev/null").c_str(), "r");
  if (pipe == nullptr) return output;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  pclose(pipe);
  return output;
}

TEST(DumpDocTest, ThePageShowsWhatIsPrinted) {
  const Sample sample = PageSample();
  ASSERT_FALSE(sample.command.empty()) << "docs/tools.md shows no dump";
  const std::string output = OutputOf(
      "cd '" LIBBUS_SOURCE_DIR "/tests/golden/v1/events' && PATH='" LIBBUS_BIN_DIR "':$PATH " + sample.command);
  EXPECT_EQ(Settled(sample.output), Settled(output));
}

}  // namespace
}  // namespace libbus::format
