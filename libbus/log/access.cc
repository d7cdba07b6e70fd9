#include "libbus/log/access.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

absl::Status SetMode(const platform::File& directory, const std::string& path, uint32_t mode) {
  if (fchmod(directory.fd(), mode) != 0) return platform::ErrnoStatus(errno, path, "cannot set the mode");
  struct stat info;
  if (fstat(directory.fd(), &info) != 0) return platform::ErrnoStatus(errno, path, "cannot stat");
  // For who is not in that group the kernel drops the setgid bit and says nothing.
  if ((mode & S_ISGID) == 0 || (info.st_mode & S_ISGID) != 0) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{}: belongs to group {}, of which you are no member, so its files would not get that group: join it, or chgrp "
      "the directory",
      path, info.st_gid));
}

}  // namespace

absl::Status SetDirectoryMode(const platform::File& directory, const std::string& path, uint8_t access) {
  return SetMode(directory, path, ModesOf(access).directory);
}

absl::Status SetCursorsMode(const platform::File& directory, const std::string& path, uint8_t access) {
  return SetMode(directory, path, ModesOf(access).cursors);
}

}  // namespace libbus::log
