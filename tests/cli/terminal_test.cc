// What a person at a terminal sees, and does with the keys.
#include "tests/cli/terminal.h"

#include <fstream>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class TerminalTest : public CliTest {
 protected:
  TerminalTest() { MakeTopic(); }

  std::string Stands(const std::string& cursor) const {
    const std::string told = Out({"cursor", "show", "t", cursor, "--json"});
    const size_t at = told.find("\"position\":") + 11;
    return told.substr(at, told.find_first_not_of("0123456789", at) - at);
  }
};

TEST_F(TerminalTest, CtrlCEndsATail) {
  Terminal tail({"bus", "tail", "t"}, scratch_.path());
  ASSERT_TRUE(tail.ReadUntil("three\n"));
  tail.Type(kCtrlC);
  const TerminalResult result = tail.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_EQ(result.screen, "one\ntwo\nthree\n^C") << "no error is told";
}

TEST_F(TerminalTest, CtrlCCommitsTheCursorOfATail) {
  Terminal tail({"bus", "tail", "t", "--cursor", "c", "--commit"}, scratch_.path());
  ASSERT_TRUE(tail.ReadUntil("three\n"));
  Out({"pub", "t"}, "four\n");
  ASSERT_TRUE(tail.ReadUntil("four\n"));
  tail.Type(kCtrlC);
  EXPECT_EQ(tail.Wait().code, 130);
  EXPECT_EQ(Stands("c"), "192") << "behind the four records that were shown";
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), "");
}

// Somebody types records, ends the input with Ctrl-D, or gives up with Ctrl-C.
TEST_F(TerminalTest, LinesAreTyped) {
  Terminal pub({"bus", "pub", "t", "-v"}, scratch_.path());
  pub.Type("four\nfive\n");
  pub.Type(kCtrlD);
  const TerminalResult result = pub.Wait();
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.screen.find("bus: t: published 2 records\n"), std::string::npos) << result.screen;
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nfour\nfive\n");
}

TEST_F(TerminalTest, CtrlCEndsWhoWaitsForLines) {
  Terminal pub({"bus", "pub", "t"}, scratch_.path());
  pub.Type("four\n");
  Terminal tail({"bus", "tail", "t"}, scratch_.path());
  ASSERT_TRUE(tail.ReadUntil("four\n"));  // now pub waits for more
  pub.Type(kCtrlC);
  const TerminalResult result = pub.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_TRUE(result.screen.ends_with("bus: stdin: interrupted\n")) << result.screen;
}

// How far it is, on stderr, where that is a terminal; the line goes away at the end.
TEST_F(TerminalTest, PublishingFilesShowsHowFarItIs) {
  std::ofstream(Path("lines")) << std::string(2'000, '\n');
  const std::vector<std::string> slow = {"bus", "pub", "t", "lines", "--rate", "500/s"};
  Terminal pub(slow, scratch_.path());
  EXPECT_TRUE(pub.ReadUntil(" of 2.0 KiB  "));
  EXPECT_TRUE(pub.ReadUntil(" left"));
  pub.Type(kCtrlC);
  const TerminalResult result = pub.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_TRUE(result.screen.ends_with("\r\x1b[Kbus: lines: interrupted\n")) << result.screen;
  const std::vector<std::string> fast = {"bus", "pub", "t", "lines", "-q", "--rate", "40000/s"};
  EXPECT_EQ(Terminal(fast, scratch_.path()).Wait().screen, "");
  EXPECT_EQ(Terminal({"bus", "pub", "t", "lines", "--rate", "40000/s"}, scratch_.path(), {.err = false}).Wait().err,
            "");
}

TEST_F(TerminalTest, HeadTakesWhatItWantsAndTheToolIsContent) {
  std::string lines;
  for (int i = 0; i < 20'000; ++i) lines += "a line that is long enough to fill a pipe\n";
  Out({"pub", "t"}, lines);
  Terminal shell({"bash", "-c", "bus cat t | head -n 2; exit ${PIPESTATUS[0]}"}, scratch_.path());
  const TerminalResult result = shell.Wait();
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.screen, "one\ntwo\n");
}

TEST_F(TerminalTest, WhatMatchesIsPaintedAndNotWithNoColor) {
  Out({"pub", "t"}, "eerie\n");
  const std::vector<std::string> cat = {"bus", "cat", "t", "--grep", "e+"};
  const std::string red = "\x1b[31m", plain = "\x1b[0m";
  const auto e = [&](int n) { return red + std::string(static_cast<size_t>(n), 'e') + plain; };
  EXPECT_EQ(Terminal(cat, scratch_.path()).Wait().screen,
            "on" + e(1) + "\nthr" + e(2) + "\n" + e(2) + "ri" + e(1) + "\n");
  for (const TerminalOptions& options :
       {TerminalOptions{.environment = {{"NO_COLOR", "1"}}}, TerminalOptions{.environment = {{"TERM", "dumb"}}}}) {
    EXPECT_EQ(Terminal(cat, scratch_.path(), options).Wait().screen, "one\nthree\neerie\n");
  }
  EXPECT_EQ(Terminal(cat, scratch_.path(), {.out = false}).Wait().out, "one\nthree\neerie\n");
  EXPECT_EQ(Terminal({"bus", "cat", "t", "--grep", "x*", "-n", "1"}, scratch_.path()).Wait().screen, "one\n");
}

TEST_F(TerminalTest, EachFieldOfADumpHasItsColour) {
  const auto screen = [&](const TerminalOptions& options) {
    Terminal dump({"bus", "dump", "t", "96", "-n", "1"}, scratch_.path(), options);
    const TerminalResult result = dump.Wait();
    EXPECT_EQ(result.code, 0);
    return result.screen;
  };
  const std::string painted = screen({.rows = 60, .environment = {{"TERM", "xterm"}, {"PAGER", "cat"}}});
  EXPECT_NE(painted.find("\x1b[1mposition 96  offset 96  data"), std::string::npos) << painted;
  EXPECT_NE(painted.find("\x1b[32m  00000078  74 77 6f "), std::string::npos) << painted;  // the payload
  EXPECT_NE(painted.find("\x1b[33m  00000060  33 "), std::string::npos) << painted;        // the word
  const std::string plain =
      screen({.rows = 60, .environment = {{"TERM", "xterm"}, {"PAGER", "cat"}, {"NO_COLOR", "1"}}});
  EXPECT_EQ(plain.find('\x1b'), std::string::npos) << plain;
  EXPECT_EQ(plain, Out({"dump", "t", "96", "-n", "1"}));
}

TEST_F(TerminalTest, ATopicThatIsRemovedUnderATailIsTold) {
  Terminal tail({"bus", "tail", "t"}, scratch_.path(), {.err = false});
  ASSERT_TRUE(tail.ReadUntil("three\n"));
  Out({"topic", "rm", "t", "--yes"});
  const TerminalResult result = tail.Wait();
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.screen, "one\ntwo\nthree\n");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_NE(result.err.find("removed while it was open"), std::string::npos) << result.err;
}

TEST_F(TerminalTest, ATopicThatIsMadeAnewUnderATailIsTold) {
  Terminal tail({"bus", "tail", "t"}, scratch_.path(), {.err = false});
  ASSERT_TRUE(tail.ReadUntil("three\n"));
  tail.Signal(SIGSTOP);
  Out({"topic", "rm", "t", "--yes"});
  Out({"pub", "t", "--create"}, "of another one\n");
  tail.Signal(SIGCONT);
  const TerminalResult result = tail.Wait();
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.screen, "one\ntwo\nthree\n") << "nothing of the other one";
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_NE(result.err.find("replaced by another while it was open"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace libbus::test
