// Threads of one process: each with its own handles on a topic that they share.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;

constexpr int kProducers = 3;
constexpr int kConsumers = 2;
constexpr uint64_t kRecords = 1500;  // of each producer
constexpr absl::Duration kLong = absl::Seconds(100);

class TrafficTest : public TopicTest {
 protected:
  // Producer `me` publishes its numbers in order; every fifth by a claim, after one that it gives up.
  static void Produce(Topic& topic, int me) {
    auto producer = topic.NewProducer({.name = "producer " + std::to_string(me)});
    ASSERT_TRUE(Succeeds(producer));
    for (uint64_t n = 0; n < kRecords; ++n) {
      const std::string text(n % 200, static_cast<char>('a' + n % 26));
      const RecordOptions options = {.type = static_cast<uint32_t>(n), .producer = "p", .producer_sequence = n};
      RecordOptions mine = options;
      const std::string name = std::to_string(me);
      mine.producer = name;
      if (n % 5 != 0) {
        ASSERT_TRUE(Succeeds(producer->Publish(text, mine)));
        continue;
      }
      ASSERT_TRUE(Succeeds(std::move(*producer->Claim(50)).Abandon()));
      auto claim = producer->Claim(text.size() + 10, mine);
      ASSERT_TRUE(Succeeds(claim));
      std::memcpy(claim->bytes().data(), text.data(), text.size());
      ASSERT_TRUE(Succeeds(std::move(*claim).Commit(text.size())));
    }
  }

  // Reads until it has seen all; everything is there, in order per producer, once.
  static void Consume(Topic& topic, Wait wait) {
    auto consumer = topic.NewConsumer({.wait = wait, .gaps = Gaps::kAll});
    ASSERT_TRUE(Succeeds(consumer));
    std::map<std::string, uint64_t> next;
    uint64_t gaps = 0;
    Position last;
    for (uint64_t seen = 0; seen < kProducers * kRecords;) {
      const auto record = consumer->Next(kLong);
      ASSERT_TRUE(Succeeds(record));
      ASSERT_GT(record->position(), last);
      last = record->position();
      if (record->kind() == RecordKind::kGap) {
        ASSERT_EQ(record->gap().cause, GapCause::kAborted);
        ++gaps;
        continue;
      }
      uint64_t& wanted = next[std::string(record->producer())];
      ASSERT_EQ(record->producer_sequence(), wanted);
      ASSERT_EQ(record->type(), wanted);
      ASSERT_EQ(record->text(), std::string(wanted % 200, static_cast<char>('a' + wanted % 26)));
      ++wanted;
      ++seen;
    }
    EXPECT_EQ(next.size(), static_cast<size_t>(kProducers));
    EXPECT_EQ(gaps, kProducers * kRecords / 5);
    EXPECT_TRUE(Fails(consumer->Next(absl::ZeroDuration()), StatusCode::kDeadlineExceeded));
  }

  void Run(bool background) {
    auto topic = Make({.segment_size = 16384}, {.background = background});
    ASSERT_TRUE(Succeeds(topic));
    std::vector<std::thread> threads;
    for (int i = 0; i < kConsumers; ++i) {
      threads.emplace_back([&topic, i] { Consume(*topic, i % 2 == 0 ? Wait::kPark : Wait::kSpinThenPark); });
    }
    for (int i = 0; i < kProducers; ++i) {
      threads.emplace_back([&topic, i] { Produce(*topic, i); });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(TrafficTest, EveryRecordIsAccountedFor) { Run(true); }

TEST_F(TrafficTest, EveryRecordIsAccountedForWithoutBackground) { Run(false); }

TEST_F(TrafficTest, HandlesComeAndGoWhileOthersPublish) {
  auto topic = Make({}, {.background = true});
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        auto producer = topic->NewProducer();
        ASSERT_TRUE(Succeeds(producer));
        ASSERT_TRUE(Succeeds(producer->Publish("passing")));
      }
    });
  }
  threads.emplace_back([&] {
    while (!over) {
      auto consumer = topic->NewConsumer({.from = From::Last(3), .to = From::End()});
      ASSERT_TRUE(Succeeds(consumer));
      for (const RecordView& record : consumer->Records()) ASSERT_FALSE(record.payload().empty());
      ASSERT_TRUE(Succeeds(topic->Stats()));
      ASSERT_TRUE(Succeeds(topic->Maintain()));
    }
  });
  auto producer = topic->NewProducer();
  for (int n = 0; n < 300; ++n) EXPECT_TRUE(Succeeds(producer->Publish("steady")));
  over = true;
  for (std::thread& thread : threads) thread.join();
  int steady = 0;
  for (const std::string& text : ReadAll(*topic)) steady += text == "steady" ? 1 : 0;
  EXPECT_EQ(steady, 300);
}

TEST_F(TrafficTest, InterruptsFromManyThreadsEndTheWait) {
  auto topic = Make();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!over) consumer->Interrupt();
    });
  }
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(Fails(consumer->Next(kLong), StatusCode::kCancelled));
  over = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace libbus::test
