// Help texts and man pages: they are one text, and whole.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/cli/terminal.h"
#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

using HelpTest = CliTest;

// Without what roff needs to leave a character alone.
std::string Plain(const std::string& roff) {
  std::string out;
  for (size_t i = 0; i < roff.size(); ++i) {
    if (roff[i] == '\\' && i + 1 < roff.size()) {
      ++i;
      if (roff[i] == 'f') ++i;
      if (roff[i] == '-') out += '-';
      if (roff[i] == 'e') out += '\\';
    } else {
      out += roff[i];
    }
  }
  return out;
}

std::string Value(const std::string& json, const std::string& key, size_t from = 0) {
  const std::string mark = "\"" + key + "\":\"";
  const size_t begin = json.find(mark, from) + mark.size();
  return json.substr(begin, json.find('"', begin) - begin);
}

TEST_F(HelpTest, TheManPageHasEveryCommandAndEveryOption) {
  const std::string page = Plain(Out({"help", "--man", "bus"}));
  const std::string all = Out({"help", "--json"});
  size_t arguments = 0;
  for (size_t at = all.find("{\"name\":\""); at != std::string::npos; at = all.find("{\"name\":\"", at + 1)) {
    EXPECT_NE(page.find(Value(all, "name", at)), std::string::npos) << Value(all, "name", at);
    ++arguments;
  }
  EXPECT_GT(arguments, 40u);
  for (const std::vector<std::string>& words : Commands()) {
    EXPECT_NE(page.find(fmt::format(".SS bus {}\n", fmt::join(words, " "))), std::string::npos) << words.front();
  }
  for (const std::string section : {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "RANGES", "FORMATS",
                                    "EXIT CODES", "ENVIRONMENT", "SEE ALSO"}) {
    EXPECT_NE(page.find(".SH " + section + "\n"), std::string::npos) << section;
  }
}

TEST_F(HelpTest, EveryOptionIsInTheDocumentation) {
  const std::string page = Read(LIBBUS_SOURCE_DIR "/docs/tools.md");
  const std::string all = Out({"help", "--json"});
  for (size_t at = all.find("{\"name\":\"--"); at != std::string::npos; at = all.find("{\"name\":\"--", at + 1)) {
    const size_t line = all.rfind("{\"command\":\"", at);
    const std::string object = all.substr(at, all.find('}', at) - at);
    const bool has_short = object.find("\"short\"") != std::string::npos;
    const bool found = page.find(Value(object, "name")) != std::string::npos ||
                       (has_short && page.find(Value(object, "short") + " ") != std::string::npos) ||
                       (has_short && page.find(Value(object, "short") + "]") != std::string::npos);
    EXPECT_TRUE(found) << Value(all, "command", line) << " " << Value(all, "name", at);
  }
  for (const std::vector<std::string>& words : Commands()) {
    EXPECT_NE(page.find(fmt::format("bus {}", fmt::join(words, " "))), std::string::npos) << words.front();
  }
}

TEST_F(HelpTest, TheManPagesAreRightRoff) {
  if (std::system("command -v mandoc >/dev/null 2>&1") != 0) GTEST_SKIP() << "needs mandoc";
  for (const std::string page : {"bus", "libbus"}) {
    std::ofstream(Path(page)) << Out({"help", "--man", page});
    const std::string command = fmt::format("mandoc -T lint -W warning {} >{} 2>&1", Path(page), Path("lint"));
    EXPECT_EQ(std::system(command.c_str()), 0) << Read(Path("lint"));
  }
}

TEST_F(HelpTest, TheBuildLeavesThem) {
  const std::string share = LIBBUS_BIN_DIR "/../share/man/";
  EXPECT_EQ(Read(share + "man1/bus.1"), Out({"help", "--man", "bus"}));
  EXPECT_EQ(Read(share + "man7/libbus.7"), Out({"help", "--man", "libbus"}));
}

TEST_F(HelpTest, GuidesAndCommandsOfTwoWords) {
  EXPECT_TRUE(Out({"help", "ranges"}).starts_with("ranges: "));
  EXPECT_TRUE(Out({"help", "libbus"}).starts_with("libbus: "));
  EXPECT_TRUE(Out({"help", "cursor", "seek"}).starts_with("bus cursor seek: "));
  ExpectError({"help", "rangs"}, 2, "rangs: nothing is known of it: did you mean bus help ranges?");
  ExpectError({"help", "--man", "bsu"}, 2, "--man bsu: no such page: use bus or libbus");
}

TEST_F(HelpTest, NoLineIsTooLong) {
  for (std::vector<std::string> words : Commands()) {
    words.insert(words.begin(), "help");
    const std::string text = Out(words);
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      EXPECT_LE(text.find('\n', at) - at, 100u) << text.substr(at, text.find('\n', at) - at);
    }
  }
}

TEST_F(HelpTest, OnATerminalItIsPagedAndHeadingsAreBold) {
  Terminal paged({"bus", "help", "cat"}, scratch_.path(), {.environment = {{"PAGER", "sed s/^/paged:/"}}});
  EXPECT_NE(paged.Wait().screen.find("paged:\x1b[1mOptions:"), std::string::npos) << paged.seen().screen;

  Terminal plain({"bus", "help", "cat"}, scratch_.path(), {.environment = {{"PAGER", "cat"}, {"NO_COLOR", "1"}}});
  const TerminalResult result = plain.Wait();
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.screen.find("\nOptions:\n"), std::string::npos) << result.screen;
  EXPECT_EQ(result.screen.find('\x1b'), std::string::npos);
}

TEST_F(HelpTest, LinesFitANarrowTerminal) {
  Terminal terminal({"bus", "help", "exit-codes"}, scratch_.path(),
                    {.columns = 60, .environment = {{"BUS_PAGER", ""}, {"TERM", "dumb"}}});
  const std::string screen = terminal.Wait().screen;
  EXPECT_NE(screen.find("An error is one line on stderr: bus: where: what: what to\ndo."), std::string::npos) << screen;
}

TEST_F(HelpTest, APagerThatIsNoneIsTold) {
  Terminal terminal({"bus", "help"}, scratch_.path(), {.err = false, .environment = {{"PAGER", "no-such-pager"}}});
  const TerminalResult result = terminal.Wait();
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("bus: no-such-pager: this pager cannot be run: set PAGER, or PAGER=cat for none\n"),
            std::string::npos)
      << result.err;
}

TEST_F(HelpTest, WhoLeavesThePagerEarlyIsDone) {
  MakeTopic();
  Terminal terminal({"bus", "help"}, scratch_.path(), {.environment = {{"PAGER", "head -n 1"}}});
  EXPECT_EQ(terminal.Wait().code, 0);
}

}  // namespace
}  // namespace libbus::test
