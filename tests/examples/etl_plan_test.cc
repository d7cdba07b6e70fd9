// The plan that makes every kill hit a stage in the middle of its work.
#include <gtest/gtest.h>

#include "examples/etl/plan.h"
#include "tests/examples/program.h"

namespace etl {
namespace {

using libbus_test::Seed;

TEST(Plan, PausesPartTheInputEvenly) {
  EXPECT_EQ(PlanPauses(700, 6), (std::vector<uint64_t>{100, 200, 300, 400, 500, 600}));
  EXPECT_TRUE(PlanPauses(700, 0).empty());
  EXPECT_EQ(PlanPauses(1, 2), (std::vector<uint64_t>{0, 0}));
}

// Every third record is for this stage.
std::vector<uint64_t> EveryThird(uint64_t records) {
  std::vector<uint64_t> numbers;
  for (uint64_t number = 0; number < records; number += 3) numbers.push_back(number);
  return numbers;
}

TEST(Plan, OneKillInEachPortionAndNoneInTheLast) {
  std::mt19937_64 random(Seed());
  for (int round = 0; round < 1000; ++round) {
    const uint64_t records = 100 + random() % 10'000;
    const std::vector<uint64_t> pauses = PlanPauses(records, 1 + random() % 9);
    const std::vector<uint64_t> kills = PlanKills(EveryThird(records), pauses, random);
    ASSERT_EQ(kills.size(), pauses.size());
    uint64_t begin = 0;  // of the portion, in records of this stage
    for (size_t i = 0; i < kills.size(); ++i) {
      const uint64_t end = (pauses[i] + 2) / 3;
      // At least one is handled before the kill; it can come before the next portion does.
      ASSERT_GT(kills[i], begin);
      ASSERT_LE(kills[i], end);
      begin = end;
    }
  }
}

TEST(Plan, AStageWithNothingToDoInAPortionIsNotKilledInIt) {
  std::mt19937_64 random(Seed());
  EXPECT_EQ(PlanKills({0, 25}, {10, 20, 30}, random), (std::vector<uint64_t>{1, 0, 2}));
  EXPECT_EQ(PlanKills({}, {10, 20}, random), (std::vector<uint64_t>{0, 0}));
}

TEST(Plan, TheSameSeedIsTheSamePlan) {
  const uint64_t seed = Seed();
  std::mt19937_64 first(seed);
  std::mt19937_64 second(seed);
  const std::vector<uint64_t> pauses = PlanPauses(10'000, 6);
  EXPECT_EQ(PlanKills(EveryThird(10'000), pauses, first), PlanKills(EveryThird(10'000), pauses, second));
}

}  // namespace
}  // namespace etl
