// Everything at once: an exclusive topic whose owner is killed and replaced, workers with a cursor that publish
// batches, a topic that deletes what it need not keep, a reader that waits on both topics; all of them killed at random
// while the others go on.
//
//   numbers (exclusive)  0, 1, 2, ... each once and in order, whoever owned the topic: an owner goes on behind the last
//                        number that is there.
//   results (shared)     what the worker made of them, in batches: a worker that was killed may do some again, and
//                        never leaves one out. Retention deletes behind the auditor's cursor.
//
// LIBBUS_BUDGET: how long it goes on (tests/support/proof.h).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

constexpr uint64_t kNone = ~uint64_t{0};
constexpr absl::Duration kSoon = absl::Milliseconds(20);
constexpr uint64_t kSegment = uint64_t{16} << 10;

// What the processes were told.
struct Told {
  std::atomic<bool> stop{false};       // nobody begins another number
  std::atomic<bool> ended{false};      // the last owner has left: `published` is final
  std::atomic<uint64_t> published{0};  // numbers acknowledged: 0 .. published - 1
  std::atomic<uint64_t> worked{0};     // results acknowledged up to here
  std::atomic<uint64_t> audited{0};    // numbers that the auditor's cursor is beyond
  std::atomic<uint64_t> watched{0};    // records that the waiting reader saw
  std::atomic<uint64_t> trims{0};
  std::atomic<bool> wrong{false};

  uint64_t Sum() const { return published + worked + audited + watched + trims; }
  std::string Describe() const {
    return fmt::format("published {}, worked {}, audited {}, watched {}, trims {}\n", published.load(), worked.load(),
                       audited.load(), watched.load(), trims.load());
  }
};

uint64_t NumberOf(const RecordView& record) { return std::strtoull(std::string(record.text()).c_str(), nullptr, 10); }

int Wrong(Told& told, std::string_view who, std::string_view what) {
  told.wrong = true;
  return Complain(who, what);
}

absl::StatusOr<Topic> OpenNumbers(const std::string& path) {
  auto bus = Bus::Open(path, {.create = true});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic("numbers", {.create = true, .segment_size = kSegment, .exclusive = true});
}

absl::StatusOr<Topic> OpenResults(const std::string& path) {
  auto bus = Bus::Open(path, {.create = true});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic("results", {.create = true, .segment_size = kSegment, .retain_bytes = 4 * kSegment});
}

// Opens what a process that was just killed may still hold: its locks go a moment after it.
template <typename F>
auto Insist(F open) {
  auto opened = open();
  WaitUntil([&] {
    if (absl::IsFailedPrecondition(opened.status())) opened = open();
    return !absl::IsFailedPrecondition(opened.status());
  });
  return opened;
}

// Behind the last number; there may be claims of the dead behind it, which are gaps by now.
absl::StatusOr<uint64_t> NextNumber(Topic& topic) {
  auto last = topic.NewConsumer({.from = From::Last(100)});
  if (!last.ok()) return last.status();
  for (uint64_t next = 0;;) {
    const auto record = last->Next(absl::ZeroDuration());
    if (absl::IsDeadlineExceeded(record.status())) return next;
    if (!record.ok()) return record.status();
    next = NumberOf(*record) + 1;
  }
}

// Owns the topic of numbers and goes on behind the last one.
int OwnerMain(const std::string& path, Told& told) {
  auto topic = OpenNumbers(path);
  if (!topic.ok()) return Wrong(told, "owner", topic.status().ToString());
  auto producer = Insist([&] { return topic->NewProducer({.name = "owner"}); });
  if (!producer.ok()) return Wrong(told, "owner", producer.status().ToString());
  auto next = NextNumber(*topic);
  if (!next.ok()) return Wrong(told, "owner", next.status().ToString());
  if (*next < told.published) return Wrong(told, "owner", fmt::format("{} is gone", told.published.load()));
  // The one before may have died between publishing a number and telling so.
  told.published = *next;
  for (uint64_t n = *next; !told.stop; ++n) {
    const auto position = producer->Publish(std::to_string(n));
    if (!position.ok()) return Wrong(told, "owner", position.status().ToString());
    told.published = n + 1;
    // Not faster than the worker by much: the test is not about a queue that grows.
    WaitUntil([&] { return told.stop || told.worked + 2000 > n; });
  }
  return 0;
}

// Reads numbers with a cursor and publishes a batch of results; only then the cursor moves.
int WorkerMain(const std::string& path, Told& told) {
  auto numbers = OpenNumbers(path);
  auto results = OpenResults(path);
  if (!numbers.ok() || !results.ok()) return Wrong(told, "worker", "cannot open");
  auto consumer = Insist([&] { return numbers->NewConsumer({.cursor = "worker"}); });
  if (!consumer.ok()) return Wrong(told, "worker", consumer.status().ToString());
  auto producer = results->NewProducer({.name = "worker"});
  if (!producer.ok()) return Wrong(told, "worker", producer.status().ToString());
  Batch batch = producer->NewBatch();
  for (uint64_t next = kNone;;) {
    const bool ended = told.ended;  // before the look: what comes out empty then stays so
    const auto records = consumer->Poll(10);
    if (!records.ok()) return Wrong(told, "worker", records.status().ToString());
    if (records->empty()) {
      if (ended) return 0;
      const auto one = WaitAny(std::vector<Consumer*>{&*consumer}, kSoon);
      if (!one.ok() && !absl::IsDeadlineExceeded(one.status())) return Wrong(told, "worker", one.status().ToString());
      continue;
    }
    uint64_t n = 0;
    for (const RecordView& record : *records) {
      n = NumberOf(record);
      if (next != kNone && n != next) return Wrong(told, "worker", fmt::format("{} instead of {}", n, next));
      next = n + 1;
      const absl::Status added = batch.Add(record.text(), {.source = record.position()});
      if (!added.ok()) return Wrong(told, "worker", added.ToString());
    }
    if (const auto done = batch.Commit(); !done.ok()) return Wrong(told, "worker", done.status().ToString());
    told.worked = std::max(told.worked.load(), n + 1);
    if (const absl::Status moved = consumer->Commit(); !moved.ok()) return Wrong(told, "worker", moved.ToString());
  }
}

// Reads results with a cursor: none is left out, and what the cursor needs is never deleted.
int AuditorMain(const std::string& path, Told& told) {
  auto results = OpenResults(path);
  if (!results.ok()) return Wrong(told, "auditor", results.status().ToString());
  auto consumer = Insist([&] { return results->NewConsumer({.cursor = "auditor"}); });
  if (!consumer.ok()) return Wrong(told, "auditor", consumer.status().ToString());
  for (uint64_t seen = 0;; ++seen) {
    const auto record = consumer->Next(kSoon);
    if (absl::IsDeadlineExceeded(record.status())) {
      if (told.ended && told.audited >= told.published) return 0;
      continue;
    }
    if (!record.ok()) return Wrong(told, "auditor", record.status().ToString());
    if (record->kind() == RecordKind::kGap) {
      return Wrong(told, "auditor",
                   fmt::format("a gap ({}) at {}", GapCauseName(record->gap().cause), record->position().offset));
    }
    const uint64_t n = NumberOf(*record);
    if (n > told.audited)
      return Wrong(told, "auditor", fmt::format("{} instead of at most {}", n, told.audited.load()));
    told.audited = std::max(told.audited.load(), n + 1);
    if (seen % 7 != 0 && !told.stop) continue;
    if (const absl::Status moved = consumer->Commit(); !moved.ok()) return Wrong(told, "auditor", moved.ToString());
  }
}

// Waits on both topics, from anywhere on; what was deleted before it got there is a gap, and nothing else is.
int WatcherMain(const std::string& path, Told& told) {
  auto bus = Bus::Open(path, {.read_only = true});
  if (!bus.ok()) return Wrong(told, "watcher", bus.status().ToString());
  std::vector<Consumer> consumers;
  for (const char* name : {"numbers", "results"}) {
    auto topic = bus->OpenTopic(name);
    if (!topic.ok()) return Wrong(told, "watcher", topic.status().ToString());
    auto consumer = topic->NewConsumer({.wait = Wait::kPark});
    if (!consumer.ok()) return Wrong(told, "watcher", consumer.status().ToString());
    consumers.push_back(*std::move(consumer));
  }
  const std::vector<Consumer*> all = {&consumers[0], &consumers[1]};
  while (!told.stop) {
    const auto ready = WaitAny(all, kSoon);
    if (absl::IsDeadlineExceeded(ready.status())) continue;
    if (!ready.ok()) return Wrong(told, "watcher", ready.status().ToString());
    const auto records = all[*ready]->Poll(100);
    if (!records.ok()) return Wrong(told, "watcher", records.status().ToString());
    for (const RecordView& record : *records) {
      ++told.watched;
      if (record.kind() == RecordKind::kData || record.gap().cause == GapCause::kEvicted) continue;
      return Wrong(told, "watcher", fmt::format("a gap ({})", GapCauseName(record.gap().cause)));
    }
  }
  return 0;
}

// Deletes what may be deleted, again and again.
int TrimmerMain(const std::string& path, Told& told) {
  auto results = OpenResults(path);
  if (!results.ok()) return Wrong(told, "trimmer", results.status().ToString());
  while (!told.stop) {
    const auto report = results->Trim(From::End());
    if (!report.ok()) return Wrong(told, "trimmer", report.status().ToString());
    ++told.trims;
    if (const absl::Status synced = results->Sync(); !synced.ok() && !absl::IsFailedPrecondition(synced)) {
      return Wrong(told, "trimmer", synced.ToString());
    }
  }
  return 0;
}

// `least`: deaths, in the short form.
void RunMixed(const std::string& parent, uint64_t least) {
  const Budget budget(0.5);
  std::mt19937_64 random(FlushedSeed("mixed"));
  const Scratch scratch(parent);
  const std::string path = scratch / "bus";
  Shared<Told> told;
  ASSERT_TRUE(OpenNumbers(path).ok());
  {
    // Its cursor is there before anything may be trimmed.
    auto results = OpenResults(path);
    ASSERT_TRUE(results.ok()) << results.status();
    ASSERT_TRUE(results->NewConsumer({.cursor = "auditor"}).ok());
  }
  const std::vector<std::function<int()>> roles = {
      [&] { return OwnerMain(path, *told); },   [&] { return WorkerMain(path, *told); },
      [&] { return AuditorMain(path, *told); }, [&] { return WatcherMain(path, *told); },
      [&] { return TrimmerMain(path, *told); },
  };
  std::vector<Child> children;
  for (const auto& role : roles) children.emplace_back(role);
  uint64_t kills = 0;
  for (; budget.More(kills, least, 2000) && !told->wrong; ++kills) {
    const uint64_t until = told->published + random() % 300;
    ASSERT_TRUE(WaitUntil([&] { return told->published >= until || told->wrong; })) << told->Describe();
    const size_t who = random() % roles.size();
    children[who].Signal(SIGKILL);
    EXPECT_EQ(children[who].Join(), -SIGKILL) << who;
    children[who] = Child(roles[who]);
  }
  const auto leave = [&](Child& child) {
    const int left = JoinWhileMoving(
        child, [&] { return told->Sum(); }, [&] { return told->Describe(); });
    EXPECT_EQ(left, 0);
  };
  told->stop = true;
  leave(children[0]);
  told->ended = true;
  for (size_t i = 1; i < children.size(); ++i) leave(children[i]);
  EXPECT_FALSE(told->wrong);
  EXPECT_EQ(told->audited, told->published);
  // Every number once and in order, whoever owned the topic.
  auto numbers = OpenNumbers(path);
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  auto consumer = numbers->NewConsumer({.to = From::End()});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  uint64_t next = 0;
  for (const RecordView& record : consumer->Records(absl::Seconds(20))) ASSERT_EQ(NumberOf(record), next++);
  EXPECT_EQ(next, told->published);
  const auto stats = OpenResults(path)->Stats();
  EXPECT_GT(stats->first.offset, kSegment) << "nothing was deleted";
  fmt::print("mixed: kills {}, {}", kills, told->Describe());
}

TEST(Mixed, EverybodyDiesNowAndThen) { RunMixed(FastParent(), 150); }

TEST(Mixed, OnTheUsualFileSystem) { RunMixed(UsualParent(), 60); }

}  // namespace
}  // namespace libbus::test
