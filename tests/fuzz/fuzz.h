// What fuzz targets share. A target takes any bytes, must not crash, hang or read out of bounds, and aborts where
// something that is promised does not hold. Each <name>_fuzz.cc is linked twice: with libFuzzer (./dev fuzz), and with
// replay.cc, which ctest runs everywhere.
#ifndef LIBBUS_TESTS_FUZZ_FUZZ_H_
#define LIBBUS_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/support/disk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace libbus::fuzz {

inline void Require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// Takes the input apart, from its front; zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return bytes_.empty(); }
  std::string_view rest() const { return bytes_; }
  std::string_view Bytes(size_t size) {
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  // An unsigned integer of `size` bytes, little-endian.
  uint64_t Number(size_t size) {
    uint64_t value = 0;
    const std::string_view taken = Bytes(size);
    if (!taken.empty()) std::memcpy(&value, taken.data(), taken.size());
    return value;
  }

 private:
  std::string_view bytes_;
};

// Where targets keep files: in memory, if there is such a place.
inline std::string Parent() { return test::MemoryParent().empty() ? "/tmp" : test::MemoryParent(); }

}  // namespace libbus::fuzz

#endif  // LIBBUS_TESTS_FUZZ_FUZZ_H_
