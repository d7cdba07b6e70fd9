#include "bench/lib/statistics.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace libbus::bench {
namespace {

TEST(Median, OfOddAndEvenCounts) {
  EXPECT_EQ(Median(std::vector<uint64_t>{7}), 7u);
  EXPECT_EQ(Median(std::vector<uint64_t>{9, 1, 5}), 5u);
  EXPECT_EQ(Median(std::vector<double>{4, 1, 2, 9}), 3.0);
}

TEST(Percentile, IsAValueThatOccurred) {
  const std::vector<uint64_t> four = {10, 20, 30, 40};
  EXPECT_EQ(Percentile(four, 0.5), 20u);
  EXPECT_EQ(Percentile(four, 0.51), 30u);
  EXPECT_EQ(Percentile(four, 0.99), 40u);
  EXPECT_EQ(Percentile(four, 1), 40u);
  EXPECT_EQ(Percentile(std::vector<uint64_t>{3}, 0.5), 3u);
}

TEST(Summarise, SortsFirst) {
  std::vector<uint64_t> delays(1000);
  std::iota(delays.rbegin(), delays.rend(), 1);
  const Latency latency = Summarise(delays);
  EXPECT_EQ(latency.p50_ns, 500u);
  EXPECT_EQ(latency.p90_ns, 900u);
  EXPECT_EQ(latency.p99_ns, 990u);
  EXPECT_EQ(latency.max_ns, 1000u);
}

TEST(Combine, TakesMediansButTheWorst) {
  const Latency latency = Combine({{1, 2, 30, 400}, {3, 4, 10, 900}, {2, 9, 20, 100}});
  EXPECT_EQ(latency.p50_ns, 2u);
  EXPECT_EQ(latency.p90_ns, 4u);
  EXPECT_EQ(latency.p99_ns, 20u);
  EXPECT_EQ(latency.max_ns, 900u);
}

}  // namespace
}  // namespace libbus::bench
