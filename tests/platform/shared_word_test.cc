// The one place where two words of the protocol are written and read crosswise, tried on this machine's processors: who
// commits stores a word and reads the mark, who goes to sleep raises the mark and reads the word. If both read what
// stood there before, the wake-up is lost.
#include "libbus/platform/shared_word.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

namespace libbus::platform {
namespace {

constexpr uint64_t kReserved = 1;
constexpr uint64_t kFinal = 2;
constexpr uint64_t kPosition = 8;

// One record word and one mark, each on a line of its own.
struct alignas(64) Line {
  uint64_t word = 0;
};
struct Pair {
  Line record{kReserved};
  Line mark;
};

// Two threads that go at the same instant, again and again.
class Starter {
 public:
  void Arrive(size_t who, uint64_t round) {
    at_[who].value.store(round, std::memory_order_release);
    for (int spins = 1; at_[1 - who].value.load(std::memory_order_acquire) < round; ++spins) {
      if (spins % 1000 == 0) sched_yield();  // the other one may need this processor
    }
  }

 private:
  struct alignas(64) Counter {
    std::atomic<uint64_t> value{0};
  };
  Counter at_[2];
};

// Returns how often a wake-up would have been lost.
template <typename Commit, typename Announce>
uint64_t CountLost(uint64_t rounds, Commit commit, Announce announce) {
  std::vector<Pair> pairs(64);
  std::vector<uint8_t> missed_mark(rounds);
  std::vector<uint8_t> missed_word(rounds);
  Starter starter;
  std::thread committer([&] {
    for (uint64_t i = 0; i < rounds; ++i) {
      Pair& pair = pairs[i % pairs.size()];
      const SleepMark mark(&pair.mark.word);
      (void)mark.Read();  // its line is at hand, the word's is not
      starter.Arrive(0, 2 * i + 1);
      commit(RecordWord(&pair.record.word));
      missed_mark[i] = mark.Read() < kPosition;
      starter.Arrive(0, 2 * i + 2);
    }
  });
  for (uint64_t i = 0; i < rounds; ++i) {
    Pair& pair = pairs[i % pairs.size()];
    const SleepMark mark(&pair.mark.word);
    const RecordWordView word(&pair.record.word);
    EXPECT_EQ(word.Read(), kReserved);
    starter.Arrive(1, 2 * i + 1);
    mark.Raise(kPosition);
    announce();
    missed_word[i] = word.Read() != kFinal;
    starter.Arrive(1, 2 * i + 2);
    // Nobody looks at it before the next turn of this pair.
    __atomic_store_n(&pair.record.word, kReserved, __ATOMIC_SEQ_CST);
    __atomic_store_n(&pair.mark.word, 0, __ATOMIC_SEQ_CST);
  }
  committer.join();
  uint64_t lost = 0;
  for (uint64_t i = 0; i < rounds; ++i) lost += missed_mark[i] & missed_word[i];
  return lost;
}

constexpr uint64_t kRounds = 50'000;

TEST(SharedWord, ASleeperWithMembarrierIsSeenByWhoOnlyStores) {
  if (Seam::JoinBarriers() != 0) GTEST_SKIP() << "no membarrier here";
  const auto store = [](RecordWord word) { word.StoreFinal(kFinal); };
  EXPECT_EQ(CountLost(kRounds, store, [] { EXPECT_TRUE(SleepMark::Order()); }), 0u);
  // What it is for; how often is up to the processor and to what else runs.
  std::printf("without membarrier: %llu of %llu would be lost\n",
              static_cast<unsigned long long>(CountLost(kRounds, store, [] {})),
              static_cast<unsigned long long>(kRounds));
}

TEST(SharedWord, AnySleeperIsSeenByWhoFencesItself) {
  EXPECT_EQ(CountLost(
                kRounds, [](RecordWord word) { word.StoreFinalFenced(kFinal); }, [] {}),
            0u);
}

TEST(SharedWord, AnySleeperIsSeenByWhoSwaps) {
  const auto swap = [](RecordWord word) {
    uint64_t seen = kReserved;
    EXPECT_TRUE(word.Transition(seen, kFinal));
  };
  EXPECT_EQ(CountLost(kRounds, swap, [] {}), 0u);
}

TEST(SharedWord, OwnersAreCountedAndSayHowTheyCommit) {
  uint64_t word = 0;
  const GenerationWord generation(&word);
  EXPECT_EQ(generation.Next(), 1u);
  EXPECT_EQ(generation.Next(), 2u);
  EXPECT_EQ(generation.Read(), 2u);
  const SelfFencing fences(&word);
  fences.Set(true);
  EXPECT_TRUE(fences.Read());
  fences.Set(false);
  EXPECT_FALSE(fences.Read());
}

}  // namespace
}  // namespace libbus::platform
