// Locks of open file descriptions on single bytes of a file. The kernel drops them when the last descriptor of the
// description is closed, so also at the death of the process, across containers and pid namespaces.
#ifndef LIBBUS_PLATFORM_OFD_LOCK_H_
#define LIBBUS_PLATFORM_OFD_LOCK_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <utility>

#include "libbus/platform/file.h"
#include "libbus/platform/fork_guard.h"

namespace libbus::platform {

// One description of a locks file. Locks taken through one LockFile conflict with those of every other, in this process
// too; a probe must go through a LockFile that holds none.
class LockFile {
 public:
  LockFile() = default;
  // REQUIRES: the caller has checked that `path` is the locks file it means.
  static absl::StatusOr<LockFile> Open(const std::string& path);
  // The same for `name` in a directory that is open already, whatever its path leads to by now.
  static absl::StatusOr<LockFile> OpenAt(const File& directory, const std::string& directory_path,
                                         const std::string& name);

  bool is_open() const { return fd_.is_open(); }
  int fd() const { return fd_.fd(); }

  // True: taken (or converted). False: somebody else's lock is in the way.
  absl::StatusOr<bool> TryShared(int64_t byte) const;
  absl::StatusOr<bool> TryExclusive(int64_t byte) const;
  void Unlock(int64_t byte) const;

  // True if another description holds a lock on the byte. On error true: who cannot be proven dead counts as alive.
  bool Probe(int64_t byte) const;

  // Drops all locks.
  void Close() { fd_.Close(); }

 private:
  LockFile(File file, std::string path) : fd_(file.Release()), path_(std::move(path)) {}
  absl::StatusOr<bool> Try(int type, int64_t byte) const;

  ForkClosedFd fd_;
  std::string path_;
};

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_OFD_LOCK_H_
