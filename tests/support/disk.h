// Where a test finds a file system that keeps what it writes.
#ifndef LIBBUS_TESTS_SUPPORT_DISK_H_
#define LIBBUS_TESTS_SUPPORT_DISK_H_

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace libbus::test {

inline bool IsInMemory(const std::string& path) {
  struct statfs info;
  return statfs(path.c_str(), &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

// A directory on a disk: $TMPDIR, /tmp or /var/tmp, else where the programs were built.
inline std::string DiskParent() {
  const char* given = std::getenv("TMPDIR");
  for (const std::string path : {given != nullptr ? given : "/tmp", "/tmp", "/var/tmp"}) {
    if (!IsInMemory(path) && access(path.c_str(), W_OK) == 0) return path;
  }
  return LIBBUS_BIN_DIR;
}

// A directory in memory, or nothing.
inline std::string MemoryParent() { return IsInMemory("/dev/shm") && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""; }

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_SUPPORT_DISK_H_
