#include "libbus/format/batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/format/reference.h"

namespace libbus::format {
namespace {

constexpr TopicSeed kSeed = {0x4aec255b};
constexpr uint64_t kPosition = 4096 + 64;
constexpr uint32_t kOwner = 7;
constexpr int64_t kNow = 1700000000000000000;

struct Pair {
  std::string_view name;
  std::string_view value;
};

struct Record {
  std::string payload;
  std::string key;
  uint32_t type = 0;
  int64_t timestamp = 0;  // 0: that of the commit
};

// A frame as it stands in the log, and where its records stand in it.
struct Frame {
  RecordHeader header;
  std::string body;
  std::vector<Record> records;
  std::vector<BatchEntry> entries;

  std::string bytes() const { return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body; }
};

void Stage(const Record& record, std::string& bytes, std::vector<StagedRecord>& staged) {
  AttributesSpec<Pair> spec;
  spec.key = record.key;
  const uint64_t attributes = AttributesSize(spec);
  const auto length = static_cast<uint32_t>(attributes + record.payload.size());
  staged.push_back({static_cast<uint32_t>(bytes.size()), record.timestamp != 0 ? 1u : 0u});
  const RecordHeader header = {StagedWord(attributes == 0 ? uint8_t{0} : kHasAttributes, length), 0, record.type,
                               record.timestamp};
  bytes.append(reinterpret_cast<const char*>(&header), sizeof(header));
  const size_t at = bytes.size();
  bytes.resize(at + attributes);
  if (attributes != 0) {
    WriteAttributes(spec, static_cast<uint32_t>(attributes), reinterpret_cast<std::byte*>(bytes.data() + at));
  }
  bytes += record.payload;
  bytes.resize(AlignUp(bytes.size(), 8));
}

void Seal(Frame& frame, TopicSeed seed, uint64_t position) {
  const Word word(frame.header.word);
  const uint64_t covered = BatchTableEnd(frame.entries.size()) - kRecordHeaderSize;
  const uint32_t begun = BeginChecksum(seed, position, word, frame.header.type, frame.header.timestamp);
  frame.header.checksum = Crc32c(begun, frame.body.data(), covered);
}

Frame MakeFrame(std::vector<Record> records, uint64_t position = kPosition, TopicSeed seed = kSeed) {
  std::string bytes;
  std::vector<StagedRecord> staged;
  for (const Record& record : records) Stage(record, bytes, staged);
  Frame frame;
  frame.entries.resize(records.size());
  FinishInner(seed, position, kOwner, kNow, staged, reinterpret_cast<std::byte*>(bytes.data()), frame.entries);
  const BatchHeader batch = {static_cast<uint32_t>(records.size()), 0};
  frame.body.assign(reinterpret_cast<const char*>(&batch), sizeof(batch));
  frame.body.append(reinterpret_cast<const char*>(frame.entries.data()), frame.entries.size() * sizeof(BatchEntry));
  frame.body += bytes;
  const Word word = MakeWord(seed, position, State::kData, kBatch, kOwner, static_cast<uint32_t>(frame.body.size()));
  frame.header = {word.bits(), 0, 0, kNow};
  Seal(frame, seed, position);
  frame.records = std::move(records);
  return frame;
}

std::vector<Record> SomeRecords() {
  return {{.payload = "first", .type = 1},
          {.payload = ""},
          {.payload = "with a key", .key = "user-42", .type = 0xFFFFFFFF},
          {.payload = std::string(100, 'x'), .timestamp = 42},
          {.payload = "the last one: 25 bytes..."}};
}

constexpr char kLost[] = "<lost>";

// What a reader gets of the bytes of a frame: the payload of each record or kLost; nothing if it loses the frame.
// The bytes lie in a block of their own, so that the address sanitizer sees a read behind them.
std::vector<std::string> Read(const std::string& bytes, uint64_t position = kPosition, TopicSeed seed = kSeed) {
  RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const Word word(header.word);
  const size_t size = bytes.size() - sizeof(header);
  const std::unique_ptr<std::byte[]> block(new std::byte[size]);
  std::memcpy(block.get(), bytes.data() + sizeof(header), size);
  if (Judge(seed, position, word, bytes.size() + 8) != Verdict::kData || !word.is_batch()) return {};
  const std::span<const std::byte> body(block.get(), word.length());
  const auto count = VerifyFrame(seed, position, header, body);
  if (!count) return {};
  EXPECT_EQ(BatchCount(body.data()), *count);
  std::vector<std::string> all;
  for (uint32_t i = 0; i < *count; ++i) {
    const auto place = FindInner(body, *count, i);
    EXPECT_TRUE(place) << "a table that verified";
    EXPECT_EQ(InnerIndex(body, *count, place->offset), i);
    RecordHeader inner;
    Extent extent;
    const bool verifies = VerifyInner(seed, position, *place, body, inner, extent);
    const auto* payload = reinterpret_cast<const char*>(body.data()) + place->offset + extent.attributes;
    all.push_back(verifies ? std::string(payload, extent.payload) : kLost);
  }
  const bool whole = std::find(all.begin(), all.end(), kLost) == all.end();
  EXPECT_EQ(VerifyWhole(seed, position, header, body), whole);
  EXPECT_TRUE(VerifyStart(seed, position, header, body));
  return all;
}

std::vector<std::string> PayloadsOf(const Frame& frame) {
  std::vector<std::string> all;
  for (const Record& record : frame.records) all.push_back(record.payload);
  return all;
}

std::string WithBit(std::string bytes, size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  return bytes;
}

// From the document, with nothing of the library.
uint64_t ReferenceWord(uint32_t seed, uint64_t position, uint64_t state, uint64_t flags, uint64_t owner,
                       uint64_t length) {
  const uint64_t plain = flags << 8 | owner << 14 | length << 32;
  const uint32_t c = ByteString().Add(position).Add(plain).Crc(seed);
  return state | plain | uint64_t{(c ^ c >> 7 ^ c >> 22) & 255} << 24;
}

uint32_t ReferenceChecksum(uint32_t seed, uint64_t position, uint64_t word, uint32_t type, int64_t timestamp,
                           std::string_view rest) {
  return ByteString().Add(position).Add(word).Add(type).Add(timestamp).Add(rest).Crc(seed);
}

TEST(BatchTest, BytesAreThoseOfTheDocument) {
  const Frame frame =
      MakeFrame({{.payload = "one", .type = 5}, {.payload = "eleven byte", .key = "k", .timestamp = 9}});
  const uint64_t first = kPosition + 48;
  const uint64_t second = first + 32;
  ByteString a, b;
  const uint64_t word_a = ReferenceWord(kSeed.value, first, 0x5A, 0, kOwner, 3);
  const uint64_t word_b = ReferenceWord(kSeed.value, second, 0x5A, 1, kOwner, 16 + 11);
  ByteString tail_b;
  tail_b.Add(uint32_t{16})
      .Add(uint32_t{8})
      .Add(uint32_t{1})
      .Add("k")
      .Add(uint16_t{0})
      .Add(uint8_t{0})
      .Add("eleven byte");
  const uint32_t sum_a = ReferenceChecksum(kSeed.value, first, word_a ^ 0x5A ^ 0x33, 5, kNow, "one");
  const uint32_t sum_b = ReferenceChecksum(kSeed.value, second, word_b ^ 0x5A ^ 0x33, 0, 9, tail_b.str());
  ByteString table;
  table.Add(uint32_t{2}).Add(uint32_t{0}).Add(uint32_t{48}).Add(sum_a).Add(uint32_t{80}).Add(sum_b);
  a.Add(word_a).Add(sum_a).Add(uint32_t{5}).Add(uint64_t{kNow}).Add("one").Add(std::string(5, '\0'));
  b.Add(word_b).Add(sum_b).Add(uint32_t{0}).Add(uint64_t{9}).Add(tail_b.str()).Add(std::string(5, '\0'));
  EXPECT_EQ(frame.body, table.str() + a.str() + b.str());
  EXPECT_EQ(frame.header.word, ReferenceWord(kSeed.value, kPosition, 0x33, 2, kOwner, 24 + 32 + 56));
  EXPECT_EQ(frame.header.checksum, ReferenceChecksum(kSeed.value, kPosition, frame.header.word, 0, kNow, table.str()));
}

TEST(BatchTest, EveryRecordIsReadAsItWasWritten) {
  const Frame frame = MakeFrame(SomeRecords());
  EXPECT_EQ(Read(frame.bytes()), PayloadsOf(frame));
  const auto* body = reinterpret_cast<const std::byte*>(frame.body.data());
  for (size_t i = 0; i < frame.records.size(); ++i) {
    RecordHeader header;
    std::memcpy(&header, body + frame.entries[i].offset - kRecordHeaderSize, sizeof(header));
    EXPECT_EQ(header.type, frame.records[i].type);
    EXPECT_EQ(header.timestamp, frame.records[i].timestamp != 0 ? frame.records[i].timestamp : kNow);
    EXPECT_EQ(Word(header.word).owner(), kOwner);
  }
}

TEST(BatchTest, OneRecordAndTenThousand) {
  EXPECT_EQ(Read(MakeFrame({{.payload = "alone"}}).bytes()), std::vector<std::string>{"alone"});
  std::vector<Record> many(10000);
  for (size_t i = 0; i < many.size(); ++i) many[i].payload = std::to_string(i);
  const Frame frame = MakeFrame(many);
  EXPECT_EQ(Read(frame.bytes()), PayloadsOf(frame));
}

// Each bit belongs to the frame, to one record, or to the padding behind one.
TEST(BatchTest, EveryFlippedBitLosesExactlyWhatItHits) {
  const Frame frame = MakeFrame(SomeRecords());
  const std::string bytes = frame.bytes();
  const std::vector<std::string> payloads = PayloadsOf(frame);
  size_t of_records = 0, of_frame = 0, of_padding = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::vector<std::string> wanted = payloads;
    const size_t at = bit / 8;
    if (at < BatchTableEnd(payloads.size())) {
      wanted.clear();
      ++of_frame;
    }
    for (size_t i = 0; i < wanted.size(); ++i) {
      RecordHeader inner;
      std::memcpy(&inner, bytes.data() + frame.entries[i].offset, sizeof(inner));
      const size_t end = frame.entries[i].offset + kRecordHeaderSize + Word(inner.word).length();
      if (at < frame.entries[i].offset || at >= end) continue;
      wanted[i] = kLost;
      ++of_records;
    }
    if (wanted == payloads) ++of_padding;
    ASSERT_EQ(Read(WithBit(bytes, bit)), wanted) << "bit " << bit % 8 << " of byte " << at;
  }
  EXPECT_GT(of_records, 0u);
  EXPECT_GT(of_padding, 0u);
  EXPECT_EQ(of_frame, BatchTableEnd(payloads.size()) * 8);
}

// Bytes overwritten anywhere: what is handed out is what was written, in its place.
TEST(BatchTest, RandomDamageNeverMakesAWrongPayload) {
  Random random;
  const Frame frame = MakeFrame(SomeRecords());
  const std::vector<std::string> payloads = PayloadsOf(frame);
  const std::string whole = frame.bytes();
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole;
    for (uint64_t hits = 1 + random() % 4; hits > 0; --hits) {
      const uint64_t from = random() % bytes.size();
      const uint64_t to = std::min<uint64_t>(bytes.size(), from + 1 + random() % 40);
      for (uint64_t i = from; i < to; ++i) bytes[i] = static_cast<char>(random() % 2 == 0 ? random() : 0);
    }
    const auto got = Read(bytes);
    ASSERT_TRUE(got.empty() || got.size() == payloads.size()) << "round " << round;
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_TRUE(got[i] == payloads[i] || got[i] == kLost) << "round " << round;
    }
  }
}

TEST(BatchTest, IsOfOneTopicAndOnePositionOnly) {
  const Frame frame = MakeFrame(SomeRecords());
  EXPECT_TRUE(Read(frame.bytes(), kPosition + 8).empty());
  EXPECT_TRUE(Read(frame.bytes(), kPosition, {kSeed.value + 1}).empty());
  // Nor do records of one frame verify in another one with a table for them.
  Frame moved = MakeFrame(SomeRecords(), kPosition + 4096);
  const size_t table = BatchTableEnd(frame.records.size()) - kRecordHeaderSize;
  moved.body.replace(table, std::string::npos, frame.body.substr(table));
  EXPECT_EQ(Read(moved.bytes(), kPosition + 4096), std::vector<std::string>(frame.records.size(), kLost));
}

TEST(BatchTest, IsFinishedAnewForAnotherPosition) {
  std::string bytes;
  std::vector<StagedRecord> staged;
  for (const Record& record : SomeRecords()) Stage(record, bytes, staged);
  std::vector<BatchEntry> entries(staged.size());
  auto* const data = reinterpret_cast<std::byte*>(bytes.data());
  FinishInner(kSeed, 64, 3, 1, staged, data, entries);
  FinishInner(kSeed, kPosition, kOwner, kNow, staged, data, entries);
  const Frame wanted = MakeFrame(SomeRecords());
  EXPECT_EQ(wanted.body.substr(BatchTableEnd(staged.size()) - kRecordHeaderSize), bytes);
}

// --- tables that somebody made with the right checksum --------------------------------------------------------------

Frame WithTable(const std::function<void(BatchHeader&, std::vector<BatchEntry>&)>& change) {
  Frame frame = MakeFrame(SomeRecords());
  BatchHeader header = {static_cast<uint32_t>(frame.entries.size()), 0};
  change(header, frame.entries);
  std::memcpy(frame.body.data(), &header, sizeof(header));
  std::memcpy(frame.body.data() + sizeof(header), frame.entries.data(), frame.entries.size() * sizeof(BatchEntry));
  if (BatchTableEnd(header.count) <= kRecordHeaderSize + frame.body.size()) {
    const uint32_t begun = BeginChecksum(kSeed, kPosition, Word(frame.header.word), 0, kNow);
    frame.header.checksum = Crc32c(begun, frame.body.data(), BatchTableEnd(header.count) - kRecordHeaderSize);
  }
  return frame;
}

TEST(BatchTest, TablesThatLeadAstrayAreRefused) {
  using Entries = std::vector<BatchEntry>;
  const std::vector<std::pair<const char*, std::function<void(BatchHeader&, Entries&)>>> changes = {
      {"no records", [](BatchHeader& header, Entries&) { header.count = 0; }},
      {"more than the body holds", [](BatchHeader& header, Entries&) { header.count = 1000; }},
      {"as many as there are numbers", [](BatchHeader& header, Entries&) { header.count = 0xFFFFFFFF; }},
      {"into the table", [](BatchHeader&, Entries& entries) { entries[0].offset -= 8; }},
      {"to the frame's own header", [](BatchHeader&, Entries& entries) { entries[0].offset = 0; }},
      {"not aligned", [](BatchHeader&, Entries& entries) { entries[1].offset += 4; }},
      {"out of order", [](BatchHeader&, Entries& entries) { std::swap(entries[1], entries[2]); }},
      {"the same twice", [](BatchHeader&, Entries& entries) { entries[2] = entries[1]; }},
      {"less than a header apart", [](BatchHeader&, Entries& entries) { entries[1].offset = entries[0].offset + 16; }},
      {"behind the frame", [](BatchHeader&, Entries& entries) { entries.back().offset = 4096; }},
      {"almost behind the frame", [](BatchHeader&, Entries& entries) { entries.back().offset += 40; }},
      {"the highest there is", [](BatchHeader&, Entries& entries) { entries.back().offset = 0xFFFFFFF8; }}};
  for (const auto& [what, change] : changes) EXPECT_TRUE(Read(WithTable(change).bytes()).empty()) << what;
}

// A table whose places overlap the record before: its length does not fit any more.
TEST(BatchTest, ARecordThatReachesIntoTheNextIsLost) {
  const Frame frame = WithTable([](BatchHeader&, std::vector<BatchEntry>& entries) { entries[4].offset -= 8; });
  const auto got = Read(frame.bytes());
  ASSERT_EQ(got.size(), 5u);
  EXPECT_EQ(got[3], kLost);
  EXPECT_EQ(got[4], kLost);
  EXPECT_EQ(got[2], "with a key");
}

TEST(BatchTest, RandomTablesAreReadInsideTheFrame) {
  Random random;
  for (int round = 0; round < 20000; ++round) {
    const Frame frame = WithTable([&](BatchHeader& header, std::vector<BatchEntry>& entries) {
      if (random() % 4 == 0) header.count = static_cast<uint32_t>(random() % 40);
      for (BatchEntry& entry : entries) {
        if (random() % 2 == 0) entry.offset = static_cast<uint32_t>(random() % 50 * 8);
      }
    });
    const std::vector<std::string> payloads = PayloadsOf(frame);
    for (const std::string& got : Read(frame.bytes())) {
      ASSERT_TRUE(got == kLost || std::find(payloads.begin(), payloads.end(), got) != payloads.end())
          << "round " << round;
    }
  }
}

TEST(BatchTest, WordsOfOtherStatesOrFlagsAreNoInnerRecords) {
  const auto with = [](State state, uint8_t flags) {
    Frame frame = MakeFrame({{.payload = "a"}, {.payload = "b"}});
    const uint64_t position = kPosition + frame.entries[0].offset;
    std::byte* const at = reinterpret_cast<std::byte*>(frame.body.data()) + frame.entries[0].offset - kRecordHeaderSize;
    RecordHeader inner;
    std::memcpy(&inner, at, sizeof(inner));
    inner.word = MakeWord(kSeed, position, state, flags, kOwner, 1).bits();
    const uint32_t begun = BeginChecksum(kSeed, position, Word(inner.word), inner.type, inner.timestamp);
    inner.checksum = Crc32c(begun, "a", 1);
    std::memcpy(at, &inner, sizeof(inner));
    frame.entries[0].checksum = inner.checksum;
    std::memcpy(frame.body.data() + sizeof(BatchHeader), frame.entries.data(), sizeof(BatchEntry));
    Seal(frame, kSeed, kPosition);
    return Read(frame.bytes());
  };
  EXPECT_EQ(with(State::kInner, 0), (std::vector<std::string>{"a", "b"}));
  for (const State state : {State::kData, State::kReserved, State::kGap, State::kEnd, State::kFree}) {
    EXPECT_EQ(with(state, 0), (std::vector<std::string>{kLost, "b"})) << static_cast<int>(state);
  }
  EXPECT_EQ(with(State::kInner, kBatch), (std::vector<std::string>{kLost, "b"}));
  EXPECT_EQ(with(State::kInner, 4), (std::vector<std::string>{kLost, "b"}));
}

TEST(BatchTest, FlagsOfAFrame) {
  const auto word = [](uint8_t flags) { return MakeWord(kSeed, 64, State::kData, flags, 1, 8); };
  EXPECT_FALSE(word(0).is_batch() || word(0).is_newer());
  EXPECT_FALSE(word(kHasAttributes).is_batch() || word(kHasAttributes).is_newer());
  EXPECT_TRUE(word(kBatch).is_batch());
  EXPECT_FALSE(word(kBatch).is_newer());
  for (uint8_t flags = kBatch | kHasAttributes; flags < 64; ++flags) EXPECT_TRUE(word(flags).is_newer()) << int{flags};
}

}  // namespace
}  // namespace libbus::format
