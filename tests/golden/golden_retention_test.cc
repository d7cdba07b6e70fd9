// The topic with retention, an index and a cursor that make_golden_retention_main.cc once wrote is read for ever. See
// golden_test.cc.
#include <absl/time/time.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "libbus/inspect.h"
#include "tests/docs/format_json.h"
#include "tests/docs/format_reader.h"
#include "tests/support/scratch.h"

namespace libbus::format {
namespace {

constexpr uint64_t kFirst = 15 * 4096 + 64;    // what was deleted: fifteen segments,
constexpr uint64_t kFirstSequence = 60;        // with four records each
constexpr uint64_t kIndexed = 16 * 4096 + 64;  // the index has one entry, for the record that stands here

int64_t TimeOf(uint64_t n) {
  return 1'700'000'000'000'000'000 + static_cast<int64_t>(n) * 1'000'000'001 + (n == 61 ? 10'000'000'000 : 0);
}

// What is kept, by its sequence from kFirstSequence on. The positions follow from docs/format.md.
std::vector<ExpectedRecord> Expected() {
  std::vector<ExpectedRecord> all;
  uint64_t at = kFirst;
  const auto add = [&](const std::string& payload) {
    const uint64_t sequence = kFirstSequence + all.size();
    ExpectedRecord& record = all.emplace_back();
    record.position = at;
    record.timestamp = TimeOf(sequence);
    record.payload = payload;
    record.next = at = (at + 24 + payload.size() + 7) / 8 * 8;
  };
  const auto add_long = [&](int n) {
    if (n % 4 == 0) at = (at + 4095) / 4096 * 4096 + 64;
    add("record " + std::to_string(n) + std::string(890, '.'));
  };
  at = kFirst - 64;
  for (int n = 60; n < 68; ++n) add_long(n);
  ExpectedRecord& gap = all.emplace_back();
  gap.position = at;
  gap.next = at += 24 + 16 + 16;  // the length of the payload is an attribute of a claim
  gap.gap = "aborted";
  at += 24 + 8 + 8 * 3;  // the table of the batch
  for (int n = 69; n < 72; ++n) add("inner " + std::to_string(n));
  for (int n = 72; n < 74; ++n) add_long(n);
  return all;
}

std::string ExpectedJson() {
  std::string text;
  for (const ExpectedRecord& record : Expected()) text += Json(record);
  return text;
}

class GoldenRetention : public testing::Test {
 protected:
  GoldenRetention() {
    using std::filesystem::perms;
    std::filesystem::copy(LIBBUS_SOURCE_DIR "/tests/golden/v1-retention", BusPath(),
                          std::filesystem::copy_options::recursive);
    std::filesystem::permissions(BusPath(), perms::owner_all);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(BusPath())) {
      const perms mode = entry.is_directory() ? perms::owner_all : perms::owner_read | perms::owner_write;
      std::filesystem::permissions(entry.path(), mode);
    }
    // An inode may come back, where the golden files were made: not to this one.
    std::filesystem::copy(IndexPath(), IndexPath() + "~");
    if (IsOwnIndex()) std::filesystem::rename(IndexPath() + "~", IndexPath());
    std::filesystem::remove(IndexPath() + "~");
  }

  std::string BusPath() const { return scratch_ / "bus"; }
  std::string TopicPath() const { return BusPath() + "/kept"; }
  std::string IndexPath() const { return TopicPath() + "/index"; }

  bool IsOwnIndex() const {
    const auto info = InspectTopic(BusPath(), "kept");
    return info.ok() && info->index.has_value();
  }

  // As if the index had not been copied: its header names its own inode.
  void OwnIndex() const {
    struct stat status;
    ASSERT_EQ(::stat(IndexPath().c_str(), &status), 0);
    std::fstream file(IndexPath(), std::ios::binary | std::ios::in | std::ios::out);
    IndexHeader header;
    file.read(reinterpret_cast<char*>(&header), sizeof(header));
    header.inode = status.st_ino;
    header.checksum = FileChecksum(header);
    file.seekp(0).write(reinterpret_cast<const char*>(&header), sizeof(header));
  }

  // What a consumer gets that starts there, up to the end.
  std::vector<OwnedRecord> ReadFrom(From from) const {
    std::vector<OwnedRecord> records;
    auto bus = Bus::Open(BusPath(), {.read_only = true});
    auto topic = bus.ok() ? bus->OpenTopic("kept") : absl::StatusOr<Topic>(bus.status());
    EXPECT_TRUE(topic.ok()) << topic.status();
    if (!topic.ok()) return records;
    auto consumer = topic->NewConsumer({.from = from, .gaps = Gaps::kAll});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    if (!consumer.ok()) return records;
    for (const RecordView& view : consumer->Records(absl::ZeroDuration())) records.push_back(view.ToOwned());
    return records;
  }

  // The number of the record with which a consumer begins there. Without an index a consumer that counted back from the
  // end does not know it; where it knows one, it is right.
  std::optional<uint64_t> FirstFrom(From from) const {
    const std::vector<OwnedRecord> records = ReadFrom(from);
    const std::vector<ExpectedRecord> expected = Expected();
    for (size_t i = 0; !records.empty() && i < expected.size(); ++i) {
      if (expected[i].position != records.front().position.offset) continue;
      EXPECT_EQ(records.size(), expected.size() - i);
      EXPECT_EQ(records.front().sequence.value_or(kFirstSequence + i), kFirstSequence + i);
      return kFirstSequence + i;
    }
    return std::nullopt;
  }

  void ExpectRightPlaces() const {
    const auto time = [](uint64_t n, int64_t more = 0) { return From::Time(absl::FromUnixNanos(TimeOf(n) + more)); };
    EXPECT_EQ(FirstFrom(From::Start()), 60u);
    EXPECT_EQ(FirstFrom(From::Sequence(7)), 60u) << "deleted: the oldest record kept";
    for (const uint64_t n : {60u, 63u, 64u, 65u, 69u, 70u, 72u, 73u}) EXPECT_EQ(FirstFrom(From::Sequence(n)), n);
    EXPECT_EQ(FirstFrom(From::Last(1)), 73u);
    EXPECT_EQ(FirstFrom(From::Last(3)), 71u);
    EXPECT_EQ(FirstFrom(From::Last(10)), 64u);
    EXPECT_EQ(FirstFrom(From::Last(99)), 60u);
    EXPECT_EQ(FirstFrom(time(3)), 60u) << "deleted: the oldest record kept";
    EXPECT_EQ(FirstFrom(time(60)), 60u);
    EXPECT_EQ(FirstFrom(time(63)), 61u) << "which says that it is later than 70";
    EXPECT_EQ(FirstFrom(time(71, 1)), 72u);
    EXPECT_EQ(FirstFrom(time(73)), 73u);
    EXPECT_TRUE(ReadFrom(time(73, 1)).empty());
  }

  const test::Scratch scratch_;
};

TEST_F(GoldenRetention, ReaderOfThePageReadsIt) {
  const ReaderOutcome outcome = RunReader("topic", TopicPath());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.output, ExpectedJson());
  const std::string control = RunReader("control", TopicPath()).output;
  EXPECT_NE(control.find(fmt::format("\"first_position\": {}, \"first_sequence\": {}", kFirst, kFirstSequence)),
            std::string::npos)
      << control;
  EXPECT_NE(control.find("\"retain_bytes\": 1073741824, \"retain_age\": 604800000000000"), std::string::npos)
      << control;
}

TEST_F(GoldenRetention, ReaderOfThePageReadsTheIndex) {
  const std::string entry = fmt::format(
      "{{\"kind\": \"entry\", \"position\": {}, \"sequence\": 64, \"exact\": true, \"before\": {}, \"leads\": true}}\n",
      kIndexed, TimeOf(61));
  EXPECT_EQ(RunReader("index", TopicPath()).output, "{\"kind\": \"index\", \"entries\": 1, \"own\": false}\n" + entry);
  OwnIndex();
  EXPECT_EQ(RunReader("index", TopicPath()).output, "{\"kind\": \"index\", \"entries\": 1, \"own\": true}\n" + entry);
}

TEST_F(GoldenRetention, ConsumerReadsIt) {
  std::string text;
  uint64_t sequence = kFirstSequence;
  for (const OwnedRecord& record : ReadFrom(From::Start())) {
    EXPECT_EQ(record.sequence, sequence++);
    ExpectedRecord found;
    found.position = record.position.offset;
    found.next = record.next_position.offset;
    if (record.kind == RecordKind::kGap) found.gap = GapCauseName(record.gap.cause);
    found.timestamp = absl::ToUnixNanos(record.timestamp);
    found.payload = record.payload;
    text += Json(found);
  }
  EXPECT_EQ(text, ExpectedJson());
}

TEST_F(GoldenRetention, WhatWasDeletedIsAGap) {
  for (const uint64_t deleted : {uint64_t{64}, uint64_t{4096 + 64}, kFirst - 4096}) {
    const std::vector<OwnedRecord> records = ReadFrom(From::At(Position{deleted}));
    ASSERT_EQ(records.size(), 1 + Expected().size());
    ASSERT_EQ(records[0].kind, RecordKind::kGap);
    EXPECT_EQ(records[0].gap.cause, GapCause::kEvicted);
    EXPECT_EQ(records[0].gap.from.offset, deleted);
    EXPECT_EQ(records[0].next_position.offset, kFirst);
    EXPECT_EQ(records[1].position.offset, kFirst);
    EXPECT_EQ(records[1].sequence, kFirstSequence);
  }
}

TEST_F(GoldenRetention, FindsSequencesAndTimesWithoutTheCopiedIndex) {
  EXPECT_FALSE(IsOwnIndex()) << "other inode: it may tell of another log";
  ExpectRightPlaces();
}

TEST_F(GoldenRetention, FindsSequencesAndTimesWithTheIndex) {
  OwnIndex();
  const auto info = InspectTopic(BusPath(), "kept");
  ASSERT_TRUE(info.ok()) << info.status();
  ASSERT_TRUE(info->index);
  EXPECT_EQ(info->index->entries, 1u);
  EXPECT_EQ(info->index->end.offset, kIndexed);
  ExpectRightPlaces();
}

TEST_F(GoldenRetention, IsDescribed) {
  const auto info = InspectTopic(BusPath(), "kept");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->first.offset, kFirst);
  EXPECT_EQ(info->end.offset, Expected().back().next);
  EXPECT_EQ(info->options.retain_bytes, uint64_t{1} << 30);
  EXPECT_EQ(info->options.retain_age, absl::Hours(168));
  EXPECT_EQ(info->cursors, 1u);
  auto bus = Bus::Open(BusPath(), {.read_only = true});
  auto topic = bus->OpenTopic("kept");
  ASSERT_TRUE(topic.ok()) << topic.status();
  const auto cursors = topic->ListCursors();
  ASSERT_TRUE(cursors.ok() && cursors->size() == 1) << cursors.status();
  EXPECT_EQ(cursors->front().name, "worker");
  EXPECT_EQ(cursors->front().sequence, 66u);
  EXPECT_EQ(cursors->front().position.offset, Expected()[6].position);
}

TEST_F(GoldenRetention, VerifyFindsNoDamage) {
  for (const bool own : {false, true}) {
    if (own) OwnIndex();
    bool index_named = false;
    const auto report = VerifyTopic(BusPath(), "kept", [&](const Finding& finding) {
      EXPECT_FALSE(finding.damage) << finding.file << ": " << finding.what;
      index_named |= finding.file == IndexPath();
      return true;
    });
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->records, Expected().size() - 1);
    EXPECT_EQ(report->gaps, 1u);
    EXPECT_EQ(report->batches, 1u);
    EXPECT_EQ(index_named, !own) << "a copy is noted, and what is right is not";
  }
}

}  // namespace
}  // namespace libbus::format
