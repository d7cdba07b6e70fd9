#include "libbus/format/word.h"

namespace libbus::format {
namespace {

// A record needs 8 bytes behind it in its segment, so that an END always has room.
bool Fits(Word word, uint64_t room) { return word.size() + kWordSize <= room; }

}  // namespace

Verdict Judge(TopicSeed seed, uint64_t position, Word word, uint64_t room) {
  if (word.is_free()) return Verdict::kFree;
  if (word.check() != ComputeCheck(seed, position, word.bits())) return Verdict::kBad;
  switch (word.state()) {
    case State::kReserved:
      return Fits(word, room) && word.owner() != 0 ? Verdict::kReserved : Verdict::kBad;
    case State::kData:
      return Fits(word, room) ? Verdict::kData : Verdict::kBad;
    case State::kGap:
      return Fits(word, room) ? Verdict::kGap : Verdict::kBad;
    case State::kEnd:
      return word.length() == 0 && room >= kWordSize ? Verdict::kEnd : Verdict::kBad;
    case State::kFree:
    case State::kInner:
      break;
  }
  return Verdict::kBad;
}

}  // namespace libbus::format
