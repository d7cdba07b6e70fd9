// A topic whose files are damaged, missing, foreign or newer: everybody is told what and where, nothing is touched.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "libbus/recovery.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;

// A topic of two segments, closed.
class FilesTest : public TopicTest {
 protected:
  FilesTest() {
    auto topic = Make();
    auto producer = topic->NewProducer();
    EXPECT_TRUE(Succeeds(producer->Publish(std::string(3000, 'a'))));
    EXPECT_TRUE(Succeeds(producer->Publish(std::string(3000, 'b'))));
  }
  std::string control() const { return Path("control"); }
  std::string first() const { return Path(SegmentName(0)); }
  std::string second() const { return Path(SegmentName(4096)); }

  std::map<std::string, std::string> Snapshot() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(Path(""))) {
      if (entry.is_regular_file()) files[entry.path()] = ReadFile(entry.path());
    }
    return files;
  }
  void ExpectNobodyOpens(StatusCode code, const std::string& file, const std::string& text) const {
    const auto before = Snapshot();
    EXPECT_TRUE(Fails(OpenTopic(bus_), code, file));
    EXPECT_TRUE(Fails(OpenTopic(bus_, {.create = true}), code, text));
    EXPECT_TRUE(Fails(OpenReadOnly(), code, text));
    EXPECT_EQ(Snapshot(), before);
  }
  // One flipped bit of a header costs nothing: all is read, also by who may not write; who may goes on; and a recovery
  // that was asked for puts it right.
  void ExpectMended(const std::string& file, uint64_t offset, uint32_t bit) const {
    const std::string good = ReadFile(file);
    Flip(file, offset, static_cast<char>(1 << bit));
    const std::string flipped = ReadFile(file);
    auto reader = OpenReadOnly();
    ASSERT_TRUE(Succeeds(reader)) << file << " " << offset;
    const size_t records = ReadAll(*reader).size();
    EXPECT_GE(records, 2u);
    EXPECT_TRUE(Succeeds(OpenTopic(bus_)->NewProducer()->Publish("more")));
    EXPECT_EQ(ReadAll(*reader).size(), records + 1);
    EXPECT_EQ(ReadFile(file)[offset], flipped[offset]) << "nobody asked for it";
    const auto told = RecoverTopic(bus_, "t");
    ASSERT_TRUE(Succeeds(told));
    ASSERT_EQ(told->flipped.size(), 1u);
    EXPECT_EQ(told->flipped[0].file, file);
    EXPECT_EQ(told->flipped[0].offset, offset);
    EXPECT_EQ(told->flipped[0].bit, bit);
    EXPECT_FALSE(told->applied);
    EXPECT_EQ(ReadFile(file)[offset], flipped[offset]);
    const auto mended = RecoverTopic(bus_, "t", {.apply = true});
    ASSERT_TRUE(Succeeds(mended));
    EXPECT_TRUE(mended->applied);
    EXPECT_EQ(ReadFile(file)[offset], good[offset]);
    EXPECT_TRUE(RecoverTopic(bus_, "t")->flipped.empty());
  }
  // A writer is refused at once; a reader when it comes there.
  void ExpectNoWriterAndReaderStops(StatusCode code, const std::string& file, const std::string& text) const {
    const auto before = Snapshot();
    EXPECT_TRUE(Fails(OpenTopic(bus_), code, file));
    EXPECT_TRUE(Fails(OpenTopic(bus_), code, text));
    auto reader = OpenReadOnly();
    ASSERT_TRUE(Succeeds(reader));
    EXPECT_TRUE(Fails(reader->NewConsumer({.to = From::End()}), code, file));
    EXPECT_EQ(Snapshot(), before);
  }
};

TEST_F(FilesTest, GoodOnesOpen) {
  auto topic = OpenReadOnly();
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_EQ(ReadAll(*topic).size(), 2u);
}

TEST_F(FilesTest, AControlFileOfZeros) {
  WriteFile(control(), std::string(format::kControlSize, '\0'));
  ExpectNobodyOpens(StatusCode::kDataLoss, control(), "zeros");
}

TEST_F(FilesTest, AnEmptyControlFile) {
  WriteFile(control(), "");
  ExpectNobodyOpens(StatusCode::kDataLoss, control(), "empty");
}

TEST_F(FilesTest, AControlFileCutBehindItsHeader) {
  fs::resize_file(control(), format::kPageSize);
  ExpectNobodyOpens(StatusCode::kDataLoss, control(), "truncated");
}

TEST_F(FilesTest, AControlHeaderWithAFlippedBit) {
  for (const uint64_t offset :
       {offsetof(format::FileHeader, magic), offsetof(format::FileHeader, version),
        offsetof(format::FileHeader, incompatible), offsetof(format::FileHeader, uuid),
        offsetof(format::ControlHeader, segment_size) + 2, offsetof(format::ControlHeader, locks_inode),
        offsetof(format::ControlHeader, reserved) + 1000, offsetof(format::ControlHeader, checksum)}) {
    ExpectMended(control(), offset, offset % 8);
  }
}

TEST_F(FilesTest, AControlHeaderWithTwoFlippedBits) {
  Flip(control(), offsetof(format::ControlHeader, segment_size) + 2, 3);
  ExpectNobodyOpens(StatusCode::kDataLoss, control(), "damaged");
}

TEST_F(FilesTest, ANewerControlFileWithAFlippedBitIsNewerStill) {
  ChangeHeader<format::ControlHeader>(control(), [](auto& header) { header.header.version = 2; });
  Flip(control(), offsetof(format::FileHeader, version), 3);  // says 1, and that is two bits
  ExpectNobodyOpens(StatusCode::kDataLoss, control(), "damaged");
  Flip(control(), offsetof(format::FileHeader, version), 2);  // says 3, and that is one
  ExpectNobodyOpens(StatusCode::kUnimplemented, control(), "format 2");
}

TEST_F(FilesTest, AnIdentityWithAFlippedBit) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{8}, uint64_t{20}, uint64_t{40}, uint64_t{255}}) {
    ExpectMended(bus_ + "/bus", offset, 1);
  }
}

TEST_F(FilesTest, AForeignControlFile) {
  WriteFile(control(), ReadFile(bus_ + "/bus") + std::string(format::kControlSize, 'x'));
  ExpectNobodyOpens(StatusCode::kFailedPrecondition, control(), "not a libbus control file");
}

TEST_F(FilesTest, ANewerControlFile) {
  ChangeHeader<format::ControlHeader>(control(), [](auto& header) { header.header.incompatible = 4; });
  ExpectNobodyOpens(StatusCode::kUnimplemented, control(), "newer");
}

TEST_F(FilesTest, SettingsThatThisVersionDoesNotImplement) {
  using Header = format::ControlHeader;
  const std::string good = ReadFile(control());
  const auto expect = [&](const std::string& text, auto change) {
    WriteFile(control(), good);
    ChangeHeader<Header>(control(), change);
    ExpectNobodyOpens(StatusCode::kUnimplemented, control(), text);
  };
  expect("producers", [](Header& header) { header.mode = 2; });
  expect("timestamps", [](Header& header) { header.timestamps = 3; });
  expect("checksums", [](Header& header) { header.checksums = 1; });
  expect("sync policy", [](Header& header) { header.sync_policy = 4; });
  expect("access", [](Header& header) { header.access = 3; });
}

TEST_F(FilesTest, ATopicThatLostItsControlFileIsListedStill) {
  fs::remove(control());
  ExpectNobodyOpens(StatusCode::kNotFound, control(), "control");
  EXPECT_EQ(Bus::Open(bus_)->ListTopics().value(), std::vector<std::string>{"t"});
  for (const std::string& segment : {first(), second(), Path(SegmentName(8192))}) fs::remove(segment);
  EXPECT_EQ(Bus::Open(bus_)->ListTopics().value(), std::vector<std::string>());
}

TEST_F(FilesTest, AControlFileThroughALink) {
  fs::rename(control(), scratch_ / "control");
  fs::create_symlink(scratch_ / "control", control());
  ExpectNobodyOpens(StatusCode::kFailedPrecondition, control(), "symbolic link");
}

TEST_F(FilesTest, ATopicThroughALink) {
  fs::rename(bus_ + "/t", scratch_ / "t");
  fs::create_symlink(scratch_ / "t", bus_ + "/t");
  EXPECT_TRUE(Fails(OpenTopic(bus_), StatusCode::kFailedPrecondition, bus_ + "/t"));
}

TEST_F(FilesTest, AnEmptySegment) {
  WriteFile(first(), "");
  ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "empty");
}

TEST_F(FilesTest, ATruncatedSegment) {
  fs::resize_file(first(), 4095);
  ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "truncated: 4095 bytes of 4096");
}

TEST_F(FilesTest, ASegmentOfZeros) {
  WriteFile(first(), std::string(4096, '\0'));
  ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "zeros");
}

TEST_F(FilesTest, ASegmentHeaderWithAFlippedBit) {
  for (uint64_t offset = 0; offset < format::kSegmentHeaderSize; offset += 3) {
    ExpectMended(offset % 2 == 0 ? first() : second(), offset, offset % 8);
  }
}

TEST_F(FilesTest, ASegmentHeaderWithTwoFlippedBits) {
  Flip(first(), offsetof(format::SegmentHeader, base), 9);
  ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "damaged");
}

// What was read from a header with a flipped bit is what is written into those of the copy.
TEST_F(FilesTest, AnAdoptedCopyWithAFlippedBitHasRightHeaders) {
  const std::string good = ReadFile(control()).substr(0, 32);
  fs::rename(bus_, scratch_ / "original");
  fs::copy(scratch_ / "original", bus_, fs::copy_options::recursive);
  fs::permissions(bus_, fs::perms::owner_all);
  Flip(control(), offsetof(format::ControlHeader, created), 4);
  Flip(first(), offsetof(format::FileHeader, uuid), 4);
  ASSERT_TRUE(Succeeds(RecoverTopic(bus_, "t", {.apply = true})));
  EXPECT_EQ(ReadFile(control()).substr(0, 32), good);
  EXPECT_TRUE(RecoverTopic(bus_, "t")->flipped.empty());
  auto topic = OpenTopic(bus_);
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_EQ(ReadAll(*topic, Gaps::kLoss).size(), 2u);
}

TEST_F(FilesTest, ASegmentOfAnotherTopic) {
  ChangeHeader<format::SegmentHeader>(first(), [](auto& header) { header.header.uuid.bytes[3] ^= 1; });
  ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "another topic");
}

TEST_F(FilesTest, ASegmentUnderAnotherName) {
  ChangeHeader<format::SegmentHeader>(first(), [](auto& header) { header.base = 8192; });
  ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "8192");
}

TEST_F(FilesTest, ASegmentThatClaimsAnImpossibleSize) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{100}, uint64_t{4097}, uint64_t{1} << 40, ~uint64_t{4095}}) {
    ChangeHeader<format::SegmentHeader>(first(), [&](auto& header) { header.file_size = size; });
    ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "truncated");
  }
}

TEST_F(FilesTest, ANewerSegment) {
  ChangeHeader<format::SegmentHeader>(first(), [](auto& header) { header.header.version = 2; });
  ExpectNoWriterAndReaderStops(StatusCode::kUnimplemented, first(), "newer");
}

TEST_F(FilesTest, ATruncatedSegmentInTheMiddleIsMetInOrder) {
  fs::resize_file(second(), 100);
  auto reader = OpenReadOnly();
  ASSERT_TRUE(Succeeds(reader));
  auto consumer = reader->NewConsumer();
  ASSERT_TRUE(Succeeds(consumer));
  EXPECT_EQ(TextOf(consumer->Next(absl::ZeroDuration())), std::string(3000, 'a'));
  EXPECT_TRUE(Fails(consumer->Next(absl::ZeroDuration()), StatusCode::kDataLoss, second()));
}

TEST_F(FilesTest, NoSegmentAtAll) {
  fs::remove(first());
  fs::remove(second());
  auto reader = OpenReadOnly();
  ASSERT_TRUE(Succeeds(reader));
  EXPECT_TRUE(Fails(reader->NewConsumer(), StatusCode::kDataLoss, "no segment"));
}

TEST_F(FilesTest, AMissingSegmentIsAGapOfItsOwnSize) {
  {
    auto topic = OpenTopic(bus_);
    ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish(std::string(3000, 'c'))));
  }
  fs::remove(second());
  auto reader = OpenReadOnly();
  ASSERT_TRUE(Succeeds(reader));
  auto consumer = reader->NewConsumer();
  EXPECT_EQ(TextOf(consumer->Next(absl::ZeroDuration())), std::string(3000, 'a'));
  auto gap = consumer->Next(absl::ZeroDuration());
  ASSERT_TRUE(Succeeds(gap));
  EXPECT_EQ(TextOf(*gap), "<damage>");
  EXPECT_LE(gap->gap().from.offset, 4096u);
  EXPECT_EQ(gap->gap().to, Position{8192 + 64});
  EXPECT_EQ(TextOf(consumer->Next(absl::ZeroDuration())), std::string(3000, 'c'));
}

TEST_F(FilesTest, AMissingSleepPageStopsWritersNotReaders) {
  fs::remove(Path("sleep"));
  EXPECT_TRUE(Fails(OpenTopic(bus_), StatusCode::kNotFound, Path("sleep")));
  auto reader = OpenReadOnly();
  ASSERT_TRUE(Succeeds(reader));
  EXPECT_EQ(ReadAll(*reader).size(), 2u);
  auto consumer = reader->NewConsumer({.from = From::End()});
  EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(3)), StatusCode::kDeadlineExceeded));
}

// Whoever may read may write it: that must stop nobody.
TEST_F(FilesTest, ADamagedSleepPageIsGoneWithoutAndMadeWhole) {
  const std::string good = ReadFile(Path("sleep")).substr(0, 64);
  for (const std::string& bad :
       {std::string(), std::string(100, 'x'), std::string(8192, 'x'), std::string(4096, '\0')}) {
    WriteFile(Path("sleep"), bad);
    auto reader = OpenReadOnly();
    ASSERT_TRUE(Succeeds(reader));
    EXPECT_EQ(ReadAll(*reader).size(), 2u);
    EXPECT_EQ(ReadFile(Path("sleep")), bad);
    EXPECT_TRUE(Succeeds(OpenTopic(bus_)));
    EXPECT_EQ(ReadFile(Path("sleep")).substr(0, 64), good);
    EXPECT_GE(ReadFile(Path("sleep")).size(), 4096u);
  }
}

}  // namespace
}  // namespace libbus::test
