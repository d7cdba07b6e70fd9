// Whether a power loss, a copy and the loss of a mount can be excluded since a topic was last written.
//
// Continuity means: the boot id and the device are those that were noted when OPEN was written; every file has the
// inode number that stands in its own header; and, for who is alone after a kill, the mount is the noted one too. The
// mount's id names the mount and not the file system, so beside a living writer, and for readers, it plays no part.
#ifndef LIBBUS_LOG_CONTINUITY_H_
#define LIBBUS_LOG_CONTINUITY_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libbus/log/log.h"

namespace libbus::log {

struct Continuity {
  bool clean = false;  // CLEAN: everything before T is final and on disk, whatever happened since
  bool copy = false;   // a file is not the one that was made here
  uint8_t cause = 0;   // not CLEAN: 0, or the kEnd... cause with which a recovery seals the log
  std::string why;     // of `copy` and `cause`, for people
};

// `record`: of the control file; nothing if neither copy verifies. `alone`: the mount counts too.
absl::StatusOr<Continuity> AssessContinuity(Log& log, const std::optional<format::ControlRecord>& record, bool alone);

// Why control or locks are not the files that were made with the topic: copied, gone or replaced. Empty: they are.
absl::StatusOr<std::string> FindIdentityProblem(const Log& log);

// What a record says about today: boot id, device, mount. FAILED_PRECONDITION: /proc is not mounted.
absl::Status StampToday(const Log& log, format::ControlRecord& record);

// FAILED_PRECONDITION: no writer may go on before `bus recover TOPIC --apply`; nothing was touched.
absl::Status NeedsRepair(const Log& log, std::string_view why);

// How far a reader may read that is not attached.
struct Readable {
  // Nothing: as far as there is something. A position: beyond it a power loss may have torn holes, or the files are a
  // copy, and only a recovery decides what counts.
  std::optional<uint64_t> limit;
  uint64_t durable = 0;  // D, where there is a limit
};
absl::StatusOr<Readable> FindReadable(Log& log);

// "power loss", "copied", ... for a kEnd... cause; empty for 0.
std::string_view CauseName(uint8_t cause);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_CONTINUITY_H_
