// What runs on a disk before its power fails, each in processes of its own, at the same time on one file system:
//
//   two writers   durable publishes among others, batches, claims, syncs, waits; small segments, so that they roll. Now
//                 and then such a process is killed at any point of the library, or closes, and another goes on
//   a consumer    of what is durable, by a named cursor that is committed durably; deletes what lies far behind it
//   a database    SQLite, write-ahead log, synchronous=FULL: transactions of one or more rows
//   the control   publishes to a topic of its own without a sync, and takes that for durable: what a harness that can
//                 find loss must find
//   the kernel    begins to write here and there, without a flush: pages arrive before anybody asked for them
//
// They go on until the disk was asked for so many requests. All of them note in the ledger what was acknowledged, with
// the number of the disk's log after it.
#ifndef LIBBUS_TESTS_CRASH_DISK_WORKLOAD_H_
#define LIBBUS_TESTS_CRASH_DISK_WORKLOAD_H_

#include <absl/status/status.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/platform/status.h"
#include "tests/crash/disk_ledger.h"
#include "tests/crash/faulty_disk.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/support/sqlite.h"

namespace libbus::test {

inline constexpr uint64_t kDiskSegment = 64 << 10;
// In DiskPayload, beside the writers.
inline constexpr uint32_t kFirstRecovery = 4;
inline constexpr uint32_t kSecondRecovery = 5;
inline constexpr uint32_t kControlWriter = 6;
inline constexpr uint32_t kRowWriter = 7;

// A process that dies with the one that made it: nothing keeps the mounts of a test that was killed.
inline Child Process(const std::function<absl::Status()>& body) {
  const pid_t parent = getpid();
  return Child([&] {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) return 2;
    const absl::Status status = body();
    if (!status.ok()) fmt::print(stderr, "{}\n", status.ToString());
    return status.ok() ? 0 : 1;
  });
}

// What every process of the workload has.
class DiskWorker {
 public:
  DiskWorker(const FaultyDisk& disk, DiskLedger& ledger, uint64_t limit, uint64_t seed)
      : disk_(disk), ledger_(ledger), limit_(limit), random_(seed) {}

 protected:
  uint64_t Now() const { return disk_.LogNumber(); }
  bool More() const { return Now() < limit_; }
  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Chance(uint64_t of) { return Below(of) == 0; }
  std::string BusPath() const { return disk_.path() + "/bus"; }

  // Most often few bytes; at times more than a segment.
  uint32_t RandomSize() {
    const uint64_t kind = Below(64);
    if (kind == 0) return static_cast<uint32_t>(kDiskSegment + Below(kDiskSegment));
    return static_cast<uint32_t>(Below(kind < 4 ? 20000 : kind < 20 ? 3000 : 300));
  }

  const FaultyDisk& disk_;
  DiskLedger& ledger_;
  const uint64_t limit_;
  std::mt19937_64 random_;
};

class DiskWriter : public DiskWorker {
 public:
  DiskWriter(const FaultyDisk& disk, DiskLedger& ledger, uint64_t limit, uint64_t seed, uint32_t number)
      : DiskWorker(disk, ledger, limit, seed), number_(number), pages_(ledger.records[number]) {}

  // Life after life.
  absl::Status Run() {
    while (More() && !pages_.full()) {
      const uint64_t seed = random_();
      const int code = Process([&] {
                         random_.seed(seed);
                         return Live();
                       }).Join();
      if (code != 0 && code != -SIGKILL) return absl::InternalError(fmt::format("a writer ended with {}", code));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Live() {
    LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(BusPath(), {.background = Chance(2)}));
    LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("t"));
    LIBBUS_ASSIGN_OR_RETURN(Producer producer, topic.NewProducer());
    if (Chance(3)) platform::seam_control.kill_at = platform::seam_control.points + 1 + Below(600);
    for (uint64_t steps = 20 + Below(100); steps > 0 && More() && !pages_.full(); --steps) {
      absl::Status status = Step(topic, producer);
      // Who does not run for a while is revoked: nothing was published.
      if (!status.ok() && !absl::IsAborted(status)) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Step(Topic& topic, Producer& producer) {
    switch (Below(16)) {
      case 0:
        return Sync(topic);
      case 1:
        return WaitForOne(topic);
      case 2:
        return topic.Maintain();
      case 3:
      case 4:
        return PublishBatch(producer);
      case 5:
      case 6:
        return PublishClaim(producer);
      default:
        return Publish(producer, Chance(3));
    }
  }

  absl::Status Publish(Producer& producer, bool durable) {
    const uint32_t index = pages_.count;
    DiskEntry& entry = pages_.Begin(RandomSize(), Now());
    LIBBUS_ASSIGN_OR_RETURN(const Position position, producer.Publish(Payload(index), {.durable = durable}));
    Committed(entry, position.offset, Now(), durable);
    return absl::OkStatus();
  }

  absl::Status PublishBatch(Producer& producer) {
    const bool durable = Chance(3);
    const uint32_t from = pages_.count;
    const uint64_t began = Now();
    for (uint64_t n = 1 + Below(8); n > 0; --n) pages_.Begin(RandomSize() % 4000, began, from + 1);
    Batch batch = producer.NewBatch();
    for (uint32_t i = from; i < pages_.count; ++i) {
      LIBBUS_RETURN_IF_ERROR(batch.Add(Payload(i), {.durable = durable && i == from}));
    }
    LIBBUS_ASSIGN_OR_RETURN(const Position first, batch.Commit());
    const uint64_t now = Now();
    uint64_t position = first.offset;
    for (uint32_t i = from; i < pages_.count; ++i) {
      Committed(pages_.entries[i], position, now, durable);
      position += (24 + uint64_t{pages_.entries[i].size} + 7) / 8 * 8;
    }
    return absl::OkStatus();
  }

  absl::Status PublishClaim(Producer& producer) {
    const bool durable = Chance(3);
    const uint32_t size = RandomSize();
    LIBBUS_ASSIGN_OR_RETURN(ClaimedRecord claim,
                            producer.Claim(size + (Chance(2) ? Below(300) : 0), {.durable = durable}));
    if (Chance(8)) return std::move(claim).Abandon();
    const uint32_t index = pages_.count;
    DiskEntry& entry = pages_.Begin(size, Now());
    const std::string payload = Payload(index);
    std::memcpy(claim.bytes().data(), payload.data(), size);
    LIBBUS_ASSIGN_OR_RETURN(const Position position, std::move(claim).Commit(size));
    Committed(entry, position.offset, Now(), durable);
    return absl::OkStatus();
  }

  absl::Status Sync(Topic& topic) {
    const uint32_t before = pages_.count;
    LIBBUS_RETURN_IF_ERROR(topic.Sync());
    const uint64_t now = Now();
    for (uint32_t i = 0; i < before; ++i) {
      DiskEntry& entry = pages_.entries[i];
      if (entry.position != kUnknown) entry.durable = std::min(entry.durable, now);
    }
    return absl::OkStatus();
  }

  // Of what was committed lately, one.
  absl::Status WaitForOne(Topic& topic) {
    if (pages_.count == 0) return absl::OkStatus();
    DiskEntry& entry = pages_.entries[pages_.count - 1 - Below(std::min(pages_.count, 8u))];
    if (entry.position == kUnknown) return absl::OkStatus();
    LIBBUS_RETURN_IF_ERROR(topic.WaitDurable(Position{entry.position}));
    entry.durable = std::min(entry.durable, Now());
    return absl::OkStatus();
  }

  std::string Payload(uint32_t index) const {
    return DiskPayload(ledger_.seed, number_, index, pages_.entries[index].size);
  }
  static void Committed(DiskEntry& entry, uint64_t position, uint64_t now, bool durable) {
    entry.committed = now;
    if (durable) entry.durable = now;
    entry.position = position;
  }

  const uint32_t number_;
  DiskPages& pages_;
};

class DiskConsumer : public DiskWorker {
 public:
  using DiskWorker::DiskWorker;

  absl::Status Run() {
    LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(BusPath(), {.background = false}));
    LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("t"));
    LIBBUS_ASSIGN_OR_RETURN(
        Consumer consumer,
        topic.NewConsumer({.gaps = Gaps::kAll, .limit = Limit::kDurable, .cursor = "c", .durable_commits = true}));
    while (More()) {
      const auto record = consumer.Next(absl::Milliseconds(2));
      if (record.status().code() == absl::StatusCode::kDeadlineExceeded) continue;
      LIBBUS_RETURN_IF_ERROR(record.status());
      if (record->kind() == RecordKind::kData) {
        ledger_.seen.Begin(record->position().offset, 0).done = Now();
        read_.push_back(record->position().offset);
      }
      if (Chance(30)) LIBBUS_RETURN_IF_ERROR(Commit(consumer));
      if (Chance(200) && !read_.empty()) LIBBUS_RETURN_IF_ERROR(Trim(topic));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Commit(Consumer& consumer) {
    DiskMark& mark = ledger_.commits.Begin(consumer.position().offset, Now());
    LIBBUS_RETURN_IF_ERROR(consumer.Commit());
    mark.done = Now();
    return absl::OkStatus();
  }

  // Before a record that was read a while ago.
  absl::Status Trim(Topic& topic) {
    const Position before{read_[read_.size() / 2]};
    DiskMark& mark = ledger_.trims.Begin(before.offset, Now());
    LIBBUS_RETURN_IF_ERROR(topic.Trim(From::At(before)).status());
    mark.done = Now();
    return absl::OkStatus();
  }

  std::vector<uint64_t> read_;  // positions
};

class DiskDatabase : public DiskWorker {
 public:
  using DiskWorker::DiskWorker;
  static std::string Path(const FaultyDisk& disk) { return disk.path() + "/rows.db"; }

  static absl::Status Make(const FaultyDisk& disk) {
    LIBBUS_ASSIGN_OR_RETURN(const auto database, Sqlite::Open(Path(disk)));
    LIBBUS_RETURN_IF_ERROR(database->Run("PRAGMA journal_mode=WAL"));
    return database->Run("CREATE TABLE rows (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)");
  }

  absl::Status Run() {
    LIBBUS_ASSIGN_OR_RETURN(const auto database, Sqlite::Open(Path(disk_)));
    LIBBUS_RETURN_IF_ERROR(database->Run("PRAGMA synchronous=FULL"));
    LIBBUS_RETURN_IF_ERROR(database->Run("PRAGMA wal_autocheckpoint=40"));
    while (More() && !ledger_.rows.full()) LIBBUS_RETURN_IF_ERROR(Insert(*database));
    return absl::OkStatus();
  }

 private:
  absl::Status Insert(Sqlite& database) {
    DiskPages& rows = ledger_.rows;
    const uint32_t from = rows.count;
    const uint64_t began = Now();
    for (uint64_t n = Chance(3) ? 1 + Below(5) : 1; n > 0; --n) {
      DiskEntry& row = rows.Begin(RandomSize() % 6000, began, from + 1);
      row.position = rows.count;  // from 1
    }
    LIBBUS_RETURN_IF_ERROR(database.Run("BEGIN"));
    for (uint32_t i = from; i < rows.count; ++i) {
      const std::string bytes = DiskPayload(ledger_.seed, kRowWriter, i, rows.entries[i].size);
      LIBBUS_RETURN_IF_ERROR(database.Run("INSERT INTO rows VALUES (?1, ?2)", i + 1, bytes));
    }
    LIBBUS_RETURN_IF_ERROR(database.Run("COMMIT"));
    const uint64_t now = Now();
    for (uint32_t i = from; i < rows.count; ++i) rows.entries[i].committed = rows.entries[i].durable = now;
    return absl::OkStatus();
  }
};

class DiskControl : public DiskWorker {
 public:
  using DiskWorker::DiskWorker;

  absl::Status Run() {
    LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(BusPath(), {.background = false}));
    LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("control"));
    LIBBUS_ASSIGN_OR_RETURN(Producer producer, topic.NewProducer());
    for (uint64_t last = 0; More() && !ledger_.control.full();) {
      const uint64_t began = Now();
      if (began < last + 5) {  // as often as the others
        usleep(100);
        continue;
      }
      last = began;
      const uint32_t index = ledger_.control.count;
      DiskEntry& entry = ledger_.control.Begin(RandomSize() % 600, began);
      LIBBUS_ASSIGN_OR_RETURN(const Position position,
                              producer.Publish(DiskPayload(ledger_.seed, kControlWriter, index, entry.size)));
      entry.committed = entry.durable = Now();
      entry.position = position.offset;
    }
    return absl::OkStatus();
  }
};

// Begins to write a random part of a random file, and does not wait for it.
class DiskKernel : public DiskWorker {
 public:
  using DiskWorker::DiskWorker;

  absl::Status Run() {
    while (More()) {
      usleep(200);
      // Seldom the control's: that is to be seen to lose.
      Start(BusPath() + (Chance(50) ? "/control" : "/t"));
    }
    return absl::OkStatus();
  }

 private:
  void Start(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) files.push_back(entry.path());
    if (files.empty()) return;
    const int fd = open(files[Below(files.size())].c_str(), O_RDONLY | O_CLOEXEC);
    struct stat found = {};
    if (fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0) {
      const auto pages = static_cast<uint64_t>(found.st_size) / 4096 + 1;
      sync_file_range(fd, static_cast<off_t>(4096 * Below(pages)), static_cast<off_t>(4096 * (1 + Below(8))),
                      SYNC_FILE_RANGE_WRITE);
    }
    if (fd >= 0) close(fd);
  }
};

// The topics and the database, on the disk.
inline absl::Status MakeDiskTopics(const FaultyDisk& disk) {
  LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(disk.path() + "/bus", {.create = true, .background = false}));
  LIBBUS_RETURN_IF_ERROR(bus.OpenTopic("t", {.create = true, .segment_size = kDiskSegment}).status());
  LIBBUS_RETURN_IF_ERROR(bus.OpenTopic("control", {.create = true, .segment_size = 4 << 20}).status());
  return DiskDatabase::Make(disk);
}

// Runs all of it, from this process, until the disk's log has `limit` requests. OK: everybody ended as meant.
inline absl::Status RunDiskWorkload(const FaultyDisk& disk, DiskLedger& ledger, uint64_t limit, uint64_t seed) {
  ledger.seed = seed;
  std::vector<Child> all;
  for (uint32_t i = 0; i < DiskLedger::kWriters; ++i) {
    all.push_back(Process([&] { return DiskWriter(disk, ledger, limit, seed + i, i).Run(); }));
  }
  all.push_back(Process([&] { return DiskConsumer(disk, ledger, limit, seed + 10).Run(); }));
  all.push_back(Process([&] { return DiskDatabase(disk, ledger, limit, seed + 11).Run(); }));
  all.push_back(Process([&] { return DiskControl(disk, ledger, limit, seed + 12).Run(); }));
  all.push_back(Process([&] { return DiskKernel(disk, ledger, limit, seed + 13).Run(); }));
  absl::Status status;
  for (Child& child : all) {
    const int code = child.Join();
    if (code != 0) status.Update(absl::InternalError(fmt::format("a process of the workload ended with {}", code)));
  }
  return status;
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_DISK_WORKLOAD_H_
