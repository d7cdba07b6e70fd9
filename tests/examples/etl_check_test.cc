// The comparison that decides whether the demo was right must see what is wrong.
#include <gtest/gtest.h>

#include "examples/etl/check.h"

namespace etl {
namespace {

std::vector<Item> Items(std::initializer_list<uint64_t> numbers) {
  std::vector<Item> items;
  for (const uint64_t number : numbers) items.push_back({number, 1000 + number});
  return items;
}

const std::vector<Item> kExpected = Items({0, 1, 2, 5, 7, 8});

TEST(Check, TheSameIsNoDifference) { EXPECT_TRUE(Compare(kExpected, kExpected).none()); }

TEST(Check, NothingIsNoDifferenceFromNothing) { EXPECT_TRUE(Compare({}, {}).none()); }

TEST(Check, SeesLoss) {
  EXPECT_EQ(Compare(kExpected, Items({0, 1, 5, 7, 8})).lost, 1u);  // in the middle
  EXPECT_EQ(Compare(kExpected, Items({1, 2, 5, 7, 8})).lost, 1u);  // at the beginning
  EXPECT_EQ(Compare(kExpected, Items({0, 1, 2})).lost, 3u);        // at the end
  EXPECT_EQ(Compare(kExpected, {}).lost, 6u);
}

TEST(Check, SeesDuplicates) {
  const Difference next_to_it = Compare(kExpected, Items({0, 1, 1, 2, 5, 7, 8}));
  EXPECT_EQ(next_to_it.duplicated, 1u);
  EXPECT_EQ(next_to_it.out_of_order, 0u);
  // A stage that went on too far back repeats a range.
  const Difference range = Compare(kExpected, Items({0, 1, 2, 5, 1, 2, 5, 7, 8}));
  EXPECT_EQ(range.duplicated, 3u);
  EXPECT_EQ(range.lost, 0u);
  EXPECT_EQ(range.out_of_order, 0u);
}

TEST(Check, SeesDisorder) {
  const Difference difference = Compare(kExpected, Items({0, 2, 1, 5, 8, 7}));
  EXPECT_EQ(difference.out_of_order, 2u);
  EXPECT_EQ(difference.lost, 0u);
  EXPECT_EQ(difference.duplicated, 0u);
}

TEST(Check, ALossAndADuplicateDoNotCancelOut) {
  const Difference difference = Compare(kExpected, Items({0, 1, 1, 5, 7, 8}));
  EXPECT_EQ(difference.lost, 1u);
  EXPECT_EQ(difference.duplicated, 1u);
  EXPECT_FALSE(difference.none());
}

TEST(Check, SeesOtherContent) {
  std::vector<Item> seen = kExpected;
  seen[3].digest ^= 1;
  EXPECT_EQ(Compare(kExpected, seen).altered, 1u);
  EXPECT_FALSE(Compare(kExpected, seen).none());
}

TEST(Check, SeesWhatNobodyExpected) {
  const Difference difference = Compare(kExpected, Items({0, 1, 2, 3, 5, 7, 8, 9}));
  EXPECT_EQ(difference.unexpected, 2u);
  EXPECT_FALSE(difference.none());
}

TEST(Check, TheDigestTellsItsPartsApart) {
  EXPECT_NE(Digest("ab", "c"), Digest("a", "bc"));
  EXPECT_NE(Digest("ab", ""), Digest("", "ab"));
}

}  // namespace
}  // namespace etl
