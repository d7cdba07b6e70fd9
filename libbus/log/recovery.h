// What is done with what a crash left: the walk over the table (log/recovery_table.h), and what it leads to.
//
// A recovery, for who is alone, may be killed or lose its power between any two steps; whoever comes next starts it
// again and finds less to do:
//   1 RECOVERING, with its cause      on disk before anything is changed: who starts again keeps the cause, so a log
//   that
//                                     had to be sealed is never appended to in place because the second attempt happens
//                                     to run in the boot of the first
//   2 claims of the dead -> GAP       each by one swap; batches of which a part is missing likewise, see below
//   3 the new segment                 appears whole, under a durable name. Died here: the next attempt seals it,
//   unused,
//                                     and makes another
//   4 END at each place to be sealed  each by one swap; before 3 there would be an END that leads nowhere
//   5 everything kept is synced       so that nothing in front of the new segment is less durable than what will stand
//                                     in it
//   6 the index is cut back           to what is kept, if anything was sealed (log/index.h)
//   7 OPEN, with T, D, the epochs, today's boot, device and mount
//
// A batch that a power loss tore, from D on, is the only committed word that is ever changed: DATA -> GAP(torn), by one
// swap of that word. It may be done because nobody else writes (who recovers is alone), because nothing of the batch
// was known to be durable, and because nothing of it was handed out since: readers stop at D until a writer has
// recovered. It has to be done because its other records verify, and would be read: half of something that is published
// whole. Below D, and with continuity, the same is bit rot, and the record that is hit loses itself alone.
#ifndef LIBBUS_LOG_RECOVERY_H_
#define LIBBUS_LOG_RECOVERY_H_

#include <absl/status/statusor.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "libbus/log/log.h"
#include "libbus/log/recovery_table.h"

namespace libbus::log {

struct RecoveryInput {
  uint64_t durable = 0;     // D, the start of a word; 0: nothing is known to be durable
  uint64_t watched = 0;     // what the live words call D: believed if the walk finds a word starting there
  uint64_t known_tail = 0;  // of the live words: no word before it was FREE
  uint8_t cause = 0;        // 0: continuity; else the kEnd... cause with which the log is sealed
  // No power loss has torn what lies below: a batch there of which something does not verify has rotted. At least D.
  uint64_t untorn = 0;

  // Something has stood at least up to here: no position before it may be used again.
  uint64_t reached() const { return cause == 0 ? std::max({durable, watched, known_tail}) : durable; }
};

// A place that the table has something to say about, beyond the records that are kept.
struct RecoveryStep {
  const RecoveryCase* row = nullptr;
  uint64_t from = 0;
  uint64_t to = 0;
};

struct Tally {
  uint64_t count = 0;
  uint64_t bytes = 0;
};

// What a walk from D's segment to T met. The tallies add up to all bytes of the segments that were walked.
struct RecoveryPlan {
  RecoveryInput input;   // with which it was made
  uint8_t cause = 0;     // as given; kEndDamage if something else had to be sealed
  uint64_t from = 0;     // the first byte looked at: the base of D's segment
  uint64_t tail = 0;     // where the next record goes
  uint64_t durable = 0;  // D, as far as it is known before anything is synced
  std::vector<RecoveryStep> steps;
  struct Claim {
    uint64_t position;
    uint8_t cause;  // of the gap that it becomes
  };
  std::vector<Claim> claims;  // and batches that are torn
  struct Seal {
    uint64_t position;
    uint64_t to;    // the end of the segment
    uint64_t word;  // what stands there
  };
  std::vector<Seal> seals;
  std::vector<Seal> sealed;          // ENDs with a cause that were met: an earlier attempt's, or an older recovery's
  std::optional<uint64_t> new_base;  // of the segment to be made
  uint32_t newest_epoch = 0;         // of the segments

  Tally records, gaps, dead, torn, rotten, skipped, cut;
  uint64_t overhead = 0;  // segment headers, ENDs and what is behind them, what is free behind the tail

  bool seals_log() const { return new_base.has_value(); }
};

// Called now and then with how many bytes were walked, and how many there are.
using Progress = std::function<void(uint64_t done, uint64_t total)>;

// Walks the topic and changes nothing. REQUIRES: the caller is alone, or wants to know what there would be to do.
absl::StatusOr<RecoveryPlan> PlanRecovery(Log& log, const RecoveryInput& input, const Progress& progress = {});

struct RecoveryOptions {
  uint8_t cause = 0;    // 0: continuity; else the kEnd... cause with which the log is sealed
  bool repair = false;  // somebody asked for it: segments whose sync had failed are written anew, and what is
                        // rotten is synced as it is, so that D gets beyond it
  Progress progress = {};
};

// All of it, steps 1 to 7. `record`: of the control file, nothing if neither copy verifies. OK: what was done, and the
// log is OPEN; also if the disk refuses step 5: then the segment is marked (log/sync.h), and D stays where it was.
// REQUIRES: the caller is alone.
absl::StatusOr<RecoveryPlan> RecoverAlone(Log& log, const std::optional<format::ControlRecord>& record,
                                          const RecoveryOptions& options);

// The plan for an adopted copy whose record `record` said CLEAN: in place, if everything up to T verifies and nothing
// but zeros stands behind it; else it was copied in the middle of a write, whatever the record says, and is sealed
// (copied).
absl::StatusOr<RecoveryPlan> PlanCleanCopy(Log& log, const format::ControlRecord& record);

// Stores OPEN, with today's stamps, and lets the live words say the same. `record` is what else goes into it.
absl::Status WriteOpen(Log& log, format::ControlRecord& record, uint64_t tail, uint64_t durable);

// Hint and floors, for who found the log whole.
void ResetHints(Log& log);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_RECOVERY_H_
