#include "libbus/format/mend.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"

namespace libbus::format {
namespace {

template <typename T>
std::unique_ptr<T> Filled(uint64_t magic) {
  auto file = std::make_unique<T>();
  std::mt19937_64 random(7);
  auto* const bytes = reinterpret_cast<uint8_t*>(file.get());
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<uint8_t>(random());
  file->header.magic = magic;
  file->header.version = kFormatVersion;
  file->checksum = FileChecksum(*file);
  return file;
}

template <typename T>
uint8_t* BytesOf(T& file) {
  return reinterpret_cast<uint8_t*>(&file);
}

// Every bit that the checksum covers, and its own, is found and put right; a header that is right stays as it is.
template <typename T>
void EachBit(uint64_t magic) {
  const auto right = Filled<T>(magic);
  auto file = std::make_unique<T>(*right);
  EXPECT_FALSE(MendOneBit(*file, magic));
  for (uint64_t byte = 0; byte < offsetof(T, checksum) + 4; ++byte) {
    for (uint32_t bit = 0; bit < 8; ++bit) {
      BytesOf(*file)[byte] = static_cast<uint8_t>(BytesOf(*file)[byte] ^ 1u << bit);
      ASSERT_EQ(MendOneBit(*file, magic), (FlippedBit{byte, bit})) << byte << " " << bit;
      ASSERT_EQ(std::memcmp(file.get(), right.get(), sizeof(T)), 0) << byte << " " << bit;
    }
  }
}

TEST(MendTest, EachBitOfEachHeaderIsPutRight) {
  EachBit<BusFile>(kBusMagic);
  EachBit<SegmentHeader>(kSegmentMagic);
  EachBit<ControlHeader>(kControlMagic);
  EachBit<LocksFile>(kLocksMagic);
  EachBit<SleepFile>(kSleepMagic);
  EachBit<CursorHeader>(kCursorMagic);
  EachBit<IndexHeader>(kIndexMagic);
}

template <typename T>
void EachPair(uint64_t magic) {
  auto file = Filled<T>(magic);
  const auto right = std::make_unique<T>(*file);
  const uint64_t bits = (offsetof(T, checksum) + 4) * 8;
  for (uint64_t a = 0; a < bits; ++a) {
    for (uint64_t b = a + 1; b < bits; ++b) {
      BytesOf(*file)[a / 8] ^= static_cast<uint8_t>(1u << a % 8);
      BytesOf(*file)[b / 8] ^= static_cast<uint8_t>(1u << b % 8);
      ASSERT_FALSE(MendOneBit(*file, magic)) << a << " " << b;
      BytesOf(*file)[a / 8] ^= static_cast<uint8_t>(1u << a % 8);
      BytesOf(*file)[b / 8] ^= static_cast<uint8_t>(1u << b % 8);
    }
  }
  EXPECT_EQ(std::memcmp(file.get(), right.get(), sizeof(T)), 0);
}

TEST(MendTest, TwoBitsAreNeverTakenForOne) { EachPair<SegmentHeader>(kSegmentMagic); }

TEST(MendTest, TwoBitsOfALongHeaderAreNotEither) {
  auto file = Filled<ControlHeader>(kControlMagic);
  std::mt19937_64 random(11);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t a = random() % (4096 * 8);
    const uint64_t b = (a + 1 + random() % (4096 * 8 - 1)) % (4096 * 8);
    BytesOf(*file)[a / 8] ^= static_cast<uint8_t>(1u << a % 8);
    BytesOf(*file)[b / 8] ^= static_cast<uint8_t>(1u << b % 8);
    ASSERT_FALSE(FindFlippedBit(std::as_bytes(std::span(file.get(), 1)))) << a << " " << b;
    BytesOf(*file)[a / 8] ^= static_cast<uint8_t>(1u << a % 8);
    BytesOf(*file)[b / 8] ^= static_cast<uint8_t>(1u << b % 8);
  }
}

TEST(MendTest, FourBitsOfAShortHeaderAreNotEither) {
  auto file = Filled<SegmentHeader>(kSegmentMagic);
  std::mt19937_64 random(13);
  for (int i = 0; i < 200'000; ++i) {
    SegmentHeader before = *file;
    for (int n = 0; n < 2 + i % 3; ++n) {
      BytesOf(*file)[random() % 64] ^= static_cast<uint8_t>(1u << random() % 8);
    }
    int wrong = 0;
    for (int byte = 0; byte < 64; ++byte) wrong += __builtin_popcount(BytesOf(*file)[byte] ^ BytesOf(before)[byte]);
    if (wrong > 1) {
      ASSERT_FALSE(MendOneBit(*file, kSegmentMagic)) << i;
    }
    *file = before;
  }
}

TEST(MendTest, AHeaderOfAnotherKindIsNotMadeOneOfThis) {
  const auto file = Filled<SegmentHeader>(kIndexMagic);
  file->base ^= 4096;
  const SegmentHeader before = *file;
  EXPECT_FALSE(MendOneBit(*file, kSegmentMagic));
  EXPECT_EQ(std::memcmp(file.get(), &before, sizeof(before)), 0);
  EXPECT_TRUE(MendOneBit(*file, kIndexMagic));
}

TEST(MendTest, ZerosAreNoHeader) {
  SegmentHeader zeros = {};
  EXPECT_FALSE(MendOneBit(zeros, kSegmentMagic));
  EXPECT_EQ(zeros.header.magic, 0u);
}

}  // namespace
}  // namespace libbus::format
