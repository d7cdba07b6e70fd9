// Deleting what is oldest: whole segments, for policies and by hand. docs/retention.md tells of it.
//
// A segment may go once it lies wholly below D (on a volatile bus: what is committed), below every open floor, and no
// named cursor stands in it or before it, nor could after a power loss: the cursors are read from stable storage first,
// and if one cannot be read nothing is deleted.
//
// States, and what a death, or a power loss, between any two steps leaves:
//   1 the sequence of the first record that stays is counted    nothing has changed
//   2 control record: first_position, first_sequence, on disk   the log begins there for everybody who looks from now
//                                                               on; the files before it are there, and nobody reads
//                                                               them
//   3 the files are unlinked, oldest first                      some of them are there: as 2
//   4 the directory is synced                                   as 3; names may come back, as 2
// Whoever deletes next, whatever he deletes, first removes what an earlier one has left. The order matters: a file that
// was unlinked before the record says so would be damage.
// The control record is written by who holds the sync lock, and nobody else.
#ifndef LIBBUS_LOG_RETENTION_H_
#define LIBBUS_LOG_RETENTION_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

#include "libbus/log/log.h"

namespace libbus::log {

struct Eviction {
  uint64_t segments = 0;  // deleted, or that would be
  uint64_t bytes = 0;     // of those files
  uint64_t first = 0;     // the oldest record kept then
  // What may not go because of a cursor, which wanted it more than `before`: its name and position.
  std::string held_by = {};
  uint64_t held_at = 0;
};

// Deletes every segment that ends at or before `before` and may go. `dry_run`: says what would be done. DATA_LOSS,
// FAILED_PRECONDITION, UNAVAILABLE and so on: a cursor or the control record cannot be read, or something not be
// written; nothing was deleted that is needed.
// REQUIRES: the sync lock is held, unless dry_run.
absl::StatusOr<Eviction> Evict(Log& log, uint64_t before, bool dry_run);

// Where the log may begin by its options: so many bytes before the end are kept, and every segment that was written to
// within the given age. 0: nothing is to be deleted.
absl::StatusOr<uint64_t> RetainFrom(Log& log);

// True if files are left that a deletion did not come to.
absl::StatusOr<bool> HasLeftovers(Log& log);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_RETENTION_H_
