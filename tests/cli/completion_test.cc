// Completion as the shells do it, each by its own means.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "tests/cli/terminal.h"
#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

bool HasProgram(const std::string& name) {
  return std::system(fmt::format("command -v {} >/dev/null 2>&1", name).c_str()) == 0;
}

// Two topics, and a cursor of one.
class CompletionTest : public CliTest {
 protected:
  CompletionTest() {
    for (const std::string topic : {"orders", "other"}) Out({"topic", "create", topic, "--segment-size", "64K"});
    Out({"pub", "orders"}, "one\ntwo\n");
    Out({"cat", "orders", "--cursor", "load", "--commit"});
  }

  // What stands on the lines, without descriptions, each behind a blank.
  std::string Candidates(std::vector<std::string> words) const {
    words.insert(words.begin(), "__complete");
    std::string out;
    const std::string text = Out(words);
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      const std::string line = text.substr(at, text.find('\n', at) - at);
      out += " " + line.substr(0, line.find('\t'));
    }
    return out;
  }

  // Writes a script and runs it with a shell in the directory, with the tool in PATH.
  std::string RunScript(const std::string& shell, const std::string& script) const {
    std::ofstream(Path("script")) << script;
    const std::string command = fmt::format("cd {} && PATH={}:$PATH BUS_PATH=b HOME={} {} script >script.out 2>&1",
                                            scratch_.path(), LIBBUS_BIN_DIR, scratch_.path(), shell);
    EXPECT_EQ(std::system(command.c_str()), 0) << Read(Path("script.out"));
    return Read(Path("script.out"));
  }
};

TEST_F(CompletionTest, CommandsTopicsCursorsOptionsAndChoices) {
  EXPECT_EQ(Candidates({"curs"}), " cursor :");
  EXPECT_EQ(Candidates({"cursor", "s"}), " show seek :");
  EXPECT_EQ(Candidates({"cat", "o"}), " orders other :");
  EXPECT_EQ(Candidates({"cat", ""}), " orders other :");
  EXPECT_EQ(Candidates({"cat", "orders", ""}), " :");
  EXPECT_EQ(Candidates({"cursor", "show", "orders", ""}), " load :");
  EXPECT_EQ(Candidates({"cat", "orders", "--cursor", ""}), " load :");
  EXPECT_EQ(Candidates({"cat", "orders", "--curs"}), " --cursor :");
  EXPECT_EQ(Candidates({"cat", "-n", "5", "or"}), " orders :");
  EXPECT_EQ(Candidates({"cat", "-f", "or"}), " orders :");
  EXPECT_EQ(Candidates({"cat", "orders", "--gaps", ""}), " loss all error :");
  EXPECT_EQ(Candidates({"cat", "orders", "--gaps=a"}), " --gaps=all :");
  EXPECT_EQ(Candidates({"cat", "orders", "--gaps", "=", "a"}), " all :");
  EXPECT_EQ(Candidates({"topic", "ls", "--js"}), " --json :");
  EXPECT_EQ(Candidates({"help", "ran"}), " ranges :");
  EXPECT_EQ(Candidates({"help", "cursor", "r"}), " rm :");
  EXPECT_EQ(Candidates({"cat", "--", "-"}), " :");
}

TEST_F(CompletionTest, FilesStandWhereFilesMay) {
  EXPECT_EQ(Candidates({"pub", "orders", ""}), " :files");
  EXPECT_EQ(Candidates({"dump", "ord"}), " orders :files");
  EXPECT_EQ(Candidates({"--bus", ""}), " :files");
}

TEST_F(CompletionTest, TheBusIsTheOneThatTheLineNames) {
  Out({"init", "another"});
  Out({"--bus", "another", "topic", "create", "elsewhere", "--segment-size", "64K"});
  EXPECT_EQ(Candidates({"--bus", "another", "cat", ""}), " elsewhere :");
  EXPECT_EQ(Candidates({"cat", "--bus=another", ""}), " elsewhere :");
  EXPECT_EQ(Candidates({"--bus", "none", "cat", ""}), " :");
  EXPECT_EQ(Candidates({"cat", "none", "--cursor", ""}), " :");
}

TEST_F(CompletionTest, NothingIsKnownOfLinesThatAreNone) {
  EXPECT_EQ(Candidates({"zzz", "zzz", ""}), " :");
  EXPECT_EQ(Candidates({"cat", "--zzz=", ""}), " orders other :");
  EXPECT_EQ(Candidates({"cat", "--zzz=a"}), " :");
  EXPECT_NE(Candidates({}).find(" cat "), std::string::npos);
  ExpectError({"completion", "tcsh"}, 2, "tcsh: no shell that is known: use bash, zsh or fish");
}

TEST_F(CompletionTest, Bash) {
  EXPECT_EQ(RunScript("bash --norc", R"(
source <(bus completion bash)
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bus; printf '%s ' "${COMPREPLY[@]}"; echo; }
try bus cat o
try bus cat orders --gaps = a
try bus cursor show orders ''
try bus dump script.
)"),
            "orders other \nall \nload \nscript.out \n");
}

TEST_F(CompletionTest, Fish) {
  if (!HasProgram("fish")) GTEST_SKIP() << "needs fish";
  EXPECT_EQ(RunScript("fish --no-config", R"(
bus completion fish | source
complete -C 'bus cat o'
complete -C 'bus cat orders --gaps='
complete -C 'bus cursor show orders '
complete -C 'bus pub orders scr'
)"),
            "orders\ttopic\nother\ttopic\n--gaps=all\n--gaps=error\n--gaps=loss\nload\tcursor\nscript\nscript.out\n");
}

TEST_F(CompletionTest, Zsh) {
  if (!HasProgram("zsh")) GTEST_SKIP() << "needs zsh";
  std::ofstream(Path(".zshrc")) << "PS1='ready> '\nautoload -Uz compinit; compinit -u -D\n"
                                << "source <(bus completion zsh)\n";
  Terminal terminal({"zsh", "-i"}, scratch_.path(), {.environment = {{"ZDOTDIR", scratch_.path()}, {"TERM", "dumb"}}});
  ASSERT_TRUE(terminal.ReadUntil("ready> "));
  // Only the whole words print this.
  terminal.Type("bus cursor show ord\tlo\t\n");
  ASSERT_TRUE(terminal.ReadUntil("load: at 128"));
  terminal.Type("bus cat orders --form\the\t\n");
  ASSERT_TRUE(terminal.ReadUntil("6f6e65\n74776f\n"));
  terminal.Type("exit\n");
  EXPECT_EQ(terminal.Wait().code, 0);
}

}  // namespace
}  // namespace libbus::test
