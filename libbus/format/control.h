// What the control file's structs mean beyond their bytes.
#ifndef LIBBUS_FORMAT_CONTROL_H_
#define LIBBUS_FORMAT_CONTROL_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"

namespace libbus::format {

// The checksum of a control record: CRC32C from register ~0 over all before the field, then over the entries in use.
// Nothing if it says that more are in use than there is room for.
inline std::optional<uint32_t> ControlRecordChecksum(const ControlRecord& record) {
  if (record.epoch_entries > kMaxEpochEntries) return std::nullopt;
  const uint32_t head = Crc32c(~0u, &record, offsetof(ControlRecord, checksum));
  return Crc32c(head, record.epochs, record.epoch_entries * sizeof(EpochEntry));
}

// The name of the first setting of a topic that this version does not implement; empty if it knows them all. To ignore
// one would break the promise that somebody chose it for.
inline std::string_view UnknownSetting(const ControlHeader& header) {
  if (header.mode > kModeExclusive) return "an unknown kind of producers";
  if (header.timestamps > 2) return "an unknown kind of timestamps";
  if (header.checksums != 0) return "checksums off";
  if (header.sync_policy > 3) return "an unknown sync policy";
  if (header.access > 2) return "an unknown kind of access";
  return {};
}

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_CONTROL_H_
