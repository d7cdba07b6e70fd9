// A file that is looked at: opened read-only, read with pread, never mapped.
#ifndef LIBBUS_INSPECT_FILE_H_
#define LIBBUS_INSPECT_FILE_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "libbus/platform/file.h"

namespace libbus::inspect {

// What a check says of anything else in the place of a file, for which File::Open returns INVALID_ARGUMENT.
inline constexpr char kNotRegular[] = "not a regular file";

class File {
 public:
  // Regular files only, also behind a symbolic link; anything else is INVALID_ARGUMENT.
  static absl::StatusOr<File> Open(const std::string& path);

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // when it was opened
  uint64_t inode() const { return identity_.inode; }
  uint64_t device() const { return identity_.device; }

  // Fills `out` from `offset`; fewer bytes only at the end of the file.
  absl::StatusOr<size_t> Read(uint64_t offset, std::span<std::byte> out) const;

  // The struct that stands at `offset`; nothing if the file is too short or cannot be read.
  template <typename T>
  std::optional<T> Get(uint64_t offset) const {
    T value;
    const auto got = Read(offset, std::as_writable_bytes(std::span(&value, 1)));
    if (!got.ok() || *got != sizeof(T)) return std::nullopt;
    return value;
  }

  // True if another description holds a lock on this byte. Asking takes no lock. Nothing if it cannot be told.
  std::optional<bool> Locked(int64_t byte) const;

  // The first offset from `offset` on that was ever written: skips what the file system knows to be zero.
  uint64_t NextWritten(uint64_t offset) const;

 private:
  std::string path_;
  platform::File file_;
  platform::FileIdentity identity_;
  uint64_t size_ = 0;
};

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_FILE_H_
