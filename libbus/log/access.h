// Who may read a bus, as file modes. Whatever the umask says: each is set after the file was made.
//
// Readers of another uid write nothing but the sleep page and cursors of their own. The locks file is its owner's
// alone: who can read a file can lock it.
#ifndef LIBBUS_LOG_ACCESS_H_
#define LIBBUS_LOG_ACCESS_H_

#include <absl/status/status.h>

#include <cstdint>
#include <string>

#include "libbus/platform/file.h"

namespace libbus::log {

// BusFile::access and ControlHeader::access.
inline constexpr uint8_t kAccessOwner = 0;
inline constexpr uint8_t kAccessGroup = 1;
inline constexpr uint8_t kAccessWorld = 2;

struct Modes {
  uint32_t directory;  // of the bus and of a topic. Group: setgid, so that files get the directory's group
  uint32_t file;       // the identity, control, segments
  uint32_t sleep;      // the sleep page
  uint32_t cursors;    // the directory of cursors. Who may read makes files there, the sticky bit keeps them his
};
inline constexpr uint32_t kLocksMode = 0600;

constexpr Modes ModesOf(uint8_t access) {
  switch (access) {
    case kAccessGroup:
      return {02750, 0640, 0660, 03770};
    case kAccessWorld:
      return {0755, 0644, 0666, 01777};
    default:
      return {0700, 0600, 0600, 0700};
  }
}

// OK: the directory of a bus or topic, or (SetCursorsMode) of cursors, has its mode. FAILED_PRECONDITION: its owner is
// no member of its group, so the kernel refuses the setgid bit.
absl::Status SetDirectoryMode(const platform::File& directory, const std::string& path, uint8_t access);
absl::Status SetCursorsMode(const platform::File& directory, const std::string& path, uint8_t access);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_ACCESS_H_
