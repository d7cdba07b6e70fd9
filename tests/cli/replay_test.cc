#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "tests/cli/tool.h"
#include "tests/support/processes.h"

namespace libbus::test {
namespace {

class ReplayCommandTest : public CliTest {
 protected:
  ReplayCommandTest() { MakeTopic(); }
  std::string Lines(int count) const {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += "line " + std::to_string(i) + "\n";
    return lines;
  }
};

TEST_F(ReplayCommandTest, IntoAnotherTopic) {
  Out({"topic", "create", "u"});
  EXPECT_EQ(Out({"replay", "t", "--to", "u"}), "t: 3 records (11 B) into u, up to 160\n");
  EXPECT_EQ(Out({"cat", "u"}), "one\ntwo\nthree\n");
  // Time and place of the originals.
  EXPECT_EQ(Out({"cat", "u", "--format", "%t\n"}), Out({"cat", "t", "--format", "%t\n"}));
  EXPECT_NE(Out({"cat", "u", "--json", "-o", "+1"}).find("\"source\":96,"), std::string::npos);
  EXPECT_EQ(Out({"replay", "t", "-o", "+1:+2", "--to", "u", "--json"}),
            "{\"topic\":\"t\",\"to\":\"u\",\"records\":1,\"bytes\":3,\"losses\":0,\"next_position\":128,"
            "\"last_position\":208}\n");
  EXPECT_EQ(Out({"replay", "t", "--to", "u", "-n", "2", "-q"}), "");
  EXPECT_EQ(Out({"cat", "u"}), "one\ntwo\nthree\ntwo\none\ntwo\n");
  EXPECT_EQ(Out({"replay", "t", "-o", "end", "--to", "u"}), "t: 0 records (0 B) into u, up to 160\n");
}

TEST_F(ReplayCommandTest, MakesTheTopicLikeTheOther) {
  Out({"topic", "create", "odd", "--segment-size", "12288", "--timestamps", "none", "--exclusive", "--retain-bytes",
       "1M"});
  EXPECT_EQ(Run({"replay", "odd", "--to", "u"}).code, 1);
  Out({"replay", "odd", "--to", "u", "--create"});
  const std::string info = Out({"info", "u", "--json"});
  for (const char* text : {"\"segment_size\":12288", "\"timestamps\":\"none\""}) {
    EXPECT_NE(info.find(text), std::string::npos) << text << " in " << info;
  }
  EXPECT_NE(
      Out({"topic", "ls", "--json"}).find("\"topic\":\"u\",\"sync\":\"none\",\"durable\":64,\"mode\":\"exclusive\""),
      std::string::npos)
      << Out({"topic", "ls", "--json"});
}

TEST_F(ReplayCommandTest, ToStdoutLikeCat) {
  EXPECT_EQ(Out({"replay", "t", "--to", "-"}), "one\ntwo\nthree\n");
  EXPECT_EQ(Out({"replay", "t", "--to", "-", "--speed", "1000", "--format", "%p %s\\n", "-o", "+1"}),
            "96 two\n128 three\n");
  EXPECT_EQ(Out({"replay", "t", "--to", "-", "--json"}), Out({"cat", "t", "--json"}));
}

TEST_F(ReplayCommandTest, WhatContradicts) {
  ExpectError({"replay", "t"}, 2, "--to is required: see bus replay --help");
  ExpectError({"replay", "t", "--to", "t"}, 2, "--to t: a topic is not replayed into itself: name another");
  for (const char* speed : {"0", "-1", "fast", "inf", "nan", "1e300", "1e-300", "1x", "5/s"}) {
    ExpectError({"replay", "t", "--to", "-", "--speed", speed}, 2,
                std::string("--speed ") + speed + ": not a speed: use max, 1 (as recorded), or a multiple: 10, 0.5");
  }
  EXPECT_EQ(Run({"replay", "t", "--to", "u", "--format", "raw", "--create"}).code, 2);
  EXPECT_EQ(Run({"replay", "t", "--to", "-", "--create"}).code, 2);
  EXPECT_EQ(Run({"replay", "t", "--to", "-", "--resume"}).code, 2);
  EXPECT_EQ(Run({"replay", "t", "--to", "-", "--format", "no"}).code, 2);
  EXPECT_EQ(Run({"replay", "t", "--to", "-", "-o", "x"}).code, 2);
  EXPECT_EQ(Run({"replay", "t", "--to", "-", "-n", "-1"}).code, 2);
  EXPECT_EQ(Run({"replay", "t", "--to", "-", "--limit", "all"}).code, 2);
  EXPECT_EQ(Run({"replay", "none", "--to", "-"}).code, 1);
  EXPECT_EQ(Run({"replay", "t", "--to", "a/b", "--create"}).code, 1);
  EXPECT_FALSE(std::filesystem::exists(Path("b/u")));
}

TEST_F(ReplayCommandTest, OverAGapOfLoss) {
  Patch(SegmentPath(), 96 + 24, "!");
  const Result result = Run({"replay", "t", "--to", "u", "--create"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "t: 2 records (8 B) into u, up to 160\n");
  EXPECT_EQ(result.err, "bus: t: gap from 96 to 128 (damage): records may be lost: see bus verify\n");
  EXPECT_EQ(Out({"cat", "u"}), "one\nthree\n");
  EXPECT_EQ(Run({"replay", "t", "--to", "-", "-q"}).code, 3);
}

TEST_F(ReplayCommandTest, ResumesBehindTheLastOne) {
  Out({"replay", "t", "--to", "u", "--create", "--resume", "-n", "1"});
  Out({"replay", "t", "--to", "u", "--resume", "-n", "1"});
  Out({"pub", "u"}, "between\n");
  Out({"replay", "t", "--to", "u", "--resume"});
  EXPECT_EQ(Out({"replay", "t", "--to", "u", "--resume"}), "t: 0 records (0 B) into u, up to 160\n");
  EXPECT_EQ(Out({"cat", "u"}), "one\ntwo\nbetween\nthree\n");
  // A range that begins behind it counts.
  Out({"pub", "t"}, "four\nfive\n");
  Out({"replay", "t", "--to", "u", "--resume", "-o", "+4"});
  EXPECT_EQ(Out({"cat", "u"}), "one\ntwo\nbetween\nthree\nfive\n");
}

TEST_F(ReplayCommandTest, AnInterruptEndsItWhole) {
  // Years between the two.
  Out({"pub", "slow", "--create"}, "first\n");
  Out({"pub", "slow"}, "second\n");
  RunningTool replay({"replay", "slow", "--to", "-", "--speed", "1e-9"}, Path(""));
  replay.ReadUntil("first\n");
  replay.Signal(SIGINT);
  const Result result = replay.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_NE(result.err.find("interrupted: go on with -o "), std::string::npos) << result.err;
}

// Killed at any moment, again and again: with --resume each record is there once.
TEST_F(ReplayCommandTest, KilledReplaysAddUp) {
  const uint64_t seed = Seed("replay.KilledReplaysAddUp");
  std::srand(static_cast<unsigned>(seed));
  const std::string lines = Lines(20000);
  Out({"topic", "create", "many"});
  Out({"pub", "many", "--batch", "100"}, lines);
  Out({"topic", "create", "u"});
  int killed = 0;
  for (bool done = false; !done;) {
    RunningTool replay({"replay", "many", "--to", "u", "--resume"}, Path(""));
    // Later and later, so that it comes to its end one day.
    usleep(static_cast<useconds_t>(std::rand() % 20000 + killed * 30000));
    replay.Signal(SIGKILL);
    done = replay.Wait().code == 0;
    if (!done) ++killed;
  }
  std::printf("killed %d times\n", killed);
  EXPECT_EQ(Out({"cat", "u"}), lines);
}

TEST_F(ReplayCommandTest, NoRoomForMore) {
  Out({"topic", "create", "big", "--segment-size", "64K"});
  Out({"pub", "big"}, Lines(20000));
  Out({"topic", "create", "u", "--segment-size", "64K"});
  const auto limit = [] {
    const rlimit small = {48 << 10, 48 << 10};
    setrlimit(RLIMIT_FSIZE, &small);
  };
  const Result result = Run({"replay", "big", "--to", "u"}, "", limit);
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.out.find("into u, up to "), std::string::npos) << result.out;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  // What was published counts, and the rest follows when there is room.
  Out({"replay", "big", "--to", "u", "--resume"});
  EXPECT_EQ(Out({"cat", "u"}), Lines(20000));
}

}  // namespace
}  // namespace libbus::test
