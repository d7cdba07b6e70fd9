// The small examples, each run as a reader of it would.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <random>

#include "tests/examples/program.h"

namespace libbus_test {
namespace {

// What stands behind the position.
std::string Text(const std::string& line) { return line.substr(line.find(' ') + 1); }

TEST(Hello, AFollowerSeesWhatIsPublishedBeforeAndAfterItStarts) {
  const TempDir dir;
  EXPECT_EQ(RunToEnd("hello_publish", {dir / "bus"}, "early\n").exit_code, 0);
  Program follower("hello_follow", {dir / "bus", "3"});
  EXPECT_EQ(Text(follower.Line()), "early");
  const Ended published = RunToEnd("hello_publish", {dir / "bus"}, "good morning\n\n");
  EXPECT_EQ(published.exit_code, 0) << published.errors;
  const std::string line = follower.Line();
  EXPECT_EQ(Text(line), "good morning");
  EXPECT_EQ(line, published.output.substr(0, published.output.find('\n')));  // the same position on both sides
  EXPECT_EQ(Text(follower.Line()), "");
  EXPECT_EQ(follower.Wait().exit_code, 0);
}

TEST(Hello, AFollowerMayComeFirst) {
  const TempDir dir;
  Program follower("hello_follow", {dir / "bus", "1"});
  EXPECT_EQ(RunToEnd("hello_publish", {dir / "bus"}, "late\n").exit_code, 0);
  EXPECT_EQ(Text(follower.Line()), "late");
  EXPECT_EQ(follower.Wait().exit_code, 0);
}

TEST(Hello, AnInterruptEndsTheFollower) {
  const TempDir dir;
  EXPECT_EQ(RunToEnd("hello_publish", {dir / "bus"}, "one\n").exit_code, 0);
  Program follower("hello_follow", {dir / "bus"});
  EXPECT_EQ(Text(follower.Line()), "one");  // it is in its loop
  follower.Signal(SIGINT);
  const Ended ended = follower.Wait();
  EXPECT_EQ(ended.exit_code, 130);
  EXPECT_EQ(ended.errors, "");
}

TEST(Hello, SaysWhatIsWrong) {
  const TempDir dir;
  const Ended ended = RunToEnd("hello_publish", {Write(dir / "file", "not a bus")});
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_NE(ended.errors.find(dir / "file"), std::string::npos) << ended.errors;
  EXPECT_EQ(RunToEnd("hello_publish", {}).exit_code, 2);
}

TEST(Claim, CommitsLessThanItClaimed) {
  const TempDir dir;
  const Ended ended = RunToEnd("claim", {dir / "bus"});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_EQ(ended.output, "claimed 4000 bytes, committed 672: 168 primes, the last is 997\n");
}

TEST(Counter, EachRunGoesOnWhereTheLastOneStopped) {
  const TempDir dir;
  const std::string bus = dir / "bus";
  EXPECT_EQ(RunToEnd("counter", {bus}).output, "0 new records, 0 words in all\n");
  RunToEnd("hello_publish", {bus}, "one two three\nfour\n");
  EXPECT_EQ(RunToEnd("counter", {bus}).output, "2 new records, 4 words in all\n");
  EXPECT_EQ(RunToEnd("counter", {bus}).output, "0 new records, 4 words in all\n");
  RunToEnd("hello_publish", {bus}, "\nfive six\n");
  EXPECT_EQ(RunToEnd("counter", {bus}).output, "2 new records, 6 words in all\n");
}

TEST(Counter, IsRightAfterBeingKilledAnywhere) {
  const TempDir dir;
  const std::string bus = dir / "bus";
  std::mt19937_64 random(Seed());
  std::uniform_int_distribution<useconds_t> moment(0, 8000);
  uint64_t words = 0;
  for (int round = 0; round < 20; ++round) {
    RunToEnd("hello_publish", {bus}, "some words here\n");
    words += 3;
    const Program counter("counter", {bus});
    usleep(moment(random));  // not to wait for something: it dies before, in, or behind its work, nobody knows
    counter.Signal(SIGKILL);
  }
  const Ended ended = RunToEnd("counter", {bus});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_TRUE(ended.output.ends_with(" " + std::to_string(words) + " words in all\n")) << ended.output;
}

}  // namespace
}  // namespace libbus_test
