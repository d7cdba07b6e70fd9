// A topic whose files are damaged, missing, foreign or newer: everybody is told what and where, nothing is touched.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

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
  Flip(control(), offsetof(format::ControlHeader, segment_size) + 2, 1);
  ExpectNobodyOpens(StatusCode::kDataLoss, control(), "damaged");
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
  Flip(first(), offsetof(format::SegmentHeader, base), 8);
  ExpectNoWriterAndReaderStops(StatusCode::kDataLoss, first(), "damaged");
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
