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
  EXPECT_EQ(latency.p999_ns, 999u);
  EXPECT_EQ(latency.p9999_ns, 1000u);
  EXPECT_EQ(latency.max_ns, 1000u);
}

TEST(Combine, TakesMediansButTheWorst) {
  const Latency latency = Combine({{1, 2, 30, 31, 39, 400}, {3, 4, 10, 11, 19, 900}, {2, 9, 20, 21, 29, 100}});
  EXPECT_EQ(latency.p50_ns, 2u);
  EXPECT_EQ(latency.p90_ns, 4u);
  EXPECT_EQ(latency.p99_ns, 20u);
  EXPECT_EQ(latency.p999_ns, 21u);
  EXPECT_EQ(latency.p9999_ns, 29u);
  EXPECT_EQ(latency.max_ns, 900u);
}

// 1000 windows would be 1000 values; it takes 512, and a stall in a few of them changes nothing.
TEST(MedianRate, LeavesOutWhatDisturbsAFewWindows) {
  std::vector<uint64_t> times;
  uint64_t now = 5'000;
  for (int i = 0; i <= 2048; ++i) {
    times.push_back(now);
    now += 32 * 10;
    if (i % 100 == 0) now += 1'000'000;
  }
  EXPECT_DOUBLE_EQ(MedianRate(times, 32), 1e8);
}

TEST(MedianRate, OfAFew) {
  EXPECT_EQ(MedianRate({}, 32), 0);
  EXPECT_EQ(MedianRate(std::vector<uint64_t>{7}, 32), 0);
  EXPECT_DOUBLE_EQ(MedianRate(std::vector<uint64_t>{0, 1000}, 1), 1e6);
  EXPECT_DOUBLE_EQ(MedianRate(std::vector<uint64_t>{7, 7}, 1), 1e9);  // within one tick of the clock
}

}  // namespace
}  // namespace libbus::bench
