#include "libbus/format/checksum.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "libbus/format/layout.h"
#include "tests/format/reference.h"

namespace libbus::format {
namespace {

struct Vector {
  const char* name;
  std::string bytes;
  uint32_t crc;  // in the customary form: from ~0, inverted at the end
};

std::string Counting(int from, int step) {
  std::string bytes;
  for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<char>(from + i * step));
  return bytes;
}

// The check value of the CRC catalogues and the examples of RFC 3720, appendix B.4.
std::vector<Vector> KnownVectors() {
  std::string iscsi(48, '\0');
  iscsi[0] = 0x01, iscsi[1] = '\xC0', iscsi[16] = 0x14, iscsi[22] = 0x04, iscsi[27] = 0x14, iscsi[31] = 0x18;
  iscsi[32] = 0x28, iscsi[40] = 0x02;
  return {
      {"nothing", "", 0},
      {"123456789", "123456789", 0xE3069283},
      {"32 zeros", std::string(32, '\0'), 0x8A9136AA},
      {"32 ones", std::string(32, '\xFF'), 0x62A8AB43},
      {"rising", Counting(0, 1), 0x46DD794E},
      {"falling", Counting(31, -1), 0x113FDB5C},
      {"iSCSI read", iscsi, 0xD9963A56},
  };
}

TEST(ChecksumTest, KnownVectors) {
  for (const Vector& v : KnownVectors()) {
    SCOPED_TRACE(v.name);
    EXPECT_EQ(~ReferenceCrc(~0u, v.bytes.data(), v.bytes.size()), v.crc);
    EXPECT_EQ(~Crc32cShort(~0u, v.bytes.data(), v.bytes.size()), v.crc);
    EXPECT_EQ(~Crc32cLong(~0u, v.bytes.data(), v.bytes.size()), v.crc);
    EXPECT_EQ(~Crc32c(~0u, v.bytes.data(), v.bytes.size()), v.crc);
  }
}

TEST(ChecksumTest, ShortAndLongAgreeForAllSizesAndAlignments) {
  constexpr size_t kMaxSize = 1100;
  Random random;
  for (size_t alignment = 0; alignment < 16; ++alignment) {
    alignas(64) std::array<uint8_t, kMaxSize + 16> buffer;
    for (uint8_t& byte : buffer) byte = static_cast<uint8_t>(random());
    const uint8_t* data = buffer.data() + alignment;
    const auto start = static_cast<uint32_t>(random());
    uint32_t expected = start;
    for (size_t size = 0; size <= kMaxSize; ++size) {
      ASSERT_EQ(Crc32cShort(start, data, size), expected) << "size " << size << ", alignment " << alignment;
      ASSERT_EQ(Crc32cLong(start, data, size), expected) << "size " << size << ", alignment " << alignment;
      ASSERT_EQ(Crc32c(start, data, size), expected) << "size " << size << ", alignment " << alignment;
      expected = ReferenceCrc(expected, data + size, 1);
    }
  }
}

TEST(ChecksumTest, WordHalfAndByteAreRunsOfLittleEndianBytes) {
  Random random;
  for (int i = 0; i < 1000; ++i) {
    const auto start = static_cast<uint32_t>(random());
    const uint64_t value = random();
    EXPECT_EQ(Crc32cWord(start, value), ByteString().Add(value).Crc(start));
    EXPECT_EQ(Crc32cHalf(start, static_cast<uint32_t>(value)),
              ByteString().Add(static_cast<uint32_t>(value)).Crc(start));
    EXPECT_EQ(Crc32cByte(start, static_cast<uint8_t>(value)), ByteString().Add(static_cast<uint8_t>(value)).Crc(start));
  }
}

TEST(ChecksumTest, GoesOnWhereItStopped) {
  Random random;
  const std::string text = random.Text(3000);
  const uint32_t whole = Crc32c(7, text.data(), text.size());
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    ASSERT_EQ(Crc32c(Crc32c(7, text.data(), cut), text.data() + cut, text.size() - cut), whole) << "cut at " << cut;
  }
}

// What 2^doublings zero bytes do to a register: a linear map, kept as the images of its 32 bits.
using Map = std::array<uint32_t, 32>;

uint32_t Apply(const Map& map, uint32_t value) {
  uint32_t result = 0;
  for (size_t bit = 0; bit < 32; ++bit) result ^= (value >> bit & 1) != 0 ? map[bit] : 0;
  return result;
}

Map ZeroBytes(int doublings) {
  const uint8_t zero = 0;
  Map map;
  for (size_t bit = 0; bit < 32; ++bit) map[bit] = ReferenceCrc(1u << bit, &zero, 1);
  for (; doublings > 0; --doublings) {
    const Map once = map;
    for (uint32_t& image : map) image = Apply(once, image);
  }
  return map;
}

// isa-l counts in an int.
TEST(ChecksumTest, RunsBeyondTwoGibibytes) {
  constexpr size_t kSize = (size_t{1} << 31) + 4096 + 5;
  void* zeros = mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(zeros, MAP_FAILED);
  const uint8_t five[5] = {};
  const uint32_t expected = ReferenceCrc(Apply(ZeroBytes(12), Apply(ZeroBytes(31), 0x12345678)), five, 5);
  EXPECT_EQ(Crc32c(0x12345678, zeros, kSize), expected);
  munmap(zeros, kSize);
}

TEST(ChecksumTest, FileChecksumCoversAllBytesBeforeIt) {
  SegmentHeader header{};
  header.header.magic = kSegmentMagic;
  header.base = 4096;
  const uint32_t sum = FileChecksum(header);
  EXPECT_EQ(sum, ReferenceCrc(~0u, &header, 60));
  header.checksum = sum;
  EXPECT_EQ(FileChecksum(header), sum) << "the field itself is not covered";
  for (size_t bit = 0; bit < 60 * 8; ++bit) {
    SegmentHeader damaged = header;
    reinterpret_cast<uint8_t*>(&damaged)[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_NE(FileChecksum(damaged), sum) << "bit " << bit;
  }
}

// An empty (zeroed) file must not pass for one with a checksum.
TEST(ChecksumTest, ZerosDoNotVerify) {
  EXPECT_NE(FileChecksum(SegmentHeader{}), 0u);
  EXPECT_NE(FileChecksum(BusFile{}), 0u);
  EXPECT_NE(FileChecksum(ControlHeader{}), 0u);
  EXPECT_NE(FileChecksum(LocksFile{}), 0u);
  EXPECT_NE(FileChecksum(SleepFile{}), 0u);
}

}  // namespace
}  // namespace libbus::format
