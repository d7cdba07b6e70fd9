#include <absl/status/status.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "libbus/format/word.h"
#include "tests/inspect/fixture.h"

namespace libbus::testing {
namespace {

using DumpTest = BusFixture;

std::vector<DumpItem> Only(std::vector<DumpItem> items, DumpKind kind) {
  std::erase_if(items, [&](const DumpItem& item) { return item.kind != kind; });
  return items;
}

const DumpField* FieldOf(const DumpItem& item, std::string_view name) {
  for (const DumpField& field : item.fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

std::string MeaningOf(const DumpItem& item, std::string_view name) {
  const DumpField* field = FieldOf(item, name);
  return field != nullptr ? field->meaning : "no such field";
}

// Every byte of the file stands in a field, once; long stretches of zeros as their number.
void ExpectAllBytesShown(const std::vector<DumpItem>& items, const std::string& file) {
  std::map<uint64_t, const DumpField*> fields;
  for (const DumpItem& item : items) {
    for (const DumpField& field : item.fields) {
      if (field.bytes.size() + field.zeros == 0) continue;
      EXPECT_TRUE(fields.insert({field.offset, &field}).second) << "shown twice: " << field.offset;
    }
  }
  std::string shown;
  for (const auto& [offset, field] : fields) {
    ASSERT_EQ(offset, shown.size()) << field->name;
    shown += field->bytes + std::string(field->zeros, '\0');
  }
  EXPECT_TRUE(shown == file) << shown.size() << " of " << file.size();
}

Spec FullSpec() {
  static const Header kHeaders[] = {{"name", "value"}, {"n2", ""}};
  Spec spec = WithKey("key");
  spec.source = 77;
  spec.producer = "me";
  spec.producer_sequence = 9;
  spec.headers = kHeaders;
  return spec;
}

Spec ClaimSpec(uint64_t payload_length) {
  Spec spec;
  spec.payload_length = payload_length;
  return spec;
}

SegmentBytes Everything(const format::Uuid& uuid) {
  SegmentBytes segment(uuid, 0);
  segment.Data("plain");
  segment.Data("payload", FullSpec(), 42);
  segment.Data("claimed-slack", ClaimSpec(7));
  segment.Reserved(20, 5);
  segment.Batch({"first in the batch", "", "third"});
  segment.Gap(3, 6, format::kGapAborted);
  return segment;
}

TEST_F(DumpTest, ABatchIsItsTableAndItsRecords) {
  SegmentBytes segment(uuid_, 0);
  std::vector<uint64_t> inner;
  const uint64_t frame = segment.Batch({"first", "second"}, &inner);
  segment.Data("behind");
  Put(segment, 0);
  const auto items = Dump();
  const auto batches = Only(items, DumpKind::kData);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].position->offset, frame);
  EXPECT_EQ(batches[0].summary, "batch of 2, 112 bytes in all");
  EXPECT_EQ(MeaningOf(batches[0], "count"), "2");
  EXPECT_EQ(MeaningOf(batches[0], "record at"), std::to_string(inner[0]));
  const auto records = Only(items, DumpKind::kInner);
  ASSERT_EQ(records.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(records[i].position->offset, inner[i]);
    EXPECT_EQ(records[i].word->state, "inner");
    EXPECT_FALSE(records[i].damaged);
  }
  EXPECT_EQ(MeaningOf(records[0], "payload"), "5 bytes, \"first\"");
}

TEST_F(DumpTest, BeginsAtARecordOfABatch) {
  SegmentBytes segment(uuid_, 0);
  std::vector<uint64_t> inner;
  segment.Data("before");
  const uint64_t frame = segment.Batch({"first", "second", "third"}, &inner);
  segment.Data("behind");
  Put(segment, 0);
  const auto items = Dump({.from = Position{inner[1]}, .count = 2});
  ASSERT_EQ(Only(items, DumpKind::kInner).size(), 2u);
  EXPECT_EQ(Only(items, DumpKind::kInner)[0].position->offset, inner[1]);
  EXPECT_TRUE(Only(items, DumpKind::kData).empty());
  const auto all = Dump({.from = Position{frame}, .count = 2});
  EXPECT_EQ(Only(all, DumpKind::kData)[0].position->offset, frame);
  EXPECT_EQ(Only(all, DumpKind::kInner).size(), 1u);
  const auto refused = DumpTopic(directory_, "t", {.from = Position{frame + 32}}, [](const DumpItem&) { return true; });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DumpTest, ARottenRecordOfABatchIsMarkedAlone) {
  SegmentBytes segment(uuid_, 0);
  std::vector<uint64_t> inner;
  const uint64_t frame = segment.Batch({"first", "second", "third"}, &inner);
  const std::string whole = segment.bytes();
  for (const uint64_t at : {0, 3, 8, 24}) {
    segment.bytes() = whole;
    segment.bytes()[inner[1] + at] ^= 1;
    Put(segment, 0);
    const auto items = Dump();
    const auto records = Only(items, DumpKind::kInner);
    ASSERT_EQ(records.size(), 3u);
    EXPECT_FALSE(records[0].damaged);
    EXPECT_TRUE(records[1].damaged) << at;
    EXPECT_NE(records[1].summary.find(std::to_string(inner[2])), std::string::npos) << "where a reader goes on";
    EXPECT_FALSE(records[2].damaged);
    ExpectAllBytesShown(DumpOf(TopicPath(SegmentName(0))), GetFile(TopicPath(SegmentName(0))));
  }
  segment.bytes() = whole;
  segment.bytes()[frame + 33] ^= 1;
  Put(segment, 0);
  const auto items = Dump();
  EXPECT_TRUE(Only(items, DumpKind::kData)[0].damaged);
  EXPECT_TRUE(Only(items, DumpKind::kInner).empty());
  ExpectAllBytesShown(DumpOf(TopicPath(SegmentName(0))), GetFile(TopicPath(SegmentName(0))));
}

TEST_F(DumpTest, EveryByteOfASegmentIsShown) {
  SegmentBytes segment = Everything(uuid_);
  segment.bytes()[segment.position() - 1] = 'x';  // in what was given up
  segment.End();
  segment.bytes()[4000] = 'y';  // behind the end
  Put(segment, 0);
  Put(SegmentBytes(uuid_, kTestSegmentSize), kTestSegmentSize);
  ExpectAllBytesShown(DumpOf(TopicPath(SegmentName(0))), GetFile(TopicPath(SegmentName(0))));
}

TEST_F(DumpTest, EveryByteOfTheOtherFilesIsShown) {
  Patch(TopicPath("control"), 5000, "stray");
  Patch(TopicPath("control"), format::kSlotsOffset + 64 + 16, "\x11");
  for (const auto& path : {Path("bus"), TopicPath("control"), TopicPath("locks"), TopicPath("sleep")}) {
    SCOPED_TRACE(path);
    ExpectAllBytesShown(DumpOf(path), GetFile(path));
  }
}

TEST_F(DumpTest, ARecordIsDecodedFieldByField) {
  Put(Everything(uuid_), 0);
  const auto records = Only(Dump(), DumpKind::kData);
  ASSERT_EQ(records.size(), 4u);
  const DumpItem& record = records[1];
  EXPECT_EQ(record.position->offset, 96u);
  EXPECT_EQ(record.word->state, "data");
  EXPECT_EQ(record.word->flags, "attributes");
  EXPECT_EQ(record.word->owner, 1u);
  EXPECT_EQ(record.word->check_stored, record.word->check_computed);
  EXPECT_EQ(MeaningOf(record, "type"), "42");
  EXPECT_EQ(MeaningOf(record, "timestamp"), "2023-11-14T22:13:20.000000000Z");
  EXPECT_EQ(MeaningOf(record, "attributes fields"), "source, producer, key, headers");
  EXPECT_EQ(MeaningOf(record, "source"), "77");
  EXPECT_EQ(MeaningOf(record, "producer sequence"), "9");
  EXPECT_EQ(MeaningOf(record, "producer"), "\"me\"");
  EXPECT_EQ(MeaningOf(record, "key"), "\"key\"");
  EXPECT_EQ(MeaningOf(record, "header value"), "\"value\"");
  EXPECT_EQ(FieldOf(record, "payload")->bytes, "payload");
  EXPECT_EQ(FieldOf(records[2], "payload")->bytes, "claimed");
  EXPECT_EQ(FieldOf(records[2], "slack")->bytes, "-slack");
}

TEST_F(DumpTest, GapsEndsAndTheTailAreNamedWithCauseAndOwner) {
  SegmentBytes segment = Everything(uuid_);
  segment.End(format::kEndPowerLoss);
  Put(segment, 0);
  Put(SegmentBytes(uuid_, kTestSegmentSize), kTestSegmentSize);
  const auto items = Dump();
  ASSERT_EQ(Only(items, DumpKind::kGap).size(), 1u);
  EXPECT_EQ(Only(items, DumpKind::kGap)[0].summary, "32 bytes, aborted, owner 6");
  EXPECT_EQ(Only(items, DumpKind::kReserved)[0].summary, "48 bytes, not committed, owner 5");
  EXPECT_EQ(Only(items, DumpKind::kEnd)[0].word->flags, "power loss");
  EXPECT_EQ(Only(items, DumpKind::kFree)[0].summary, "4032 bytes, all zero");
  EXPECT_EQ(Only(items, DumpKind::kFree)[0].fields[0].zeros, 4032u);
  for (const DumpItem& item : items) EXPECT_FALSE(item.damaged) << item.summary;
}

TEST_F(DumpTest, DamageSaysWhereReadingGoesOn) {
  SegmentBytes segment(uuid_, 0);
  const uint64_t bad = segment.Data("bad word");
  const uint64_t rotten = segment.Data("bad checksum");
  const uint64_t good = segment.Data("good");
  segment.bytes()[bad + 3] ^= 0x10;
  segment.bytes()[rotten + 24] ^= 1;
  Put(segment, 0);
  const auto damage = Only(Dump(), DumpKind::kDamage);
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].size, good - bad);
  EXPECT_EQ(damage[0].summary, std::to_string(good - bad) + " bytes: the word does not verify; reading goes on at " +
                                   std::to_string(good) + " (data, 32 bytes)");
  ASSERT_TRUE(damage[0].resume.has_value());
  EXPECT_EQ(damage[0].resume->position.offset, good);
  EXPECT_TRUE(damage[0].damaged);
}

TEST_F(DumpTest, AWrongChecksumShowsBoth) {
  SegmentBytes segment(uuid_, 0);
  const uint64_t rotten = segment.Data("bad checksum");
  segment.bytes()[rotten + 24] ^= 1;
  Put(segment, 0);
  const auto records = Only(Dump(), DumpKind::kData);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_TRUE(records[0].damaged);
  EXPECT_FALSE(FieldOf(records[0], "checksum")->right);
  EXPECT_EQ(MeaningOf(records[0], "checksum").find("stored "), 0u);
  EXPECT_NE(records[0].summary.find("; does not verify; reading goes on at "), std::string::npos) << records[0].summary;
}

TEST_F(DumpTest, ARightChecksumShowsBothToo) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("right");
  Put(segment, 0);
  const auto items = Dump();
  const DumpItem record = Only(items, DumpKind::kData)[0];
  const DumpField* checksum = FieldOf(record, "checksum");
  ASSERT_TRUE(checksum->computed.has_value());
  EXPECT_EQ(checksum->meaning, fmt::format("stored {0:08x}, computed {0:08x}: right", *checksum->computed));
  EXPECT_EQ(checksum->role, DumpRole::kChecksum);
  EXPECT_EQ(FieldOf(record, "payload")->role, DumpRole::kPayload);
  EXPECT_NE(MeaningOf(record, "word").find(fmt::format("check {0:02x}, computed {0:02x}", record.word->check_stored)),
            std::string::npos);
}

TEST_F(DumpTest, AGapTellsWhoHeldItsSlot) {
  SegmentBytes segment(uuid_, 0);
  segment.Gap(3, 6, format::kGapDead);
  segment.Reserved(3, 7);
  Put(segment, 0);
  format::Slot slot = {};
  slot.pid = 4711;
  slot.since = 1'700'000'000'000'000'000;
  std::memcpy(slot.name, "loader", 6);
  const std::string_view bytes(reinterpret_cast<const char*>(&slot), sizeof(slot));
  Patch(TopicPath("control"), format::kSlotsOffset + 6 * sizeof(slot), bytes);
  const DumpItem gap = Only(Dump(), DumpKind::kGap)[0];
  EXPECT_EQ(gap.summary, "32 bytes, dead, owner 6 (its slot: process 4711 \"loader\", gone)");
  ASSERT_TRUE(gap.owner.has_value());
  EXPECT_EQ(gap.owner->pid, 4711u);
  EXPECT_EQ(gap.owner->name, "loader");
  EXPECT_EQ(gap.owner->alive, false);
  EXPECT_FALSE(Only(Dump(), DumpKind::kReserved)[0].owner.has_value());
}

TEST_F(DumpTest, AttributesThatDoNotHoldTogetherAreNoDamage) {
  SegmentBytes segment(uuid_, 0);
  // Attributes of 16 bytes whose key is longer than they are, written so, with a right checksum.
  std::string body("\x10\0\0\0\x08\0\0\0\xff\0\0\0key!payload", 23);
  segment.DataOf(format::kHasAttributes, body);
  Put(segment, 0);
  const auto records = Only(Dump(), DumpKind::kData);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_FALSE(records[0].damaged);
  EXPECT_EQ(MeaningOf(records[0], "attributes"), "a field reaches beyond them: as if there were none");
  EXPECT_EQ(FieldOf(records[0], "payload")->bytes, "payload");
}

TEST_F(DumpTest, ARecordOfANewerVersionIsSaidToBeOne) {
  SegmentBytes segment(uuid_, 0);
  segment.DataOf(1 << 4, "who knows");
  segment.Data("behind");
  Put(segment, 0);
  const auto items = DumpOf(TopicPath(SegmentName(0)));
  const auto records = Only(items, DumpKind::kData);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].summary, "40 bytes of a newer version: a reader of this version stops here");
  EXPECT_FALSE(records[0].damaged);
  ExpectAllBytesShown(items, GetFile(TopicPath(SegmentName(0))));
}

TEST_F(DumpTest, BehindTheLastRecordThatVerifiesReadingGoesOnInTheNextSegment) {
  SegmentBytes first(uuid_, 0);
  const uint64_t bad = first.Data("bad word");
  first.End();
  first.bytes()[bad + 3] ^= 0x10;
  Put(first, 0);
  auto damage = Only(Dump(), DumpKind::kDamage);
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_FALSE(damage[0].resume.has_value());
  EXPECT_NE(damage[0].summary.find("; nothing up to the end of the segment (4096) verifies, and reading ends here"),
            std::string::npos);
  SegmentBytes second(uuid_, kTestSegmentSize);
  second.Data("next");
  Put(second, kTestSegmentSize);
  damage = Only(Dump(), DumpKind::kDamage);
  ASSERT_TRUE(damage[0].resume.has_value());
  EXPECT_EQ(damage[0].resume->position.offset, kTestSegmentSize + 64);
  EXPECT_EQ(damage[0].resume->what, "the next segment");
}

// The offsets of the items with a position that are shown around one, the marked one negative.
std::vector<int64_t> Offsets(const std::vector<DumpItem>& items) {
  std::vector<int64_t> offsets;
  for (const DumpItem& item : items) {
    if (!item.position) continue;
    const auto offset = static_cast<int64_t>(item.position->offset);
    offsets.push_back(item.marked ? -offset : offset);
  }
  return offsets;
}

TEST_F(DumpTest, AroundAPositionWhereverItIs) {
  SegmentBytes first(uuid_, 0);
  std::vector<int64_t> at;
  for (int i = 0; i < 5; ++i) at.push_back(static_cast<int64_t>(first.Data("0123456789")));
  const auto gap = static_cast<int64_t>(first.Gap(40, 3, format::kGapAborted));
  const auto end = static_cast<int64_t>(first.End());
  SegmentBytes second(uuid_, kTestSegmentSize);
  const auto next = static_cast<int64_t>(second.Data("next"));
  const uint64_t tail = second.position();
  Put(first, 0);
  Put(second, kTestSegmentSize);
  const auto around = [&](uint64_t position, uint64_t n) {
    return Offsets(Dump({.count = n, .around = Position{position}}));
  };
  using Expected = std::vector<int64_t>;
  EXPECT_EQ(around(static_cast<uint64_t>(at[2]), 1), (Expected{at[1], -at[2], at[3]}));
  EXPECT_EQ(around(static_cast<uint64_t>(at[2]) + 17, 1), (Expected{at[1], -at[2], at[3]}));
  EXPECT_EQ(around(static_cast<uint64_t>(at[2]), 0), (Expected{-at[2]}));
  EXPECT_EQ(around(static_cast<uint64_t>(gap) + 30, 1), (Expected{at[4], -gap, end}));
  EXPECT_EQ(around(static_cast<uint64_t>(at[0]), 1), (Expected{-at[0], at[1]}));
  EXPECT_EQ(around(static_cast<uint64_t>(end) + 500, 1), (Expected{gap, -end, kTestSegmentSize, next}));
  EXPECT_EQ(around(static_cast<uint64_t>(next) + 1, 2),
            (Expected{gap, end, kTestSegmentSize, -next, static_cast<int64_t>(tail)}));
  EXPECT_EQ(around(tail + 100, 1), (Expected{next, -static_cast<int64_t>(tail)}));
  EXPECT_EQ(Offsets(Dump({.around = Position{static_cast<uint64_t>(at[3])}})),
            (Expected{at[0], at[1], at[2], -at[3], at[4], gap, end}));
  const auto error = [&](uint64_t position) {
    return DumpTopic(directory_, "t", {.around = Position{position}}, [](const DumpItem&) { return true; }).status();
  };
  EXPECT_TRUE(absl::IsOutOfRange(error(2 * kTestSegmentSize))) << error(2 * kTestSegmentSize);
  EXPECT_EQ(DumpTopic(directory_, "t", {.from = Position{64}, .around = Position{64}}, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(DumpTest, AroundARecordOfABatch) {
  SegmentBytes segment(uuid_, 0);
  std::vector<uint64_t> inner;
  const auto before = static_cast<int64_t>(segment.Data("before"));
  const auto frame = static_cast<int64_t>(segment.Batch({"first", "second", "third"}, &inner));
  const auto behind = static_cast<int64_t>(segment.Data("behind"));
  Put(segment, 0);
  std::vector<int64_t> at(inner.begin(), inner.end());
  const auto around = [&](uint64_t position, uint64_t n) {
    return Offsets(Dump({.count = n, .around = Position{position}}));
  };
  using Expected = std::vector<int64_t>;
  EXPECT_EQ(around(inner[1] + 3, 1), (Expected{at[0], -at[1], at[2]}));
  EXPECT_EQ(around(inner[0], 1), (Expected{frame, -at[0], at[1]}));
  EXPECT_EQ(around(inner[0], 2), (Expected{before, frame, -at[0], at[1], at[2]}));
  EXPECT_EQ(around(static_cast<uint64_t>(frame) + 30, 1), (Expected{before, -frame, at[0]}));
  EXPECT_EQ(around(static_cast<uint64_t>(behind), 2), (Expected{at[1], at[2], -behind, behind + 32}));
}

TEST_F(DumpTest, AroundAPlaceInDamage) {
  SegmentBytes segment(uuid_, 0);
  const auto before = static_cast<int64_t>(segment.Data("before"));
  const uint64_t bad = segment.Data("bad word");
  const auto good = static_cast<int64_t>(segment.Data("good"));
  segment.bytes()[bad + 3] ^= 0x10;
  Put(segment, 0);
  EXPECT_EQ(Offsets(Dump({.count = 1, .around = Position{bad + 9}})),
            (std::vector<int64_t>{before, -static_cast<int64_t>(bad), good}));
}

TEST_F(DumpTest, AroundAByteOfAForeignFileIsItsLine) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += static_cast<char>('a' + i % 26);
  PutFile(Path("foreign"), text);
  const auto items = DumpOf(Path("foreign"), {.count = 1, .around = Position{50}});
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(items[1].fields[0].bytes, text.substr(32, 16));
  EXPECT_EQ(items[2].fields[0].bytes, text.substr(48, 16));
  EXPECT_TRUE(items[2].marked);
  EXPECT_EQ(items[3].fields[0].bytes, text.substr(64, 16));
}

TEST_F(DumpTest, ADirectorySaysWhatToName) {
  const auto message = [](const std::string& path) {
    return std::string(DumpFile(path, {}, [](const DumpItem&) { return true; }).status().message());
  };
  EXPECT_EQ(message(Path("t/")), fmt::format("{0}/t/: a directory: name the topic (\"bus --bus {0} dump t\") or one of "
                                             "its files, such as {0}/t/control",
                                             directory_));
  EXPECT_EQ(message(directory_), fmt::format("{0}: a directory: name a topic (\"bus --bus {0} dump TOPIC\") or a file, "
                                             "such as {0}/bus",
                                             directory_));
}

TEST_F(DumpTest, FromAPositionSoManyRecords) {
  SegmentBytes first(uuid_, 0);
  first.Data("one");
  const uint64_t two = first.Data("two");
  first.End();
  SegmentBytes second(uuid_, kTestSegmentSize);
  second.Data("three");
  Put(first, 0);
  Put(second, kTestSegmentSize);
  const auto items = Dump({.from = Position{two}, .count = 3});
  ASSERT_EQ(Only(items, DumpKind::kData).size(), 2u);
  EXPECT_EQ(items[1].position->offset, two);
  EXPECT_EQ(items.back().position->offset, kTestSegmentSize + 64);
  EXPECT_EQ(Only(Dump({.count = 1}), DumpKind::kData).size(), 1u);
}

TEST_F(DumpTest, APositionThatIsNoneIsAnErrorThatNamesTheRightOne) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  const auto ignore = [](const DumpItem&) { return true; };
  const auto inside = DumpTopic(directory_, "t", {.from = Position{72}}, ignore).status();
  EXPECT_TRUE(absl::IsInvalidArgument(inside));
  EXPECT_NE(std::string(inside.message()).find("position 72 is inside the record at 64: use 64"), std::string::npos);
  EXPECT_TRUE(absl::IsOutOfRange(DumpTopic(directory_, "t", {.from = Position{104}}, ignore).status()));
  EXPECT_TRUE(absl::IsOutOfRange(DumpTopic(directory_, "t", {.from = Position{9999}}, ignore).status()));
  EXPECT_TRUE(DumpTopic(directory_, "t", {.from = Position{segment.position()}}, ignore).ok());
}

TEST_F(DumpTest, AForeignFileIsSaidToBeOneAndShown) {
  const std::string text = "#!/bin/sh\necho hello\n";
  PutFile(Path("script"), text);
  const auto items = DumpOf(Path("script"));
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].summary.find("not a file of a bus: it begins with \"#!/bin/s\""), 0u) << items[0].summary;
  EXPECT_FALSE(items[0].damaged);
  ExpectAllBytesShown(items, text);
  const auto one = DumpOf(Path("script"), {.from = Position{2}, .count = 1});
  EXPECT_EQ(one[1].fields[0].bytes, text.substr(2, 16));
}

TEST_F(DumpTest, EmptyTruncatedAndHeadlessSegmentsAreShown) {
  const std::string path = TopicPath(SegmentName(0));
  PutFile(path, "");
  EXPECT_TRUE(DumpOf(path)[1].damaged);
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  std::filesystem::resize_file(path, 70);
  ExpectAllBytesShown(DumpOf(path), GetFile(path));
  PutFile(path, std::string(64, '\0') + segment.bytes().substr(64));
  const auto items = DumpOf(path);
  EXPECT_TRUE(items[1].damaged);
  EXPECT_EQ(Only(items, DumpKind::kData).size(), 1u);
}

TEST_F(DumpTest, AControlFileOfZerosIsCalledDamaged) {
  Put(SegmentBytes(uuid_, 0), 0);
  PutFile(TopicPath("control"), std::string(format::kControlSize, '\0'));
  const auto items = DumpOf(TopicPath("control"));
  EXPECT_TRUE(items[0].damaged);
  EXPECT_EQ(items[0].summary.find("a damaged file of a topic"), 0u);
}

TEST_F(DumpTest, AFileOfANewerVersionIsPlainBytes) {
  SegmentBytes segment(uuid_, 0);
  segment.bytes()[8] = 2;
  Put(segment, 0);
  const auto items = DumpOf(TopicPath(SegmentName(0)));
  EXPECT_NE(items[0].summary.find("newer version"), std::string::npos);
  EXPECT_FALSE(items[0].damaged);
  ExpectAllBytesShown(items, GetFile(TopicPath(SegmentName(0))));
}

TEST_F(DumpTest, ALongPayloadComesInPieces) {
  constexpr uint64_t kSize = 1 << 20;
  std::string payload(300'000, 'a');
  for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(i % 251);
  SegmentBytes segment(uuid_, 0, kSize);
  segment.Data(payload);
  Put(segment, 0);
  const auto items = DumpOf(TopicPath(SegmentName(0)));
  for (const DumpItem& item : items) {
    for (const DumpField& field : item.fields) EXPECT_LE(field.bytes.size(), 65536u);
  }
  ExpectAllBytesShown(items, GetFile(TopicPath(SegmentName(0))));
}

TEST_F(DumpTest, OptionsWhereThereAreNoRecordsAreAnError) {
  const auto ignore = [](const DumpItem&) { return true; };
  EXPECT_TRUE(absl::IsInvalidArgument(DumpFile(TopicPath("control"), {.count = 1}, ignore).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DumpFile(Path("t"), {}, ignore).status()));
  EXPECT_TRUE(absl::IsNotFound(DumpFile(Path("none"), {}, ignore).status()));
}

// Any bytes at all are dumped without a crash, and none is left out.
TEST_F(DumpTest, NoiseIsShownWhole) {
  const char* given = std::getenv("LIBBUS_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::stoul(given)) : 1;
  SCOPED_TRACE(::testing::Message() << "LIBBUS_SEED=" << seed);
  unsigned state = seed;
  for (int round = 0; round < 200; ++round) {
    SegmentBytes segment = Everything(uuid_);
    for (int hits = 0; hits < 4; ++hits) {
      state = state * 1664525 + 1013904223;
      segment.bytes()[64 + (state >> 8) % 400] = static_cast<char>(state >> 24);
    }
    Put(segment, 0);
    const auto path = TopicPath(SegmentName(0));
    ExpectAllBytesShown(DumpOf(path), GetFile(path));
    Verify();
  }
}

TEST_F(DumpTest, TheControlRecordTellsOfRecoveries) {
  PutControl(format::ControlState::kRecovering, 64, [](format::ControlRecord& record) {
    record.cause = format::kEndCopied;
    record.epochs[record.epoch_entries++] = {2, format::kEndPowerLoss, {}, 96, 4096};
  });
  const auto items = Only(DumpOf(TopicPath("control")), DumpKind::kControlRecord);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(MeaningOf(items[0], "state"), "recovering");
  EXPECT_EQ(MeaningOf(items[0], "cause"), "2: copied");
  EXPECT_EQ(MeaningOf(items[0], "epoch number"), "2");
  EXPECT_EQ(MeaningOf(items[0], "epoch cause"), "power loss");
  EXPECT_EQ(MeaningOf(items[0], "epoch from"), "96");
  EXPECT_EQ(MeaningOf(items[0], "epoch to"), "4096");
  for (const DumpItem& item : items) EXPECT_FALSE(item.damaged) << item.summary;
}

TEST_F(DumpTest, AMarkOfAFailedSyncIsDecoded) {
  const std::string path = TopicPath("00000000000000000000.failed");
  PutFile(path, SyncFailedMark(28));
  const auto items = DumpOf(path);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[1].summary, "mark of a failed sync header");
  EXPECT_EQ(MeaningOf(items[1], "error"), "errno 28: No space left on device");
  EXPECT_FALSE(items[1].damaged);
  ExpectAllBytesShown(items, GetFile(path));
  PutFile(path, SyncFailedMark(0));
  EXPECT_EQ(MeaningOf(DumpOf(path)[1], "error"), "0: what was written does not stand there any more");
}

TEST_F(DumpTest, WhatWasSealedOffIsNoPlaceToGoOn) {
  PutSealedOff();
  const auto damages = Only(Dump(), DumpKind::kDamage);
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].position->offset + damages[0].size, kTestSegmentSize);
}

TEST_F(DumpTest, ASealedEndSaysWhy) {
  SegmentBytes segment(uuid_, 0);
  segment.End(format::kEndSyncFailed);
  Put(segment, 0);
  Put(SegmentBytes(uuid_, kTestSegmentSize), kTestSegmentSize);
  EXPECT_EQ(Only(Dump(), DumpKind::kEnd)[0].summary, "sealed: sync failed; 4024 bytes behind it, all zero");
}

}  // namespace
}  // namespace libbus::testing
