// The command line itself: where options may stand, what is said about words that are none, help.
#include <fstream>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

using UsageTest = CliTest;

TEST_F(UsageTest, TheCommonOptionsStandBeforeAndAfterTheCommand) {
  MakeTopic();
  Out({"init", "other"});
  EXPECT_EQ(Out({"--bus", "b", "ls"}), "t\n");
  EXPECT_EQ(Out({"ls", "--bus", "b"}), "t\n");
  const std::string json = Out({"topic", "ls", "--bus=b", "--json"});
  EXPECT_TRUE(json.starts_with("{\"topic\":\"t\"")) << json;
  EXPECT_EQ(Out({"--json", "topic", "ls"}), json);
  EXPECT_EQ(Out({"--bus", "other", "ls"}), "");
}

TEST_F(UsageTest, TheBusIsNamedByOptionElseEnvironmentElseLiesHere) {
  MakeTopic();
  Out({"init", "bus"});
  Out({"--bus", "bus", "topic", "create", "here"});
  EXPECT_EQ(Out({"ls"}), "t\n");
  EXPECT_EQ(Run({"ls"}, "", [] { unsetenv("BUS_PATH"); }).out, "here\n");
}

TEST_F(UsageTest, NoBusIsAUsageError) {
  const Result result = Run({"ls"}, "", [] { unsetenv("BUS_PATH"); });
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, "bus: no bus is named: use --bus PATH, set BUS_PATH, or make one here with \"bus init bus\"\n");
}

TEST_F(UsageTest, WordsThatAreNoneAreTold) {
  ExpectError({}, 2, "no command is named: see bus --help");
  ExpectError({"topic"}, 2, "no command is named: see bus topic --help");
  ExpectError({"tial", "t"}, 2, "tial: no such command: did you mean tail?");
  ExpectError({"cta", "t"}, 2, "cta: no such command: did you mean cat?");
  ExpectError({"vrify"}, 2, "vrify: no such command: did you mean verify?");
  ExpectError({"zzzzzzzz"}, 2, "zzzzzzzz: no such command: see bus --help");
  ExpectError({"topic", "creat", "x"}, 2, "creat: no such command: did you mean create?");
  ExpectError({"cat", "t", "--formt", "raw"}, 2, "--formt: no such option: did you mean --format?");
  ExpectError({"ls", "--jsn"}, 2, "--jsn: no such option: did you mean --json?");
  ExpectError({"ls", "extra"}, 2, "extra: not expected here: see bus ls --help");
  ExpectError({"cat"}, 2, "T is required: see bus cat --help");
}

TEST_F(UsageTest, TopicsAndCursorsThatAreNoneAreTold) {
  Out({"topic", "create", "orders", "--segment-size", "64K"});
  Out({"cat", "orders", "--cursor", "load", "--commit"});
  const std::string line = Path("b") + "/ordres: no such topic: did you mean orders?";
  for (const std::string command : {"cat", "info", "dump", "verify", "pub"}) ExpectError({command, "ordres"}, 1, line);
  ExpectError({"recover", "ordres", "--dry-run"}, 1, line);
  ExpectError({"trim", "ordres", "--before", "end"}, 1, line);
  ExpectError({"topic", "rm", "ordres"}, 1, line);
  ExpectError({"cat", "zzzzzzzz"}, 1,
              Path("b") + "/zzzzzzzz: no such topic (make it with `bus topic create zzzzzzzz`)");
  for (const std::string command : {"show", "rm"}) {
    ExpectError({"cursor", command, "orders", "laod"}, 1, "orders: no cursor \"laod\": did you mean load?");
  }
}

TEST_F(UsageTest, ValuesThatAreNoneAreTold) {
  MakeTopic();
  ExpectError({"cat", "t", "-n", "-1"}, 2, "-1: not a number: use 0 to 18446744073709551615");
  ExpectError({"cat", "t", "-o", "middle"}, 2, "middle: not a range: use A:B of start, end, N, +N, -N, @TIME, @-2h");
  ExpectError({"cat", "t", "--format", "txt"}, 2, "--format txt: not a format: did you mean text?");
  ExpectError({"cat", "t", "--format", "%z"}, 2, "--format: %z means nothing: use %p %s %k %t %y %l %h %%");
  ExpectError({"cat", "t", "--gaps", "some"}, 2, "some: not a choice of gaps: use loss, all or error");
  ExpectError({"pub", "t", "--type", "4294967296"}, 2, "4294967296: not a number: use 0 to 4294967295");
  ExpectError({"pub", "t", "--rate", "fast"}, 2, "fast: not a rate: use records per second: 1000/s");
  ExpectError({"pub", "t", "--header", "novalue"}, 2, "--header novalue: not a header: use NAME=VALUE");
  ExpectError({"topic", "create", "u", "--segment-size", "64X"}, 2,
              "64X: not a size: use bytes, or a number with K, M or G");
  ExpectError({"topic", "create", "u", "--timestamps", "fine"}, 2,
              "fine: not a kind of timestamps: use coarse, precise or none");
  ExpectError({"topic", "create", "u", "--claim-timeout", "soon"}, 2,
              "soon: not a duration: use 10s, 500ms, 1h30m or 0");
}

TEST_F(UsageTest, EveryCommandHasHelpWithAnExample) {
  EXPECT_NE(Out({"--help"}).find("Exit codes: 0 ok"), std::string::npos);
  EXPECT_EQ(Out({"help"}), Out({"--help"}));
  const auto commands = Commands();
  EXPECT_GT(commands.size(), 10u);
  for (std::vector<std::string> command : commands) {
    std::string usage = "Usage: bus";
    for (const std::string& word : command) usage += " " + word;
    command.push_back("--help");
    const std::string help = Out(command);
    command.pop_back();
    command.insert(command.begin(), "help");
    EXPECT_EQ(Out(command), help);
    EXPECT_NE(help.find(usage), std::string::npos) << help;
    EXPECT_NE(help.find("\nExample"), std::string::npos) << help;
  }
}

TEST_F(UsageTest, ATopicMayBeNamedLikeACommand) {
  for (const std::string name : {"ls", "info", "help", "cursor"}) {
    Out({"topic", "create", name, "--segment-size", "64K"});
    EXPECT_NE(Out({"info", name}).find(name), std::string::npos);
    EXPECT_EQ(Run({"verify", name}).code, 0);
    EXPECT_EQ(Out({"cat", name}), "");
  }
}

TEST_F(UsageTest, AnEmptyWordIsNotTakenForNone) {
  MakeTopic();
  for (const std::string command : {"verify", "info", "stat", "ps"}) {
    ExpectError({command, ""}, 2, "T: its value is empty: give one, or leave it out");
  }
  ExpectError({"recover", "", "--dry-run"}, 2, "T: its value is empty: give one, or leave it out");
}

TEST_F(UsageTest, NoOptionsFollowTwoDashes) {
  MakeTopic();
  std::ofstream(Path("-n")) << "four\n";
  Out({"pub", "t", "--", "-n"});
  EXPECT_EQ(Out({"cat", "-o", "-1", "--", "t"}), "four\n");
}

TEST_F(UsageTest, OnePlaceIsNoRange) {
  MakeTopic();
  for (const std::string place : {":", "64:", ":96", "start:end"}) {
    ExpectError({"trim", "t", "--before", place}, 2, place + ": not a place: use start, end, N, +N, -N, @TIME or @-2h");
  }
  EXPECT_EQ(Out({"cat", "t", "-o", "@-1d"}), "one\ntwo\nthree\n");
}

TEST_F(UsageTest, TheVersionIsPrinted) { EXPECT_EQ(Out({"--version"}), "bus 0.1.0\n"); }

TEST_F(UsageTest, VerboseSaysWhatWasDoneAndQuietExcludesIt) {
  MakeTopic();
  EXPECT_EQ(Run({"cat", "t", "-v"}).err, "bus: t: 3 records\n");
  EXPECT_EQ(Run({"pub", "-v", "t"}, "x\n").err, "bus: t: published 1 record\n");
  EXPECT_EQ(Run({"ls", "-q", "-v"}).code, 2);
}

}  // namespace
}  // namespace libbus::test
