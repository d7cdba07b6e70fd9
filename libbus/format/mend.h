// One flipped bit in the header of a file: found by its checksum, and put right in memory.
//
// The CRC32C of a header that has one wrong bit differs from the one that stands there in a way that no other bit gives
// (its period is 2^31 - 1 bits, and no header is that long). So that bit can be told, also one of the checksum itself.
// Two wrong bits are never taken for one, nor are three or four in a header of up to 655 bytes; what is wrong in more
// passes for another header once in 2^32 / bits times, and then has to have the right magic, UUID and place as well.
#ifndef LIBBUS_FORMAT_MEND_H_
#define LIBBUS_FORMAT_MEND_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "libbus/format/layout.h"

namespace libbus::format {

struct FlippedBit {
  uint64_t byte = 0;  // from the start of the file
  uint32_t bit = 0;   // of that byte, 0: the lowest
  friend bool operator==(const FlippedBit&, const FlippedBit&) = default;
};

// The bit whose flip makes the file checksum of `header` right; that is its last four bytes. Nothing: it is right as it
// is, or more is wrong than one bit. REQUIRES: at least four bytes. One CRC where all is well; else up to 50 us.
std::optional<FlippedBit> FindFlippedBit(std::span<const std::byte> header);

// The bit, put right in `header`, if that makes it one of a file that begins with `magic`. Nothing: nothing was
// changed.
std::optional<FlippedBit> MendOneBit(std::span<std::byte> header, uint64_t magic);

// The same for a file's header struct, whose member `checksum` ends it.
template <typename T>
std::optional<FlippedBit> MendOneBit(T& file, uint64_t magic) {
  return MendOneBit(std::as_writable_bytes(std::span(&file, 1)).first(offsetof(T, checksum) + sizeof(uint32_t)), magic);
}

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_MEND_H_
