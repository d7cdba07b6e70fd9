#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "tests/support/disk.h"
#include "tests/support/processes.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

class StatsTest : public TopicTest {
 protected:
  TopicStats Stats(const TopicStats* before = nullptr) const {
    const auto stats = InspectStats(bus_, "t", before);
    EXPECT_TRUE(Succeeds(stats));
    return stats.value_or(TopicStats());
  }
};

TEST_F(StatsTest, CountsWhatStandsThere) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  TopicStats stats = Stats();
  EXPECT_EQ(stats.records, 0u);
  EXPECT_EQ(stats.end, Position{64});
  EXPECT_EQ(stats.producers, 1u);
  EXPECT_EQ(stats.consumers, 0u);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::string(100, 'x'))));
  auto batch = producer->NewBatch();
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(Succeeds(batch.Add("in a batch")));
  ASSERT_TRUE(Succeeds(batch.Commit()));
  auto given_up = producer->Claim(10);
  ASSERT_TRUE(Succeeds(std::move(*given_up).Abandon()));
  auto consumer = topic->NewConsumer();
  stats = Stats();
  EXPECT_EQ(stats.records, 108u);
  EXPECT_EQ(stats.gaps, 1u);
  EXPECT_EQ(stats.repairs, 0u);
  EXPECT_EQ(stats.consumers, 1u);
  EXPECT_GT(stats.segments, 3u);
  EXPECT_GE(stats.disk_bytes, 4096u);
  // An open claim ends what readers reach, and what is counted.
  auto claim = producer->Claim(10);
  ASSERT_TRUE(Succeeds(claim));
  auto other = topic->NewProducer();
  ASSERT_TRUE(Succeeds(other->Publish("behind")));
  EXPECT_EQ(Stats().records, 108u);
  EXPECT_EQ(Stats().end, stats.end);
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  EXPECT_EQ(Stats().records, 110u);
  // From an earlier count on, with and without an index, it comes to the same.
  EXPECT_EQ(Stats(&stats).records, 110u);
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(Stats().records, 110u);
  std::filesystem::remove(Path("index"));
  EXPECT_EQ(Stats().records, 110u);
}

TEST_F(StatsTest, AreThoseOfAnOpenTopic) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  auto consumer = topic->NewConsumer();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Succeeds(producer->Publish("x")));
  const auto own = topic->Stats();
  ASSERT_TRUE(Succeeds(own));
  const TopicStats seen = Stats();
  EXPECT_EQ(own->records, seen.records);
  EXPECT_EQ(own->records, 200u);
  EXPECT_EQ(own->end, seen.end);
  EXPECT_EQ(own->first, seen.first);
  EXPECT_EQ(own->segments, seen.segments);
  EXPECT_EQ(own->bytes, seen.bytes);
  EXPECT_EQ(own->disk_bytes, seen.disk_bytes);
  EXPECT_EQ(own->producers, seen.producers);
  EXPECT_EQ(own->consumers, seen.consumers);
  EXPECT_EQ(own->instance, seen.instance);
}

TEST_F(StatsTest, KnowsWhatWasDeleted) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::string(100, 'x'))));
  const auto trimmed = topic->Trim(From::End());
  ASSERT_TRUE(Succeeds(trimmed));
  ASSERT_GT(trimmed->segments, 0u);
  std::filesystem::remove(Path("index"));
  const TopicStats stats = Stats();
  EXPECT_EQ(stats.records, 500u);
  EXPECT_EQ(stats.first, trimmed->first);
}

TEST_F(StatsTest, WakesAndSleeps) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  const TopicStats before = Stats();
  std::thread reads([&] { EXPECT_TRUE(Succeeds(consumer->Next())); });
  while (Stats().sleeps == before.sleeps) std::this_thread::yield();
  ASSERT_TRUE(Succeeds(producer->Publish("x")));
  reads.join();
  const TopicStats after = Stats(&before);
  EXPECT_GE(after.wakes, before.wakes + 1);
  EXPECT_GE(after.wakes, after.woken);
  // Nobody sleeps at what comes now.
  ASSERT_TRUE(Succeeds(producer->Publish("y")));
  EXPECT_EQ(Stats().wakes, after.wakes);
}

TEST_F(StatsTest, ARepairIsCounted) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  Child dies([&] {
    auto own = OpenTopic(bus_);
    auto claimer = own->NewProducer();
    auto claim = claimer->Claim(100);
    raise(SIGKILL);
    return claim.ok() ? 0 : 1;
  });
  EXPECT_EQ(dies.Join(), -SIGKILL);
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  const TopicStats stats = Stats();
  EXPECT_EQ(stats.gaps, 1u);
  EXPECT_EQ(stats.repairs, 1u);
  EXPECT_EQ(stats.records, 1u);
}

TEST_F(StatsTest, SaysThatTheTopicWasRemovedOrReplaced) {
  ASSERT_TRUE(Succeeds(Make()));
  const TopicStats before = Stats();
  auto bus = Bus::Open(bus_, {.background = false});
  ASSERT_TRUE(Succeeds(bus->RemoveTopic("t")));
  EXPECT_TRUE(Fails(InspectStats(bus_, "t", &before), absl::StatusCode::kNotFound, "removed while it was watched"));
  EXPECT_TRUE(Fails(InspectStats(bus_, "t"), absl::StatusCode::kNotFound));
  TopicStats other = before;
  ASSERT_TRUE(Succeeds(Make()));
  other.instance = before.instance + 1;
  EXPECT_TRUE(Fails(InspectStats(bus_, "t", &other), absl::StatusCode::kFailedPrecondition, "replaced by another"));
}

// Numbers of somebody who scribbles are shown; nothing else comes of them.
TEST_F(StatsTest, WrongCountsAreWrongNumbers) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("x")));
  Patch(Path("control"), format::kLiveOffset + offsetof(format::LiveWords, wakes), std::string(48, '\xFF'));
  Patch(Path("sleep"), offsetof(format::SleepFile, sleeps), std::string(16, '\xFF'));
  const TopicStats stats = Stats();
  EXPECT_EQ(stats.wakes, UINT64_MAX);
  EXPECT_EQ(stats.sleeps, UINT64_MAX);
  EXPECT_EQ(stats.records, 1u);
}

class StatsOnDisk : public testing::Test {
 protected:
  const Scratch scratch_{DiskParent()};
};

TEST_F(StatsOnDisk, ASyncIsMeasured) {
  auto topic =
      OpenTopic(scratch_ / "bus", {.create = true, .segment_size = 1 << 20}, {.create = true, .background = false});
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Succeeds(producer->Publish(std::string(10'000, 'x'), {.durable = true})));
    absl::SleepFor(absl::Milliseconds(20));  // not more than one in 10 ms is
  }
  const auto stats = InspectStats(scratch_ / "bus", "t");
  ASSERT_TRUE(Succeeds(stats));
  EXPECT_GE(stats->syncs, 3u);
  EXPECT_GE(stats->measured_syncs, 2u);
  EXPECT_LE(stats->measured_syncs, stats->syncs);
  EXPECT_GE(stats->measured_bytes, 10'000 * stats->measured_syncs);
  EXPECT_EQ(stats->measured_bytes % 4096, 0u);
  EXPECT_EQ(stats->durable, stats->end);
  EXPECT_EQ(stats->durable_records, 3u);
}

}  // namespace
}  // namespace libbus::test
