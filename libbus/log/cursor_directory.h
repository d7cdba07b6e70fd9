// BUS/TOPIC/cursors/: where the cursors of a topic lie, and what they may be called.
//
// It is made with the topic; in a topic of an older version by the first consumer with a cursor that may write there.
// Whoever died between making it and giving it its mode: the next consumer of the same user gives it.
#ifndef LIBBUS_LOG_CURSOR_DIRECTORY_H_
#define LIBBUS_LOG_CURSOR_DIRECTORY_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbus/log/log.h"
#include "libbus/platform/file.h"

namespace libbus::log {

// Letters, digits, '_' and '-', 1 to 128. CheckCursorName: INVALID_ARGUMENT.
bool IsCursorName(std::string_view name);
absl::Status CheckCursorName(std::string_view name);

// In the directory of a topic. ALREADY_EXISTS: there is one.
absl::Status MakeCursorsDirectory(const platform::File& topic, const std::string& topic_path, uint8_t access);

// What stands under a name.
struct CursorFileInfo {
  platform::FileIdentity identity;
  uint32_t uid = 0;
};

// The directory, opened through the topic's: whatever the path leads to by now, it is that topic's. Immutable.
class CursorDirectory {
 public:
  // To read. NOT_FOUND: a topic of an older version, without cursors.
  static absl::StatusOr<CursorDirectory> Open(const Log& log);
  // To write: it is made if there is none, and gets its mode. PERMISSION_DENIED: there is none, and this process may
  // not make one.
  static absl::StatusOr<CursorDirectory> Ensure(const Log& log);

  const platform::File& file() const { return file_; }
  const std::string& path() const { return path_; }
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }

  absl::StatusOr<platform::File> OpenFile(const std::string& name, bool writable) const {
    return platform::OpenFileAt(file_, path_, name, writable);
  }
  // NOT_FOUND: nothing. Symbolic links are not followed.
  absl::StatusOr<CursorFileInfo> Look(const std::string& name) const;
  // The names of cursors, sorted.
  absl::StatusOr<std::vector<std::string>> List() const;
  absl::Status Remove(const std::string& name) const;
  absl::Status Sync() const { return platform::SyncFile(file_, path_); }

  // OK: the file is this user's, or this user is root. PERMISSION_DENIED: another's: who could write it could move it.
  absl::Status CheckIsOurs(int fd, const std::string& name) const;
  // PERMISSION_DENIED with whose file it is; any other status as it is.
  absl::Status SayWhose(const absl::Status& status, const std::string& name) const;
  // Made by root, a file of the cursor `name` belongs to who owns the cursor, else to who owns the topic.
  absl::Status GiveToOwner(const std::string& name, const platform::File& file) const;

 private:
  CursorDirectory(platform::File file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  platform::File file_;
  std::string path_;
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_CURSOR_DIRECTORY_H_
