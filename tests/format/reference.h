// What the tests of the format compare with: written from the definitions, sharing no code with the library.
#ifndef LIBBUS_TESTS_FORMAT_REFERENCE_H_
#define LIBBUS_TESTS_FORMAT_REFERENCE_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "libbus/format/layout.h"

namespace libbus::format {

// CRC32C one bit after the other, no inversion anywhere.
uint32_t ReferenceCrc(uint32_t crc, const void* data, size_t size);

// Bytes gathered as the document lists them, all little-endian.
class ByteString {
 public:
  template <std::integral T>
  ByteString& Add(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
    return *this;
  }
  ByteString& Add(std::string_view text) { return bytes_ += text, *this; }
  uint32_t Crc(uint32_t crc) const { return ReferenceCrc(crc, bytes_.data(), bytes_.size()); }
  const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

// Random numbers of one test. The seed is printed; LIBBUS_SEED sets it.
class Random {
 public:
  Random();
  uint64_t operator()() { return engine_(); }
  uint64_t Below(uint64_t n) { return engine_() % n; }
  // Mostly ordinary numbers, often ones near a power of two.
  uint64_t Edgy();
  std::string Text(size_t size);
  Uuid MakeUuid();

 private:
  std::mt19937_64 engine_;
};

}  // namespace libbus::format

#endif  // LIBBUS_TESTS_FORMAT_REFERENCE_H_
