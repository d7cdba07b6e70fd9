// What checks an entry of the index: the CRC32C of the topic's UUID, of the entry's ordinal and of its first 28 bytes.
// So an entry of another topic, or one that was moved within the file, is not valid.
#ifndef LIBBUS_FORMAT_INDEX_H_
#define LIBBUS_FORMAT_INDEX_H_

#include <cstdint>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "libbus/format/word.h"

namespace libbus::format {

inline uint32_t IndexChecksum(TopicSeed seed, uint64_t ordinal, const IndexEntry& entry) {
  return Crc32cShort(Crc32cWord(seed.value, ordinal), &entry, offsetof(IndexEntry, checksum));
}

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_INDEX_H_
