// The consumer of a benchmark has to see every wrong record: each kind of wrong is planted here.
#include "bench/lib/content.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace libbus::bench {
namespace {

constexpr size_t kSizes[] = {16, 17, 24, 63, 64, 65, 128, 1000, 1024};
constexpr uint64_t kStamp = 123'456'789;

std::vector<std::byte> Record(size_t size, uint64_t id) {
  std::vector<std::byte> record(size);
  FillRecord(id, record);
  return record;
}

std::vector<std::byte> StampedRecord(size_t size, uint64_t id) {
  std::vector<std::byte> record(size);
  FillRecord(id, kStamp, record);
  return record;
}

TEST(Verifier, AcceptsWhatWasWritten) {
  for (const size_t size : kSizes) {
    Verifier verifier(size, 1, 0);
    for (uint64_t sequence = 0; sequence < 100; ++sequence) {
      ASSERT_TRUE(verifier.Check(Record(size, RecordId(0, sequence)))) << size << ": " << verifier.error();
    }
    EXPECT_EQ(verifier.verified(), 100u);
  }
}

TEST(Verifier, AcceptsStampedRecords) {
  for (const size_t size : kSizes) {
    Verifier verifier(size, 1, 1);
    const auto record = StampedRecord(size, RecordId(0, 0));
    EXPECT_EQ(StampOf(record), kStamp);
    ASSERT_TRUE(verifier.Check(record)) << size << ": " << verifier.error();
  }
}

// A stamp where none belongs is a wrong byte, and who reads is told which ones have one.
TEST(Verifier, KnowsWhichRecordsHaveAStamp) {
  Verifier verifier(64, 1, 32);
  for (uint64_t sequence = 0; sequence < 100; ++sequence) {
    const uint64_t id = RecordId(0, sequence);
    ASSERT_TRUE(verifier.Check(sequence % 32 == 0 ? StampedRecord(64, id) : Record(64, id))) << verifier.error();
    ASSERT_EQ(verifier.stamped(), sequence % 32 == 0) << sequence;
  }
  EXPECT_FALSE(verifier.Check(StampedRecord(64, RecordId(0, 100))));
}

TEST(Verifier, AcceptsProducersInAnyInterleaving) {
  Verifier verifier(64, 2, 0);
  EXPECT_TRUE(verifier.Check(Record(64, RecordId(1, 0))));
  EXPECT_TRUE(verifier.Check(Record(64, RecordId(1, 1))));
  EXPECT_TRUE(verifier.Check(Record(64, RecordId(0, 0))));
  EXPECT_TRUE(verifier.Check(Record(64, RecordId(1, 2))));
  EXPECT_EQ(verifier.verified(), 4u);
}

TEST(Verifier, FindsEveryFlippedBit) {
  for (const size_t size : kSizes) {
    for (size_t bit = 0; bit < size * 8; ++bit) {
      auto record = Record(size, RecordId(0, 0));
      record[bit / 8] ^= std::byte{1} << (bit % 8);
      Verifier verifier(size, 1, 0);
      ASSERT_FALSE(verifier.Check(record)) << "size " << size << ", bit " << bit;
      ASSERT_EQ(verifier.verified(), 0u);
    }
  }
}

TEST(Verifier, FindsEveryFlippedBitOfAStampedRecordButInItsStamp) {
  for (const size_t size : kSizes) {
    for (size_t bit = 0; bit < size * 8; ++bit) {
      auto record = StampedRecord(size, RecordId(0, 0));
      record[bit / 8] ^= std::byte{1} << (bit % 8);
      Verifier verifier(size, 1, 1);
      ASSERT_EQ(verifier.Check(record), bit / 64 == 1) << "size " << size << ", bit " << bit;
    }
  }
}

TEST(Verifier, NamesTheByte) {
  Verifier verifier(128, 1, 0);
  ASSERT_TRUE(verifier.Check(Record(128, RecordId(0, 0))));
  auto record = Record(128, RecordId(0, 1));
  const auto right = static_cast<unsigned>(record[100]);
  record[100] ^= std::byte{0x40};
  ASSERT_FALSE(verifier.Check(record));
  EXPECT_EQ(verifier.error(), fmt::format("record 1 read is not what was written: byte 100 is {:#04x}, not {:#04x}",
                                          right ^ 0x40, right));
}

TEST(Verifier, FindsALostRecord) {
  Verifier verifier(64, 1, 0);
  ASSERT_TRUE(verifier.Check(Record(64, RecordId(0, 0))));
  EXPECT_FALSE(verifier.Check(Record(64, RecordId(0, 2))));
  EXPECT_EQ(verifier.error(), "record 1 read is not what was written: sequence 2 of producer 0, not 1");
}

TEST(Verifier, FindsADoubledRecord) {
  Verifier verifier(64, 1, 0);
  ASSERT_TRUE(verifier.Check(Record(64, RecordId(0, 0))));
  EXPECT_FALSE(verifier.Check(Record(64, RecordId(0, 0))));
}

TEST(Verifier, FindsARecordOfNobody) {
  Verifier verifier(64, 2, 0);
  EXPECT_FALSE(verifier.Check(Record(64, RecordId(2, 0))));
  EXPECT_EQ(verifier.error(), "record 0 read is not what was written: from producer 2, which does not exist");
}

TEST(Verifier, FindsAWrongSize) {
  Verifier verifier(64, 1, 0);
  EXPECT_FALSE(verifier.Check(Record(63, RecordId(0, 0))));
  EXPECT_FALSE(verifier.Check(Record(65, RecordId(0, 0))));
  EXPECT_FALSE(verifier.Check({}));
  EXPECT_EQ(verifier.error(), "record 0 read is not what was written: 0 bytes, not 64");
}

TEST(Content, DiffersBetweenRecords) {
  const auto first = Record(64, RecordId(0, 0));
  const auto second = Record(64, RecordId(0, 1));
  for (size_t word = 0; word < 8; ++word) EXPECT_NE(LoadWord(first, word), LoadWord(second, word)) << word;
}

}  // namespace
}  // namespace libbus::bench
