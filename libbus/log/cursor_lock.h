// Who holds a cursor: BUS/TOPIC/cursors/NAME.lock.
//
// The holder has a write lock on its first byte through a description of its own; the kernel drops it at death. It is a
// file of its own, mode 0600, because who can read a file can lock it, and cursors are readable to more than may hold
// them. Pid and time in it are for people.
//
//   made            whole, by one link. Died before: nothing is there.
//   locked          the name is looked at again: the file may have been removed between opening and locking it, and
//                   somebody else may hold the one that stands there now. Died: nobody holds it.
//   holder written  a message that names the holder of before, until then.
//   removed         by who holds it, after the cursor itself. Died before: a lock that nobody holds, found by the next.
#ifndef LIBBUS_LOG_CURSOR_LOCK_H_
#define LIBBUS_LOG_CURSOR_LOCK_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "libbus/log/cursor_directory.h"
#include "libbus/log/log.h"
#include "libbus/platform/ofd_lock.h"

namespace libbus::log {

// For people.
struct CursorHolder {
  uint64_t pid = 0;
  int64_t since = 0;  // ns since 1970
};

// Held while it lives. fork() closes it in the child.
class CursorLock {
 public:
  // FAILED_PRECONDITION: somebody who lives holds it; the message names him.
  // PERMISSION_DENIED: it is another user's.
  static absl::StatusOr<CursorLock> Take(const Log& log, const CursorDirectory& directory, const std::string& name);

  // The cursor was removed: so is its lock.
  static absl::Status RemoveFile(const CursorDirectory& directory, const std::string& name);

 private:
  explicit CursorLock(platform::LockFile lock) : lock_(std::move(lock)) {}

  platform::LockFile lock_;
};

// Who holds the cursor now. Nothing: nobody, or it cannot be known because the lock is another user's.
std::optional<CursorHolder> FindCursorHolder(const CursorDirectory& directory, const std::string& name);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_CURSOR_LOCK_H_
