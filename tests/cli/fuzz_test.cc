// Any bytes, through the built tool: every input format with random and cut bytes, every file of a bus with random
// damage through every command that reads. It ends by itself with a documented exit code, and each error is one line.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "tests/cli/tool.h"
#include "tests/support/processes.h"

namespace libbus::test {
namespace {

class FuzzTest : public CliTest {
 protected:
  explicit FuzzTest() : random_(Seed("cli.fuzz")) {
    Out({"topic", "create", "t", "--segment-size", "4096"});
    std::string lines;
    for (int i = 0; i < 60; ++i) lines += fmt::format("a line of some length, number {}\n", i);
    Out({"pub", "t", "--key", "k", "--header", "a=b"}, lines);
    Out({"pub", "t", "--batch", "8"}, lines);
    Out({"cat", "t", "--cursor", "c", "--commit", "-n", "7"});
  }

  uint64_t Below(uint64_t n) { return random_() % n; }

  // What holds for every run, whatever was put into it.
  void Check(const std::vector<std::string>& arguments, const std::string& input = "") {
    SCOPED_TRACE(fmt::format("bus {}", fmt::join(arguments, " ")));
    const Result result = Run(arguments, input);
    const std::vector<int> known = {0, 1, 2, 3, 4, 5};
    EXPECT_TRUE(std::find(known.begin(), known.end(), result.code) != known.end()) << result.code << "\n"
                                                                                   << result.err.substr(0, 2000);
    EXPECT_TRUE(result.err.empty() || result.err.ends_with('\n')) << result.err;
    for (size_t at = 0; at < result.err.size(); at = result.err.find('\n', at) + 1) {
      EXPECT_EQ(result.err.compare(at, 5, "bus: "), 0) << result.err;
    }
    EXPECT_TRUE(result.code == 0 || !result.err.empty() || !result.out.empty())
        << "nothing is said, exit " << result.code;
  }

  std::string Noise(uint64_t most) {
    std::string bytes(Below(most), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }

  // Puts random bytes, zeros or an end into a file.
  void Damage(const std::string& path) {
    const uint64_t size = std::filesystem::file_size(path);
    const uint64_t at = Below(std::min<uint64_t>(size, Below(3) == 0 ? size : 1500));
    if (Below(8) == 0) {
      std::filesystem::resize_file(path, at);
    } else {
      Patch(path, at, Below(3) == 0 ? std::string(1 + Below(40), '\0') : Noise(12));
    }
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Path("b"))) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  std::mt19937_64 random_;
};

TEST_F(FuzzTest, EveryInputFormat) {
  const std::vector<std::string> whole = {
      "one\ntwo\r\n\nlast",
      "{\"payload\":\"x\",\"key\":\"k\",\"headers\":[{\"name\":\"a\",\"value\":\"b\"}]}\n[1,2]\n",
      std::string("\x03\0\0\0abc\0\0\0\0\x02\0\0\0de", 17),
  };
  const std::vector<std::string> formats = {"--lines", "--ndjson", "--frames", "--file"};
  for (int round = 0; round < 40; ++round) {
    std::string input = whole[Below(whole.size())];
    for (uint64_t steps = Below(4); steps > 0; --steps) input.insert(Below(input.size() + 1), Noise(8));
    if (Below(3) == 0) input.resize(Below(input.size() + 1));
    if (Below(10) == 0) input = Noise(100'000);
    std::vector<std::string> arguments = {"pub", "t", formats[Below(formats.size())]};
    if (Below(4) == 0) arguments.insert(arguments.end(), {"--batch", fmt::format("{}", 1 + Below(9))});
    if (Below(4) == 0) arguments.emplace_back("--json");
    Check(arguments, input);
  }
  EXPECT_EQ(Run({"verify"}).code, 0);
}

TEST_F(FuzzTest, EveryValue) {
  const std::vector<std::string> texts = {"start:end", "+5:-3", "@2023-11-14T22:13:20Z", "@-2h:", "64M", "1h30m",
                                          "%p %k\\n",  "each"};
  for (int round = 0; round < 40; ++round) {
    std::string text = texts[Below(texts.size())];
    for (uint64_t steps = 1 + Below(3); steps > 0; --steps) {
      const size_t at = Below(text.size() + 1);
      const char byte = static_cast<char>(1 + Below(255));
      Below(2) == 0 ? text.insert(at, 1, byte) : text.erase(at, 1 + Below(3));
    }
    switch (Below(5)) {
      case 0:
        Check({"cat", "t", "-o=" + text});
        break;
      case 1:
        Check({"cat", "t", "-n", "3", "--format=" + text});
        break;
      case 2:
        Check({"topic", "create", fmt::format("new{}", round), "--segment-size=" + text});
        break;
      case 3:
        Check({"dump", "t", "--around=" + text});
        break;
      default:
        Check({"trim", "t", "--dry-run", "--before=" + text});
    }
  }
}

TEST_F(FuzzTest, EveryDamagedFile) {
  const std::vector<std::vector<std::string>> commands = {
      {"dump", "t"},
      {"dump", "t", "--json"},
      {"dump", "t", "--around", "4200"},
      {"verify"},
      {"verify", "t", "--json"},
      {"cat", "t", "--gaps", "all"},
      {"cat", "t", "--json"},
      {"cat", "t", "-o", "-5"},
      {"cat", "t", "--cursor", "c"},
      {"info"},
      {"info", "t", "--json"},
      {"recover", "--dry-run"},
      {"cursor", "ls", "t"},
      {"topic", "ls"},
      {"trim", "t", "--before", "end", "--dry-run"},
  };
  std::filesystem::rename(Path("b"), Path("whole"));
  for (int round = 0; round < 12; ++round) {
    std::filesystem::remove_all(Path("b"));
    std::filesystem::copy(Path("whole"), Path("b"), std::filesystem::copy_options::recursive);
    const std::vector<std::string> files = Files();
    for (uint64_t hits = 1 + Below(3); hits > 0; --hits) Damage(files[Below(files.size())]);
    for (int i = 0; i < 4; ++i) Check(commands[Below(commands.size())]);
    Check({"dump", files[Below(files.size())]});
    if (round % 6 != 0) continue;
    for (const auto& command : commands) Check(command);
    Check({"recover", "t", "--apply"});
    Check({"pub", "t"}, "one more\n");
    Check({"verify"});
  }
}

}  // namespace
}  // namespace libbus::test
