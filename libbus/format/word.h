// The record word: the first 8 bytes of a record, its only commit point and its futex.
//
//   low half: state 8 | flags 6 | owner 10 | check 8      high half: length 32
//
// The check covers flags, owner and length and is seeded by topic and position, so any one or two flipped bits of them
// are found, and a word copied elsewhere is wrong there. The state is outside: RESERVED -> DATA is one XOR. The states
// are pairwise at least four bits apart.
#ifndef LIBBUS_FORMAT_WORD_H_
#define LIBBUS_FORMAT_WORD_H_

#include <cstdint>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"

namespace libbus::format {

enum class State : uint8_t {
  kFree = 0x00,      // then the whole word is zero
  kReserved = 0x0F,  // claimed, being filled
  kData = 0x33,      // committed
  kGap = 0x3C,       // given up; the cause is in the flags
  kEnd = 0x55,       // the segment ends here; 8 bytes, length 0
  kInner = 0x5A,     // a record inside a batch frame
};

// Flags of RESERVED, DATA and INNER.
inline constexpr uint8_t kHasAttributes = 1u << 0;
inline constexpr uint8_t kBatch = 1u << 1;  // a frame of INNER records (format/batch.h); stands alone, never on INNER
// Flags of GAP: one cause. An unknown one may have cost a committed record.
inline constexpr uint8_t kGapDead = 1;
inline constexpr uint8_t kGapRevoked = 2;
inline constexpr uint8_t kGapAborted = 3;
inline constexpr uint8_t kGapTorn = 4;
// Flags of END: one cause. 0: the segment was full.
inline constexpr uint8_t kEndRolled = 0;
inline constexpr uint8_t kEndPowerLoss = 1;
inline constexpr uint8_t kEndCopied = 2;
inline constexpr uint8_t kEndOtherMount = 3;
inline constexpr uint8_t kEndDamage = 4;
inline constexpr uint8_t kEndSyncFailed = 5;

inline constexpr uint32_t kMaxOwner = 1023;

// What identifies a topic in every check and checksum: the CRC32C of its UUID.
struct TopicSeed {
  uint32_t value;
  static TopicSeed Of(const Uuid& uuid) { return {Crc32cShort(~0u, uuid.bytes, sizeof(uuid.bytes))}; }
};

// A word taken apart. A value: 8 bytes in a register.
class Word {
 public:
  constexpr explicit Word(uint64_t bits = 0) : bits_(bits) {}

  constexpr uint64_t bits() const { return bits_; }
  constexpr State state() const { return static_cast<State>(bits_ & 0xFF); }
  constexpr uint8_t flags() const { return static_cast<uint8_t>((bits_ >> 8) & 0x3F); }
  constexpr uint32_t owner() const { return static_cast<uint32_t>((bits_ >> 14) & 0x3FF); }
  constexpr uint8_t check() const { return static_cast<uint8_t>((bits_ >> 24) & 0xFF); }
  constexpr uint32_t length() const { return static_cast<uint32_t>(bits_ >> 32); }
  constexpr bool is_free() const { return bits_ == 0; }

  // Of RESERVED and DATA: a frame of inner records.
  constexpr bool is_batch() const { return flags() == kBatch; }
  // Of RESERVED and DATA: other flags, or both together, were written by a newer version. Walkers step over such a word
  // by its length, readers do not hand it out as something that it is not.
  constexpr bool is_newer() const { return (flags() & ~kHasAttributes) != 0 && !is_batch(); }

  // Bytes from this word to the next one, but for END (to the end of its segment).
  constexpr uint64_t size() const { return AlignUp(kRecordHeaderSize + uint64_t{length()}, kRecordAlignment); }

  // The same word in another state: only for changes that leave all else as it is.
  constexpr Word WithState(State state) const { return Word(bits_ ^ uint64_t(this->state()) ^ uint64_t(state)); }

  // The word as all see it once it is committed; what the checksum covers.
  constexpr Word AsData() const { return WithState(State::kData); }

  friend constexpr bool operator==(Word, Word) = default;

 private:
  uint64_t bits_;
};

inline constexpr uint64_t kStateAndCheckMask = 0xFF0000FFull;

// The check of a word (whatever its own state and check bytes hold) at `position`.
inline uint8_t ComputeCheck(TopicSeed seed, uint64_t position, uint64_t bits) {
  const uint32_t c = Crc32cWord(Crc32cWord(seed.value, position), bits & ~kStateAndCheckMask);
  return static_cast<uint8_t>(c ^ c >> 7 ^ c >> 22);
}

inline Word MakeWord(TopicSeed seed, uint64_t position, State state, uint8_t flags, uint32_t owner, uint32_t length) {
  const uint64_t bits =
      uint64_t(state) | uint64_t(flags & 0x3F) << 8 | uint64_t(owner & 0x3FF) << 14 | uint64_t{length} << 32;
  return Word(bits | uint64_t{ComputeCheck(seed, position, bits)} << 24);
}

// A claim that is given up: owner and length stay.
inline Word MakeGap(TopicSeed seed, uint64_t position, Word reserved, uint8_t cause) {
  return MakeWord(seed, position, State::kGap, cause, reserved.owner(), reserved.length());
}

inline Word MakeEnd(TopicSeed seed, uint64_t position, uint8_t cause) {
  return MakeWord(seed, position, State::kEnd, cause, 0, 0);
}

// What a word at a position means. `room` is the number of bytes from the word to the end of its segment.
enum class Verdict : uint8_t {
  kFree,      // nothing yet
  kReserved,  // verified; in the making
  kData,      // verified
  kGap,       // verified
  kEnd,       // verified
  kBad,       // an unknown state, a wrong check, a length beyond the segment, or a FREE that is not all zero
};
Verdict Judge(TopicSeed seed, uint64_t position, Word word, uint64_t room);

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_WORD_H_
