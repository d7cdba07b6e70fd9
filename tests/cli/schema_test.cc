// Each command's --json fits its schema in docs/schemas: nothing else is in it, and nothing is missing.
#include <absl/strings/str_split.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

constexpr int kAny = -1;  // what the machine earns

struct Try {
  std::vector<std::string> arguments;  // behind the command's words
  std::string input = "";
  int code = 0;
};

// In the order of the names of the commands, each in a bus of its own: see SchemaTest.
const std::map<std::string, std::vector<Try>>& Tries() {
  static const std::map<std::string, std::vector<Try>> tries = {
      {"bench", {{{"--records", "64", "--rounds", "1", "--attempts", "1", "--size", "64", "--wait", "spin"}}}},
      {"cat", {{{"t"}}, {{"bare"}}, {{"torn", "--gaps", "all"}, "", 3}}},
      {"config", {{{"t"}}, {{"torn"}}}},
      {"copy", {{{"copied"}, "", 3}, {{"part", "--topic", "t"}}}},
      {"cursor ls", {{{"t"}}}},
      {"cursor seek", {{{"t", "c", "start"}}}},
      {"cursor show", {{{"t", "c"}}}},
      {"dump", {{{"t"}}, {{"torn"}, "", 4}, {{"b/t/control"}}, {{"b/t/cursors/c"}}, {{"b/bus"}}}},
      {"doctor", {{{}, "", kAny}, {{"new"}, "", kAny}}},
      {"help", {{{}}}},
      {"info", {{{}}, {{"t"}}, {{"torn"}}}},
      {"init", {{{"new"}}, {{"b", "--if-missing"}}}},
      {"ls", {{{}}}},
      {"ps", {{{}}, {{"t", "--all"}}}},
      {"pub", {{{"t", "--sync"}, "more\n"}, {{"t", "--ndjson"}, "{}\nnone\n", 1}, {{"t"}}}},
      {"recover", {{{"--dry-run"}, "", 0}, {{"torn", "--apply"}, "", 0}}},
      {"replay", {{{"t", "--to", "again", "--create"}}, {{"t", "--to", "-"}}, {{"torn", "--to", "-"}, "", 3}}},
      {"segments", {{{"t"}}, {{"torn"}}}},
      {"stat", {{{}}, {{"t", "-w", "10ms", "-n", "2"}}}},
      {"tail", {{{"t", "-n", "2"}}}},
      {"topic config", {{{"torn"}}}},
      {"topic create", {{{"new", "--segment-size", "64K"}}}},
      {"topic ls", {{{}}}},
      {"topic rm", {}},  // says nothing
      {"cursor rm", {}},
      {"completion", {}},  // prints a script
      {"trim", {{{"t", "--before", "end"}}, {{"t", "--before", "start", "--dry-run"}}}},
      {"verify", {{{}, "", 4}, {{"t"}}}},
  };
  return tries;
}

// Topic t with a key, headers, a cursor; topic torn with a byte flipped.
class SchemaTest : public CliTest {
 protected:
  SchemaTest() {
    MakeTopic();
    Out({"pub", "t", "--key", "k", "--header", "a=b", "--type", "7"}, "keyed\n\xff\n");
    Out({"pub", "t", "--batch", "2"}, "in\nbatch\n");
    Out({"cat", "t", "--cursor", "c", "--commit", "-n", "2"});
    Out({"topic", "create", "bare", "--segment-size", "64K", "--timestamps", "none"});
    Out({"pub", "bare"}, "one\n");
    Out({"topic", "create", "torn", "--segment-size", "64K"});
    Out({"pub", "torn"}, "one\ntwo\nthree\n");
    Patch(Path("b/torn/00000000000000000000.seg"), 64 + 24, "X");
  }

  void Check(const std::string& command, const Try& attempt) const {
    std::vector<std::string> words = absl::StrSplit(command, ' ');
    words.insert(words.end(), attempt.arguments.begin(), attempt.arguments.end());
    words.emplace_back("--json");
    SCOPED_TRACE(fmt::format("bus {}", fmt::join(words, " ")));
    const Result result = Run(words, attempt.input);
    if (attempt.code != kAny) {
      EXPECT_EQ(result.code, attempt.code) << result.err;
    }
    std::ofstream(Path("lines")) << result.out;
    std::string name = command;
    std::replace(name.begin(), name.end(), ' ', '-');
    const std::string source = LIBBUS_SOURCE_DIR;
    const int code =
        std::system(fmt::format("python3 {0}/tests/cli/check_schema.py {0}/docs/schemas/{1}.json <{2} >{3} 2>&1",
                                source, name, Path("lines"), Path("problems"))
                        .c_str());
    EXPECT_EQ(code, 0) << Read(Path("problems"));
  }
};

TEST_F(SchemaTest, EveryCommandFitsItsSchema) {
  if (std::system("python3 -c 'import jsonschema' 2>/dev/null") != 0) GTEST_SKIP() << "needs python3-jsonschema";
  for (const std::vector<std::string>& words : Commands()) {
    const std::string command = fmt::format("{}", fmt::join(words, " "));
    const auto tries = Tries().find(command);
    if (tries == Tries().end()) {
      ADD_FAILURE() << command << ": is not tried here";
      continue;
    }
    for (const Try& attempt : tries->second) Check(command, attempt);
  }
}

}  // namespace
}  // namespace libbus::test
