// Small pieces that the pictures of several files share.
#ifndef LIBBUS_INSPECT_DUMP_BYTES_H_
#define LIBBUS_INSPECT_DUMP_BYTES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "libbus/inspect/file.h"
#include "libbus/options.h"

namespace libbus::inspect {

// What stands there, fewer bytes at the end of the file.
inline std::string ReadText(const File& file, uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  bytes.resize(file.Read(offset, std::as_writable_bytes(std::span(bytes))).value_or(0));
  return bytes;
}

inline std::span<const std::byte> AsSpan(const std::string& bytes) { return std::as_bytes(std::span(bytes)); }

// A header as it stands there, zeros where the file is too short.
template <typename T>
T Padded(const std::string& bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(T)));
  return value;
}

// The same, read again a few times until `right` likes it: somebody may be writing it.
template <typename F>
std::string ReadUntil(const File& file, uint64_t offset, uint64_t size, F right) {
  constexpr int kTries = 3;
  std::string bytes = ReadText(file, offset, size);
  for (int i = 1; i < kTries && !right(bytes); ++i) bytes = ReadText(file, offset, size);
  return bytes;
}

inline std::string AccessText(uint8_t access) { return std::string(AccessName(static_cast<Access>(access))); }

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_DUMP_BYTES_H_
