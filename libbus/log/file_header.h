// The header that every file of a bus begins with: made and checked in one place.
#ifndef LIBBUS_LOG_FILE_HEADER_H_
#define LIBBUS_LOG_FILE_HEADER_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "libbus/format/mend.h"
#include "libbus/platform/file.h"
#include "libbus/platform/status.h"

namespace libbus::log {

inline format::FileHeader MakeFileHeader(uint64_t magic, const format::Uuid& uuid) {
  return {magic, format::kFormatVersion, 0, 0, 0, 0, uuid};
}

// OK: this library can read the file. FAILED_PRECONDITION: not such a file. DATA_LOSS: it begins with zeros.
// UNIMPLEMENTED: newer and incompatible. The checksum is not looked at: where it is wrong and no single bit makes it
// right (format/mend.h), "newer" is still told as such.
// `kind` names the file for people: "segment", "control file".
absl::Status CheckFileHeader(const format::FileHeader& header, uint64_t magic, std::string_view path,
                             std::string_view kind);

// All of CheckFileHeader, then the checksum: DATA_LOSS.
template <typename T>
absl::Status CheckFile(const T& file, uint64_t magic, std::string_view path, std::string_view kind) {
  LIBBUS_RETURN_IF_ERROR(CheckFileHeader(file.header, magic, path, kind));
  if (file.checksum == format::FileChecksum(file)) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "{}: the header of this {} is damaged: its checksum is {:08x}, its bytes give {:08x} (see `bus dump`)", path,
      kind, file.checksum, format::FileChecksum(file)));
}

// Reads and checks the header struct `T` at the start of a file. DATA_LOSS also for a file shorter than it. One bit
// that was flipped there is put right in what is returned, before anything is concluded from it: so the version too.
// The file stays as it is (log/mend.h); `flipped` says which bit.
template <typename T>
absl::StatusOr<T> ReadFileHeader(const platform::File& file, std::string_view path, uint64_t magic,
                                 std::string_view kind, std::optional<format::FlippedBit>* flipped = nullptr) {
  T header;
  LIBBUS_ASSIGN_OR_RETURN(const size_t size, platform::ReadAt(file, path, 0, &header, sizeof(T)));
  if (size < sizeof(T)) {
    return absl::DataLossError(fmt::format("{}: this {} is {}: {} bytes of at least {} (see `bus verify`)", path, kind,
                                           size == 0 ? "empty" : "truncated", size, sizeof(T)));
  }
  const auto mended = format::MendOneBit(header, magic);
  if (flipped != nullptr) *flipped = mended;
  LIBBUS_RETURN_IF_ERROR(CheckFile(header, magic, path, kind));
  return header;
}

// 36 characters, lower case.
std::string UuidText(const format::Uuid& uuid);
// Random, version 4, from getrandom(2).
format::Uuid NewUuid();

}  // namespace libbus::log

#endif  // LIBBUS_LOG_FILE_HEADER_H_
