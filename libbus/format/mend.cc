#include "libbus/format/mend.h"

#include <bit>
#include <cstring>

#include "libbus/format/checksum.h"

namespace libbus::format {

std::optional<FlippedBit> FindFlippedBit(std::span<const std::byte> header) {
  const size_t covered = header.size() - sizeof(uint32_t);
  uint32_t stored;
  std::memcpy(&stored, header.data() + covered, sizeof(stored));
  const uint32_t difference = stored ^ Crc32c(~0u, header.data(), covered);
  if (difference == 0) return std::nullopt;
  if (std::has_single_bit(difference)) {
    const auto bit = static_cast<uint32_t>(std::countr_zero(difference));
    return FlippedBit{covered + bit / 8, bit % 8};
  }
  // What each bit of a byte does to the checksum, from the last byte to the first: zeros behind it go into the
  // register.
  uint32_t effects[8];
  for (uint32_t bit = 0; bit < 8; ++bit) effects[bit] = Crc32cByte(0, static_cast<uint8_t>(1u << bit));
  for (size_t byte = covered; byte-- > 0;) {
    for (uint32_t bit = 0; bit < 8; ++bit) {
      if (effects[bit] == difference) return FlippedBit{byte, bit};
      effects[bit] = Crc32cByte(effects[bit], 0);
    }
  }
  return std::nullopt;
}

std::optional<FlippedBit> MendOneBit(std::span<std::byte> header, uint64_t magic) {
  const auto flipped = FindFlippedBit(header);
  if (!flipped) return std::nullopt;
  std::byte& byte = header[flipped->byte];
  const std::byte was = byte;
  byte ^= static_cast<std::byte>(1u << flipped->bit);
  uint64_t begins;
  std::memcpy(&begins, header.data(), sizeof(begins));
  if (begins == magic) return flipped;
  byte = was;
  return std::nullopt;
}

}  // namespace libbus::format
