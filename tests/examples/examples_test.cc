// The small examples, each run as a reader of it would.
#include <absl/time/clock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <string>

#include "libbus/bus.h"
#include "tests/examples/program.h"
#include "tests/support/disk.h"

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

TEST(Replay, FromATimeAtTenTimesTheSpeed) {
  const TempDir dir;
  const std::string path = dir / "bus";
  const absl::Time noon = absl::FromUnixSeconds(1'700'000'000);
  {
    auto bus = libbus::Bus::Open(path, {.create = true});
    ASSERT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic("orders", {.create = true});
    auto producer = topic->NewProducer();
    for (const int ms : {-5000, 0, 500, 2000}) {
      ASSERT_TRUE(producer->Publish("order " + std::to_string(ms), {.timestamp = noon + absl::Milliseconds(ms)}).ok());
    }
  }
  const std::string time = absl::FormatTime(absl::RFC3339_full, noon, absl::UTCTimeZone());
  const absl::Time before = absl::Now();
  const Ended ended = RunToEnd("replay_from_time", {path, "orders", time});
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(199));
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_EQ(ended.output, "+0ms order 0\n+500ms order 500\n+2000ms order 2000\n");
  EXPECT_EQ(ended.errors.substr(0, 9), "3 records") << ended.errors;
  // Hours of waiting, ended at once.
  Program slow("replay_from_time", {path, "orders", time, "0.0001"});
  EXPECT_EQ(slow.Line(), "+0ms order 0");
  slow.Signal(SIGINT);
  EXPECT_EQ(slow.Wait().exit_code, 130);
  EXPECT_EQ(RunToEnd("replay_from_time", {path, "orders", "noon"}).exit_code, 2);
}

// Killed again and again, it does each order, in order; at most the one it was at when it died comes twice.
TEST(Cursor, AKilledWorkerGoesOn) {
  const TempDir dir;
  const std::string path = dir / "bus";
  {
    auto bus = libbus::Bus::Open(path, {.create = true});
    ASSERT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic("orders", {.create = true});
    auto producer = topic->NewProducer();
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(producer->Publish("order " + std::to_string(i)).ok());
  }
  for (int run = 0; run < 3; ++run) {
    const Ended ended = RunToEnd("cursor_worker", {path, dir / "out", "10"});
    EXPECT_EQ(ended.exit_code, 128 + SIGKILL) << ended.errors;
  }
  Program worker("cursor_worker", {path, dir / "out"});
  EXPECT_NE(worker.Line().find(", 0 bytes behind"), std::string::npos);
  const Ended second = RunToEnd("cursor_worker", {path, dir / "out"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.errors.find("cursor worker is held by process"), std::string::npos) << second.errors;
  std::ifstream out(dir / "out");
  std::string line;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(std::getline(out, line));
    EXPECT_EQ(Text(line), "order " + std::to_string(i));
  }
  EXPECT_FALSE(std::getline(out, line));
}

TEST(Batch, NoKillMakesOrLosesMoney) {
  const TempDir dir;
  std::string lines;
  for (int i = 1; i <= 400; ++i) lines += "alice bob " + std::to_string(i) + "\n";
  for (int round = 0; round < 4; ++round) {
    Program book("transfers", {dir / "bus", "book"}, lines);
    for (int i = 0; i < 20 * round + 1; ++i) EXPECT_EQ(book.Line().substr(0, 10), "booked at ");
    book.Signal(SIGKILL);
    book.Wait();
    const Ended ended = RunToEnd("transfers", {dir / "bus", "balances"});
    EXPECT_EQ(ended.exit_code, 0) << ended.errors;
    EXPECT_NE(ended.output.find("alice -"), std::string::npos) << ended.output;
    EXPECT_NE(ended.output.find("\nsum 0\n"), std::string::npos) << ended.output;
  }
}

TEST(Batch, BooksEachLineAsTwoPostings) {
  const TempDir dir;
  EXPECT_EQ(RunToEnd("transfers", {dir / "bus", "book"}, "alice bob 5\nbob carol 2\n").exit_code, 0);
  EXPECT_EQ(RunToEnd("transfers", {dir / "bus", "balances"}).output, "alice -5\nbob 3\ncarol 2\nsum 0\n");
  EXPECT_EQ(RunToEnd("transfers", {dir / "bus", "book"}, "alice\n").exit_code, 1);
  EXPECT_EQ(RunToEnd("transfers", {dir / "bus"}).exit_code, 2);
}

TEST(ManyTopics, OneWaitFollowsAll) {
  const TempDir dir;
  const std::string path = dir / "bus";
  Program follower("follow_many", {path, "orders", "payments", "greetings"});
  RunToEnd("hello_publish", {path}, "good morning\n");
  EXPECT_EQ(follower.Line(), "greetings good morning");
  auto bus = libbus::Bus::Open(path);
  ASSERT_TRUE(bus.ok()) << bus.status();
  for (const char* name : {"orders", "payments"}) {
    auto topic = bus->OpenTopic(name, {.create = true});
    ASSERT_TRUE(topic.ok()) << topic.status();
    ASSERT_TRUE(topic->NewProducer()->Publish("first").ok());
    EXPECT_EQ(follower.Line(), std::string(name) + " first");
  }
  for (const char* name : {"orders", "payments", "greetings"}) EXPECT_TRUE(bus->RemoveTopic(name).ok());
  const Ended ended = follower.Wait();
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_NE(ended.errors.find("removed while it was open"), std::string::npos) << ended.errors;
}

TEST(ManyTopics, AnInterruptEndsIt) {
  const TempDir dir;
  const std::string path = dir / "bus";
  Program follower("follow_many", {path, "greetings", "others"});
  RunToEnd("hello_publish", {path}, "one\n");
  EXPECT_EQ(follower.Line(), "greetings one");  // it is in its loop
  follower.Signal(SIGINT);
  EXPECT_EQ(follower.Wait().exit_code, 130);
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

// What stands in a topic, with the limit.
std::vector<std::string> Texts(const std::string& path, std::string_view name, libbus::Limit limit) {
  auto bus = libbus::Bus::Open(path, {.read_only = true}).value();
  auto topic = bus.OpenTopic(name).value();
  auto consumer = topic.NewConsumer({.limit = limit}).value();
  std::vector<std::string> texts;
  for (const libbus::RecordView& record : consumer.Records(absl::ZeroDuration())) {
    if (record.kind() == libbus::RecordKind::kData) texts.emplace_back(record.text());
  }
  return texts;
}

std::vector<std::string> Invoices(int first, int last) {
  std::vector<std::string> texts;
  for (int i = first; i <= last; ++i) texts.push_back("invoice for order " + std::to_string(i));
  return texts;
}

std::string Orders(int last) {
  std::string lines;
  for (int i = 1; i <= last; ++i) lines += "order " + std::to_string(i) + "\n";
  return lines;
}

TEST(Durable, AcknowledgesEachBatchWhenItIsDurable) {
  const TempDir dir(libbus::test::DiskParent());
  const std::string bus = dir / "bus";
  Ended ended = RunToEnd("durable_pipeline", {bus, "feed"}, Orders(250));
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_TRUE(ended.output.starts_with("orders: 100 are durable, the last at ")) << ended.output;
  EXPECT_TRUE(LastLine(ended.output).starts_with("orders: 250 are durable, the last at ")) << ended.output;
  ended = RunToEnd("durable_pipeline", {bus, "work"});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_TRUE(LastLine(ended.output).starts_with("invoices: 250 are durable, the last at ")) << ended.output;
  EXPECT_EQ(Texts(bus, "invoices", libbus::Limit::kDurable), Invoices(1, 250));
}

// The position behind the last word of a line.
uint64_t PositionIn(const std::string& line) { return std::stoull(line.substr(line.rfind(' ') + 1)); }

// What it has acknowledged is durable, seen from another process, at the moment in which it says so.
TEST(Durable, WhatWasAcknowledgedIsDurable) {
  const TempDir dir(libbus::test::DiskParent());
  const std::string path = dir / "bus";
  Program feed("durable_pipeline", {path, "feed"}, Orders(20'000));
  std::string line = feed.Line();
  auto bus = libbus::Bus::Open(path, {.read_only = true}).value();
  auto topic = bus.OpenTopic("orders").value();
  for (; !line.empty(); line = feed.Line()) EXPECT_GT(topic.durable().offset, PositionIn(line)) << line;
  EXPECT_EQ(feed.Wait().exit_code, 0);
}

// Both stages, killed again and again in the middle of their work: each order becomes one invoice, in order.
TEST(Durable, GoesOnAfterBeingKilledAnywhere) {
  const TempDir dir(libbus::test::DiskParent());
  const std::string bus = dir / "bus";
  constexpr int kOrders = 20'000;
  std::mt19937_64 random(Seed());
  std::uniform_int_distribution<int> batches(1, 20);
  for (int round = 0; round < 10; ++round) {
    Program feed("durable_pipeline", {bus, "feed"}, Orders(kOrders));
    for (int i = batches(random); i > 0; --i) feed.Line();
    feed.Signal(SIGKILL);
    feed.Wait();
    Program work("durable_pipeline", {bus, "work"});
    for (int i = batches(random); i > 0; --i) work.Line();
    work.Signal(SIGKILL);
    work.Wait();
  }
  EXPECT_EQ(RunToEnd("durable_pipeline", {bus, "feed"}, Orders(kOrders)).exit_code, 0);
  EXPECT_EQ(RunToEnd("durable_pipeline", {bus, "work"}).exit_code, 0);
  EXPECT_EQ(Texts(bus, "invoices", libbus::Limit::kDurable), Invoices(1, kOrders));
}

TEST(Durable, SaysWhatIsWrong) {
  EXPECT_EQ(RunToEnd("durable_pipeline", {"bus"}).exit_code, 2);
  const std::string memory = libbus::test::MemoryParent();
  if (memory.empty()) return;
  const TempDir dir(memory);
  const Ended ended = RunToEnd("durable_pipeline", {dir / "bus", "feed"}, "one\n");
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_NE(ended.errors.find("it is volatile"), std::string::npos) << ended.errors;
}

}  // namespace
}  // namespace libbus_test
