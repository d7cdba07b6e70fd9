// Attaching and leaving, many at once, and with the one who is alone killed or stopped at every point of it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "libbus/format/layout.h"
#include "libbus/log/control.h"
#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr TrafficOptions kTraffic = {.segment_size = 4096};

absl::StatusOr<log::Control> OpenControl(const std::string& path) {
  const std::string topic = path + "/" + kTopic;
  const auto directory = platform::OpenDirectory(topic);
  if (!directory.ok()) return directory.status();
  return log::Control::Open(*directory, topic, false);
}

format::ControlState StateOf(const std::string& path) {
  const auto control = OpenControl(path);
  EXPECT_TRUE(control.ok()) << control.status();
  const auto record = control->ReadRecord();
  EXPECT_TRUE(record.has_value());
  return record ? static_cast<format::ControlState>(record->state) : format::ControlState{};
}

uint64_t AttachPidOf(const std::string& path) {
  const auto control = OpenControl(path);
  return control.ok() ? control->attach_pid().Read() : 0;
}

// Attaches, publishes, leaves.
int Visit(const std::string& path, Ledger& ledger, uint32_t lane, uint64_t seed, uint64_t records) {
  return ProducerMain(path, ledger, lane, lane, kTraffic, seed, records);
}

// --- many at once ----------------------------------------------------------------------------------------------------

void ComeAndGo(const std::string& parent, uint32_t visitors, uint64_t rounds) {
  const uint64_t seed = FlushedSeed("come and go");
  const Scratch scratch(parent);
  const std::string path = scratch / "bus";
  Shared<Ledger> ledger;
  {
    auto made = OpenForWriting(path, kTraffic);
    ASSERT_TRUE(made.ok()) << made.status();
  }
  std::vector<Child> all;
  for (uint32_t lane = 0; lane < visitors; ++lane) {
    all.emplace_back([&, lane] {
      std::mt19937_64 random(seed + lane);
      for (uint64_t round = 0; round < rounds; ++round) {
        if (Visit(path, *ledger, lane, random(), random() % 9) != 0) return 1;
      }
      return 0;
    });
  }
  for (Child& each : all) EXPECT_EQ(JoinWhileMoving(each, *ledger), 0);
  EXPECT_EQ(StateOf(path), format::ControlState::kClean);
  EXPECT_EQ(Child([&] { return AuditorMain(path, *ledger); }).Join(), 0);
}

TEST(Attach, ManyComeAndGo) { ComeAndGo(FastParent(), 6, 100); }

TEST(Attach, ManyComeAndGoOnTheUsualFileSystem) { ComeAndGo(UsualParent(), 4, 15); }

// Who leaves closes the log only if he is alone: the others' claims stay theirs, and the log stays open.
TEST(Attach, WhoLeavesBesideOthersTouchesNothingOfTheirs) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  {
    auto topic = OpenForWriting(path, kTraffic);
    ASSERT_TRUE(topic.ok()) << topic.status();
    auto producer = topic->NewProducer();
    ASSERT_TRUE(producer.ok()) << producer.status();
    auto claim = producer->Claim(8);
    ASSERT_TRUE(claim.ok()) << claim.status();
    EXPECT_EQ(Child([&] { return OpenForWriting(path, kTraffic).ok() ? 0 : 1; }).Join(), 0);
    EXPECT_EQ(StateOf(path), format::ControlState::kOpen);
    std::memset(claim->bytes().data(), 'x', 8);
    const auto committed = std::move(*claim).Commit();
    EXPECT_TRUE(committed.ok()) << committed.status();
  }
  EXPECT_EQ(StateOf(path), format::ControlState::kClean);
}

// A new directory for every round: everybody makes the bus and the topic, and finds one.
TEST(Attach, ManyMakeTheBusAtOnce) {
  constexpr uint64_t kMakers = 6;
  constexpr uint64_t kRounds = 40;
  const Scratch scratch(FastParent());
  Shared<std::atomic<uint64_t>> ready;
  std::vector<Child> all;
  for (uint64_t i = 0; i < kMakers; ++i) {
    all.emplace_back([&] {
      for (uint64_t round = 0; round < kRounds; ++round) {
        // Together, and so close that they meet inside.
        ++*ready;
        while (*ready < (round + 1) * kMakers) sched_yield();
        const auto topic = OpenForWriting(scratch / fmt::format("bus{}", round), kTraffic);
        if (!topic.ok()) {
          *ready += kRounds * kMakers;
          return Complain("maker", topic.status().ToString());
        }
      }
      return 0;
    });
  }
  for (Child& each : all) {
    EXPECT_EQ(JoinWhileMoving(
                  each, [&] { return ready->load(); }, [&] { return fmt::format("{}\n", ready->load()); }),
              0);
  }
}

struct Rounds {
  std::atomic<uint64_t> begun{0};
  std::atomic<uint64_t> attached{0};
  std::atomic<uint64_t> left{0};
};

// Everybody sees CLEAN, everybody wants to be the one who opens: somebody is, nobody hangs.
TEST(Attach, AllAtOnceOnAClosedTopic) {
  constexpr uint64_t kVisitors = 6;
  constexpr uint64_t kRounds = 60;
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Rounds> rounds;
  {
    auto made = OpenForWriting(path, kTraffic);
    ASSERT_TRUE(made.ok()) << made.status();
  }
  std::vector<Child> all;
  for (uint64_t i = 0; i < kVisitors; ++i) {
    all.emplace_back([&] {
      for (uint64_t round = 1; round <= kRounds; ++round) {
        if (!WaitUntil([&] { return rounds->begun >= round; })) return 1;
        auto topic = OpenForWriting(path, kTraffic);
        if (!topic.ok()) return Complain("visitor", topic.status().ToString());
        ++rounds->attached;
        if (!WaitUntil([&] { return rounds->attached >= round * kVisitors; })) return 2;
        { const Topic leaves = *std::move(topic); }
        ++rounds->left;
      }
      return 0;
    });
  }
  for (uint64_t round = 1; round <= kRounds; ++round) {
    rounds->begun = round;
    ASSERT_TRUE(WaitUntil([&] { return rounds->left >= round * kVisitors; }))
        << "round " << round << ": attached " << rounds->attached << ", left " << rounds->left;
    ASSERT_EQ(StateOf(path), format::ControlState::kClean) << "round " << round;
  }
  for (Child& each : all) EXPECT_EQ(each.Join(), 0);
}

// --- the one who is alone --------------------------------------------------------------------------------------------

// Leaves an open topic with records and an open claim behind.
int DieWithAClaim(const std::string& path, Ledger& ledger) {
  std::mt19937_64 random(7);
  auto topic = OpenForWriting(path, kTraffic);
  auto producer = topic->NewProducer();
  auto other = topic->NewProducer();
  if (!PublishNext(*producer, ledger, 0, kTraffic, random).ok()) return 1;
  auto claim = producer->Claim(100);
  if (!PublishNext(*other, ledger, 1, kTraffic, random).ok()) return 2;
  raise(SIGKILL);
  return 3;
}

// Stops at a point of attaching, publishing or leaving.
Child StartStopped(const std::string& path, Ledger& ledger, uint64_t point) {
  return Child([&path, &ledger, point] {
    seam_control.points = 0;
    seam_control.stop_at = point;
    return Visit(path, ledger, 2, 1, 1);
  });
}

std::atomic<uint64_t>* counted;  // in a child: where its points are counted

Child StartWaiter(const std::string& path, Ledger& ledger, uint32_t lane, std::atomic<uint64_t>& points) {
  return Child([&path, &ledger, lane, &points] {
    counted = &points;
    seam_control.at_point = [](uint64_t) { ++*counted; };
    const int code = Visit(path, ledger, lane, 1, 1);
    points += 1000;
    return code;
  });
}

struct Waiters {
  std::atomic<uint64_t> points[2] = {};
};

// One process stops at `point`; two more come and are kept waiting, or not; then it is killed, or goes on. False: it
// came to its end before that point.
bool MeetAt(uint64_t point, int signal) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Ledger> ledger;
  Shared<Waiters> seen;
  EXPECT_EQ(Child([&] { return DieWithAClaim(path, *ledger); }).Join(), -SIGKILL);
  Child first = StartStopped(path, *ledger, point);
  if (!first.WaitStopped()) return false;
  std::vector<Child> waiters;
  for (uint32_t i = 0; i < 2; ++i) waiters.push_back(StartWaiter(path, *ledger, 3 + i, seen->points[i]));
  // Both have tried more than once, or they are through.
  EXPECT_TRUE(WaitUntil([&] { return seen->points[0] >= 4 && seen->points[1] >= 4; }));
  first.Signal(signal);
  for (Child& waiter : waiters) EXPECT_EQ(JoinWhileMoving(waiter, *ledger), 0);
  EXPECT_EQ(first.Join(), signal == SIGKILL ? -SIGKILL : 0);
  // Whoever comes last finds everything, and leaves it closed.
  EXPECT_EQ(Child([&] { return Visit(path, *ledger, 5, 1, 1); }).Join(), 0);
  EXPECT_EQ(StateOf(path), format::ControlState::kClean);
  EXPECT_EQ(Child([&] { return AuditorMain(path, *ledger); }).Join(), 0);
  return true;
}

void MeetEverywhere(const char* what, int signal) {
  uint64_t point = 0;
  do {
    SCOPED_TRACE(fmt::format("at point {}", ++point));
    if (!MeetAt(point, signal)) break;
  } while (!testing::Test::HasFailure());
  fmt::print("{}: {} points, two waiters each\n", what, point - 1);
  EXPECT_GT(point, 50u);
}

TEST(Attach, TheRecovererIsKilledAtEachPointWhileOthersWait) { MeetEverywhere("killed", SIGKILL); }

TEST(Attach, TheRecovererIsStoppedAtEachPointWhileOthersWait) { MeetEverywhere("stopped", SIGCONT); }

// A segment of a topic that was left open is a copy: nobody may append there. One process is alone and about to find
// out when another, which could not be alone, goes for the shared lock; then the first one refuses, or dies. What
// stands in the control file is the OPEN of before: no reason to go on over it.
void SlipIn(bool killed) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Ledger> ledger;
  EXPECT_EQ(Child([&] { return DieWithAClaim(path, *ledger); }).Join(), -SIGKILL);
  const std::string segment = path + "/t/00000000000000000000.seg";
  std::filesystem::copy_file(segment, segment + ".copy");
  std::filesystem::rename(segment + ".copy", segment);
  Child alone = StartStopped(path, *ledger, 2);  // behind the lock
  ASSERT_TRUE(alone.WaitStopped());
  Child beside = StartStopped(path, *ledger, 2);  // between the two tries
  ASSERT_TRUE(beside.WaitStopped());
  alone.Signal(killed ? SIGKILL : SIGCONT);
  EXPECT_EQ(alone.Join(), killed ? -SIGKILL : 1);
  beside.Signal(SIGCONT);
  EXPECT_EQ(JoinWhileMoving(beside, *ledger), 1);
  EXPECT_EQ(ledger->lanes[2].acknowledged, 0u);
}

TEST(Attach, NobodySlipsInBesideARefusal) { SlipIn(false); }
TEST(Attach, NobodySlipsInBesideADeath) { SlipIn(true); }

// Who waits too long is told for whom.
TEST(Attach, WhoWaitsTooLongIsToldForWhom) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Ledger> ledger;
  EXPECT_EQ(Child([&] { return DieWithAClaim(path, *ledger); }).Join(), -SIGKILL);
  for (uint64_t point = 1; point < 20; ++point) {
    Child recoverer = StartStopped(path, *ledger, point);
    ASSERT_TRUE(recoverer.WaitStopped());
    const bool alone = AttachPidOf(path) == static_cast<uint64_t>(recoverer.pid());
    if (!alone) {
      recoverer.Kill();
      continue;
    }
    const pid_t pid = recoverer.pid();
    Child waiter([&] {
      seam_control.points = 0;
      seam_control.at_point = [](uint64_t number) {
        if (number >= 4) seam_control.clock_offset = 31'000'000'000;
      };
      const auto topic = OpenForWriting(path, kTraffic);
      const std::string told = topic.status().ToString();
      const bool right = topic.status().code() == absl::StatusCode::kDeadlineExceeded &&
                         told.find(fmt::format("process {}", pid)) != std::string::npos;
      return right ? 0 : Complain("waiter", told);
    });
    EXPECT_EQ(JoinWhileMoving(waiter, *ledger), 0);
    return;
  }
  FAIL() << "no point where a recoverer is named";
}

}  // namespace
}  // namespace libbus::test
