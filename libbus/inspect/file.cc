#include "libbus/inspect/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

absl::Status NotRegular(const std::string& path) {
  return absl::InvalidArgumentError(fmt::format("{}: not a regular file, and nothing else can be looked into", path));
}

}  // namespace

absl::StatusOr<File> File::Open(const std::string& path) {
  // O_NONBLOCK: a pipe must not hang the open; regular files do not know it.
  File out;
  out.file_ = platform::File(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  // ENXIO: a socket, or a device without a driver.
  if (!out.file_.is_open() && errno == ENXIO) return NotRegular(path);
  if (!out.file_.is_open()) return platform::ErrnoStatus(errno, path, "cannot open");
  struct stat status;
  if (::fstat(out.file_.fd(), &status) != 0) return platform::ErrnoStatus(errno, path, "cannot look at it");
  if (!S_ISREG(status.st_mode)) return NotRegular(path);
  out.path_ = path;
  out.size_ = static_cast<uint64_t>(status.st_size);
  out.identity_ = {.device = status.st_dev, .inode = status.st_ino};
  return out;
}

absl::StatusOr<size_t> File::Read(uint64_t offset, std::span<std::byte> out) const {
  return platform::ReadAt(file_, path_, offset, out.data(), out.size());
}

std::optional<bool> File::Locked(int64_t byte) const {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  if (::fcntl(file_.fd(), F_OFD_GETLK, &lock) != 0) return std::nullopt;
  return lock.l_type != F_UNLCK;
}

uint64_t File::NextWritten(uint64_t offset) const {
  const off_t found = ::lseek(file_.fd(), static_cast<off_t>(offset), SEEK_DATA);
  if (found >= 0) return static_cast<uint64_t>(found);
  return errno == ENXIO ? size_ : offset;
}

}  // namespace libbus::inspect
