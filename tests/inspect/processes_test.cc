#include "libbus/processes.h"

#include <absl/time/clock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "libbus/log/consumer_table.h"
#include "libbus/platform/ofd_lock.h"
#include "tests/support/processes.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

class ProcessesTest : public TopicTest {
 protected:
  TopicProcesses Look() const {
    auto all = InspectProcesses(bus_, "t");
    EXPECT_TRUE(Succeeds(all));
    if (!all.ok() || all->size() != 1) return {};
    return all->front();
  }
  static const ProcessInfo* Find(const TopicProcesses& seen, pid_t pid, ProcessRole role) {
    for (const ProcessInfo& info : seen.processes) {
      if (info.process.pid == static_cast<uint64_t>(pid) && info.role == role) return &info;
    }
    return nullptr;
  }
  // A consumer that waits for that. Who came between the two looks that a picture is made of (at the processes, at what
  // they wrote down) is not identified yet.
  static bool ConsumerWaits(const TopicProcesses& seen, pid_t pid, WaitsFor waits_for) {
    const ProcessInfo* const info = Find(seen, pid, ProcessRole::kConsumer);
    return info != nullptr && info->process.identified && info->waits_for == waits_for;
  }
  // Looks until it is so.
  template <typename Condition>
  TopicProcesses LookUntil(Condition condition) const {
    TopicProcesses seen = Look();
    for (const absl::Time end = absl::Now() + absl::Seconds(60); !condition(seen); seen = Look()) {
      EXPECT_LT(absl::Now(), end) << "it does not come to that";
      if (absl::Now() >= end) break;
    }
    return seen;
  }

  // Sleeps on the next record from `from` on, for ever.
  Child Reader(From from = From::Start(), const std::string& cursor = "") const {
    return Child([this, from, cursor] {
      auto topic = OpenReadOnly();
      auto consumer = topic->NewConsumer({.from = from, .wait = Wait::kPark, .cursor = cursor});
      while (consumer.ok() && consumer->Next().ok()) {
      }
      return 1;
    });
  }
  // Publishes, claims and stops.
  Child Staller(uint64_t size) const {
    return Child([this, size] {
      auto topic = OpenTopic(bus_);
      auto producer = topic->NewProducer({.name = "staller"});
      auto claim = producer->Claim(size);
      raise(SIGSTOP);
      return claim.ok() ? 0 : 1;
    });
  }
};

TEST_F(ProcessesTest, AParkedConsumerAndItsProducer) {
  auto topic = Make();
  auto producer = topic->NewProducer({.name = "writer"});
  const auto published = producer->Publish("one");
  ASSERT_TRUE(Succeeds(published));
  const Child reader = Reader();
  const absl::Time begun = absl::Now();
  const TopicProcesses seen =
      LookUntil([&](const TopicProcesses& now) { return ConsumerWaits(now, reader.pid(), WaitsFor::kRecord); });
  const ProcessInfo* const info = Find(seen, reader.pid(), ProcessRole::kConsumer);
  ASSERT_NE(info, nullptr);
  EXPECT_TRUE(info->process.identified);
  EXPECT_EQ(info->process.alive, true);
  EXPECT_FALSE(info->process.stopped);
  EXPECT_EQ(info->process.command, std::string("inspect_processes_test").substr(0, 15));
  EXPECT_EQ(info->position, seen.end);
  ASSERT_TRUE(info->lag.has_value());
  EXPECT_EQ(info->lag->bytes, 0u);
  EXPECT_EQ(info->lag->records, 0u);
  ASSERT_TRUE(info->waits_since.has_value());
  EXPECT_LT(*info->waits_since, absl::Now() + absl::Seconds(1));
  EXPECT_GT(*info->waits_since, begun - absl::Seconds(10));
  // This process is there as well, once: it produces.
  const ProcessInfo* const own = Find(seen, getpid(), ProcessRole::kProducer);
  ASSERT_NE(own, nullptr);
  EXPECT_EQ(own->name, "writer");
  EXPECT_EQ(own->slot, 1u);
  EXPECT_TRUE(own->process.identified);
  EXPECT_FALSE(own->claim.has_value());
  EXPECT_EQ(seen.processes.size(), 2u);
  EXPECT_TRUE(seen.claims.empty());
  EXPECT_EQ(seen.end, seen.tail);
  EXPECT_FALSE(seen.syncing || seen.recovering);
}

TEST_F(ProcessesTest, AStoppedProducerHoldsTheTail) {
  auto topic = Make({.claim_timeout = absl::ZeroDuration()});
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("one")));
  const auto end = topic->Stats()->end;
  Child staller = Staller(100);
  ASSERT_TRUE(staller.WaitStopped());
  const auto behind = producer->Publish("behind it");
  ASSERT_TRUE(Succeeds(behind));
  const Child reader = Reader();
  TopicProcesses seen =
      LookUntil([&](const TopicProcesses& now) { return ConsumerWaits(now, reader.pid(), WaitsFor::kCommit); });
  ASSERT_EQ(seen.claims.size(), 1u);
  const ClaimInfo& claim = seen.claims.front();
  EXPECT_EQ(claim.position, end);
  EXPECT_EQ(claim.position.offset + claim.size, behind->offset);
  EXPECT_EQ(claim.slot, 2u);
  EXPECT_EQ(claim.name, "staller");
  EXPECT_EQ(claim.process.pid, static_cast<uint64_t>(staller.pid()));
  EXPECT_TRUE(claim.process.identified);
  EXPECT_TRUE(claim.process.stopped);
  ASSERT_TRUE(claim.before.has_value());
  EXPECT_LT(*claim.before, absl::Now() + absl::Seconds(1));
  EXPECT_EQ(seen.end, end);
  EXPECT_GT(seen.tail, *behind);
  const ProcessInfo* const info = Find(seen, staller.pid(), ProcessRole::kProducer);
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->claim, end);
  EXPECT_TRUE(info->process.stopped);

  // Killed: gone, and what it claimed is there until somebody makes it a gap. Nobody can here: the reader only reads.
  staller.Kill();
  seen = Look();
  ASSERT_EQ(seen.claims.size(), 1u);
  EXPECT_EQ(seen.claims.front().process.alive, false);
  EXPECT_FALSE(seen.claims.front().process.identified);
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  seen = Look();
  EXPECT_TRUE(seen.claims.empty());
  EXPECT_EQ(seen.end, seen.tail);
}

TEST_F(ProcessesTest, AStoppedConsumerAndItsLag) {
  auto topic = Make({.segment_size = 64 << 10});
  auto producer = topic->NewProducer();
  const Child reader = Reader(From::Start(), "billing");
  LookUntil([&](const TopicProcesses& now) { return ConsumerWaits(now, reader.pid(), WaitsFor::kRecord); });
  reader.Signal(SIGSTOP);
  int status = 0;
  ASSERT_EQ(waitpid(reader.pid(), &status, WUNTRACED), reader.pid());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Succeeds(producer->Publish("x")));
  const TopicProcesses seen = Look();
  const ProcessInfo* const info = Find(seen, reader.pid(), ProcessRole::kConsumer);
  ASSERT_NE(info, nullptr);
  EXPECT_TRUE(info->process.stopped);
  EXPECT_EQ(info->cursor, "billing");
  EXPECT_EQ(info->position, Position{64});
  ASSERT_TRUE(info->lag.has_value());
  EXPECT_EQ(info->lag->bytes, seen.end.offset - 64);
  EXPECT_EQ(info->lag->records, 50u);
  EXPECT_EQ(info->waits_for, WaitsFor::kNothing);  // there is something for it
  EXPECT_EQ(Find(seen, reader.pid(), ProcessRole::kCursor), nullptr);
}

// Without an entry in the sleep page: its cursor tells of it, or else that it has the topic open.
TEST_F(ProcessesTest, WhoIsNotNotedDown) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("one")));
  const auto thief = platform::LockFile::Open(Path("sleep"));
  for (uint32_t n = 0; n < format::kConsumerEntries; ++n) ASSERT_TRUE(*thief->TryExclusive(log::ConsumerByte(n)));
  const Child keeper = Reader(From::Start(), "c");
  const Child plain = Reader();
  const TopicProcesses seen = LookUntil([&](const TopicProcesses& now) {
    const ProcessInfo* const info = Find(now, keeper.pid(), ProcessRole::kCursor);
    return info != nullptr && info->process.identified && Find(now, plain.pid(), ProcessRole::kAttached) != nullptr;
  });
  const ProcessInfo* const info = Find(seen, keeper.pid(), ProcessRole::kCursor);
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->cursor, "c");
  EXPECT_TRUE(info->process.identified);
  EXPECT_EQ(info->position, Position{64});
  EXPECT_TRUE(seen.consumers_full);
}

TEST_F(ProcessesTest, TheDeadAreThereUntilTheirPlaceIsUsedAgain) {
  ASSERT_TRUE(Succeeds(Make()));
  Child reader = Reader();
  LookUntil([&](const TopicProcesses& now) { return Find(now, reader.pid(), ProcessRole::kConsumer) != nullptr; });
  const pid_t pid = reader.pid();
  reader.Kill();
  const TopicProcesses seen = Look();
  const ProcessInfo* const info = Find(seen, pid, ProcessRole::kConsumer);
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->process.alive, false);
  EXPECT_FALSE(info->process.identified);
  EXPECT_EQ(info->process.command, std::string("inspect_processes_test").substr(0, 15));
}

TEST_F(ProcessesTest, WhoHoldsTheSyncLockAndWhoRecovers) {
  auto topic = Make();
  Child holder([&] {
    const auto locks = platform::LockFile::Open(Path("locks"));
    if (!locks.ok() || !locks->TryExclusive(format::kSyncByte).value_or(false)) return 1;
    const auto control = platform::OpenFile(Path("control"), false);
    raise(SIGSTOP);
    return 0;
  });
  ASSERT_TRUE(holder.WaitStopped());
  TopicProcesses seen = Look();
  ASSERT_TRUE(seen.syncing.has_value());
  EXPECT_EQ(seen.syncing->pid, static_cast<uint64_t>(holder.pid()));
  EXPECT_TRUE(seen.syncing->stopped);
  EXPECT_FALSE(seen.recovering.has_value());
  holder.Kill();
  EXPECT_FALSE(Look().syncing.has_value());
  // Left by one that was killed in a recovery, while others are attached: only its number.
  const uint64_t pid = 4711;
  Patch(Path("control"), format::kLiveOffset + offsetof(format::LiveWords, attach_pid),
        {reinterpret_cast<const char*>(&pid), sizeof(pid)});
  seen = Look();
  ASSERT_TRUE(seen.recovering.has_value());
  EXPECT_EQ(seen.recovering->pid, pid);
  EXPECT_FALSE(seen.recovering->identified);
}

// What stands in the page and in the words for people may be anything.
TEST_F(ProcessesTest, NonsenseMisleadsAndDoesNoHarm) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  auto consumer = topic->NewConsumer();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Succeeds(producer->Publish("some text")));
  std::minstd_rand random(static_cast<std::minstd_rand::result_type>(Seed("NonsenseMisleadsAndDoesNoHarm")));
  const auto noise = [&](size_t size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = random() % 3 == 0 ? '\0' : static_cast<char>(random());
    return bytes;
  };
  const std::string control = ReadFile(Path("control"));
  for (int round = 0; round < 30; ++round) {
    Patch(Path("sleep"), 64, noise(4096 - 64));
    Patch(Path("control"), format::kLiveOffset, noise(sizeof(format::LiveWords)));
    Patch(Path("control"), format::kSlotsOffset + 64, noise(size_t{64} * 50));
    const auto seen = InspectProcesses(bus_);
    ASSERT_TRUE(Succeeds(seen));
    ASSERT_EQ(seen->size(), 1u);
    EXPECT_TRUE(Succeeds(InspectStats(bus_, "t")));
    EXPECT_NE(Find(seen->front(), getpid(), ProcessRole::kConsumer), nullptr);
  }
  Patch(Path("control"), 0, control);
}

// Who may only read sees what was noted down, and of other users' processes nothing that it would have to guess.
TEST_F(ProcessesTest, AnotherUserSeesWhatItMay) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: there is no second uid to become";
  constexpr uid_t kStranger = 65534;
  ASSERT_EQ(chmod(scratch_.path().c_str(), 0755), 0);
  auto topic = Make({}, {.background = false, .access = Access::kWorld});
  auto producer = topic->NewProducer({.name = "w"});
  auto own = topic->NewConsumer();
  const pid_t parent = getpid();
  Child stranger([&] {
    if (setgroups(0, nullptr) != 0 || setresgid(kStranger, kStranger, kStranger) != 0 ||
        setresuid(kStranger, kStranger, kStranger) != 0) {
      return 1;
    }
    auto reading = OpenReadOnly();
    auto consumer = reading->NewConsumer();
    const TopicProcesses seen = Look();
    const ProcessInfo* const writes = Find(seen, parent, ProcessRole::kProducer);
    if (writes == nullptr || writes->process.identified || writes->process.alive || writes->name != "w") return 2;
    // That it lives is known from the lock on its entry; which process it is, from nothing that can be relied on.
    const ProcessInfo* const reads = Find(seen, parent, ProcessRole::kConsumer);
    if (reads == nullptr || reads->process.identified || reads->process.alive != true) return 3;
    if (reads->process.command.empty()) return 4;
    const ProcessInfo* const self = Find(seen, getpid(), ProcessRole::kConsumer);
    if (self == nullptr || !self->process.identified) return 5;
    if (seen.hidden == 0) return 6;
    const auto stats = InspectStats(bus_, "t");
    if (!stats.ok() || stats->producers || stats->consumers != 2u || stats->records != 0u) return 7;
    return 0;
  });
  EXPECT_EQ(stranger.Join(), 0);
}

TEST_F(ProcessesTest, OfAllTopicsAndOfNone) {
  ASSERT_TRUE(Succeeds(Make()));
  auto bus = Bus::Open(bus_, {.background = false});
  auto second = bus->OpenTopic("second", {.create = true});
  auto consumer = second->NewConsumer();
  const auto all = InspectProcesses(bus_);
  ASSERT_TRUE(Succeeds(all));
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ(all->front().topic, "second");
  EXPECT_EQ(all->front().processes.size(), 1u);
  EXPECT_EQ(all->back().topic, "t");
  EXPECT_TRUE(all->back().processes.empty());
  EXPECT_TRUE(Fails(InspectProcesses(bus_, "none"), absl::StatusCode::kNotFound));
  EXPECT_TRUE(Fails(InspectProcesses(bus_, "no name"), absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(Fails(InspectProcesses(bus_ + "/t"), absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace libbus::test
