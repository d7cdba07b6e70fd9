// What must be true on a disk after a power cut, whatever the image: looked at by a fresh process.
#ifndef LIBBUS_TESTS_CRASH_DISK_CHECK_H_
#define LIBBUS_TESTS_CRASH_DISK_CHECK_H_

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/platform/status.h"
#include "tests/crash/disk_ledger.h"
#include "tests/crash/disk_workload.h"
#include "tests/crash/faulty_disk.h"
#include "tests/seam/seam.h"
#include "tests/support/sqlite.h"

namespace libbus::test {

// Of one column of the table: the bus, the database, the control.
struct DiskColumn {
  uint64_t acknowledged = 0;  // looked for
  uint64_t lost = 0;          // of these: gone or different
  uint64_t phantom = 0;       // there, and never written, or not yet
  uint64_t parted = 0;        // batches, transactions, of which a part is there
  uint64_t records = 0;       // read and compared
  uint64_t missing = 0;       // committed, not acknowledged, and gone: allowed
  uint64_t silent = 0;        // gone, and no gap says so

  void Add(const DiskColumn& other) {
    acknowledged += other.acknowledged;
    lost += other.lost;
    phantom += other.phantom;
    parted += other.parted;
    records += other.records;
    missing += other.missing;
    silent += other.silent;
  }
};

// Of one image, in shared memory.
struct DiskFindings {
  DiskColumn bus;
  DiskColumn database;
  DiskColumn control;
  uint64_t changed = 0;  // read twice, and not the same
  uint64_t reused = 0;   // positions used twice
  uint64_t refused = 0;  // something failed that must not
  double recovery_ms = 0;
  std::array<char, 4096> messages{};

  void Say(std::string_view what) {
    const std::string_view have(messages.data());
    if (have.size() + what.size() + 2 > messages.size()) return;
    std::snprintf(&messages[have.size()], messages.size() - have.size(), "%.*s\n", static_cast<int>(what.size()),
                  what.data());
  }
};

// A record or gap as it was read.
struct DiskSeen {
  bool gap = false;
  uint64_t position = 0;
  uint64_t next = 0;
  std::string payload;
  friend bool operator==(const DiskSeen&, const DiskSeen&) = default;
};
using DiskReading = std::vector<DiskSeen>;

class DiskCheck {
 public:
  // After `cut`. What it does itself goes to `recovery`.
  DiskCheck(const FaultyDisk& disk, const DiskLedger& ledger, uint64_t cut, DiskRecovery& recovery,
            DiskFindings& findings)
      : disk_(disk), ledger_(ledger), cut_(cut), recovery_(recovery), findings_(findings) {}

  // There was a cut before it, and this is what who recovered from that has done until `cut`.
  void Second(const DiskRecovery& before, uint64_t cut) {
    before_ = &before;
    second_cut_ = cut;
  }

  // `another_boot`: which; 0: the disk was pulled out, and this is the boot of before.
  void Run(uint32_t another_boot, uint64_t seed) {
    platform::seam_control.boot_id = another_boot;
    same_boot_ = another_boot == 0;
    random_.seed(seed);
    Note(CheckBus());
    Note(CheckControl());
    Note(CheckDatabase());
  }

 private:
  void Note(const absl::Status& status) {
    if (status.ok()) return;
    ++findings_.refused;
    findings_.Say("refused: " + status.ToString());
  }
  void Wrong(uint64_t& count, std::string_view kind, const std::string& what) {
    if (++count <= 3) findings_.Say(fmt::format("{}: {}", kind, what));
  }
  static std::string Text(const DiskSeen& seen) {
    return seen.gap ? fmt::format("gap {}..{}", seen.position, seen.next)
                    : fmt::format("record of {} bytes at {}", seen.payload.size(), seen.position);
  }

  // --- the bus

  absl::Status CheckBus() {
    DiskFacts facts;
    facts.Add(ledger_, cut_);
    if (before_ != nullptr) facts.Add(ledger_.seed, *before_, kFirstRecovery, second_cut_);
    DiskReading before;
    if (random_() % 3 == 0) LIBBUS_RETURN_IF_ERROR(ReadOnly(facts, before));
    DiskReading recovered;
    LIBBUS_RETURN_IF_ERROR(Recover(facts, before, recovered));
    DiskReading twice;
    LIBBUS_ASSIGN_OR_RETURN(Topic topic, OpenTopic("t", false));
    LIBBUS_RETURN_IF_ERROR(ReadAll(topic, twice));
    if (twice != after_) Wrong(findings_.changed, "changed", "opened again: " + Difference(after_, twice));
    return absl::OkStatus();
  }

  absl::StatusOr<Topic> OpenTopic(const std::string& name, bool read_only) const {
    LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(disk_.path() + "/bus", {.read_only = read_only, .background = false}));
    return bus.OpenTopic(name);
  }

  static absl::Status ReadAll(Topic& topic, DiskReading& reading) {
    LIBBUS_ASSIGN_OR_RETURN(Consumer consumer, topic.NewConsumer({.to = From::End(), .gaps = Gaps::kAll}));
    for (;;) {
      const auto record = consumer.Next(absl::ZeroDuration());
      if (record.status().code() == absl::StatusCode::kOutOfRange) return absl::OkStatus();
      LIBBUS_RETURN_IF_ERROR(record.status());
      const bool gap = record->kind() == RecordKind::kGap;
      reading.push_back({gap, record->position().offset, record->next_position().offset,
                         gap ? std::string() : std::string(record->text())});
    }
  }

  // Before anybody recovered: what is read is read afterwards as well. But within one boot a reader does not know that
  // the disk was pulled out: it sees what the recovery then seals off, and may stand before a claim of somebody dead.
  absl::Status ReadOnly(const DiskFacts& facts, DiskReading& reading) {
    auto topic = OpenTopic("t", true);
    if (topic.status().code() == absl::StatusCode::kFailedPrecondition) return absl::OkStatus();
    LIBBUS_RETURN_IF_ERROR(topic.status());
    const absl::Status status = ReadAll(*topic, reading);
    DiskColumn ignored;
    JudgeRead(facts, reading, findings_.bus.phantom, ignored);
    if (same_boot_) reading.clear();
    if (same_boot_ && status.code() == absl::StatusCode::kDeadlineExceeded) return absl::OkStatus();
    return status.code() == absl::StatusCode::kFailedPrecondition ? absl::OkStatus() : status;
  }

  absl::Status Recover(const DiskFacts& facts, const DiskReading& before, DiskReading& recovered) {
    const auto start = std::chrono::steady_clock::now();
    LIBBUS_ASSIGN_OR_RETURN(Topic topic, OpenTopic("t", false));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    findings_.recovery_ms = took.count();
    LIBBUS_RETURN_IF_ERROR(ReadAll(topic, recovered));
    for (const DiskSeen& seen : recovered) {
      if (!seen.gap) recovery_.Found(seen.position);
    }
    recovery_.recovered = disk_.LogNumber();
    Judge(facts, recovered, findings_.bus);
    CheckKept(before, recovered, "read before the recovery");
    LIBBUS_RETURN_IF_ERROR(CheckCursor(topic, facts));
    return GoOn(topic, facts, recovered);
  }

  // What was handed out stays as it was; gaps may be told as one.
  void CheckKept(const DiskReading& before, const DiskReading& after, const std::string& when) {
    auto next = after.begin();
    for (const DiskSeen& seen : before) {
      if (seen.gap) continue;
      next = std::find_if(next, after.end(), [](const DiskSeen& other) { return !other.gap; });
      if (next == after.end()) return Wrong(findings_.changed, "changed", when + ": " + Text(seen) + " is gone");
      if (*next != seen) {
        return Wrong(findings_.changed, "changed", fmt::format("{}: {} was {}", when, Text(*next), Text(seen)));
      }
      ++next;
    }
  }

  static std::string Difference(const DiskReading& a, const DiskReading& b) {
    const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    return fmt::format("{} was {}", in_b == b.end() ? "nothing" : Text(*in_b),
                       in_a == a.end() ? "nothing" : Text(*in_a));
  }

  void Judge(const DiskFacts& facts, const DiskReading& reading, DiskColumn& column) {
    JudgeRead(facts, reading, column.phantom, column);
    std::map<uint64_t, const DiskSeen*> read;
    for (const DiskSeen& seen : reading) {
      if (!seen.gap) read[seen.position] = &seen;
    }
    std::map<uint32_t, std::pair<uint64_t, uint64_t>> batches;  // there, missing
    for (const auto& [position, fact] : facts.at) {
      const bool there = read.contains(position);
      if (position < facts.trimmed) continue;
      if (fact.batch != 0) ++(there ? batches[fact.batch].first : batches[fact.batch].second);
      column.acknowledged += fact.must ? 1 : 0;
      if (!there) JudgeMissing(position, fact, reading, column);
    }
    for (const auto& [number, count] : batches) {
      if (count.first == 0 || count.second == 0) continue;
      Wrong(column.parted, "parted",
            fmt::format("{} of {} records of a batch", count.first, count.first + count.second));
    }
  }

  // Every record that was read was published, there, and before the cut; in the order of its writer.
  void JudgeRead(const DiskFacts& facts, const DiskReading& reading, uint64_t& phantom, DiskColumn& column) {
    std::multiset<std::string> open = facts.open;
    std::map<uint32_t, uint32_t> last;
    for (const DiskSeen& seen : reading) {
      if (seen.gap) continue;
      ++column.records;
      const auto fact = facts.at.find(seen.position);
      if (fact == facts.at.end() || fact->second.payload != seen.payload) {
        const auto nobody_told = open.find(seen.payload);
        if (nobody_told == open.end()) {
          Wrong(phantom, "phantom", Text(seen));
        } else {
          open.erase(nobody_told);
        }
        continue;
      }
      if (!fact->second.may) Wrong(phantom, "phantom", Text(seen) + ": published after the cut");
      uint32_t& index = last[fact->second.writer];
      if (fact->second.index + 1 <= index) Wrong(phantom, "phantom", Text(seen) + ": out of order");
      index = fact->second.index + 1;
    }
  }

  void JudgeMissing(uint64_t position, const DiskFact& fact, const DiskReading& reading, DiskColumn& column) {
    const std::string what =
        fmt::format("record {} of writer {}, {} bytes at {}", fact.index, fact.writer, fact.payload.size(), position);
    if (fact.must) Wrong(column.lost, "lost", what);
    if (!fact.told) return;
    column.missing += fact.must ? 0 : 1;
    const bool gap = std::any_of(reading.begin(), reading.end(), [&](const DiskSeen& seen) {
      return seen.gap && seen.position <= position && position < seen.next;
    });
    if (!gap) Wrong(column.silent, "silent", what);
  }

  absl::Status CheckCursor(Topic& topic, const DiskFacts& facts) {
    if (facts.cursor == 0) return absl::OkStatus();
    LIBBUS_ASSIGN_OR_RETURN(const std::vector<CursorInfo> cursors, topic.ListCursors());
    ++findings_.bus.acknowledged;
    const auto cursor = std::find_if(cursors.begin(), cursors.end(), [](const CursorInfo& c) { return c.name == "c"; });
    if (cursor == cursors.end()) {
      Wrong(findings_.bus.lost, "lost", fmt::format("the cursor, committed at {}", facts.cursor));
    } else if (!cursor->problem.ok() || cursor->position.offset < facts.cursor) {
      Wrong(findings_.bus.lost, "lost",
            fmt::format("the cursor, committed at {}, stands at {}: {}", facts.cursor, cursor->position.offset,
                        cursor->problem.ToString()));
    }
    return absl::OkStatus();
  }

  // Publishes a few more and reads all again.
  absl::Status GoOn(Topic& topic, const DiskFacts& facts, const DiskReading& recovered) {
    LIBBUS_ASSIGN_OR_RETURN(Producer producer, topic.NewProducer());
    std::map<uint64_t, std::string> added;
    for (uint32_t i = 0; i < 4; ++i) {
      const bool durable = i % 2 == 0;
      DiskEntry& entry = recovery_.added.Begin(static_cast<uint32_t>(random_() % 2000), disk_.LogNumber());
      std::string payload =
          DiskPayload(ledger_.seed, before_ == nullptr ? kFirstRecovery : kSecondRecovery, i, entry.size);
      LIBBUS_ASSIGN_OR_RETURN(const Position position, producer.Publish(payload, {.durable = durable}));
      entry.committed = disk_.LogNumber();
      if (durable) entry.durable = entry.committed;
      entry.position = position.offset;
      CheckUnused(facts, position.offset, payload.size());
      added[position.offset] = std::move(payload);
    }
    LIBBUS_RETURN_IF_ERROR(ReadAll(topic, after_));
    CheckKept(recovered, after_, "after publishing more");
    for (const DiskSeen& seen : after_) {
      const auto mine = added.find(seen.position);
      if (!seen.gap && mine != added.end() && mine->second == seen.payload) added.erase(mine);
    }
    if (!added.empty()) Wrong(findings_.bus.lost, "lost", "a record published after the recovery");
    return absl::OkStatus();
  }

  // No position where a record was told to stand.
  void CheckUnused(const DiskFacts& facts, uint64_t position, size_t size) {
    const auto after = facts.at.lower_bound(position + 24 + size);
    if (after == facts.at.begin()) return;
    const auto& [last, fact] = *std::prev(after);
    if (fact.told && last + 24 + fact.payload.size() > position) {
      Wrong(findings_.reused, "reused", fmt::format("position {}, where a record stood at {}", position, last));
    }
  }

  // --- the others

  absl::Status CheckControl() {
    DiskFacts facts;
    facts.Add(ledger_.seed, ledger_.control, kControlWriter, cut_);
    LIBBUS_ASSIGN_OR_RETURN(Topic topic, OpenTopic("control", false));
    DiskReading reading;
    LIBBUS_RETURN_IF_ERROR(ReadAll(topic, reading));
    // What it loses is meant to be lost; nobody is to be told of what was not there, and all of it is to be told.
    std::array<char, 4096> messages = findings_.messages;
    const uint64_t wrong = findings_.control.phantom + findings_.control.silent;
    Judge(facts, reading, findings_.control);
    if (findings_.control.phantom + findings_.control.silent == wrong) findings_.messages = messages;
    return absl::OkStatus();
  }

  absl::Status CheckDatabase() {
    LIBBUS_ASSIGN_OR_RETURN(const auto database, Sqlite::Open(DiskDatabase::Path(disk_)));
    std::string integrity;
    LIBBUS_RETURN_IF_ERROR(
        database->Run("PRAGMA integrity_check", 0, {}, [&](const Sqlite::Row& row) { integrity += row[0]; }));
    if (integrity != "ok") return absl::DataLossError("SQLite: integrity_check: " + integrity);
    std::map<uint64_t, std::string> read;
    LIBBUS_RETURN_IF_ERROR(database->Run("SELECT number, bytes FROM rows", 0, {}, [&](const Sqlite::Row& row) {
      read[std::strtoull(row[0].c_str(), nullptr, 10)] = row[1];
    }));
    DiskFacts facts;
    facts.Add(ledger_.seed, ledger_.rows, kRowWriter, cut_);
    JudgeRows(facts, read, findings_.database);
    return absl::OkStatus();
  }

  void JudgeRows(const DiskFacts& facts, const std::map<uint64_t, std::string>& read, DiskColumn& column) {
    for (const auto& [number, bytes] : read) {
      ++column.records;
      const auto fact = facts.at.find(number);
      if (fact == facts.at.end() || !fact->second.may || fact->second.payload != bytes) {
        Wrong(column.phantom, "SQLite: phantom", fmt::format("row {}", number));
      }
    }
    std::map<uint32_t, std::pair<uint64_t, uint64_t>> batches;
    for (const auto& [number, fact] : facts.at) {
      const bool there = read.contains(number);
      ++(there ? batches[fact.batch].first : batches[fact.batch].second);
      column.acknowledged += fact.must ? 1 : 0;
      if (fact.must && !there) Wrong(column.lost, "SQLite: lost", fmt::format("row {}", number));
    }
    for (const auto& [batch, count] : batches) {
      if (count.first != 0 && count.second != 0) Wrong(column.parted, "SQLite: parted", "a transaction");
    }
  }

  const FaultyDisk& disk_;
  const DiskLedger& ledger_;
  const uint64_t cut_;
  DiskRecovery& recovery_;
  DiskFindings& findings_;
  const DiskRecovery* before_ = nullptr;
  uint64_t second_cut_ = 0;
  bool same_boot_ = false;
  std::mt19937_64 random_;
  DiskReading after_;  // when more was published
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_DISK_CHECK_H_
