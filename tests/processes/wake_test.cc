// Wake-ups, mostly with the bounds of sleeps switched off: then nothing heals a wake-up that got lost, and it is a
// hang.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

// How far each process got.
struct Progress {
  std::atomic<uint64_t> ready{0};
  std::atomic<uint64_t> read[16] = {};
  std::atomic<uint64_t> published{0};

  uint64_t Sum() const {
    uint64_t sum = ready + published;
    for (const auto& each : read) sum += each;
    return sum;
  }
  // By how much the slowest of `readers` is behind.
  uint64_t Slowest(uint32_t readers) const {
    uint64_t slowest = read[0];
    for (uint32_t i = 1; i < readers; ++i) slowest = std::min(slowest, read[i].load());
    return slowest;
  }
  std::string Describe() const {
    std::string text = fmt::format("  ready {}, published {}, read", ready.load(), published.load());
    for (const auto& each : read) text += fmt::format(" {}", each.load());
    return text + "\n";
  }
};

int JoinMoving(Child& child, const Progress& progress) {
  return JoinWhileMoving(
      child, [&] { return progress.Sum(); }, [&] { return progress.Describe(); }, 20);
}

absl::StatusOr<Topic> OpenNamed(const std::string& path, const char* name, uint64_t segment_size = 1 << 20) {
  auto bus = Bus::Open(path, {.create = true});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(name, {.create = true, .segment_size = segment_size});
}

// --- ping-pong -------------------------------------------------------------------------------------------------------

struct Rally {
  uint64_t pairs = 20'000;
  bool one_topic = false;  // both publish into the same, and each also reads its own
  Wait wait = Wait::kPark;
};

// One of two players: number 0 serves. Each publishes n after it has read the other's n.
int Play(const std::string& path, const Rally& rally, uint32_t player, Progress& progress) {
  seam_control.no_bounds = true;
  auto mine = OpenNamed(path, rally.one_topic || player == 0 ? "ping" : "pong");
  auto theirs = OpenNamed(path, rally.one_topic || player == 1 ? "ping" : "pong");
  if (!mine.ok() || !theirs.ok()) return Complain("player", mine.status().ToString() + theirs.status().ToString());
  auto producer = mine->NewProducer();
  auto consumer = theirs->NewConsumer({.wait = rally.wait, .spin = absl::Microseconds(3)});
  if (!producer.ok() || !consumer.ok()) return 2;
  for (uint64_t n = 0; n < rally.pairs; ++n) {
    if (player == 0 && !producer->Publish(fmt::format("0 {}", n)).ok()) return 3;
    const std::string wanted = fmt::format("{} {}", 1 - player, n);
    for (;;) {
      const auto record = consumer->Next();
      if (!record.ok()) return Complain("player", record.status().ToString());
      if (record->text() == wanted) break;
      if (!rally.one_topic || record->text()[0] == wanted[0])
        return Complain("player: not the expected", record->text());
    }
    ++progress.read[player];
    if (player == 1 && !producer->Publish(fmt::format("1 {}", n)).ok()) return 4;
  }
  return 0;
}

// How many pairs were played.
uint64_t PlayRally(const char* what, const Rally& rally) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Progress> progress;
  const absl::Time begin = absl::Now();
  std::vector<Child> players;
  for (uint32_t i = 0; i < 2; ++i) players.emplace_back([&, i] { return Play(path, rally, i, *progress); });
  for (Child& player : players) EXPECT_EQ(JoinMoving(player, *progress), 0);
  EXPECT_EQ(progress->read[0], rally.pairs);
  EXPECT_EQ(progress->read[1], rally.pairs);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  fmt::print("{}: {} pairs, {:.0f} pairs/s, no hang\n", what, rally.pairs, static_cast<double>(rally.pairs) / seconds);
  return std::min(progress->read[0].load(), progress->read[1].load());
}

TEST(Wake, PingPongOverTwoTopics) { PlayRally("two topics, parked", {}); }

TEST(Wake, PingPongInOneTopic) { PlayRally("one topic, parked", {.one_topic = true}); }

// The poll ends just when the record comes, now and then.
TEST(Wake, PingPongSpinThenPark) { PlayRally("two topics, spin then park", {.wait = Wait::kSpinThenPark}); }

// Parked over two topics, and one topic with polls that end just as the record comes, in turn: a million pairs; ten
// million in the long form.
TEST(WakeSlow, MillionsOfPairs) {
  constexpr uint64_t kPairs = 250'000;
  const Rally rallies[] = {{.pairs = kPairs},
                           {.pairs = kPairs, .one_topic = true, .wait = Wait::kSpinThenPark},
                           {.pairs = kPairs, .one_topic = true},
                           {.pairs = kPairs, .wait = Wait::kSpinThenPark}};
  const Budget budget;
  Figures figures;
  for (size_t round = 0; !HasFailure() && budget.More(figures.executions, 1'000'000, 10'000'000); ++round) {
    const uint64_t pairs = PlayRally("pairs", rallies[round % 4]);
    figures.executions += pairs;
    figures.records += 2 * pairs;
    figures.stuck += pairs < kPairs ? 1 : 0;
  }
  Report("wakeups", figures);
}

// --- many asleep on one word -----------------------------------------------------------------------------------------

constexpr uint32_t kSleepers = 8;

// Reads `count` records and gaps.
int Sleep(const std::string& path, uint32_t number, uint64_t count, bool read_only, Progress& progress) {
  seam_control.no_bounds = true;
  auto topic = read_only ? OpenForReading(path) : OpenNamed(path, kTopic, 4096);
  if (!topic.ok()) return Complain("sleeper", topic.status().ToString());
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  if (!consumer.ok()) return 2;
  ++progress.ready;
  for (uint64_t n = 0; n < count; ++n) {
    const auto record = consumer->Next();
    if (!record.ok()) return Complain("sleeper", record.status().ToString());
    const bool gap = n % 5 == 4;
    if (gap != (record->kind() == RecordKind::kGap)) return Complain("sleeper", "a gap, or none where one was due");
    if (!gap && record->text().substr(0, 20) != fmt::format("{:020}", n)) return Complain("sleeper", record->text());
    ++progress.read[number];
  }
  return 0;
}

// What is published: of five, four records, every fourth or so behind an END, and one claim that is given up.
bool PublishFor(Producer& producer, uint64_t n) {
  if (n % 5 != 4) return producer.Publish(fmt::format("{:020}", n) + std::string(n * 37 % 1500, '.')).ok();
  auto claim = producer.Claim(100);
  return claim.ok() && std::move(*claim).Abandon().ok();
}

// Everybody sleeps on the same word: FREE, and then it is a record, a gap, or an END behind which they sleep again. One
// is woken, each passes it on.
TEST(Wake, EightSleepersOnRecordsEndsAndGaps) {
  constexpr uint64_t kCount = 1500;
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Progress> progress;
  auto topic = OpenNamed(path, kTopic, 4096);
  ASSERT_TRUE(topic.ok()) << topic.status();
  std::vector<Child> sleepers;
  for (uint32_t i = 0; i < kSleepers; ++i) {
    sleepers.emplace_back([&, i] { return Sleep(path, i, kCount, i % 2 == 1, *progress); });
  }
  ASSERT_TRUE(WaitUntil([&] { return progress->ready == kSleepers; }));
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  for (uint64_t n = 0; n < kCount; ++n) {
    // All have read what was there; every tenth time all are asleep as well.
    ASSERT_TRUE(WaitUntil([&] { return progress->Slowest(kSleepers) >= n; }, 20)) << progress->Describe();
    if (n % 10 < 2) {
      ASSERT_TRUE(WaitUntil([&] { return std::all_of(sleepers.begin(), sleepers.end(), IsAsleep); }));
    }
    ASSERT_TRUE(PublishFor(*producer, n));
    progress->published = n + 1;
  }
  for (Child& sleeper : sleepers) EXPECT_EQ(JoinMoving(sleeper, *progress), 0);
}

// A burst at sleepers who are in all stages of going to sleep and waking up.
TEST(Wake, EightSleepersInABurst) {
  constexpr uint64_t kCount = 20'000;
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Progress> progress;
  auto topic = OpenNamed(path, kTopic, 4096);
  ASSERT_TRUE(topic.ok()) << topic.status();
  std::vector<Child> sleepers;
  for (uint32_t i = 0; i < kSleepers; ++i) {
    sleepers.emplace_back([&, i] { return Sleep(path, i, kCount, i % 2 == 1, *progress); });
  }
  ASSERT_TRUE(WaitUntil([&] { return progress->ready == kSleepers; }));
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  for (uint64_t n = 0; n < kCount; ++n) {
    ASSERT_TRUE(PublishFor(*producer, n));
    // One that is caught up, and so about to sleep, each time.
    if (n % 3 == 0) {
      ASSERT_TRUE(WaitUntil([&] { return progress->read[n % kSleepers] > n; }, 20)) << progress->Describe();
    }
  }
  for (Child& sleeper : sleepers) EXPECT_EQ(JoinMoving(sleeper, *progress), 0);
}

// Asleep on RESERVED, and it is committed.
TEST(Wake, SleepersOnAClaim) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Progress> progress;
  auto topic = OpenNamed(path, kTopic, 4096);
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  auto claim = producer->Claim(20);
  ASSERT_TRUE(claim.ok()) << claim.status();
  std::vector<Child> sleepers;
  for (uint32_t i = 0; i < kSleepers; ++i)
    sleepers.emplace_back([&, i] { return Sleep(path, i, 1, false, *progress); });
  ASSERT_TRUE(WaitUntil([&] { return progress->ready == kSleepers; }));
  ASSERT_TRUE(WaitUntil([&] { return std::all_of(sleepers.begin(), sleepers.end(), IsAsleep); }));
  std::memcpy(claim->bytes().data(), "00000000000000000000", 20);
  ASSERT_TRUE(std::move(*claim).Commit().ok());
  for (Child& sleeper : sleepers) EXPECT_EQ(JoinMoving(sleeper, *progress), 0);
}

// --- what the bounds are for -----------------------------------------------------------------------------------------

// Sleeps at the front of the queue: those behind it come back now and then and queue up anew. `signal` hits it between
// its wake-up and the passing on; 0: none.
int SleepInFront(const std::string& path, int signal, Progress& progress) {
  auto topic = OpenNamed(path, kTopic);
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  seam_control.no_bounds = true;
  static int when_woken;
  when_woken = signal;
  seam_control.sleeps = 0;
  seam_control.at_point = [](uint64_t) {
    if (seam_control.sleeps > 0 && when_woken != 0) raise(std::exchange(when_woken, 0));
  };
  ++progress.ready;
  if (!consumer->Next().ok()) return 1;
  ++progress.read[15];
  return 0;
}

int SleepBehind(const std::string& path, uint32_t number, Progress& progress) {
  auto topic = OpenNamed(path, kTopic);
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  ++progress.ready;
  if (!consumer->Next().ok()) return 1;
  ++progress.read[number];
  return 0;
}

// The front sleeper gets the one wake-up and does not pass it on: stopped, or killed. The others come all the same.
void BreakTheChain(int signal, bool before_the_wake) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Progress> progress;
  auto topic = OpenNamed(path, kTopic);
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  Child front([&] { return SleepInFront(path, before_the_wake ? 0 : signal, *progress); });
  ASSERT_TRUE(WaitUntil([&] { return progress->ready == 1 && IsAsleep(front); }));
  std::vector<Child> behind;
  for (uint32_t i = 0; i < 3; ++i) behind.emplace_back([&, i] { return SleepBehind(path, i, *progress); });
  ASSERT_TRUE(WaitUntil([&] { return progress->ready == 4; }));
  ASSERT_TRUE(WaitUntil([&] { return std::all_of(behind.begin(), behind.end(), IsAsleep); }));
  if (before_the_wake) front.Signal(signal);
  if (before_the_wake && signal == SIGSTOP) {
    ASSERT_TRUE(front.WaitStopped());
  }
  ASSERT_TRUE(producer->Publish("wake up").ok());
  for (Child& each : behind) EXPECT_EQ(JoinMoving(each, *progress), 0);
  if (signal == SIGKILL) {
    EXPECT_EQ(front.Join(), -SIGKILL);
    return;
  }
  if (!before_the_wake) {
    ASSERT_TRUE(front.WaitStopped());
  }
  EXPECT_EQ(progress->read[15], 0u);
  front.Signal(SIGCONT);
  EXPECT_EQ(JoinMoving(front, *progress), 0);
}

TEST(Wake, ASleeperIsKilledBeforeItPassesOn) { BreakTheChain(SIGKILL, false); }
TEST(Wake, ASleeperIsStoppedBeforeItPassesOn) { BreakTheChain(SIGSTOP, false); }
TEST(Wake, ASleeperIsKilledAsleep) { BreakTheChain(SIGKILL, true); }
TEST(Wake, ASleeperIsStoppedAsleep) { BreakTheChain(SIGSTOP, true); }

// A producer that dies between its commit and the wake.
TEST(Wake, AProducerIsKilledBetweenCommitAndWake) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Progress> progress;
  auto topic = OpenNamed(path, kTopic);
  ASSERT_TRUE(topic.ok()) << topic.status();
  std::vector<Child> sleepers;
  for (uint32_t i = 0; i < 3; ++i) sleepers.emplace_back([&, i] { return SleepBehind(path, i, *progress); });
  ASSERT_TRUE(WaitUntil([&] { return progress->ready == 3; }));
  ASSERT_TRUE(WaitUntil([&] { return std::all_of(sleepers.begin(), sleepers.end(), IsAsleep); }));
  Child producer([&] {
    auto own = OpenNamed(path, kTopic);
    auto dies = own->NewProducer();
    // Two swaps of a record word: the claim, and the commit.
    seam_control.record_writes = 0;
    seam_control.at_point = [](uint64_t) {
      if (seam_control.record_writes == 2) raise(SIGKILL);
    };
    (void)dies->Publish("last words");
    return 0;
  });
  EXPECT_EQ(producer.Join(), -SIGKILL);
  for (Child& sleeper : sleepers) EXPECT_EQ(JoinMoving(sleeper, *progress), 0);
}

// --- Interrupt -------------------------------------------------------------------------------------------------------

int InterruptManyTimes(const std::string& path, bool no_waitv, uint64_t times, Progress& progress) {
  seam_control.no_waitv = no_waitv;
  auto topic = OpenNamed(path, kTopic);
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  std::atomic<uint64_t> waits{0};
  std::thread waiter([&] {
    for (uint64_t i = 0; i < times; ++i) {
      ++waits;
      if (consumer->Next().status().code() == absl::StatusCode::kCancelled) ++progress.read[0];
    }
  });
  for (uint64_t i = 0; i < times; ++i) {
    while (progress.read[0] < i || waits <= i) sched_yield();
    if (i % 3 == 0) absl::SleepFor(absl::Microseconds(i % 200));  // a varied delay, not a condition
    consumer->Interrupt();
  }
  waiter.join();
  return progress.read[0] == times ? 0 : 1;
}

void Interrupt(bool no_waitv, uint64_t times, bool no_bounds) {
  const Scratch scratch(FastParent());
  Shared<Progress> progress;
  Child child([&] {
    seam_control.no_bounds = no_bounds;
    return InterruptManyTimes(scratch / "bus", no_waitv, times, *progress);
  });
  EXPECT_EQ(JoinMoving(child, *progress), 0);
  EXPECT_EQ(progress->read[0], times);
}

TEST(Wake, InterruptWithoutBounds) { Interrupt(false, 2000, true); }

// Where the kernel cannot sleep on two words, the bound brings the interrupt.
TEST(Wake, InterruptWithoutWaitv) { Interrupt(true, 40, false); }

}  // namespace
}  // namespace libbus::test
