#include "libbus/topic/sync_schedule.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <string>
#include <thread>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/support/durable_topic.h"
#include "tests/support/processes.h"

namespace libbus {
namespace {

using platform::seam_control;
using test::Child;
using test::Shared;
using Schedule = test::DurableTopic;

// It keeps the lock of the syncs for ever; a policy is kept all the same.
TEST_F(Schedule, AStoppedHolderSwitchesOffNoPolicy) {
  auto topic = Open({.sync = SyncPolicy::Every(absl::Milliseconds(2))});
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer->Publish("x").ok());
  Child holder([&] {
    auto mine = Bus::Open(bus_, {.background = false})->OpenTopic("t");
    seam_control.stop_at_data_sync = true;
    (void)mine->Sync();
    return 0;
  });
  ASSERT_TRUE(holder.WaitStopped());
  const auto position = producer->Publish("y");
  for (int i = 0; i < 100'000'000 && topic->durable() <= *position; ++i) ASSERT_TRUE(topic->Maintain().ok());
  EXPECT_GT(topic->durable(), *position);
}

TEST_F(Schedule, EachMakesEveryRecordDurable) {
  auto topic = Open({.sync = SyncPolicy::Each()});
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  for (int i = 0; i < 10; ++i) {
    const auto position = producer->Publish("x");
    ASSERT_TRUE(position.ok()) << position.status();
    EXPECT_GT(topic->durable(), *position);
  }
}

TEST_F(Schedule, ByBytesSyncsWhenThereAreEnough) {
  auto topic = Open({.segment_size = 1 << 20, .sync = SyncPolicy::EveryBytes(1000)});
  auto producer = topic->NewProducer();
  for (int i = 0; i < 100; ++i) {
    const auto position = producer->Publish(std::string(100, 'x'));
    EXPECT_LT(position->offset, topic->durable().offset + 1000);
  }
  const uint64_t before = seam_control.data_syncs;
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(producer->Publish("x").ok());
  EXPECT_LE(seam_control.data_syncs - before, 1u);
}

TEST_F(Schedule, ByTimeSyncsWhatIsOldEnoughEvenIfTheClockStepsBack) {
  auto topic = Open({.sync = SyncPolicy::Every(absl::Milliseconds(10))});
  auto producer = topic->NewProducer();
  const auto until_durable = [&](Position position) {
    for (int i = 0; i < 10'000'000 && topic->durable() <= position; ++i) {
      if (!topic->Maintain().ok()) return false;
    }
    return topic->durable() > position;
  };
  EXPECT_TRUE(until_durable(*producer->Publish("one")));
  seam_control.clock_offset = -3600 * int64_t{1'000'000'000};
  EXPECT_TRUE(until_durable(*producer->Publish("two")));
  seam_control.clock_offset = 0;
  EXPECT_TRUE(until_durable(*producer->Publish("three")));
  // Nothing new, nothing to write.
  ASSERT_TRUE(topic->Maintain().ok());
  const uint64_t before = seam_control.data_syncs;
  seam_control.clock_offset = int64_t{1'000'000'000};
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(topic->Maintain().ok());
  seam_control.clock_offset = 0;
  EXPECT_EQ(seam_control.data_syncs, before);
}

TEST_F(Schedule, AClaimCommittedLateIsSyncedByTimeToo) {
  auto topic = Open({.sync = SyncPolicy::Every(absl::Milliseconds(1))});
  auto first = topic->NewProducer();
  auto second = topic->NewProducer();
  auto claim = first->Claim(8);
  const auto behind = second->Publish("behind");
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(topic->Maintain().ok());
  EXPECT_LT(topic->durable(), *behind);
  ASSERT_TRUE(std::move(*claim).Commit().ok());
  for (int i = 0; i < 10'000'000 && topic->durable() <= *behind; ++i) ASSERT_TRUE(topic->Maintain().ok());
  EXPECT_GT(topic->durable(), *behind);
}

// The background thread keeps the policy, and the process that is left keeps it for one that was killed.
TEST_F(Schedule, WhoeverLivesKeepsThePolicy) {
  auto bus = Bus::Open(bus_, {.create = true});
  auto topic = bus->OpenTopic("t", {.create = true, .sync = SyncPolicy::Every(absl::Milliseconds(2))});
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  Shared<std::atomic<uint64_t>> last;
  EXPECT_EQ(Child([&] {
              auto mine = Bus::Open(bus_, {.background = false})->OpenTopic("t");
              auto other = mine->NewProducer();
              last->store(other->Publish("x")->offset);
              raise(SIGKILL);
              return 0;
            }).Join(),
            -SIGKILL);
  EXPECT_TRUE(topic->WaitDurable({last->load()}, absl::Seconds(60)).ok());
  while (topic->durable().offset <= last->load()) std::this_thread::yield();
}

TEST_F(Schedule, ClosingKeepsThePolicy) {
  auto topic = Open({.sync = SyncPolicy::Every(absl::Hours(1))});
  auto producer = topic->NewProducer();
  const auto position = producer->Publish("x");
  ASSERT_TRUE(producer->Close().ok());
  EXPECT_GT(topic->durable(), *position);
}

TEST_F(Schedule, PoliciesAreCheckedAndKept) {
  EXPECT_EQ(Open({.sync = SyncPolicy::Every(absl::Microseconds(10))}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Open({.sync = SyncPolicy::Every(-absl::Seconds(1))}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Open({.sync = SyncPolicy::EveryBytes(0)}).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Open({.sync = SyncPolicy::Every(absl::Milliseconds(10))}).ok());
  EXPECT_EQ(Open()->options().sync, SyncPolicy::Every(absl::Milliseconds(10)));
  const auto contradicts = Open({.sync = SyncPolicy::Each()});
  EXPECT_EQ(contradicts.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(contradicts.status().message()).find("10ms"), std::string::npos) << contradicts.status();
}

TEST_F(Schedule, ARolledSegmentIsSyncedInTheBackground) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(producer->Publish(std::string(1000, 'x')).ok());
  EXPECT_LT(topic->durable().offset, 4096u);
  ASSERT_TRUE(topic->Maintain().ok());
  EXPECT_EQ(topic->durable().offset, 4096u + 64);
}

// An open claim holds D back; it does not make every publish a sync.
TEST_F(Schedule, ByBytesAnOpenClaimMakesNoStormOfSyncs) {
  auto topic = Open({.segment_size = 1 << 20, .sync = SyncPolicy::EveryBytes(1000)});
  auto first = topic->NewProducer();
  auto second = topic->NewProducer();
  auto claim = first->Claim(8);
  const uint64_t before = seam_control.data_syncs;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(second->Publish(std::string(100, 'x')).ok());
  const uint64_t syncs = seam_control.data_syncs - before;
  EXPECT_GE(syncs, 10u);  // 100 records of 128 bytes
  EXPECT_LE(syncs, 14u);
}

}  // namespace
}  // namespace libbus
