// What the records of a benchmark hold: every byte follows from producer and sequence, so that a consumer can tell any
// lost, doubled, reordered or altered record, and a fast wrong answer is a failure.
//
//   word 0   the id: producer (upper 16 bits) and sequence (lower 48)
//   word 1   stamped records: when the record was due, or where nothing is due when it was sent, CLOCK_MONOTONIC ns;
//            others: as the words behind it
//   word i   a start that depends on the id, plus i times a constant
#ifndef LIBBUS_BENCH_CONTENT_H_
#define LIBBUS_BENCH_CONTENT_H_

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace libbus::bench {

// Room for words 0 and 1.
inline constexpr size_t kMinRecordSize = 16;

inline constexpr uint64_t RecordId(uint32_t producer, uint64_t sequence) { return uint64_t{producer} << 48 | sequence; }
inline constexpr uint32_t ProducerOf(uint64_t id) { return static_cast<uint32_t>(id >> 48); }
inline constexpr uint64_t SequenceOf(uint64_t id) { return id & ((uint64_t{1} << 48) - 1); }

inline uint64_t LoadWord(std::span<const std::byte> bytes, size_t index) {
  uint64_t word;
  std::memcpy(&word, bytes.data() + index * sizeof(word), sizeof(word));
  return word;
}

inline void StoreWord(std::span<std::byte> bytes, size_t index, uint64_t word) {
  std::memcpy(bytes.data() + index * sizeof(word), &word, sizeof(word));
}

// The words of a record, a cache line at a time and in vectors: making and checking content is part of every
// contender's time and has to be small beside what is measured.
class ContentBlock {
 public:
  static constexpr size_t kBytes = 64;

  // The first block of a record, with the id in word 0.
  explicit ContentBlock(uint64_t id)
      : start_(Pair{0, kStep} + Mix(id)),
        a_(Pair{id, start_[1]}),
        b_(start_ + kStep * 2),
        c_(start_ + kStep * 4),
        d_(start_ + kStep * 6) {}

  // In a stamped record's first block word 1 is the stamp.
  void SetStamp(uint64_t stamp) { a_[1] = stamp; }

  void Advance() {
    a_ = start_ += kStep * 8;
    b_ += kStep * 8;
    c_ += kStep * 8;
    d_ += kStep * 8;
  }

  void Store(std::byte* out) const {
    std::memcpy(out, &a_, 16);
    std::memcpy(out + 16, &b_, 16);
    std::memcpy(out + 32, &c_, 16);
    std::memcpy(out + 48, &d_, 16);
  }

  // Zero if a block is as it was made.
  uint64_t Difference(const std::byte* bytes) const {
    const Pair all = (Load(bytes) ^ a_) | (Load(bytes + 16) ^ b_) | (Load(bytes + 32) ^ c_) | (Load(bytes + 48) ^ d_);
    return all[0] | all[1];
  }

 private:
  using Pair [[gnu::vector_size(16)]] = uint64_t;
  static constexpr uint64_t kStep = 0xC2B2AE3D27D4EB4Fu;

  static uint64_t Mix(uint64_t id) { return (id + 1) * 0x9E3779B97F4A7C15u; }
  static Pair Load(const std::byte* bytes) {
    Pair pair;
    std::memcpy(&pair, bytes, sizeof(pair));
    return pair;
  }

  // Four vectors by name: an array of them would live in memory.
  Pair start_;  // a_ without id and due time
  Pair a_;
  Pair b_;
  Pair c_;
  Pair d_;
};

inline void FillBlocks(ContentBlock block, std::span<std::byte> out) {
  size_t at = 0;
  for (; out.size() - at >= ContentBlock::kBytes; at += ContentBlock::kBytes) {
    block.Store(out.data() + at);
    block.Advance();
  }
  if (at == out.size()) return;
  std::byte last[ContentBlock::kBytes];
  block.Store(last);
  std::memcpy(out.data() + at, last, out.size() - at);
}

inline bool BlocksMatch(ContentBlock block, std::span<const std::byte> record) {
  size_t at = 0;
  uint64_t difference = 0;
  for (; record.size() - at >= ContentBlock::kBytes; at += ContentBlock::kBytes) {
    difference |= block.Difference(record.data() + at);
    block.Advance();
  }
  if (at == record.size()) return difference == 0;
  std::byte last[ContentBlock::kBytes];
  block.Store(last);
  return difference == 0 && std::memcmp(record.data() + at, last, record.size() - at) == 0;
}

// Fills a record without a stamp. REQUIRES: at least kMinRecordSize bytes, here and below.
inline void FillRecord(uint64_t id, std::span<std::byte> out) { FillBlocks(ContentBlock(id), out); }

// Fills one with a stamp.
inline void FillRecord(uint64_t id, uint64_t stamp, std::span<std::byte> out) {
  ContentBlock block(id);
  block.SetStamp(stamp);
  FillBlocks(block, out);
}

inline uint64_t StampOf(std::span<const std::byte> record) { return LoadWord(record, 1); }

// Whether a record has a stamp where every `every`th of its producer has one. REQUIRES: 0 (none) or a power of two.
inline constexpr bool IsStamped(uint64_t sequence, uint32_t every) {
  return every != 0 && (sequence & (every - 1)) == 0;
}

// Checks the records that one consumer reads: each producer's in order, none missing, none twice, every byte right
// (but a stamp, which nothing else tells).
class Verifier {
 public:
  Verifier(size_t size, uint32_t producers, uint32_t stamp_every)
      : size_(size), stamp_every_(stamp_every), next_(producers, 0) {}

  // False, and error() says why, at the first record that is not the one expected.
  bool Check(std::span<const std::byte> record) {
    if (record.size() != size_) return FailSize(record.size());
    const uint64_t id = LoadWord(record, 0);
    if (!CheckId(id)) return false;
    ContentBlock block(id);
    stamped_ = IsStamped(SequenceOf(id), stamp_every_);
    if (stamped_) block.SetStamp(StampOf(record));
    if (!BlocksMatch(block, record)) return FailContent(block, record);
    ++verified_;
    return true;
  }

  uint64_t verified() const { return verified_; }
  // Whether the record last checked has a stamp.
  bool stamped() const { return stamped_; }
  const std::string& error() const { return error_; }

 private:
  bool CheckId(uint64_t id) {
    const uint32_t producer = ProducerOf(id);
    if (producer >= next_.size() || SequenceOf(id) != next_[producer]) return FailId(id);
    ++next_[producer];
    return true;
  }

  [[gnu::noinline]] bool FailSize(size_t size) { return Fail(fmt::format("{} bytes, not {}", size, size_)); }

  [[gnu::noinline]] bool FailId(uint64_t id) {
    const uint32_t producer = ProducerOf(id);
    if (producer >= next_.size()) return Fail(fmt::format("from producer {}, which does not exist", producer));
    return Fail(fmt::format("sequence {} of producer {}, not {}", SequenceOf(id), producer, next_[producer]));
  }

  [[gnu::noinline]] bool FailContent(const ContentBlock& block, std::span<const std::byte> record) {
    std::vector<std::byte> expected(record.size());
    FillBlocks(block, expected);
    const auto wrong = std::mismatch(record.begin(), record.end(), expected.begin());
    return Fail(fmt::format("byte {} is {:#04x}, not {:#04x}", wrong.first - record.begin(),
                            static_cast<unsigned>(*wrong.first), static_cast<unsigned>(*wrong.second)));
  }

  bool Fail(const std::string& what) {
    error_ = fmt::format("record {} read is not what was written: {}", verified_, what);
    return false;
  }

  size_t size_;
  uint32_t stamp_every_;
  bool stamped_ = false;
  std::vector<uint64_t> next_;
  uint64_t verified_ = 0;
  std::string error_;
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_CONTENT_H_
