#include "libbus/log/consumer_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libbus/bus.h"
#include "libbus/log/log.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using format::ConsumerEntry;
using format::SleepFile;
using platform::seam_control;

class ConsumerTableTest : public TopicTest {
 protected:
  SleepFile Page() const {
    SleepFile page = {};
    const std::string bytes = ReadFile(Path("sleep"));
    EXPECT_EQ(bytes.size(), sizeof(page));
    std::memcpy(&page, bytes.data(), std::min(bytes.size(), sizeof(page)));
    return page;
  }
  // Asked through a description that holds no lock.
  bool Lives(uint32_t n) const {
    const auto probe = platform::LockFile::Open(Path("sleep"));
    return probe.ok() && probe->Probe(log::ConsumerByte(n));
  }
  uint32_t Living() const {
    uint32_t count = 0;
    for (uint32_t n = 0; n < format::kConsumerEntries; ++n) count += Lives(n) ? 1 : 0;
    return count;
  }
};

TEST_F(ConsumerTableTest, AConsumerTellsWhereItIs) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  const auto first = producer->Publish("one");
  ASSERT_TRUE(Succeeds(first));
  EXPECT_EQ(Living(), 0u);
  {
    auto consumer = topic->NewConsumer();
    ASSERT_TRUE(Succeeds(consumer));
    EXPECT_TRUE(Lives(0));
    ConsumerEntry entry = Page().consumers[0];
    EXPECT_EQ(entry.pid, static_cast<uint64_t>(getpid()));
    EXPECT_EQ(entry.position, 64u);
    EXPECT_EQ(entry.idle, 0u);
    EXPECT_EQ(entry.cursor, 0u);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(entry.name)),
              std::string("log_consumer_table_test").substr(0, 15));
    // At the end: where, and since when; not inside a call.
    ASSERT_TRUE(Succeeds(consumer->Next()));
    EXPECT_TRUE(absl::IsDeadlineExceeded(consumer->Next(absl::ZeroDuration()).status()));
    entry = Page().consumers[0];
    EXPECT_EQ(entry.position, consumer->position().offset);
    EXPECT_GT(entry.idle, entry.since - 1);
    EXPECT_EQ(entry.waits_for, format::kWaitsForNothing);
    // It does not begin anew with each look.
    const uint64_t idle = entry.idle;
    (void)consumer->Next(absl::Milliseconds(20));
    ASSERT_TRUE(Succeeds(consumer->Poll(1)));
    EXPECT_EQ(Page().consumers[0].idle, idle);
    // What comes ends it.
    ASSERT_TRUE(Succeeds(producer->Publish("two")));
    ASSERT_TRUE(Succeeds(consumer->Next()));
    entry = Page().consumers[0];
    EXPECT_EQ(entry.idle, 0u);
    EXPECT_EQ(entry.position, consumer->position().offset);
    ASSERT_TRUE(Succeeds(consumer->Seek(From::Start())));
    EXPECT_EQ(Page().consumers[0].position, 64u);
  }
  EXPECT_FALSE(Lives(0));
  EXPECT_EQ(Page().consumers[0].pid, 0u);
}

TEST_F(ConsumerTableTest, InTheFlowItTellsNowAndThen) {
  auto topic = Make({.segment_size = 1 << 20});
  auto producer = topic->NewProducer();
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::string(100, 'x'))));
  auto consumer = topic->NewConsumer();
  uint64_t told = 64;
  int changes = 0;
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(Succeeds(consumer->Next()));
    const uint64_t position = Page().consumers[0].position;
    ASSERT_LE(consumer->position().offset - position, (64u << 10) + 128);
    changes += position != told ? 1 : 0;
    told = position;
  }
  EXPECT_EQ(changes, 3000 * 128 / (64 << 10));
}

TEST_F(ConsumerTableTest, SaysWhatItWaitsFor) {
  auto topic = Make();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .cursor = "c"});
  const uint64_t sleeps = seam_control.sleeps;
  std::optional<ConsumerEntry> seen;
  const uint64_t counted = Page().sleeps;
  std::thread looks([&] {
    while (seam_control.sleeps == sleeps) sched_yield();
    seen = Page().consumers[0];
    consumer->Interrupt();
  });
  EXPECT_TRUE(absl::IsCancelled(consumer->Next().status()));
  looks.join();
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->waits_for, format::kWaitsForRecord);
  EXPECT_EQ(seen->position, 64u);
  EXPECT_EQ(seen->cursor, log::CursorMark("c"));
  EXPECT_EQ(Page().consumers[0].waits_for, format::kWaitsForNothing);
  EXPECT_GT(Page().sleeps, counted);
}

TEST_F(ConsumerTableTest, TheOneWithoutAnEntryReadsLikeAnyOther) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("one")));
  std::vector<Consumer> consumers;
  for (uint32_t i = 0; i < format::kConsumerEntries; ++i) {
    auto consumer = topic->NewConsumer();
    ASSERT_TRUE(Succeeds(consumer));
    consumers.push_back(*std::move(consumer));
  }
  EXPECT_EQ(Living(), format::kConsumerEntries);
  EXPECT_EQ(Page().unlisted, 0u);
  auto other = OpenReadOnly();
  auto late = other->NewConsumer();
  EXPECT_EQ(Page().unlisted, 1u);
  const auto record = late->Next();
  ASSERT_TRUE(Succeeds(record));
  EXPECT_EQ(record->text(), "one");
  // One goes: the next who comes has his entry, whichever handle it is of.
  consumers.erase(consumers.begin() + 7);
  EXPECT_FALSE(Lives(7));
  auto next = other->NewConsumer();
  EXPECT_TRUE(Lives(7));
  EXPECT_EQ(Page().unlisted, 1u);
}

TEST_F(ConsumerTableTest, AnEntryOfTheDeadIsFree) {
  ASSERT_TRUE(Succeeds(Make()));
  const auto dies = [&]() -> int {
    auto topic = OpenReadOnly();
    auto consumer = topic->NewConsumer();
    raise(SIGKILL);
    return 0;
  };
  EXPECT_EQ(Child(dies).Join(), -SIGKILL);
  EXPECT_FALSE(Lives(0));
  EXPECT_NE(Page().consumers[0].pid, 0u);  // what it left
  auto topic = OpenReadOnly();
  auto consumer = topic->NewConsumer();
  EXPECT_TRUE(Lives(0));
  EXPECT_EQ(Page().consumers[0].pid, static_cast<uint64_t>(getpid()));
}

// Killed before each change of shared bytes and each lock from opening a consumer to its end: the entry is free, and
// whoever comes next reads and publishes.
TEST_F(ConsumerTableTest, KilledAtAnyStep) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("one")));
  int killed = 0;
  for (uint64_t point = 1;; ++point, ++killed) {
    const auto reads = [&]() -> int {
      auto own = OpenReadOnly();
      seam_control.points = 0;
      seam_control.kill_at = point;
      auto consumer = own->NewConsumer();
      if (!consumer.ok() || !consumer->Next().ok()) return 1;
      (void)consumer->Next(absl::ZeroDuration());
      return 0;
    };
    const int code = Child(reads).Join();
    EXPECT_EQ(Living(), 0u) << point;
    auto consumer = topic->NewConsumer();
    ASSERT_TRUE(Succeeds(consumer));
    EXPECT_TRUE(Lives(0));
    const auto record = consumer->Next();
    ASSERT_TRUE(record.ok() && record->text() == "one");
    if (code == 0) break;
    ASSERT_EQ(code, -SIGKILL);
  }
  EXPECT_GT(killed, 12);
  ASSERT_TRUE(Succeeds(producer->Publish("two")));
}

TEST_F(ConsumerTableTest, AForkedChildLeavesItsParentsEntryAlone) {
  auto topic = Make();
  auto consumer = topic->NewConsumer();
  const ConsumerEntry before = Page().consumers[0];
  const auto child = [&]() -> int {
    const auto inherited = *std::move(consumer);
    return 0;
  };
  EXPECT_EQ(Child(child).Join(), 0);
  EXPECT_TRUE(Lives(0));
  const ConsumerEntry after = Page().consumers[0];
  EXPECT_EQ(std::memcmp(&before, &after, sizeof(after)), 0);
  EXPECT_EQ(Living(), 1u);
}

// Whatever stands in the page, and whoever holds its bytes: consumers and producers do not notice.
TEST_F(ConsumerTableTest, ScribblesAndStolenLocksHarmNobody) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  auto consumer = topic->NewConsumer();
  Patch(Path("sleep"), 192, std::string(4096 - 192, '\xFF'));
  ASSERT_TRUE(Succeeds(producer->Publish("one")));
  auto record = consumer->Next();
  ASSERT_TRUE(record.ok() && record->text() == "one");
  const auto thief = platform::LockFile::Open(Path("sleep"));
  for (uint32_t n = 1; n < format::kConsumerEntries; ++n) ASSERT_TRUE(*thief->TryExclusive(log::ConsumerByte(n)));
  auto second = topic->NewConsumer();
  ASSERT_TRUE(Succeeds(second));
  record = second->Next();
  ASSERT_TRUE(record.ok() && record->text() == "one");
  EXPECT_EQ(Page().unlisted, 0u);  // all bits were set: it counts over
}

TEST_F(ConsumerTableTest, WithoutThePageThereIsNoEntry) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("one")));
  std::filesystem::rename(Path("sleep"), Path("elsewhere"));
  auto reading = OpenReadOnly();
  ASSERT_TRUE(Succeeds(reading));
  auto consumer = reading->NewConsumer();
  ASSERT_TRUE(Succeeds(consumer));
  const auto record = consumer->Next();
  EXPECT_TRUE(record.ok() && record->text() == "one");
  std::filesystem::rename(Path("elsewhere"), Path("sleep"));
  EXPECT_EQ(Living(), 0u);
}

}  // namespace
}  // namespace libbus::test
