// What is done with what a crash left, as a table: each row says which inputs it takes, how it arises, what is done.
#ifndef LIBBUS_LOG_RECOVERY_TABLE_H_
#define LIBBUS_LOG_RECOVERY_TABLE_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace libbus::log {

// What stands at a place, for who is alone: all owners are dead.
enum class Standing : uint8_t {
  kData,         // DATA, check and checksum right; of a batch all of it
  kDataRotten,   // DATA, right check, wrong checksum; of a batch its table's
  kGap,          // GAP
  kEndLinked,    // END, and the next segment is there
  kEndUnlinked,  // END, and no next segment
  kReserved,     // a claim
  kFree,         // a word of zeros
  kBad,          // a word that does not verify
  kBatchTorn,    // a batch: word and table verify, an inner record does not
};
inline constexpr int kStandings = 9;

// What is known of the place before its word is looked at.
enum class Trust : uint8_t {
  kDurable,     // below D: a word was final here and on stable storage
  kMet,         // with continuity, below a tail that a sync has found: a word stood here
  kContinuity,  // from D on, and power loss and copies can be excluded: a kill tears nothing
  kNone,        // from D on, and they cannot; or behind a place that had to be sealed
};
inline constexpr int kTrusts = 4;

// What follows a FREE or bad word. Looked at only where there is some trust.
enum class Rest : uint8_t {
  kZeros,    // nothing: zeros to the end of the segment, and no later segment in use
  kRecord,   // a record that verifies, further on in the segment
  kSegment,  // none in this segment, but a later segment is in use
  kDebris,   // bytes that are no record, and no later segment in use
};
inline constexpr int kRests = 4;

enum class Action : uint8_t {
  kKeep,      // step over it
  kNote,      // step over it; every reader reports it as a gap
  kNext,      // go to the next segment
  kMakeDead,  // RESERVED -> GAP(dead), step over it
  kMakeTorn,  // RESERVED, or DATA of a batch -> GAP(torn), step over it
  kSkip,      // go on at what follows; every reader reports the bytes in between as a gap
  kTail,      // this is T: append here
  kRoll,      // this is T, and no word is to be written: the log goes on in a new segment behind all files
  kSeal,      // END with a cause here; the later segments are walked the same way, and the log goes on as for kRoll
};

struct RecoveryCase {
  std::string_view label;
  std::vector<Standing> standing;
  std::vector<Trust> trust;  // empty: any
  std::vector<Rest> rest;    // empty: any
  Action action;
  std::string_view arises;
  std::string_view done;
};

// The table. Exactly one row takes each input (tests/log/recovery_test.cc enumerates them).
std::span<const RecoveryCase> RecoveryCases();
const RecoveryCase& FindCase(Standing standing, Trust trust, Rest rest);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_RECOVERY_TABLE_H_
