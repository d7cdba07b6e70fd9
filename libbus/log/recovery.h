// What is done with what a crash left: a table of cases, and the walk that applies it.
#ifndef LIBBUS_LOG_RECOVERY_H_
#define LIBBUS_LOG_RECOVERY_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/log/log.h"

namespace libbus::log {

// What stands at a place, for who is alone: all owners are dead.
enum class Standing : uint8_t {
  kData,         // DATA, check and checksum right
  kDataRotten,   // DATA, right check, wrong checksum
  kGap,          // GAP
  kEndLinked,    // END, and the next segment is there
  kEndUnlinked,  // END, and no next segment
  kReserved,     // a claim
  kFree,         // a word of zeros
  kBad,          // a word that does not verify
};
inline constexpr int kStandings = 8;

// What follows a FREE or bad word.
enum class Rest : uint8_t {
  kZeros,    // nothing: zeros to the end of the segment, and no later segment in use
  kRecord,   // a record that verifies, further on in the segment
  kSegment,  // none in this segment, but a later segment is in use
  kDebris,   // bytes that are no record, and no later segment in use
};
inline constexpr int kRests = 4;

enum class Action : uint8_t {
  kKeep,     // step over it
  kNote,     // step over it; every reader reports it as a gap
  kNext,     // go to the next segment
  kMakeGap,  // RESERVED -> GAP(dead), step over it
  kSkip,     // go on at what follows; every reader reports the bytes in between as a gap
  kTail,     // this is T: append here
  kRefuse,   // a writer would have to seal the segment: nothing is touched
};

// One row: which inputs it takes, how it arises, what is done.
struct RecoveryCase {
  std::string_view label;
  std::vector<Standing> standing;
  std::vector<Rest> rest;  // empty: any (what follows does not matter)
  Action action;
  std::string_view arises;
  std::string_view done;
};

// The table. Exactly one row takes each input (tests/log/recovery_test.cc enumerates them).
std::span<const RecoveryCase> RecoveryCases();
const RecoveryCase& FindCase(Standing standing, Rest rest);

// What a walk from the first segment to T met.
struct RecoveryPlan {
  uint64_t tail = 0;             // T
  uint64_t records = 0;          // DATA that verifies
  std::vector<uint64_t> claims;  // positions of RESERVED words
  std::vector<uint64_t> rotten;  // positions of DATA whose checksum is wrong
  struct Skipped {
    uint64_t from;
    uint64_t to;
  };
  std::vector<Skipped> skipped;  // ranges that do not verify
};

// Walks the topic and changes nothing. REQUIRES: the caller is alone. DATA_LOSS: a row says kRefuse; the message names
// row and place.
absl::StatusOr<RecoveryPlan> PlanRecovery(Log& log);

// Does what the plan says: every claim becomes a gap, floors and hint are reset. Idempotent: killed anywhere in here,
// the next one plans anew and finds less to do.
absl::Status ApplyRecovery(Log& log, const RecoveryPlan& plan);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_RECOVERY_H_
