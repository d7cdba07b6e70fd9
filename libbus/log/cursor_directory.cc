#include "libbus/log/cursor_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "libbus/log/access.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

constexpr char kDirectory[] = "cursors";
constexpr size_t kMaxName = 128;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

absl::Status NotYours(const std::string& path, uid_t owner) {
  return absl::PermissionDeniedError(
      fmt::format("{}: belongs to uid {}, not to you (uid {}): choose another name for the cursor, or run as that user",
                  path, owner, geteuid()));
}

// To a topic of an older version.
absl::Status AddTo(const Log& log) {
  absl::Status made = MakeCursorsDirectory(log.directory(), log.path(), log.options().access);
  if (absl::IsPermissionDenied(made)) {
    return absl::PermissionDeniedError(fmt::format(
        "{}: this topic was made without a place for cursors, and only its owner can add one: let the owner open a "
        "consumer with a cursor once",
        log.path()));
  }
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  return platform::SyncFile(log.directory(), log.path());
}

}  // namespace

bool IsCursorName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), IsNameCharacter);
}

absl::Status CheckCursorName(std::string_view name) {
  if (IsCursorName(name)) return absl::OkStatus();
  std::string shown;
  for (const char c : name.substr(0, 40)) shown += c >= ' ' && c <= '~' ? std::string(1, c) : "?";
  return absl::InvalidArgumentError(
      fmt::format("cursor name \"{}\": use 1 to {} letters, digits, '_' and '-'", shown, kMaxName));
}

absl::Status MakeCursorsDirectory(const platform::File& topic, const std::string& topic_path, uint8_t access) {
  const std::string path = topic_path + "/" + kDirectory;
  if (mkdirat(topic.fd(), kDirectory, 0700) != 0) return platform::ErrnoStatus(errno, path, "cannot make");
  LIBBUS_ASSIGN_OR_RETURN(const platform::File directory, platform::OpenDirectoryAt(topic, topic_path, kDirectory));
  LIBBUS_RETURN_IF_ERROR(SetCursorsMode(directory, path, access));
  return platform::SyncFile(directory, path);
}

absl::StatusOr<CursorDirectory> CursorDirectory::Open(const Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(platform::File file, platform::OpenDirectoryAt(log.directory(), log.path(), kDirectory));
  return CursorDirectory(std::move(file), log.path() + "/" + kDirectory);
}

absl::StatusOr<CursorDirectory> CursorDirectory::Ensure(const Log& log) {
  auto opened = Open(log);
  if (absl::IsNotFound(opened.status())) {
    LIBBUS_RETURN_IF_ERROR(AddTo(log));
    opened = Open(log);
  }
  LIBBUS_RETURN_IF_ERROR(opened.status());
  struct stat info;
  if (fstat(opened->file_.fd(), &info) != 0) return platform::ErrnoStatus(errno, opened->path_, "cannot stat");
  const bool right = (info.st_mode & 07777) == ModesOf(log.options().access).cursors;
  if (!right && info.st_uid == geteuid()) {
    LIBBUS_RETURN_IF_ERROR(SetCursorsMode(opened->file_, opened->path_, log.options().access));
  }
  return opened;
}

absl::StatusOr<CursorFileInfo> CursorDirectory::Look(const std::string& name) const {
  struct stat info;
  if (fstatat(file_.fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return platform::ErrnoStatus(errno, PathOf(name), "cannot stat");
  }
  return CursorFileInfo{{info.st_dev, info.st_ino}, info.st_uid};
}

absl::StatusOr<std::vector<std::string>> CursorDirectory::List() const {
  LIBBUS_ASSIGN_OR_RETURN(std::vector<std::string> names, platform::ListDirectory(file_, path_));
  std::erase_if(names, [](const std::string& name) { return !IsCursorName(name); });
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status CursorDirectory::Remove(const std::string& name) const {
  const int error = platform::Seam::Unlink(file_.fd(), name.c_str());
  return error == 0 ? absl::OkStatus() : platform::ErrnoStatus(error, PathOf(name), "cannot remove");
}

absl::Status CursorDirectory::CheckIsOurs(int fd, const std::string& name) const {
  struct stat info;
  if (fstat(fd, &info) != 0) return platform::ErrnoStatus(errno, PathOf(name), "cannot stat");
  return info.st_uid == geteuid() || geteuid() == 0 ? absl::OkStatus() : NotYours(PathOf(name), info.st_uid);
}

absl::Status CursorDirectory::SayWhose(const absl::Status& status, const std::string& name) const {
  if (!absl::IsPermissionDenied(status)) return status;
  const auto found = Look(name);
  return found.ok() && found->uid != geteuid() ? NotYours(PathOf(name), found->uid) : status;
}

absl::Status CursorDirectory::GiveToOwner(const std::string& name, const platform::File& file) const {
  if (geteuid() != 0) return absl::OkStatus();
  struct stat info;
  if (fstatat(file_.fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 && fstat(file_.fd(), &info) != 0) {
    return platform::ErrnoStatus(errno, path_, "cannot stat");
  }
  if (fchown(file.fd(), info.st_uid, static_cast<gid_t>(-1)) == 0) return absl::OkStatus();
  return platform::ErrnoStatus(errno, PathOf(name), fmt::format("cannot give it to uid {}", info.st_uid));
}

}  // namespace libbus::log
