#include "libbus/format/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <climits>

namespace libbus::format {

uint32_t Crc32cLong(uint32_t crc, const void* data, size_t size) {
  // crc32_iscsi takes an int and, by an old slip in its signature, bytes that are not const.
  auto* bytes = const_cast<unsigned char*>(static_cast<const unsigned char*>(data));
  while (size > 0) {
    const size_t part = std::min(size, size_t{1} << 30);
    crc = crc32_iscsi(bytes, static_cast<int>(part), crc);
    bytes += part;
    size -= part;
  }
  return crc;
}

}  // namespace libbus::format
