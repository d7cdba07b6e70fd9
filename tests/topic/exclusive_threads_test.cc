// Threads of one process on an exclusive topic: one that stores and several that read, and threads that take turns as
// its owner. Under the thread sanitizer all share one mapping.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr uint64_t kRecords = 4000;
constexpr absl::Duration kLong = absl::Seconds(100);

std::string TextOfNumber(uint64_t n) { return std::string(n * 31 % 700, static_cast<char>('a' + n % 26)); }

class ExclusiveThreadsTest : public TopicTest {
 protected:
  ~ExclusiveThreadsTest() override { seam_control.no_join = false; }

  // Record number `n`; every fifth by a claim, after one that is given up.
  static void PublishNumber(Producer& producer, uint64_t n) {
    const std::string text = TextOfNumber(n);
    if (n % 5 != 0) {
      ASSERT_TRUE(Succeeds(producer.Publish(text, {.type = static_cast<uint32_t>(n)})));
      return;
    }
    ASSERT_TRUE(Succeeds(std::move(*producer.Claim(50)).Abandon()));
    auto claim = producer.Claim(text.size() + 10, {.type = static_cast<uint32_t>(n)});
    ASSERT_TRUE(Succeeds(claim));
    std::memcpy(claim->bytes().data(), text.data(), text.size());
    ASSERT_TRUE(Succeeds(std::move(*claim).Commit(text.size())));
  }

  // All of them, once, in order, with every byte and the exact sequence.
  static void Consume(Topic& topic, Wait wait) {
    auto consumer = topic.NewConsumer({.wait = wait, .gaps = Gaps::kAll});
    ASSERT_TRUE(Succeeds(consumer));
    uint64_t sequence = 0;
    for (uint64_t n = 0; n < kRecords; ++sequence) {
      const auto record = consumer->Next(kLong);
      ASSERT_TRUE(Succeeds(record));
      ASSERT_EQ(record->sequence(), sequence);
      if (record->kind() == RecordKind::kGap) continue;
      ASSERT_EQ(record->type(), n);
      ASSERT_EQ(record->text(), TextOfNumber(n));
      ++n;
    }
    EXPECT_EQ(sequence, kRecords + kRecords / 5);
  }

  // `owners` threads, of which one at a time has the topic and publishes some records.
  void Run(int owners, bool fences) {
    seam_control.no_join = fences;
    auto topic = Make({.segment_size = 16384, .exclusive = true}, {.background = true});
    ASSERT_TRUE(Succeeds(topic));
    auto reader = OpenReadOnly();
    ASSERT_TRUE(Succeeds(reader));
    std::vector<std::thread> threads;
    threads.emplace_back([&] { Consume(*topic, Wait::kPark); });
    threads.emplace_back([&] { Consume(*topic, Wait::kSpinThenPark); });
    threads.emplace_back([&] { Consume(*reader, Wait::kPark); });
    std::atomic<uint64_t> next{0};
    for (int i = 0; i < owners; ++i) {
      threads.emplace_back([&] {
        while (next < kRecords) {
          auto producer = topic->NewProducer();
          if (absl::IsFailedPrecondition(producer.status())) {
            std::this_thread::yield();
            continue;
          }
          ASSERT_TRUE(Succeeds(producer));
          const uint64_t until = owners == 1 ? kRecords : std::min(next + 100, kRecords);
          while (next < until) PublishNumber(*producer, next++);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(ExclusiveThreadsTest, OneStoresAndThreeRead) { Run(1, false); }
TEST_F(ExclusiveThreadsTest, OneThatFencesItselfAndThreeRead) { Run(1, true); }
TEST_F(ExclusiveThreadsTest, OwnersTakeTurns) { Run(3, false); }

}  // namespace
}  // namespace libbus::test
