#include "libbus/format/word.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <iostream>
#include <vector>

#include "tests/format/reference.h"

namespace libbus::format {
namespace {

constexpr std::array kStates = {State::kFree, State::kReserved, State::kData, State::kGap, State::kEnd, State::kInner};
constexpr uint64_t kNoLimit = ~uint64_t{0};

// The bits that the check stands for: flags, owner, check, length. The state is bits 0 to 7.
constexpr int kFirstCovered = 8;

struct Place {
  TopicSeed seed;
  uint64_t position;
};

Place RandomPlace(Random& random) { return {TopicSeed::Of(random.MakeUuid()), random.Edgy() & ~uint64_t{7}}; }

// A word with a right check in any state, its fields often at their limits.
Word RandomWord(Random& random, Place place, State state) {
  const auto flags = static_cast<uint8_t>(random.Edgy() & 0x3F);
  const auto owner = static_cast<uint32_t>(1 + random.Edgy() % kMaxOwner);
  const auto length = static_cast<uint32_t>(state == State::kEnd ? 0 : random.Edgy());
  return MakeWord(place.seed, place.position, state, flags, owner, length);
}

// The same by its definition: CRC32C of position and of the word with state and check zeroed, then folded.
uint8_t ReferenceCheck(Place place, uint64_t bits) {
  const uint32_t c = ByteString().Add(place.position).Add(bits & 0xFFFFFFFF00FFFF00u).Crc(place.seed.value);
  return static_cast<uint8_t>((c ^ (c >> 7) ^ (c >> 22)) & 255);
}

TEST(WordTest, FieldsStandWhereTheyShould) {
  Random random;
  for (int i = 0; i < 10000; ++i) {
    const auto flags = static_cast<uint8_t>(random() & 0x3F);
    const auto owner = static_cast<uint32_t>(random.Below(kMaxOwner + 1));
    const auto length = static_cast<uint32_t>(random());
    const Place place = RandomPlace(random);
    const Word word = MakeWord(place.seed, place.position, State::kData, flags, owner, length);
    EXPECT_EQ(word.state(), State::kData);
    EXPECT_EQ(word.flags(), flags);
    EXPECT_EQ(word.owner(), owner);
    EXPECT_EQ(word.length(), length);
    EXPECT_EQ(word.check(), ReferenceCheck(place, word.bits()));
    EXPECT_EQ(word.bits() & ~uint64_t{0xFF000000},
              0x33u | uint64_t{flags} << 8 | uint64_t{owner} << 14 | uint64_t{length} << 32);
  }
}

TEST(WordTest, FieldsBeyondTheirWidthAreCutOff) {
  const Word word = MakeWord({1}, 64, State::kReserved, 0xFF, 0xFFFFFFFF, 5);
  EXPECT_EQ(word.flags(), 0x3F);
  EXPECT_EQ(word.owner(), kMaxOwner);
  EXPECT_EQ(word.length(), 5u);
}

TEST(WordTest, StatesAreFourBitsApart) {
  for (State a : kStates) {
    for (State b : kStates) {
      if (a == b) continue;
      EXPECT_GE(std::popcount(static_cast<uint8_t>(static_cast<uint8_t>(a) ^ static_cast<uint8_t>(b))), 4);
    }
  }
  EXPECT_EQ(static_cast<int>(State::kFree), 0) << "fallocate leaves zeros";
}

TEST(WordTest, SeedIsTheCrcOfTheUuid) {
  Random random;
  for (int i = 0; i < 100; ++i) {
    const Uuid uuid = random.MakeUuid();
    EXPECT_EQ(TopicSeed::Of(uuid).value, ReferenceCrc(~0u, uuid.bytes, 16));
  }
}

TEST(WordTest, CheckIgnoresStateAndCheck) {
  Random random;
  for (int i = 0; i < 1000; ++i) {
    const Place place = RandomPlace(random);
    const uint64_t bits = random();
    EXPECT_EQ(ComputeCheck(place.seed, place.position, bits), ReferenceCheck(place, bits));
    EXPECT_EQ(ComputeCheck(place.seed, place.position, bits ^ (random() & kStateAndCheckMask)),
              ComputeCheck(place.seed, place.position, bits));
  }
}

// By how much the stored check and the right one differ once `flipped` bits have changed; 0 would be a miss.
int Syndrome(Place place, Word word, uint64_t flipped) {
  const Word damaged(word.bits() ^ flipped);
  return damaged.check() ^ ComputeCheck(place.seed, place.position, damaged.bits());
}

// Calls `check` with every pattern of one or two flipped bits from `first` to 63.
template <typename Check>
int ForEachOneOrTwoBits(int first, Check check) {
  int patterns = 0;
  for (int a = first; a < 64; ++a) {
    for (int b = a; b < 64; ++b, ++patterns) check(uint64_t{1} << a | uint64_t{1} << b);
  }
  return patterns;
}

TEST(WordTest, CheckFindsAnyOneOrTwoFlippedBits) {
  constexpr int kWords = 2000;
  Random random;
  int tried = 0;
  int missed = 0;
  for (int i = 0; i < kWords; ++i) {
    const Place place = RandomPlace(random);
    const Word word = RandomWord(random, place, kStates[1 + random.Below(5)]);
    tried +=
        ForEachOneOrTwoBits(kFirstCovered, [&](uint64_t flipped) { missed += Syndrome(place, word, flipped) == 0; });
  }
  EXPECT_EQ(missed, 0);
  EXPECT_EQ(tried, kWords * (56 + 56 * 55 / 2)) << "all pairs, and each bit alone";
  std::cout << tried << " one- and two-bit errors, " << missed << " missed\n";
}

// The CRC is linear, so what a flipped bit does to the check hangs on the bit alone, not on topic, position, length or
// any other bit: what holds for the 1,596 patterns of one word holds for every word there can be.
TEST(WordTest, SyndromeHangsOnTheFlippedBitsAlone) {
  Random random;
  const Place place0{TopicSeed{0}, 0};
  const Word word0 = MakeWord(place0.seed, place0.position, State::kReserved, 0, 0, 0);
  const int patterns = ForEachOneOrTwoBits(kFirstCovered, [&](uint64_t flipped) {
    const int syndrome = Syndrome(place0, word0, flipped);
    EXPECT_NE(syndrome, 0);
    for (int i = 0; i < 50; ++i) {
      const Place place = RandomPlace(random);
      ASSERT_EQ(Syndrome(place, RandomWord(random, place, State::kData), flipped), syndrome);
    }
  });
  EXPECT_EQ(patterns, 1596);
}

// With the state's own bits and with FREE as well: whatever word, no one or two flipped bits make it another good one.
TEST(WordTest, JudgeRefusesAnyOneOrTwoFlippedBits) {
  constexpr int kWords = 300;
  Random random;
  for (int i = 0; i < kWords; ++i) {
    const Place place = RandomPlace(random);
    const State state = kStates[random.Below(5)];
    const Word word = state == State::kFree ? Word() : RandomWord(random, place, state);
    ASSERT_NE(Judge(place.seed, place.position, word, kNoLimit), Verdict::kBad);
    const int patterns = ForEachOneOrTwoBits(0, [&](uint64_t flipped) {
      ASSERT_EQ(Judge(place.seed, place.position, Word(word.bits() ^ flipped), kNoLimit), Verdict::kBad)
          << std::hex << "word " << word.bits() << " flipped " << flipped;
    });
    ASSERT_EQ(patterns, 64 + 64 * 63 / 2);
  }
}

// A check has 8 bits: at another place one word in 256 passes, and the checksum of the record decides.
TEST(WordTest, WordOfAnotherPlaceIsRarelyRight) {
  constexpr int kTrials = 20000;
  Random random;
  int right = 0;
  for (int i = 0; i < kTrials; ++i) {
    const Place place = RandomPlace(random);
    const Word word = RandomWord(random, place, State::kData);
    const Place other = i % 2 == 0 ? Place{place.seed, random() & ~uint64_t{7}}
                                   : Place{TopicSeed::Of(random.MakeUuid()), place.position};
    right += Judge(other.seed, other.position, word, kNoLimit) == Verdict::kData;
  }
  EXPECT_GT(right, kTrials / 256 / 3);
  EXPECT_LT(right, kTrials / 256 * 3);
}

TEST(WordTest, ReservedToDataIsOneXor) {
  Random random;
  for (int i = 0; i < 10000; ++i) {
    const Place place = RandomPlace(random);
    const Word reserved = RandomWord(random, place, State::kReserved);
    const Word data =
        MakeWord(place.seed, place.position, State::kData, reserved.flags(), reserved.owner(), reserved.length());
    EXPECT_EQ(reserved.bits() ^ 0x3C, data.bits());
    EXPECT_EQ(reserved.WithState(State::kData), data);
    EXPECT_EQ(reserved.AsData(), data);
    EXPECT_EQ(data.AsData(), data);
  }
}

TEST(WordTest, InnerCountsAsDataInItsChecksum) {
  const Word inner = MakeWord({3}, 128, State::kInner, 1, 2, 3);
  EXPECT_EQ(inner.AsData(), MakeWord({3}, 128, State::kData, 1, 2, 3));
}

TEST(WordTest, GapKeepsOwnerAndLength) {
  Random random;
  for (int i = 0; i < 10000; ++i) {
    const Place place = RandomPlace(random);
    const Word reserved = RandomWord(random, place, State::kReserved);
    for (uint8_t cause : {kGapDead, kGapRevoked, kGapAborted, kGapTorn}) {
      const Word gap = MakeGap(place.seed, place.position, reserved, cause);
      EXPECT_EQ(gap.state(), State::kGap);
      EXPECT_EQ(gap.flags(), cause) << "the claim's own flags are gone";
      EXPECT_EQ(gap.owner(), reserved.owner());
      EXPECT_EQ(gap.length(), reserved.length());
      EXPECT_EQ(gap.size(), reserved.size());
      EXPECT_EQ(gap.check(), ReferenceCheck(place, gap.bits()));
      EXPECT_EQ(Judge(place.seed, place.position, gap, kNoLimit), Verdict::kGap);
    }
  }
}

TEST(WordTest, EndIsEightBytesWithoutLengthOrOwner) {
  Random random;
  for (uint8_t cause : {kEndRolled, kEndPowerLoss, kEndCopied, kEndOtherMount, kEndDamage, kEndSyncFailed}) {
    const Place place = RandomPlace(random);
    const Word end = MakeEnd(place.seed, place.position, cause);
    EXPECT_EQ(end.bits() & ~uint64_t{0xFF000000}, 0x55u | uint64_t{cause} << 8);
    EXPECT_EQ(end.check(), ReferenceCheck(place, end.bits()));
    EXPECT_EQ(Judge(place.seed, place.position, end, 8), Verdict::kEnd) << "the last 8 bytes of a segment will do";
    EXPECT_EQ(Judge(place.seed, place.position, end, 7), Verdict::kBad);
  }
}

TEST(WordTest, SizeIsHeaderAndLengthAlignedInSixtyFourBits) {
  const std::vector<std::pair<uint32_t, uint64_t>> sizes = {{0, 24},
                                                            {1, 32},
                                                            {7, 32},
                                                            {8, 32},
                                                            {9, 40},
                                                            {100, 128},
                                                            {0xFFFFFFE8, 0x100000000},
                                                            {0xFFFFFFF8, 0x100000010},
                                                            {0xFFFFFFF9, 0x100000018},
                                                            {0xFFFFFFFF, 0x100000018}};
  for (const auto& [length, size] : sizes)
    EXPECT_EQ(MakeWord({}, 0, State::kData, 0, 1, length).size(), size) << length;
}

// A record fits if 8 bytes remain behind it, which an END will need.
TEST(WordTest, JudgeWantsRoomForAnEnd) {
  const std::vector<std::pair<State, Verdict>> kinds = {
      {State::kReserved, Verdict::kReserved}, {State::kData, Verdict::kData}, {State::kGap, Verdict::kGap}};
  for (const auto& [state, verdict] : kinds) {
    for (uint32_t length : {0u, 1u, 8u, 4000u, 0x7FFFFFFFu, 0xFFFFFFE8u, 0xFFFFFFFFu}) {
      const Word word = MakeWord({99}, 4096, state, 1, 7, length);
      EXPECT_EQ(Judge({99}, 4096, word, word.size() + 8), verdict) << length;
      EXPECT_EQ(Judge({99}, 4096, word, word.size() + 7), Verdict::kBad) << length;
      EXPECT_EQ(Judge({99}, 4096, word, word.size()), Verdict::kBad) << length;
      EXPECT_EQ(Judge({99}, 4096, word, 8), Verdict::kBad) << length;
      EXPECT_EQ(Judge({99}, 4096, word, 0), Verdict::kBad) << length;
    }
  }
}

TEST(WordTest, JudgeOfFree) {
  EXPECT_EQ(Judge({1}, 64, Word(), 8), Verdict::kFree);
  EXPECT_EQ(Judge({1}, 64, MakeWord({1}, 64, State::kFree, 0, 0, 0), 4096), Verdict::kBad)
      << "state FREE, but not zero";
  EXPECT_EQ(Judge({1}, 64, MakeWord({1}, 64, State::kFree, 0, 3, 9), 4096), Verdict::kBad);
}

TEST(WordTest, JudgeOfWordsThatNobodyWrites) {
  EXPECT_EQ(Judge({1}, 64, MakeWord({1}, 64, State::kReserved, 0, 0, 9), 4096), Verdict::kBad) << "claimed by nobody";
  EXPECT_EQ(Judge({1}, 64, MakeWord({1}, 64, State::kEnd, 0, 0, 8), 4096), Verdict::kBad) << "END with a length";
  EXPECT_EQ(Judge({1}, 64, MakeWord({1}, 64, State::kInner, 0, 1, 8), 4096), Verdict::kBad) << "INNER outside a frame";
}

TEST(WordTest, JudgeOfUnknownStates) {
  int unknown = 0;
  for (int state = 0; state < 256; ++state) {
    if (std::find(kStates.begin(), kStates.end(), static_cast<State>(state)) != kStates.end()) continue;
    EXPECT_EQ(Judge({5}, 640, MakeWord({5}, 640, static_cast<State>(state), 0, 1, 8), 4096), Verdict::kBad) << state;
    ++unknown;
  }
  EXPECT_EQ(unknown, 250);
}

}  // namespace
}  // namespace libbus::format
