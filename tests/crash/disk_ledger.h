// What the processes of a workload published, on a disk that logs its writes: what was acknowledged, and when by the
// number of that log. In memory that all of them share; each writes a part of its own.
#ifndef LIBBUS_TESTS_CRASH_DISK_LEDGER_H_
#define LIBBUS_TESTS_CRASH_DISK_LEDGER_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace libbus::test {

inline constexpr uint64_t kUnknown = std::numeric_limits<uint64_t>::max();

// The bytes of an entry, from its identity: nothing else has them, but for the very short.
inline std::string DiskPayload(uint64_t seed, uint32_t writer, uint32_t index, uint32_t size) {
  std::string payload(size, '\0');
  uint64_t state = seed ^ uint64_t { writer } << 32 ^ index;
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word = state += 0x9E3779B97F4A7C15;
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9;
    word = (word ^ word >> 27) * 0x94D049BB133111EB;
    word ^= word >> 31;
    std::memcpy(&payload[i], &word, std::min<size_t>(8, size - i));
  }
  return payload;
}

// A record, or a row. Numbers are those of the disk's log, or kUnknown: not yet.
struct DiskEntry {
  uint64_t began = kUnknown;      // before it was published
  uint64_t committed = kUnknown;  // its writer was told its position
  uint64_t durable = kUnknown;    // its writer was told that it is durable; for the control: was told a lie
  uint64_t position = kUnknown;
  uint32_t size = 0;
  uint32_t batch = 0;  // entries of one batch, or transaction, have the same; 0: in none
};

// Of one process; what it notes survives its death.
struct DiskPages {
  static constexpr uint32_t kMost = 1 << 15;
  uint32_t count = 0;
  std::array<DiskEntry, kMost> entries;

  bool full() const { return count + 64 > kMost; }
  DiskEntry& Begin(uint32_t size, uint64_t now, uint32_t batch = 0) {
    DiskEntry& entry = entries[count];
    entry.size = size;
    entry.batch = batch;
    entry.began = now;
    ++count;
    return entry;
  }
};

// What was done about positions, and when.
struct DiskMark {
  uint64_t began = kUnknown;
  uint64_t done = kUnknown;
  uint64_t position = 0;
};
struct DiskMarks {
  static constexpr uint32_t kMost = 1 << 14;
  uint32_t count = 0;
  std::array<DiskMark, kMost> marks;

  DiskMark& Begin(uint64_t position, uint64_t now) {
    DiskMark& mark = marks[std::min(count, kMost - 1)];
    mark = {now, kUnknown, position};
    count = std::min(count + 1, kMost);
    return mark;
  }
};

struct DiskLedger {
  static constexpr uint32_t kWriters = 2;
  uint64_t seed = 0;
  std::array<DiskPages, kWriters> records;
  DiskPages control;  // published without a sync, and taken for durable
  DiskPages rows;     // of the database; a position is a row's number
  DiskMarks seen;     // a consumer of what is durable was handed the record there
  DiskMarks commits;  // of the cursor
  DiskMarks trims;    // what lies before may be gone
};

// What a process found and did that recovered from a cut, while the disk logged anew.
struct DiskRecovery {
  static constexpr uint32_t kMost = 1 << 16;
  uint64_t recovered = kUnknown;  // it had opened the topic and read all of it
  uint32_t count = 0;
  std::array<uint64_t, kMost> positions{};  // of the records it read, in order
  DiskPages added;                          // published after that

  void Found(uint64_t position) {
    if (count < kMost) positions[count++] = position;
  }
  bool Has(uint64_t position) const {
    return std::binary_search(positions.begin(), positions.begin() + count, position);
  }
};

// --- after a cut -----------------------------------------------------------------------------------------------------

// What is known of one entry after a cut.
struct DiskFact {
  std::string payload;
  bool may = false;    // it may be there
  bool told = false;   // it was committed: it is there, or a gap says that it is not
  bool must = false;   // it was acknowledged as durable: it is there
  uint32_t batch = 0;  // unique over all writers; all of it is there, or nothing
  uint32_t writer = 0;
  uint32_t index = 0;
};

struct DiskFacts {
  std::map<uint64_t, DiskFact> at;  // by position
  std::multiset<std::string> open;  // of who died before it was told where: may be there, once each
  uint64_t trimmed = 0;             // what lies before may be gone
  uint64_t cursor = 0;              // was committed, at least

  // What `pages` of writer number `writer` say, after a cut at `cut`.
  void Add(uint64_t seed, const DiskPages& pages, uint32_t writer, uint64_t cut) {
    for (uint32_t i = 0; i < pages.count; ++i) {
      const DiskEntry& entry = pages.entries[i];
      std::string payload = DiskPayload(seed, writer, i, entry.size);
      if (entry.position == kUnknown) {
        if (entry.began <= cut) open.insert(std::move(payload));
        continue;
      }
      at[entry.position] = {std::move(payload),
                            entry.began <= cut,
                            entry.committed <= cut,
                            entry.durable <= cut,
                            Batch(entry.batch, writer),
                            writer,
                            i};
    }
  }
  void Add(const DiskLedger& ledger, uint64_t cut) {
    for (uint32_t i = 0; i < DiskLedger::kWriters; ++i) Add(ledger.seed, ledger.records[i], i, cut);
    for (uint32_t i = 0; i < ledger.seen.count; ++i) {
      const DiskMark& mark = ledger.seen.marks[i];
      const auto fact = at.find(mark.position);
      if (mark.done <= cut && fact != at.end()) fact->second.must = true;
    }
    for (uint32_t i = 0; i < ledger.trims.count; ++i) {
      if (ledger.trims.marks[i].began <= cut) trimmed = std::max(trimmed, ledger.trims.marks[i].position);
    }
    for (uint32_t i = 0; i < ledger.commits.count; ++i) {
      if (ledger.commits.marks[i].done <= cut) cursor = std::max(cursor, ledger.commits.marks[i].position);
    }
  }
  // After one more cut, at `cut` of the log that began with the recovery. What a recovery keeps is durable, and what it
  // gave up does not come back.
  void Add(uint64_t seed, const DiskRecovery& recovery, uint32_t writer, uint64_t cut) {
    for (auto& [position, fact] : at) {
      if (cut < recovery.recovered) break;
      fact.must = fact.may = recovery.Has(position);
      fact.told = fact.told || fact.may;
    }
    Add(seed, recovery.added, writer, cut);
  }

 private:
  static uint32_t Batch(uint32_t number, uint32_t writer) { return number == 0 ? 0 : number * 8 + writer; }
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_DISK_LEDGER_H_
