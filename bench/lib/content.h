// What the records of a benchmark hold: every byte follows from producer and sequence, so that a consumer can tell any
// lost, doubled, reordered or altered record, and a fast wrong answer is a failure.
//
//   word 0   producer (upper 16 bits) and sequence (lower 48)
//   word 1   paced runs: when the record was due, CLOCK_MONOTONIC ns; else as the words behind it
//   word i   a start that depends on word 0, plus i times a constant
#ifndef LIBBUS_BENCH_CONTENT_H_
#define LIBBUS_BENCH_CONTENT_H_

#include <fmt/format.h>

#include <algorithm>
#include <array>
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

// A cache line of words at a time, so that the compiler uses vectors: making and checking content is part of every
// contender's time and has to be small beside what is measured.
class ContentBlocks {
 public:
  static constexpr size_t kBytes = 64;

  explicit ContentBlocks(uint64_t id) : start_((id + 1) * 0x9E3779B97F4A7C15u) {
    for (size_t i = 0; i < kWords; ++i) words_[i] = start_ + i * kStep;
    words_[0] = id;
  }
  ContentBlocks(uint64_t id, uint64_t due) : ContentBlocks(id) { words_[1] = due; }

  const std::array<uint64_t, 8>& words() const { return words_; }

  // REQUIRES: called in turn for block 1, 2, ...
  void MoveTo(size_t block) {
    const uint64_t first = start_ + block * kWords * kStep;
    for (size_t i = 0; i < kWords; ++i) words_[i] = first + kSteps[i];
  }

 private:
  static constexpr size_t kWords = 8;
  static constexpr uint64_t kStep = 0xC2B2AE3D27D4EB4Fu;
  static constexpr std::array<uint64_t, 8> kSteps = {0,         kStep,     kStep * 2, kStep * 3,
                                                     kStep * 4, kStep * 5, kStep * 6, kStep * 7};

  uint64_t start_;
  std::array<uint64_t, 8> words_;
};

inline void FillBlocks(ContentBlocks blocks, std::span<std::byte> out) {
  for (size_t at = 0; at < out.size(); at += ContentBlocks::kBytes) {
    if (at > 0) blocks.MoveTo(at / ContentBlocks::kBytes);
    const size_t part = out.size() - at;
    if (part >= ContentBlocks::kBytes) {
      std::memcpy(out.data() + at, blocks.words().data(), ContentBlocks::kBytes);
    } else {
      std::memcpy(out.data() + at, blocks.words().data(), part);
    }
  }
}

// Fills a record of an unpaced run. REQUIRES: at least kMinRecordSize bytes, here and below.
inline void FillRecord(uint64_t id, std::span<std::byte> out) { FillBlocks(ContentBlocks(id), out); }

// Fills a record of a paced run.
inline void FillRecord(uint64_t id, uint64_t due, std::span<std::byte> out) { FillBlocks(ContentBlocks(id, due), out); }

inline uint64_t DueOf(std::span<const std::byte> record) { return LoadWord(record, 1); }

// True if a whole block of a record is as it was made.
inline bool BlockMatches(const ContentBlocks& blocks, const std::byte* bytes) {
  std::array<uint64_t, 8> found;
  std::memcpy(found.data(), bytes, sizeof(found));
  uint64_t difference = 0;
  for (size_t i = 0; i < found.size(); ++i) difference |= found[i] ^ blocks.words()[i];
  return difference == 0;
}

inline bool BlocksMatch(ContentBlocks blocks, std::span<const std::byte> record) {
  size_t at = 0;
  for (; record.size() - at >= ContentBlocks::kBytes; at += ContentBlocks::kBytes) {
    if (at > 0) blocks.MoveTo(at / ContentBlocks::kBytes);
    if (!BlockMatches(blocks, record.data() + at)) return false;
  }
  if (at > 0) blocks.MoveTo(at / ContentBlocks::kBytes);
  return std::memcmp(record.data() + at, blocks.words().data(), record.size() - at) == 0;
}

// Checks the records that one consumer reads: each producer's in order, none missing, none twice, every byte right
// (but the due time of a paced run, which nothing else tells).
class Verifier {
 public:
  Verifier(size_t size, uint32_t producers, bool paced) : size_(size), paced_(paced), next_(producers, 0) {}

  // False, and error() says why, at the first record that is not the one expected.
  bool Check(std::span<const std::byte> record) {
    if (record.size() != size_) return Fail(fmt::format("{} bytes, not {}", record.size(), size_));
    const uint64_t id = LoadWord(record, 0);
    if (!CheckId(id)) return false;
    const auto blocks = paced_ ? ContentBlocks(id, DueOf(record)) : ContentBlocks(id);
    if (!BlocksMatch(blocks, record)) return FailContent(blocks, record);
    ++verified_;
    return true;
  }

  uint64_t verified() const { return verified_; }
  const std::string& error() const { return error_; }

 private:
  bool CheckId(uint64_t id) {
    const uint32_t producer = ProducerOf(id);
    if (producer >= next_.size()) return Fail(fmt::format("from producer {}, which does not exist", producer));
    if (SequenceOf(id) != next_[producer]) return FailSequence(id);
    ++next_[producer];
    return true;
  }

  bool FailSequence(uint64_t id) {
    const uint32_t producer = ProducerOf(id);
    return Fail(fmt::format("sequence {} of producer {}, not {}", SequenceOf(id), producer, next_[producer]));
  }

  bool FailContent(const ContentBlocks& blocks, std::span<const std::byte> record) {
    std::vector<std::byte> expected(record.size());
    FillBlocks(blocks, expected);
    const auto wrong = std::mismatch(record.begin(), record.end(), expected.begin());
    return Fail(fmt::format("byte {} is {:#04x}, not {:#04x}", wrong.first - record.begin(),
                            static_cast<unsigned>(*wrong.first), static_cast<unsigned>(*wrong.second)));
  }

  bool Fail(const std::string& what) {
    error_ = fmt::format("record {} read is not what was written: {}", verified_, what);
    return false;
  }

  size_t size_;
  bool paced_;
  std::vector<uint64_t> next_;
  uint64_t verified_ = 0;
  std::string error_;
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_CONTENT_H_
