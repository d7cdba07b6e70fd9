#include "tests/format/reference.h"

#include <cstdio>
#include <cstdlib>

namespace libbus::format {
namespace {

uint64_t ChooseSeed() {
  const char* wanted = std::getenv("LIBBUS_SEED");
  const uint64_t seed = wanted ? std::strtoull(wanted, nullptr, 0) : std::random_device()();
  std::printf("LIBBUS_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace

uint32_t ReferenceCrc(uint32_t crc, const void* data, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    crc ^= static_cast<const uint8_t*>(data)[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
  }
  return crc;
}

Random::Random() : engine_(ChooseSeed()) {}

uint64_t Random::Edgy() {
  const uint64_t number = engine_();
  switch (number % 4) {
    case 0:
      return (uint64_t{1} << Below(64)) + Below(3) - 1;
    case 1:
      return number >> Below(64);
    default:
      return number;
  }
}

std::string Random::Text(size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(engine_());
  return text;
}

Uuid Random::MakeUuid() {
  Uuid uuid;
  for (uint8_t& byte : uuid.bytes) byte = static_cast<uint8_t>(engine_());
  return uuid;
}

}  // namespace libbus::format
