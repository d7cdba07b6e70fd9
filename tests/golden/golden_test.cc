// Files that earlier libraries wrote are read for ever. tests/golden/v1 was made once by make_golden_main.cc with the
// first library of format version 1; if a case fails here, people's data on disk cannot be read any more.
//
// A checkout is a copy: its files have other inodes and modes. So these tests copy the bus to a directory of their own
// and read it there; a writer has to be refused.
#include <absl/time/time.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/record.h"
#include "libbus/inspect.h"
#include "tests/docs/format_json.h"
#include "tests/docs/format_reader.h"

namespace libbus::format {
namespace {

// --- what was published: see make_golden_main.cc
// ----------------------------------------------------------------------

ExpectedRecord Record(uint64_t position, uint64_t next, int n, std::string payload) {
  ExpectedRecord record;
  record.position = position;
  record.next = next;
  record.timestamp = 1'700'000'000'000'000'000 + n * 1'000'000'001ll;
  record.payload = std::move(payload);
  return record;
}

ExpectedRecord Gap(uint64_t position, uint64_t next, std::string cause) {
  ExpectedRecord record;
  record.position = position;
  record.next = next;
  record.gap = std::move(cause);
  return record;
}

std::string Alphabet(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
  return text;
}

std::vector<ExpectedRecord> Expected() {
  std::vector<ExpectedRecord> all;
  all.push_back(Record(64, 88, 0, ""));
  all.push_back(Record(88, 128, 1, "hello, world"));
  all.back().type = 7;
  // 8 of the header, source 8, producer 24, key 16, headers 56; then 7 of payload
  all.push_back(Record(128, 272, 2, "order 1"));
  all.back().key = "user-42";
  all.back().headers = {{"content-type", "text/plain"}, {"empty", ""}};
  all.back().source = 4160;
  all.back().producer = "extract";
  all.back().producer_sequence = 17;
  all.push_back(Record(272, 344, 3, "eleven byte"));  // 32 were claimed
  all.back().payload_length = 11;
  all.push_back(Gap(344, 400, "aborted"));
  all.push_back(Gap(400, 464, "dead"));
  all.push_back(Record(464, 504, 6, "after the dead"));
  all.push_back(Record(4160, 8088, 7, Alphabet(3900)));  // END at 504
  all.push_back(Record(8088, 8136, 8, "in the second segment"));
  all.push_back(Record(12352, 17376, 9, Alphabet(5000)));  // END at 8136, and at once in the segment at 8192
  all.push_back(Record(17376, 17408, 10, "last"));
  return all;
}

// --- the copy
// ---------------------------------------------------------------------------------------------------------

std::map<std::string, std::string> Contents(const std::filesystem::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().string()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  return files;
}

class GoldenTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "libbus-golden-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr) << path;
    directory_ = path;
    std::filesystem::copy(LIBBUS_SOURCE_DIR "/tests/golden/v1", Bus(), std::filesystem::copy_options::recursive);
    SetModes();
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Bus() const { return (directory_ / "v1").string(); }
  std::string Topic() const { return Bus() + "/events"; }

 private:
  // As the library makes them; a checkout knows nothing of modes.
  void SetModes() const {
    using std::filesystem::perms;
    std::filesystem::permissions(Bus(), perms::owner_all);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Bus())) {
      const perms mode = entry.is_directory() ? perms::owner_all : perms::owner_read | perms::owner_write;
      std::filesystem::permissions(entry.path(), mode);
    }
  }

  std::filesystem::path directory_;
};

// --- a walk with nothing but libbus/format
// -----------------------------------------------------------------------------

struct SegmentBytes {
  SegmentHeader header;
  std::string bytes;

  explicit SegmentBytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
    bytes.resize(std::max(bytes.size(), sizeof(header)));
    std::memcpy(&header, bytes.data(), sizeof(header));
  }
  template <typename T>
  T Get(uint64_t position) const {
    T value;
    std::memcpy(&value, bytes.data() + (position - header.base), sizeof(value));
    return value;
  }
  std::span<const std::byte> Body(uint64_t position, uint32_t length) const {
    return std::as_bytes(std::span(bytes)).subspan(position - header.base + 24, length);
  }
};

std::string SegmentPath(const std::string& topic, uint64_t base) { return fmt::format("{}/{:020}.seg", topic, base); }

TEST_F(GoldenTest, HeadersHold) {
  const auto uuid = SegmentBytes(SegmentPath(Topic(), 0)).header.header.uuid;
  const std::map<uint64_t, uint64_t> sizes = {{0, 4096}, {4096, 4096}, {8192, 4096}, {12288, 12288}, {24576, 4096}};
  for (const auto& [base, size] : sizes) {
    const SegmentBytes segment(SegmentPath(Topic(), base));
    EXPECT_EQ(segment.bytes.size(), size);
    EXPECT_EQ(segment.header.file_size, size);
    EXPECT_EQ(segment.header.header.magic, kSegmentMagic);
    EXPECT_EQ(segment.header.header.version, 1);
    EXPECT_EQ(segment.header.header.uuid, uuid);
    EXPECT_EQ(segment.header.base, base);
    EXPECT_EQ(segment.header.epoch, 1u);
    EXPECT_EQ(segment.header.checksum, FileChecksum(segment.header));
  }
}

// Made by `bus cat events --cursor load --commit -n 3` and once more with `-n 1`, on a copy of the rest.
TEST_F(GoldenTest, TheCursorGoesOnWhereItStood) {
  auto bus = libbus::Bus::Open(Bus(), {.read_only = true});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto topic = bus->OpenTopic("events");
  ASSERT_TRUE(topic.ok()) << topic.status();
  const auto cursors = topic->ListCursors();
  ASSERT_TRUE(cursors.ok()) << cursors.status();
  ASSERT_EQ(cursors->size(), 1u);
  EXPECT_TRUE(cursors->front().problem.ok()) << cursors->front().problem;
  EXPECT_EQ(cursors->front().name, "load");
  EXPECT_EQ(cursors->front().position, (Position{344}));
  EXPECT_EQ(cursors->front().sequence, 4u);
  EXPECT_EQ(cursors->front().lag.records, 7u);
  auto consumer = topic->NewConsumer({.cursor = "load"});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  const auto record = consumer->Next(absl::ZeroDuration());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->text(), "after the dead");
  EXPECT_EQ(record->sequence(), 6u);
  EXPECT_TRUE(consumer->Commit().ok());
}

// Fills in what stands in a DATA record; false if it does not verify.
bool ReadRecord(const SegmentBytes& segment, TopicSeed seed, Word word, ExpectedRecord& found) {
  const auto header = segment.Get<RecordHeader>(found.position);
  const auto body = segment.Body(found.position, word.length());
  Extent extent;
  if (!VerifyRecord(seed, found.position, header, body, extent)) return false;
  found.type = header.type;
  found.timestamp = header.timestamp;
  found.payload.assign(reinterpret_cast<const char*>(body.data()) + extent.attributes, extent.payload);
  if (extent.attributes == 0) return true;
  const auto attributes = ParseAttributes(body.first(extent.attributes));
  if (!attributes) return false;
  found.payload_length = attributes->payload_length;
  found.source = attributes->source;
  found.producer = attributes->producer;
  found.producer_sequence = attributes->producer_sequence;
  found.key = attributes->key;
  auto rest = attributes->headers;
  for (std::string_view name, value; NextHeader(rest, name, value);) found.headers.emplace_back(name, value);
  return true;
}

std::string CauseOfGap(Word gap) {
  return gap.flags() == kGapDead ? "dead" : gap.flags() == kGapAborted ? "aborted" : "unexpected";
}

// Everything up to the first FREE word, as JSON lines.
std::string Walk(const std::string& topic) {
  std::string text;
  SegmentBytes segment(SegmentPath(topic, 0));
  const TopicSeed seed = TopicSeed::Of(segment.header.header.uuid);
  for (uint64_t position = kSegmentHeaderSize;;) {
    const Word word(segment.Get<uint64_t>(position));
    const uint64_t end = segment.header.base + segment.header.file_size;
    const Verdict verdict = Judge(seed, position, word, end - position);
    if (verdict == Verdict::kFree) return text;
    if (verdict == Verdict::kEnd) {
      segment = SegmentBytes(SegmentPath(topic, end));
      position = end + kSegmentHeaderSize;
      continue;
    }
    ExpectedRecord found;
    found.position = position;
    found.next = position + word.size();
    found.owner = word.owner();
    if (verdict == Verdict::kGap) found.gap = CauseOfGap(word);
    const bool data = verdict == Verdict::kData && ReadRecord(segment, seed, word, found);
    if (!data && verdict != Verdict::kGap) return text + "a record does not verify";
    text += Json(found);
    position = found.next;
  }
}

std::string ExpectedJson() {
  std::string text;
  for (const ExpectedRecord& record : Expected()) text += Json(record);
  return text;
}

TEST_F(GoldenTest, FormatReadsIt) { EXPECT_EQ(Walk(Topic()), ExpectedJson()); }

// --- the reader written from the page
// ----------------------------------------------------------------------------------

TEST_F(GoldenTest, ReaderOfThePageReadsIt) {
  const ReaderOutcome outcome = RunReader("topic", Topic());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.output, ExpectedJson());
}

TEST_F(GoldenTest, ReaderOfThePageReadsTheControlFile) {
  const ReaderOutcome outcome = RunReader("control", Topic());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_NE(outcome.output.find("\"state\": \"clean\""), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("\"tail\": 17408"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("\"segment_size\": 4096"), std::string::npos) << outcome.output;
  EXPECT_EQ(RunReader("bus", Bus() + "/bus").exit_code, 0);
}

// --- the library
// -------------------------------------------------------------------------------------------------------

TEST_F(GoldenTest, ConsumerReadsIt) {
  auto bus = Bus::Open(Bus(), {.read_only = true});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto topic = bus->OpenTopic("events");
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  std::string text;
  uint64_t sequence = 0;
  for (const RecordView& view : consumer->Records(absl::ZeroDuration())) {
    const OwnedRecord record = view.ToOwned();
    EXPECT_EQ(record.sequence, sequence++);
    ExpectedRecord found;
    found.position = record.position.offset;
    found.next = record.next_position.offset;
    if (record.kind == RecordKind::kGap) found.gap = GapCauseName(record.gap.cause), found.owner = *record.gap.owner;
    found.type = record.type;
    found.timestamp = record.kind == RecordKind::kGap ? 0 : absl::ToUnixNanos(record.timestamp);
    found.payload = record.payload;
    if (record.source) found.source = record.source->offset;
    found.producer = record.producer;
    found.producer_sequence = record.producer_sequence;
    found.key = record.key;
    found.headers = record.headers;
    text += Json(found);
  }
  EXPECT_EQ(consumer->status().code(), absl::StatusCode::kDeadlineExceeded) << consumer->status();
  std::string expected;
  for (ExpectedRecord record : Expected()) {
    record.payload_length.reset();  // not told to users: it is the payload's size
    expected += Json(record);
  }
  EXPECT_EQ(text, expected);
}

TEST_F(GoldenTest, VerifyFindsNoDamage) {
  const auto report = VerifyTopic(Bus(), "events", [](const Finding& finding) {
    EXPECT_FALSE(finding.damage) << finding.file << ": " << finding.what;
    return true;
  });
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->records, 9u);
  EXPECT_EQ(report->gaps, 2u);
  EXPECT_EQ(report->open, 0u);
  EXPECT_EQ(report->damages, 0u);
  EXPECT_EQ(report->end, Position{17408});
}

// Dump shows each of them, at its place.
TEST_F(GoldenTest, DumpShowsIt) {
  std::vector<std::pair<DumpKind, uint64_t>> shown;
  const auto summary = DumpTopic(Bus(), "events", {}, [&](const DumpItem& item) {
    EXPECT_FALSE(item.damaged) << item.summary;
    if (item.kind == DumpKind::kData || item.kind == DumpKind::kGap)
      shown.emplace_back(item.kind, item.position->offset);
    return true;
  });
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->damaged, 0u);
  std::vector<std::pair<DumpKind, uint64_t>> expected;
  for (const ExpectedRecord& record : Expected()) {
    expected.emplace_back(record.gap.empty() ? DumpKind::kData : DumpKind::kGap, record.position);
  }
  EXPECT_EQ(shown, expected);
}

TEST_F(GoldenTest, WriterIsRefusedAndTouchesNothing) {
  const auto before = Contents(Bus());
  {
    auto bus = Bus::Open(Bus(), {.background = false});
    ASSERT_TRUE(bus.ok()) << bus.status();
    const auto topic = bus->OpenTopic("events");
    EXPECT_EQ(topic.status().code(), absl::StatusCode::kFailedPrecondition) << topic.status();
    EXPECT_NE(topic.status().message().find("copy"), absl::string_view::npos) << topic.status();
  }
  EXPECT_EQ(Contents(Bus()), before);
}

}  // namespace
}  // namespace libbus::format
