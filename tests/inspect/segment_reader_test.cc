#include "libbus/inspect/segment_reader.h"

#include <gtest/gtest.h>

#include "tests/inspect/fixture.h"

namespace libbus::testing {
namespace {

using format::Verdict;
using inspect::File;
using inspect::SegmentReader;

class SegmentReaderTest : public BusFixture {
 protected:
  SegmentReader Reader(const SegmentBytes& segment) {
    Put(segment, 0);
    file_ = *File::Open(TopicPath(SegmentName(0)));
    return SegmentReader(file_, format::TopicSeed::Of(uuid_), 0, kTestSegmentSize);
  }

  File file_;
};

TEST_F(SegmentReaderTest, JudgesEachWord) {
  SegmentBytes segment(uuid_, 0);
  const uint64_t data = segment.Data("one");
  const uint64_t reserved = segment.Reserved(8, 2);
  const uint64_t gap = segment.Gap(8, 2, format::kGapDead);
  const uint64_t end = segment.End();
  auto reader = Reader(segment);
  EXPECT_TRUE(reader.At(data).valid());
  EXPECT_EQ(reader.At(reserved).verdict, Verdict::kReserved);
  EXPECT_EQ(reader.At(gap).verdict, Verdict::kGap);
  EXPECT_EQ(reader.At(end).verdict, Verdict::kEnd);
  EXPECT_EQ(reader.At(end).size, kTestSegmentSize - end);
  EXPECT_EQ(reader.At(end + 8).verdict, Verdict::kFree);
  EXPECT_EQ(reader.At(kTestSegmentSize).verdict, Verdict::kBad);
}

// What was read before a producer came by is not believed afterwards.
TEST_F(SegmentReaderTest, AWordThatChangedSinceTheWindowWasReadIsSeen) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  const uint64_t tail = segment.position();
  auto reader = Reader(segment);
  EXPECT_EQ(reader.At(tail).verdict, Verdict::kFree);
  segment.Reserved(3, 1);
  Patch(file_.path(), 0, segment.WithInode(file_.inode()));
  EXPECT_EQ(reader.At(tail).verdict, Verdict::kReserved);
  SegmentBytes later(uuid_, 0);
  later.Data("one");
  later.Data("two");
  Patch(file_.path(), 0, later.WithInode(file_.inode()));
  EXPECT_TRUE(reader.At(tail).valid());
}

// A payload that holds the bytes of a record of this very topic is no place to go on: its position is another one.
TEST_F(SegmentReaderTest, ResyncAcceptsNoCopyOfARecord) {
  SegmentBytes other(uuid_, 0);
  other.Data("copied");
  const std::string copy = other.bytes().substr(64, 32);
  SegmentBytes segment(uuid_, 0);
  const uint64_t bad = segment.Data("x" + std::string(7, 'x') + copy);
  const uint64_t good = segment.Data("good");
  segment.bytes()[bad + 3] ^= 1;
  auto reader = Reader(segment);
  EXPECT_EQ(reader.At(bad).verdict, Verdict::kBad);
  EXPECT_EQ(reader.Resync(bad), good);
  EXPECT_EQ(reader.Resync(good), kTestSegmentSize);
}

TEST_F(SegmentReaderTest, FindsTheFirstByteThatIsNotZero) {
  SegmentBytes segment(uuid_, 0);
  segment.bytes()[3001] = 'x';
  auto reader = Reader(segment);
  EXPECT_EQ(reader.FirstNonZero(64, 4096), 3001u);
  EXPECT_EQ(reader.FirstNonZero(64, 3001), std::nullopt);
  EXPECT_EQ(reader.FirstNonZero(3002, 4096), std::nullopt);
}

// What recovery sealed off holds records that verify; they do not count, even where the END before them has rotted.
TEST_F(SegmentReaderTest, ResyncAcceptsNothingThatWasSealedOff) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("kept");
  const uint64_t sealed = segment.Data("sealed off");
  const uint64_t inside = segment.Data("sealed off as well");
  const uint64_t behind = segment.Data("kept too");
  Put(segment, 0);
  file_ = *File::Open(TopicPath(SegmentName(0)));
  const auto resync = [&](std::vector<format::EpochEntry> epochs) {
    return SegmentReader(file_, format::TopicSeed::Of(uuid_), 0, kTestSegmentSize, std::move(epochs)).Resync(sealed);
  };
  EXPECT_EQ(resync({}), inside);
  EXPECT_EQ(resync({{2, format::kEndPowerLoss, {}, sealed, behind}}), behind);
  EXPECT_EQ(resync({{2, format::kEndPowerLoss, {}, sealed, inside}, {3, format::kEndCopied, {}, inside, behind}}),
            behind);
  EXPECT_EQ(resync({{2, format::kEndPowerLoss, {}, sealed, kTestSegmentSize}}), kTestSegmentSize);
  EXPECT_EQ(resync({{2, format::kEndPowerLoss, {}, 0, UINT64_MAX}}), kTestSegmentSize);
  EXPECT_EQ(resync({{2, format::kEndPowerLoss, {}, behind, kTestSegmentSize}}), inside);
}

}  // namespace
}  // namespace libbus::testing
