// CRC32C (Castagnoli, reflected polynomial 0x82F63B78), always in its raw form: no inversion before or after, the
// caller carries the register. Short runs use the processor's instruction in line, long ones isa-l.
#ifndef LIBBUS_FORMAT_CHECKSUM_H_
#define LIBBUS_FORMAT_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#else
#error "libbus needs CRC32C instructions: build with -msse4.2 on x86-64 or -march=armv8-a+crc on ARM"
#endif

namespace libbus::format {

// The register after eight more bytes, given as a little-endian word. Wide: the register in the lower half of a 64-bit
// one, as the instruction has it; what was narrowed must be widened again, which costs a step in each chain.
inline uint64_t Crc32cWide(uint64_t crc, uint64_t word) {
#if defined(__SSE4_2__)
  return _mm_crc32_u64(crc, word);
#else
  return __crc32cd(static_cast<uint32_t>(crc), word);
#endif
}

inline uint32_t Crc32cWord(uint32_t crc, uint64_t word) { return static_cast<uint32_t>(Crc32cWide(crc, word)); }

inline uint32_t Crc32cHalf(uint32_t crc, uint32_t half) {
#if defined(__SSE4_2__)
  return _mm_crc32_u32(crc, half);
#else
  return __crc32cw(crc, half);
#endif
}

inline uint32_t Crc32cByte(uint32_t crc, uint8_t byte) {
#if defined(__SSE4_2__)
  return _mm_crc32_u8(crc, byte);
#else
  return __crc32cb(crc, byte);
#endif
}

// From this many bytes on isa-l's folded form is faster than one instruction after the other (bench/format_benchmark).
inline constexpr size_t kInlineCrcLimit = 256;

// isa-l, for any size.
uint32_t Crc32cLong(uint32_t crc, const void* data, size_t size);

inline uint32_t Crc32cShort(uint32_t crc, const void* data, size_t size) {
  auto* bytes = static_cast<const uint8_t*>(data);
  uint64_t wide = crc;
  const auto take = [&] {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    wide = Crc32cWide(wide, word);
    bytes += 8;
  };
  // Four at a time: else a record of 64 bytes spends as much on counting as on its checksum.
  for (; size >= 32; size -= 32) take(), take(), take(), take();
  for (; size >= 8; size -= 8) take();
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; --size) crc = Crc32cByte(crc, *bytes++);
  return crc;
}

// The register after `size` more bytes.
inline uint32_t Crc32c(uint32_t crc, const void* data, size_t size) {
  return size < kInlineCrcLimit ? Crc32cShort(crc, data, size) : Crc32cLong(crc, data, size);
}

// The checksum field of a file header: over all bytes of `T` before its member `checksum`, from register ~0.
template <typename T>
uint32_t FileChecksum(const T& file) {
  return Crc32c(~0u, &file, offsetof(T, checksum));
}

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_CHECKSUM_H_
