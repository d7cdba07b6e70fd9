// Many producers and many consumers in processes of their own: every consumer gets every record once, whole, and in
// the order of its producer.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

struct Crowd {
  uint32_t producers = 3;           // processes
  uint32_t threads = 1;             // of each, with a producer handle of its own
  uint32_t consumers = 3;           // processes
  uint64_t records = 20'000;        // of each thread
  bool read_only_consumers = true;  // every other one
  TrafficOptions traffic;
  Wait wait = Wait::kSpinThenPark;
};

int ProduceInThreads(const std::string& path, Ledger& ledger, const Crowd& crowd, uint32_t first_lane, uint64_t seed) {
  auto topic = OpenForWriting(path, crowd.traffic);
  if (!topic.ok()) return Complain("producer", topic.status().ToString());
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (uint32_t lane = first_lane; lane < first_lane + crowd.threads; ++lane) {
    threads.emplace_back([&, lane] {
      std::mt19937_64 random(seed + lane);
      auto producer = topic->NewProducer();
      absl::Status status = producer.status();
      for (uint64_t i = 0; i < crowd.records && status.ok(); ++i) {
        status = PublishNext(*producer, ledger, lane, crowd.traffic, random);
      }
      if (!status.ok()) failures += Complain("producer", status.ToString());
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failures == 0 ? 0 : 1;
}

void RunCrowd(const std::string& parent, const Crowd& crowd) {
  const uint64_t seed = FlushedSeed("many");
  const Scratch scratch(parent);
  const std::string path = scratch / "bus";
  Shared<Ledger> ledger;
  // Keeps the topic open, and there before the first reader.
  auto keeper = OpenForWriting(path, crowd.traffic);
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  std::vector<Child> consumers;
  for (uint32_t i = 0; i < crowd.consumers; ++i) {
    consumers.emplace_back([&, i] {
      return ConsumerMain(path, *ledger, i, crowd.read_only_consumers && i % 2 == 1,
                          {.wait = crowd.wait, .gaps = Gaps::kAll});
    });
  }
  std::vector<Child> producers;
  for (uint32_t i = 0; i < crowd.producers; ++i) {
    producers.emplace_back([&, i] { return ProduceInThreads(path, *ledger, crowd, i * crowd.threads, seed); });
  }
  for (Child& producer : producers) EXPECT_EQ(JoinWhileMoving(producer, *ledger), 0);
  Child closer([&] { return CloserMain(path, *ledger, crowd.traffic); });
  EXPECT_EQ(JoinWhileMoving(closer, *ledger), 0);
  for (Child& consumer : consumers) EXPECT_EQ(JoinWhileMoving(consumer, *ledger), 0);
  EXPECT_EQ(Child([&] { return AuditorMain(path, *ledger); }).Join(), 0);
  for (uint32_t lane = 0; lane < crowd.producers * crowd.threads; ++lane) {
    EXPECT_EQ(ledger->lanes[lane].next, crowd.records);
  }
  if (!crowd.traffic.claims) {
    EXPECT_EQ(ledger->Acknowledged(), crowd.producers * crowd.threads * crowd.records + 1);
  }
}

TEST(Many, SmallSegmentsSpinThenPark) { RunCrowd(FastParent(), {}); }

TEST(Many, SmallSegmentsPark) { RunCrowd(FastParent(), {.wait = Wait::kPark}); }

TEST(Many, OnTheUsualFileSystem) { RunCrowd(UsualParent(), {.records = 4000, .wait = Wait::kPark}); }

TEST(Many, MegabyteSegments) { RunCrowd(UsualParent(), {.traffic = {.segment_size = 1 << 20}}); }

TEST(Many, ClaimsAndRecordsBeyondASegment) {
  RunCrowd(FastParent(), {.records = 4000, .traffic = {.big = true, .claims = true}});
}

TEST(Many, ThreadsInProcesses) {
  RunCrowd(FastParent(), {.producers = 2, .threads = 4, .consumers = 2, .records = 4000, .traffic = {.claims = true}});
}

TEST(Many, TheSmallestSegments) {
  RunCrowd(FastParent(), {.consumers = 2, .records = 2000, .traffic = {.segment_size = 4096, .claims = true}});
}

TEST(Many, WritingConsumersOnly) {
  RunCrowd(FastParent(),
           {.records = 4000, .read_only_consumers = false, .traffic = {.claims = true}, .wait = Wait::kPark});
}

TEST(ManySlow, HundredThousandEach) {
  RunCrowd(FastParent(), {.records = 100'000, .traffic = {.segment_size = 1 << 20, .big = true, .claims = true}});
}

}  // namespace
}  // namespace libbus::test
