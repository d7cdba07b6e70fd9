// Workers with cursors are killed at random and started again while producers go on: each record is handled by each of
// them, whatever dies when, and who looks from outside never finds a cursor that he cannot read.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/log/cursors.h"
#include "tests/processes/traffic.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

constexpr int kProducers = 2;
constexpr int kWorkers = 4;
constexpr uint64_t kEach = 4000;
constexpr int kKills = 60;

// In memory that outlives every process.
struct Board {
  std::array<std::array<std::atomic<uint32_t>, kProducers * kEach>, kWorkers> handled{};
};

int Produce(const std::string& path, uint64_t which) {
  auto bus = Bus::Open(path);
  auto topic = bus->OpenTopic(kTopic);
  auto producer = topic->NewProducer();
  for (uint64_t n = 0; n < kEach; ++n) {
    if (!producer->Publish(std::to_string(which * kEach + n)).ok()) return 1;
    if (n % 200 == 0) absl::SleepFor(absl::Milliseconds(1));  // a pace, not a condition: so that deaths fall in between
  }
  return 0;
}

ConsumerOptions OptionsOf(int worker) {
  ConsumerOptions options{.wait = Wait::kPark, .cursor = fmt::format("worker-{}", worker)};
  if (worker == 1) options.auto_commit = absl::ZeroDuration();
  if (worker == 2) options.auto_commit = absl::Milliseconds(2);
  return options;
}

// Each in its way: one record and a commit, by itself at each call or in intervals, a poll and a part of it.
int Work(const std::string& path, int worker, Board& board) {
  auto topic = OpenForReading(path);
  auto consumer = topic->NewConsumer(OptionsOf(worker));
  if (!consumer.ok()) return Complain("worker", consumer.status().ToString());
  auto& handled = board.handled[static_cast<size_t>(worker)];
  // Counted anew by each life: the one before may have died between a record and its count.
  auto count =
      static_cast<uint64_t>(std::count_if(handled.begin(), handled.end(), [](auto& times) { return times > 0; }));
  const auto handle = [&](const RecordView& record) {
    const uint64_t number = std::stoull(std::string(record.text()));
    if (handled[number]++ == 0) ++count;
  };
  while (count < handled.size()) {
    if (worker < 3) {
      const auto record = consumer->Next(absl::Seconds(60));
      if (!record.ok()) return Complain("worker", record.status().ToString());
      if (record->kind() == RecordKind::kData) handle(*record);
      if (worker == 0 && !consumer->Commit().ok()) return 2;
      continue;
    }
    const auto batch = consumer->Poll(10);
    if (!batch.ok()) return Complain("worker", batch.status().ToString());
    std::optional<Position> done;
    for (const RecordView& record : *batch) {
      handle(record);
      done = record.next_position();
      if (batch->size() > 7 && record.position() == (*batch)[6].position()) break;
    }
    if (done && !consumer->Commit(*done).ok()) return 3;
    if (done && !consumer->Seek(From::At(*done)).ok()) return 4;
  }
  return 0;
}

// What somebody sees who holds none of them.
void LookFromOutside(Topic& topic, const log::Log& log) {
  const auto needed = log::LowestNeeded(log);
  ASSERT_TRUE(needed.ok()) << needed.status();
  const auto cursors = topic.ListCursors();
  ASSERT_TRUE(cursors.ok()) << cursors.status();
  for (const CursorInfo& cursor : *cursors) {
    ASSERT_TRUE(cursor.problem.ok()) << cursor.problem;
    EXPECT_GE(cursor.position.offset, needed->value_or(0)) << "what was needed is needed still";
  }
}

TEST(Cursors, WorkersAreKilledWhileProducersGoOn) {
  std::mt19937_64 random(Seed("cursors"));
  std::fflush(stdout);  // or each child says it again
  const Scratch scratch(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  const std::string path = scratch / "bus";
  auto bus = Bus::Open(path, {.create = true});
  auto topic = bus->OpenTopic(kTopic, {.create = true, .segment_size = 65536});
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto log = log::Log::Open(path + "/" + kTopic, false);
  ASSERT_TRUE(log.ok()) << log.status();
  Shared<Board> board;
  std::vector<Child> producers;
  for (uint64_t i = 0; i < kProducers; ++i) producers.emplace_back([&, i] { return Produce(path, i); });
  std::vector<std::optional<Child>> workers(kWorkers);
  const auto start = [&](int i) { workers[static_cast<size_t>(i)].emplace([&, i] { return Work(path, i, *board); }); };
  for (int i = 0; i < kWorkers; ++i) start(i);
  for (int kills = 0; kills < kKills; ++kills) {
    absl::SleepFor(absl::Microseconds(random() % 8000));  // a random moment, not a condition
    const int victim = static_cast<int>(random() % kWorkers);
    workers[static_cast<size_t>(victim)]->Kill();
    workers[static_cast<size_t>(victim)].reset();
    start(victim);
    ASSERT_NO_FATAL_FAILURE(LookFromOutside(*topic, **log));
  }
  for (Child& producer : producers) EXPECT_EQ(producer.Join(), 0);
  for (auto& worker : workers) EXPECT_EQ(worker->Join(), 0);
  uint64_t twice = 0;
  for (const auto& handled : board->handled) {
    for (const auto& times : handled) {
      ASSERT_GE(times, 1u) << "a record was skipped";
      twice += times > 1 ? 1 : 0;
    }
  }
  fmt::print("cursors: kills {}, records {}, handled twice or more {}\n", kKills, kWorkers * kProducers * kEach, twice);
}

}  // namespace
}  // namespace libbus::test
