#include "libbus/log/file_header.h"

#include <sys/random.h>

namespace libbus::log {

absl::Status CheckFileHeader(const format::FileHeader& header, uint64_t magic, std::string_view path,
                             std::string_view kind) {
  if (header.magic == 0) {
    return absl::DataLossError(
        fmt::format("{}: this {} begins with zeros: its header is lost (see `bus verify`)", path, kind));
  }
  if (header.magic != magic) {
    return absl::FailedPreconditionError(
        fmt::format("{}: not a libbus {}: it begins with {:016x}", path, kind, __builtin_bswap64(header.magic)));
  }
  const auto unknown = static_cast<uint16_t>(header.incompatible & ~format::kKnownIncompatible);
  if (header.version <= format::kFormatVersion && unknown == 0) return absl::OkStatus();
  return absl::UnimplementedError(fmt::format(
      "{}: made by a newer libbus (format {}, features {:#06x}): this one reads up to format {} and features "
      "{:#06x}; use a newer version",
      path, header.version, header.incompatible, format::kFormatVersion, format::kKnownIncompatible));
}

std::string UuidText(const format::Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", uuid.bytes[i]);
  }
  return text;
}

format::Uuid NewUuid() {
  format::Uuid uuid;
  // 16 bytes are never cut short once the pool is up, and before it is up the call waits.
  while (getrandom(uuid.bytes, sizeof(uuid.bytes), 0) != sizeof(uuid.bytes)) {
  }
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0F) | 0x40);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3F) | 0x80);
  return uuid;
}

}  // namespace libbus::log
