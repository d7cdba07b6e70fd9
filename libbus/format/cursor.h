// A copy of what a cursor holds: when it is valid, and which of the two counts.
#ifndef LIBBUS_FORMAT_CURSOR_H_
#define LIBBUS_FORMAT_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"

namespace libbus::format {

// CRC32C from register ~0 over the topic's UUID, then over all before the field: so a copy from another topic's cursor
// is not valid here.
inline uint32_t CursorChecksum(const Uuid& topic, const CursorRecord& record) {
  return Crc32c(Crc32c(~0u, topic.bytes, sizeof(topic.bytes)), &record, offsetof(CursorRecord, checksum));
}

// The highest counter is never written: there is none behind it.
inline bool IsValid(const Uuid& topic, const CursorRecord& record) {
  return record.counter != 0 && record.counter != UINT64_MAX && record.checksum == CursorChecksum(topic, record);
}

// Which of the two copies holds; nothing if neither is valid. Of two with the same counter, which no writer leaves, the
// one that skips nothing.
inline std::optional<int> HoldingCopy(const Uuid& topic, const CursorRecord (&copies)[2]) {
  const bool a = IsValid(topic, copies[0]);
  const bool b = IsValid(topic, copies[1]);
  if (!a && !b) return std::nullopt;
  if (!a || !b) return a ? 0 : 1;
  if (copies[0].counter != copies[1].counter) return copies[0].counter > copies[1].counter ? 0 : 1;
  return copies[0].position <= copies[1].position ? 0 : 1;
}

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_CURSOR_H_
