// Which processes have files of topics open, and which locks they hold: from /proc. The locks' own bytes tell only that
// somebody holds them (F_OFD_GETLK names no process), fdinfo tells who.
#ifndef LIBBUS_INSPECT_ATTACHED_H_
#define LIBBUS_INSPECT_ATTACHED_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbus/platform/file.h"

namespace libbus::inspect {

struct HeldLock {
  int64_t from = 0;
  int64_t to = 0;  // the last byte
  bool write = false;
};

// A description of a control file, a locks file, a sleep page or a cursor's lock.
struct OpenedFile {
  platform::FileIdentity identity;
  std::vector<HeldLock> locks;
};

struct AttachedProcess {
  uint64_t pid = 0;
  std::string command;
  bool stopped = false;
  std::vector<OpenedFile> files;

  bool Has(const platform::FileIdentity& file) const;
  bool Holds(const platform::FileIdentity& file, int64_t byte) const;  // a write lock
};

struct Attached {
  std::vector<AttachedProcess> processes;  // that have one of the files open, by pid; not this one's own looks
  uint64_t hidden = 0;                     // processes that this one may not look into

  // Who holds a write lock on a byte of a file; null: nobody who can be seen.
  const AttachedProcess* Holder(const platform::FileIdentity& file, int64_t byte) const;
};

// `controls`: the control files of the topics. Processes that come and go meanwhile may be missing.
Attached FindAttached(const std::vector<platform::FileIdentity>& controls);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_ATTACHED_H_
