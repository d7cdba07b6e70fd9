// What a crash, a power loss, a copy or a failing disk left of a topic, and how it becomes a log again.
//
// After a kill or a power loss nothing needs to be called: the next process that opens the topic for writing recovers
// it. RecoverTopic says beforehand what that will do, and does what nobody does unasked: it makes a copied or restored
// topic a log of its own, writes segments anew whose sync failed, and puts flipped bits in headers right.
// docs/recovery.md has the table of cases.
#ifndef LIBBUS_RECOVERY_H_
#define LIBBUS_RECOVERY_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/record.h"

namespace libbus {

// A row of the table that applies somewhere. Rows that only keep records are counted and not told one by one.
struct RecoveryStep {
  std::string_view row;     // its label in docs/recovery.md
  std::string_view arises;  // how it comes about
  std::string_view done;    // what is done
  Position from;
  Position to;
};

struct RecoveryTally {
  uint64_t count = 0;
  uint64_t bytes = 0;
};

// A bit that was flipped in the header of a file. Nobody waits for it to be put right: the checksum tells which bit it
// is, and every reader reads the header as it was.
struct FlippedHeaderBit {
  std::string file;
  uint64_t offset = 0;  // of its byte in the file
  uint32_t bit = 0;     // in that byte, 0: the lowest
};

struct RecoveryReport {
  bool in_use = false;           // a process is attached for writing: nothing to recover, and nothing was looked at
  bool clean = false;            // closed in order: nothing to do
  bool adopts = false;           // a copy, or its locks file is gone: its files become those of a log of their own
  uint64_t failed_segments = 0;  // whose sync failed: written anew
  std::string cause;  // why the log is sealed: "power loss", "copied", "other mount", "damage", "sync failed";
                      // empty: it goes on in place
  std::string why;    // the cause in a few words
  // At most one for each file of the topic, and for the identity of the bus; put right if `applied`.
  std::vector<FlippedHeaderBit> flipped;
  bool applied = false;

  Position from;     // the first byte that was looked at: before it everything is durable
  Position tail;     // where the next record goes
  Position durable;  // D afterwards

  // The bytes from `from` to the end of the last segment, each in exactly one of these; all 0 if `clean` or `in_use`.
  RecoveryTally records;  // whole
  RecoveryTally gaps;     // given up before
  RecoveryTally dead;     // claims of dead producers: become gaps
  RecoveryTally torn;     // claims that may have been committed, and batches of which not all was written: become
                          // gaps that tell of a loss
  RecoveryTally rotten;   // records whose word verifies and whose bytes do not: gaps (damage) for every reader
  RecoveryTally skipped;  // bytes that do not verify, with a record or segment behind them: gaps (damage)
  RecoveryTally cut;      // sealed off, now or before
  uint64_t overhead = 0;  // headers, ends of segments, and what is free
  uint64_t bytes() const {
    return records.bytes + gaps.bytes + dead.bytes + torn.bytes + rotten.bytes + skipped.bytes + cut.bytes + overhead;
  }
};

struct RecoverOptions {
  // False: only looks. True: recovers, so that the topic is closed and clean afterwards.
  bool apply = false;
  // Called now and then with how many bytes were looked at, and how many there are.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
};

// Called for each step, in the order of the log.
using RecoveryStepSink = std::function<void(const RecoveryStep&)>;

// OK: what is to be done, or was done. NOT_FOUND: no such bus or topic. INVALID_ARGUMENT: the name.
// FAILED_PRECONDITION: not a bus, somebody else's, or a process has it open that must end first. UNAVAILABLE: the disk
// still refuses to write. DATA_LOSS: a header is damaged such that a segment cannot be read at all. Without `apply`
// nothing is written, and a writer that opens the topic meanwhile waits.
absl::StatusOr<RecoveryReport> RecoverTopic(const std::string& bus, std::string_view topic,
                                            const RecoverOptions& options = {}, const RecoveryStepSink& sink = {});

// The table of cases, as documentation shows it.
struct RecoveryRow {
  std::string_view label;
  std::string_view arises;
  std::string_view done;
};
// All rows, in order. Valid for ever.
std::span<const RecoveryRow> RecoveryTable();

}  // namespace libbus

#endif  // LIBBUS_RECOVERY_H_
