// Each write and each flush that a disk is asked for fails in turn, once, on real file systems (faulty_disk.h): the
// first, the second, ... while a process publishes durably and plainly, rolls, writes an oversized record, syncs,
// commits a cursor durably and closes, and while another one opens the topic after it and publishes on. The first goes
// on after an error, or is killed by it, between the error and the mark.
//
// Then the page cache goes with the mount, the disk is well again and is mounted anew. What anybody was told to be
// durable is there byte for byte, whoever was told, before the error or after it; nothing is there that was not
// published; the cursor stands where it was durably committed, or later; `recover` brings the topic back, and
// publishing goes on.
//
// What the file system does with a failed request of its own is left to it: it may give the mount up (then nothing more
// is acknowledged), or not be mountable at all afterwards, which is counted. Not modelled: a write that fails and
// arrives in part; a disk that goes on failing (sync_error_test.cc).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "tests/crash/faulty_bus.h"
#include "tests/seam/seam.h"
#include "tests/support/proof.h"

namespace libbus::test {
namespace {

constexpr uint64_t kSegment = 16384;
constexpr uint32_t kMost = 64;

// What was published, at which position, and whether somebody was told that it is durable.
struct Ledger {
  struct Entry {
    uint64_t position = 0;  // 0: nobody was told
    uint64_t size = 0;
    bool durable = false;
  };
  std::array<Entry, kMost> entries = {};
  uint32_t count = 0;
  uint64_t cursor = 0;  // durably committed

  Entry& Add(size_t size) {
    entries.at(count).size = size;
    return entries.at(count++);
  }
};

// Which record this is, and all of its bytes.
std::string Payload(uint32_t number, size_t size) {
  std::string text = fmt::format("record {} ", number);
  text.resize(std::max(size, text.size()), static_cast<char>('a' + number % 26));
  return text;
}

class KilledByTheError : public platform::SeamWatcher {
 public:
  void AfterSync(int /*fd*/, int error) override {
    if (error != 0) raise(SIGKILL);
  }
};

absl::StatusOr<Topic> Open(const std::string& path) {
  auto bus = Bus::Open(path, {.create = true, .background = false});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic("t", {.create = true, .segment_size = kSegment});
}

// One process's work: whatever is refused is refused, and it goes on with the next.
class Work {
 public:
  Work(const std::string& path, Ledger& ledger) : path_(path), ledger_(ledger) {}

  void Run(int rounds) {
    auto topic = Open(path_);
    if (!topic.ok()) return;
    auto producer = topic->NewProducer();
    if (!producer.ok()) return;
    for (int i = 0; i < rounds; ++i) {
      Publish(*producer, 3000, true);
      Publish(*producer, 100, false);
      SyncAll(*topic);
    }
    Publish(*producer, kSegment + 5000, true);
    CommitCursor(*topic);
    Publish(*producer, 200, true);
  }

 private:
  void Publish(Producer& producer, size_t size, bool durable) {
    const std::string text = Payload(ledger_.count, size);
    // Noted first: whoever is killed in between has published it perhaps. Where it is refused its place is not told.
    Ledger::Entry& entry = ledger_.Add(text.size());
    const auto position = producer.Publish(text, {.durable = durable});
    if (!position.ok()) return;
    entry.position = position->offset;
    entry.durable = durable;
  }

  void SyncAll(Topic& topic) {
    if (!topic.Sync().ok()) return;
    for (uint32_t i = 0; i < ledger_.count; ++i) {
      // One that was not acknowledged may not have been published at all.
      if (ledger_.entries.at(i).position != 0) ledger_.entries.at(i).durable = true;
    }
  }

  void CommitCursor(Topic& topic) {
    auto consumer = topic.NewConsumer({.cursor = "c", .durable_commits = true});
    if (!consumer.ok()) return;
    for (int i = 0; i < 3; ++i) {
      const auto record = consumer->Next(absl::ZeroDuration());
      if (!record.ok()) return;
    }
    if (consumer->Commit().ok()) ledger_.cursor = consumer->position().offset;
  }

  const std::string& path_;
  Ledger& ledger_;
};

class SyncErrorSweepTest : public FaultyBusTest {
 protected:
  void SetUp() override {}  // each case has a disk of its own

  // Every request on this file system, in the short form about `sample` of them.
  void Sweep(FileSystem file_system, uint64_t sample);

 private:
  // Request `n` fails. False: there were fewer.
  bool FailOne(uint64_t n, bool killed);
  void Check(const Ledger& ledger, const std::string& what);
  void CheckRecords(Topic& topic, const Ledger& ledger, const std::string& what);

  const Shared<Figures> shared_;  // with the processes that look
  Figures& figures_ = *shared_;
  FileSystem file_system_ = FileSystem::kExt4;
  uint64_t unmountable_ = 0;
};

void SyncErrorSweepTest::CheckRecords(Topic& topic, const Ledger& ledger, const std::string& what) {
  std::map<uint64_t, std::string> found;
  auto consumer = topic.NewConsumer({.to = From::End()});
  ASSERT_TRUE(Succeeds(consumer)) << what;
  for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
    if (record.kind() == RecordKind::kData) found[record.position().offset] = std::string(record.text());
  }
  EXPECT_EQ(consumer->status().code(), absl::StatusCode::kOutOfRange) << what << ": " << consumer->status();
  for (uint32_t i = 0; i < ledger.count; ++i) {
    const Ledger::Entry& entry = ledger.entries.at(i);
    const auto at = found.find(entry.position);
    const bool there = at != found.end() && at->second == Payload(i, entry.size);
    if (entry.durable && !there) {
      ++figures_.lost;
      ADD_FAILURE() << what << ": record " << i << " at " << entry.position << " was durable and is gone";
    }
  }
  for (const auto& [position, text] : found) {
    ++figures_.records;
    uint32_t number = 0;
    const bool ours = std::sscanf(text.c_str(), "record %u ", &number) == 1 && number < ledger.count &&
                      text == Payload(number, ledger.entries.at(number).size);
    if (!ours && text != "after recovery") {
      ++figures_.phantom;
      ADD_FAILURE() << what << ": at " << position << ": " << Abbreviated(text);
    }
  }
}

void SyncErrorSweepTest::Check(const Ledger& ledger, const std::string& what) {
  {
    auto topic = Open(path_);
    ASSERT_TRUE(Succeeds(topic)) << what;
    CheckRecords(*topic, ledger, what);
    if (ledger.cursor != 0) {
      const auto cursors = topic->ListCursors();
      ASSERT_TRUE(Succeeds(cursors)) << what;
      ASSERT_EQ(cursors->size(), 1u) << what;
      EXPECT_GE(cursors->front().position.offset, ledger.cursor) << what;
    }
  }
  const auto report = RecoverTopic(path_, "t", {.apply = true});
  ASSERT_TRUE(Succeeds(report)) << what;
  auto topic = Open(path_);
  ASSERT_TRUE(Succeeds(topic)) << what;
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer)) << what;
  EXPECT_TRUE(Succeeds(producer->Publish("after recovery", {.durable = true}))) << what;
  CheckRecords(*topic, ledger, what);
}

bool SyncErrorSweepTest::FailOne(uint64_t n, bool killed) {
  const std::string what =
      fmt::format("{}, request {}, {}", FileSystemName(file_system_), n, killed ? "killed" : "told");
  EXPECT_TRUE(Succeeds(disk_->Record()));
  EXPECT_TRUE(Succeeds(disk_->Mount()));
  const auto before = disk_->Stats();
  EXPECT_TRUE(Succeeds(disk_->FailRequest(n)));
  const Shared<Ledger> ledger;
  const int code = Child([&] {
                     static KilledByTheError watcher;
                     if (killed) platform::seam_control.watcher = &watcher;
                     Work(path_, *ledger).Run(3);
                     return 0;
                   }).Join();
  EXPECT_TRUE(code == 0 || (killed && code == -SIGKILL)) << what << ": " << code;
  EXPECT_EQ(Child([&] {
              Work(path_, *ledger).Run(1);
              return 0;
            }).Join(),
            0)
      << what;
  const auto after = disk_->Stats();
  EXPECT_TRUE(Succeeds(disk_->Unmount())) << what;
  EXPECT_TRUE(Succeeds(disk_->Heal()));
  const bool hit = after.ok() && before.ok() &&
                   after->failed_writes + after->failed_flushes > before->failed_writes + before->failed_flushes;
  if (disk_->Mount().ok()) {
    InNewProcess([&] { Check(*ledger, what); });
    EXPECT_TRUE(Succeeds(disk_->Unmount())) << what;
  } else {
    ++unmountable_;
  }
  EXPECT_TRUE(Succeeds(disk_->Drop()));
  figures_.points += hit ? 1 : 0;
  return hit;
}

void SyncErrorSweepTest::Sweep(FileSystem file_system, uint64_t sample) {
  if (const std::string missing = FaultyDisk::WhyNot(file_system); !missing.empty()) GTEST_SKIP() << missing;
  file_system_ = file_system;
  MakeDisk({.file_system = file_system});
  InNewProcess([&] { ASSERT_TRUE(Succeeds(Open(path_))); });
  ASSERT_TRUE(Succeeds(disk_->Unmount()));
  const ReportAtEnd report("sync-error-" + FileSystemName(file_system), figures_);
  const Budget budget(1.0 / 3);
  figures_.seed = Seed("SyncErrorSweepTest");
  // In the short form some, from a random one on.
  const uint64_t step = budget.long_form() ? 1 : 7;
  const uint64_t first = budget.long_form() ? 1 : 1 + figures_.seed % step;
  for (uint64_t n = first; budget.More(figures_.points, sample, UINT64_MAX) && !HasFailure(); n += step) {
    const bool told = FailOne(n, false);
    if (!told || HasFailure()) break;
    FailOne(n, true);
  }
  EXPECT_LE(unmountable_, 1 + figures_.points / 20);
  EXPECT_GT(figures_.points, 0u);
  fmt::print("sync-error-{}: images that the file system refused: {}\n", FileSystemName(file_system), unmountable_);
}

TEST_F(SyncErrorSweepTest, OnExt4) { Sweep(FileSystem::kExt4, 12); }
TEST_F(SyncErrorSweepTest, OnXfs) { Sweep(FileSystem::kXfs, 4); }
TEST_F(SyncErrorSweepTest, OnBtrfs) { Sweep(FileSystem::kBtrfs, 4); }

}  // namespace
}  // namespace libbus::test
