#include "bench/lib/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace libbus::bench {
namespace {

// Buckets follow each other without a hole, and each value lies in the one whose floor is not above it.
TEST(Histogram, BucketsCoverEveryValue) {
  for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    const uint64_t floor = Histogram::FloorOf(bucket);
    ASSERT_EQ(Histogram::BucketOf(floor), bucket);
    if (floor > 0) {
      ASSERT_EQ(Histogram::BucketOf(floor - 1), bucket - 1);
    }
  }
  EXPECT_EQ(Histogram::BucketOf(std::numeric_limits<uint64_t>::max()), Histogram::kBuckets - 1);
}

TEST(Histogram, DrawsALineForEachBucket) {
  Histogram histogram;
  histogram.Add(std::vector<uint64_t>{100, 101, 102, 120, 200});
  EXPECT_EQ(histogram.count(), 5u);
  EXPECT_EQ(histogram.Draw(20, 8),
            "      96 ns   60.0000 % ########\n"
            "     112 ns   80.0000 % ##\n"
            "     128 ns   80.0000 %\n"
            "     160 ns   80.0000 %\n"
            "     192 ns  100.0000 % ##\n");
}

// A single slow one in very many is still drawn, and few lines have room for all.
TEST(Histogram, ShowsTheRareOnesInFewLines) {
  Histogram histogram;
  histogram.Add(std::vector<uint64_t>(1'000'000, 150));
  Histogram late;
  late.Add(std::vector<uint64_t>{20'000'000});
  histogram.Add(late);
  const std::string drawing = histogram.Draw(10, 40);
  EXPECT_LE(std::count(drawing.begin(), drawing.end(), '\n'), 10);
  EXPECT_EQ(drawing.substr(drawing.size() - 13), "100.0000 % #\n") << drawing;
}

TEST(Histogram, OfNothingIsEmpty) { EXPECT_EQ(Histogram().Draw(10, 40), ""); }

}  // namespace
}  // namespace libbus::bench
