// Exclusive topics between processes: who is refused, who takes over from the dead while consumers go on, and that
// nobody sleeps through a record although its producer only stores.
//
// LIBBUS_BUDGET: how long the many take-overs go on (tests/support/proof.h).
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

// --- who is the owner ------------------------------------------------------------------------------------------------

constexpr TrafficOptions kPlain = {.exclusive = true};

bool Refused(const absl::StatusOr<Producer>& producer, pid_t holder) {
  return absl::IsFailedPrecondition(producer.status()) &&
         producer.status().message().find(fmt::format("slot 1, holder (pid {})", holder)) != std::string::npos;
}

// Owns the topic, with an open claim, until it is killed.
int Hold(const std::string& path, std::atomic<bool>& ready) {
  auto topic = OpenForWriting(path, kPlain);
  auto producer = topic->NewProducer({.name = "holder"});
  if (!producer.ok() || !producer->Publish("before").ok()) return 1;
  auto claim = producer->Claim(100);
  if (!claim.ok()) return 2;
  ready = true;
  for (;;) pause();
}

TEST(Exclusive, ASecondProcessIsToldWhoHoldsItAndTakesOverFromTheDead) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<std::atomic<bool>> ready;
  auto topic = OpenForWriting(path, kPlain);
  ASSERT_TRUE(topic.ok()) << topic.status();
  Child holder([&] { return Hold(path, *ready); });
  ASSERT_TRUE(WaitUntil([&] { return ready->load(); }));
  const pid_t pid = holder.pid();
  EXPECT_TRUE(Refused(topic->NewProducer(), pid));
  // A process that is stopped is alive.
  holder.Signal(SIGSTOP);
  ASSERT_TRUE(holder.WaitStopped());
  EXPECT_TRUE(Refused(topic->NewProducer(), pid));
  holder.Kill();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  ASSERT_TRUE(producer->Publish("after").ok());
  auto consumer = topic->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
  std::vector<std::string> seen;
  for (const RecordView& record : consumer->Records()) {
    seen.emplace_back(record.kind() == RecordKind::kGap ? GapCauseName(record.gap().cause) : record.text());
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"before", "dead", "after"}));
}

// fork() makes no second owner, and takes nothing from the first.
TEST(Exclusive, AChildIsNoOwner) {
  const Scratch scratch(FastParent());
  auto topic = OpenForWriting(scratch / "bus", kPlain);
  auto producer = topic->NewProducer({.name = "holder"});
  ASSERT_TRUE(producer.ok()) << producer.status();
  Child child([&] {
    if (!absl::IsFailedPrecondition(producer->Publish("not this").status())) return 1;
    auto own = OpenForWriting(scratch / "bus", kPlain);
    return Refused(own->NewProducer(), getppid()) ? 0 : 2;
  });
  EXPECT_EQ(child.Join(), 0);
  EXPECT_TRUE(producer->Publish("still the owner").ok());
}

// --- many take-overs -------------------------------------------------------------------------------------------------

constexpr uint32_t kContenders = 3;
constexpr uint32_t kReaders = 3;
constexpr TrafficOptions kTraffic = {.big = true, .exclusive = true, .claims = true};

struct Match {
  Ledger ledger;
  std::atomic<uint32_t> owner{kContenders};  // the contender that has the topic; the number of all: nobody known
  std::atomic<uint64_t> taken{0};
  std::atomic<uint64_t> refused{0};
};

// As the owner: publishes some records, all in one lane, and closes, now and then with an open claim.
absl::Status Reign(Producer& producer, Match& match, std::mt19937_64& random) {
  for (uint64_t n = random() % 3000; n > 0 && !match.ledger.stop; --n) {
    absl::Status status = PublishNext(producer, match.ledger, 0, kTraffic, random);
    if (!status.ok()) return status;
  }
  if (random() % 2 == 0) return producer.Close();
  const auto left_open = producer.Claim(50);
  if (!left_open.ok()) return left_open.status();
  return producer.Close();
}

int Contend(const std::string& path, Match& match, uint32_t me, uint64_t seed) {
  std::mt19937_64 random(seed);
  auto topic = OpenForWriting(path, kTraffic);
  if (!topic.ok()) return Complain("contender", topic.status().ToString());
  while (!match.ledger.stop) {
    match.ledger.desks[me].doing = "contending";
    auto producer = topic->NewProducer({.name = fmt::format("contender {}", me)});
    if (absl::IsFailedPrecondition(producer.status())) {
      ++match.refused;
      absl::SleepFor(absl::Microseconds(random() % 500));
      continue;
    }
    if (!producer.ok()) return Complain("contender", producer.status().ToString());
    ++match.taken;
    match.owner = me;
    match.ledger.desks[me].doing = "publishing";
    if (const absl::Status status = Reign(*producer, match, random); !status.ok()) {
      return Complain("owner", status.ToString());
    }
  }
  match.ledger.desks[me].doing = nullptr;
  return 0;
}

// Reads from the start to the last record: nothing lost, nothing doubled, and every sequence is the one before plus
// one.
int Watch(const std::string& path, Match& match, uint32_t number) {
  Desk& desk = match.ledger.desks[kContenders + number];
  auto topic = number == 0 ? OpenForReading(path) : OpenForWriting(path, {.segment_size = 0});
  if (!topic.ok()) return Complain("reader", topic.status().ToString());
  auto consumer = topic->NewConsumer({.wait = number % 2 == 0 ? Wait::kPark : Wait::kSpinThenPark, .gaps = Gaps::kAll});
  if (!consumer.ok()) return Complain("reader", consumer.status().ToString());
  Audit audit(match.ledger);
  for (uint64_t ordinal = 0; audit.last_lane() != kLastLane; ++ordinal) {
    desk.doing = "waiting for a record";
    const auto record = consumer->Next(absl::Seconds(60));
    if (!record.ok()) return Complain("reader", record.status().ToString());
    if (record->sequence() != ordinal) return Complain("reader", fmt::format("not number {}", ordinal));
    if (const std::string wrong = audit.See(*record); !wrong.empty()) return Complain("reader", wrong);
    ++desk.done;
  }
  desk.doing = nullptr;
  const std::string wrong = audit.Complete();
  return wrong.empty() ? 0 : Complain("reader", wrong);
}

// One in three is told beforehand at which change of shared bytes it will die; the others are killed from outside.
Child StartContender(const std::string& path, Match& match, uint32_t me, std::mt19937_64& random) {
  const uint64_t seed = random();
  const uint64_t point = random() % 3 != 0 ? 0 : 1 + random() % (random() % 2 == 0 ? 150 : 20'000);
  return Child([&, me, seed, point] {
    seam_control.points = 0;
    seam_control.kill_at = point;
    return Contend(path, match, me, seed);
  });
}

void KillAndReplace(Child& child, const std::string& path, Match& match, uint32_t me, std::mt19937_64& random) {
  child.Signal(SIGKILL);
  EXPECT_EQ(child.Join(), -SIGKILL);
  child = StartContender(path, match, me, random);
}

// Lets some records pass, or a contender die.
bool LetPass(const Match& match, const std::vector<Child>& contenders, uint64_t most, std::mt19937_64& random) {
  const uint64_t until = match.ledger.Acknowledged() + random() % most;
  const auto done = [&] {
    return match.ledger.Acknowledged() >= until || std::any_of(contenders.begin(), contenders.end(), HasEnded);
  };
  if (WaitUntil(done)) return true;
  fmt::print(stderr, "nothing was acknowledged for 30 s:\n{}", match.ledger.Describe());
  return false;
}

void RunTakeOvers(const char* what, uint32_t kills) {
  std::mt19937_64 random(FlushedSeed(what));
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  ASSERT_TRUE(OpenForWriting(path, kTraffic).ok());
  Shared<Match> match;
  std::vector<Child> contenders;
  std::vector<Child> readers;
  for (uint32_t i = 0; i < kContenders; ++i) contenders.push_back(StartContender(path, *match, i, random));
  for (uint32_t i = 0; i < kReaders; ++i) readers.emplace_back([&, i] { return Watch(path, *match, i); });
  uint32_t killed = 0;
  while (killed < kills && !testing::Test::HasFailure()) {
    ASSERT_TRUE(LetPass(*match, contenders, 400, random));
    // Most often who is the owner just now.
    const uint32_t owner = match->owner;
    uint32_t who = static_cast<uint32_t>(random() % kContenders);
    if (random() % 4 != 0 && owner < kContenders) who = owner;
    for (uint32_t i = 0; i < kContenders; ++i) {
      if (i != who && !HasEnded(contenders[i])) continue;
      KillAndReplace(contenders[i], path, *match, i, random);
      ++killed;
    }
    for (const Child& reader : readers) EXPECT_FALSE(HasEnded(reader)) << "a reader gave up";
  }
  match->ledger.stop = true;
  for (Child& contender : contenders) {
    const int code = JoinWhileMoving(contender, match->ledger);
    EXPECT_TRUE(code == 0 || code == -SIGKILL) << code;  // or its point came up while it was leaving
  }
  match->ledger.stop = false;
  EXPECT_EQ(Child([&] { return CloserMain(path, match->ledger, kTraffic); }).Join(), 0);
  for (Child& reader : readers) EXPECT_EQ(JoinWhileMoving(reader, match->ledger), 0);
  EXPECT_EQ(Child([&] { return AuditorMain(path, match->ledger); }).Join(), 0);
  fmt::print("{}: kills {}, taken {}, refused {}, begun {}, acknowledged {}, lost 0\n", what, killed,
             match->taken.load(), match->refused.load(), match->ledger.lanes[0].next.load(),
             match->ledger.Acknowledged());
}

TEST(Exclusive, ManyTakeOversWhileConsumersGoOn) { RunTakeOvers("take-overs", 200); }

// In turns: a lane has so many numbers.
TEST(ExclusiveSlow, VeryManyTakeOvers) {
  const Budget budget;
  for (uint64_t turn = 0; budget.More(turn, 5, 25) && !HasFailure(); ++turn) RunTakeOvers("many take-overs", 400);
}

// --- wake-ups --------------------------------------------------------------------------------------------------------

// What of membarrier is refused to both players.
struct Rally {
  uint64_t pairs = 20'000;
  bool no_join = false;
  bool no_barrier = false;
  Wait wait = Wait::kPark;
};

absl::StatusOr<Topic> OpenTable(const std::string& path, const char* name) {
  auto bus = Bus::Open(path, {.create = true});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(name, {.create = true, .segment_size = 1 << 20, .exclusive = true});
}

// One of two players: number 0 serves. Each publishes n, in the topic that it owns, after it has read the other's n.
// With the bounds of sleeps switched off a wake-up that gets lost is a hang.
int Play(const std::string& path, const Rally& rally, uint32_t player, std::atomic<uint64_t>& read) {
  seam_control.no_bounds = true;
  seam_control.no_join = rally.no_join;
  seam_control.no_barrier = rally.no_barrier;
  auto mine = OpenTable(path, player == 0 ? "ping" : "pong");
  auto theirs = OpenTable(path, player == 1 ? "ping" : "pong");
  if (!mine.ok() || !theirs.ok()) return Complain("player", mine.status().ToString() + theirs.status().ToString());
  auto producer = mine->NewProducer();
  auto consumer = theirs->NewConsumer({.wait = rally.wait, .spin = absl::Microseconds(3)});
  if (!producer.ok() || !consumer.ok()) return 2;
  for (uint64_t n = 0; n < rally.pairs; ++n) {
    if (player == 0 && !producer->Publish(fmt::format("{}", n)).ok()) return 3;
    const auto record = consumer->Next();
    if (!record.ok()) return Complain("player", record.status().ToString());
    if (record->text() != fmt::format("{}", n)) return Complain("player: not the expected", record->text());
    ++read;
    if (player == 1 && !producer->Publish(fmt::format("{}", n)).ok()) return 4;
  }
  return 0;
}

void PlayRally(const char* what, const Rally& rally) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<std::atomic<uint64_t>> read;
  const absl::Time begin = absl::Now();
  std::vector<Child> players;
  for (uint32_t i = 0; i < 2; ++i) players.emplace_back([&, i] { return Play(path, rally, i, *read); });
  for (Child& player : players) {
    const int code = JoinWhileMoving(
        player, [&] { return read->load(); }, [&] { return fmt::format("  read {}\n", read->load()); }, 20);
    EXPECT_EQ(code, 0);
  }
  EXPECT_EQ(read->load(), 2 * rally.pairs);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  fmt::print("{}: {} pairs, {:.0f} pairs/s, no hang\n", what, rally.pairs, static_cast<double>(rally.pairs) / seconds);
}

TEST(ExclusiveWake, WithMembarrier) { PlayRally("membarrier", {}); }
TEST(ExclusiveWake, SpinThenPark) { PlayRally("membarrier, spin then park", {.wait = Wait::kSpinThenPark}); }
TEST(ExclusiveWake, ProducersCannotRegister) { PlayRally("no registration", {.no_join = true}); }
TEST(ExclusiveWake, SleepersCannotExecuteIt) { PlayRally("no barrier", {.no_barrier = true}); }
TEST(ExclusiveWake, NobodyHasIt) { PlayRally("no membarrier", {.no_join = true, .no_barrier = true}); }

TEST(ExclusiveWakeSlow, AMillionPairs) { PlayRally("membarrier", {.pairs = 1'000'000}); }
TEST(ExclusiveWakeSlow, AMillionPairsSpinThenPark) {
  PlayRally("membarrier, spin then park", {.pairs = 1'000'000, .wait = Wait::kSpinThenPark});
}
TEST(ExclusiveWakeSlow, AMillionPairsWithoutMembarrier) {
  PlayRally("no membarrier", {.pairs = 1'000'000, .no_join = true, .no_barrier = true});
}

// A parked consumer in each of the four ways is woken by a claim given up, an END, and a record behind it.
TEST(ExclusiveWake, EveryFinalWordWakes) {
  for (const bool no_join : {false, true}) {
    for (const bool no_barrier : {false, true}) {
      const Scratch scratch(FastParent());
      const std::string path = scratch / "bus";
      Shared<std::atomic<uint64_t>> read;
      seam_control.no_join = no_join;
      auto topic = OpenForWriting(path, {.segment_size = 4096, .exclusive = true});
      auto producer = topic->NewProducer();
      seam_control.no_join = false;
      ASSERT_TRUE(producer.ok()) << producer.status();
      Child sleeper([&] {
        seam_control.no_bounds = true;
        seam_control.no_barrier = no_barrier;
        auto own = OpenForReading(path);
        auto consumer = own->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
        for (int i = 0; i < 30; ++i, ++*read) {
          if (!consumer->Next().ok()) return 1;
        }
        return 0;
      });
      for (uint64_t i = 0; i < 30; ++i) {
        ASSERT_TRUE(WaitUntil([&] { return *read == i && IsAsleep(sleeper); }));
        if (i % 3 == 0) {
          ASSERT_TRUE(std::move(*producer->Claim(100)).Abandon().ok());
        } else {
          ASSERT_TRUE(producer->Publish(std::string(1000, 'x')).ok());
        }
      }
      EXPECT_EQ(JoinWhileMoving(
                    sleeper, [&] { return read->load(); }, [] { return "asleep\n"; }, 20),
                0);
    }
  }
}

}  // namespace
}  // namespace libbus::test
