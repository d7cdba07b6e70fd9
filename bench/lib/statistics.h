// Medians and percentiles.
#ifndef LIBBUS_BENCH_STATISTICS_H_
#define LIBBUS_BENCH_STATISTICS_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace libbus::bench {

// The middle of the sorted values, of an even number the mean of both. REQUIRES: not empty.
template <typename T>
T Median(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// The smallest value that `share` of all are not above. REQUIRES: sorted, not empty, 0 < share <= 1.
inline uint64_t Percentile(std::span<const uint64_t> sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

struct Latency {
  uint64_t p50_ns = 0;
  uint64_t p90_ns = 0;
  uint64_t p99_ns = 0;
  uint64_t p999_ns = 0;
  uint64_t p9999_ns = 0;
  uint64_t max_ns = 0;
};

// Sorts the delays. REQUIRES: not empty.
inline Latency Summarise(std::span<uint64_t> delays) {
  std::sort(delays.begin(), delays.end());
  return {Percentile(delays, 0.5),   Percentile(delays, 0.9),    Percentile(delays, 0.99),
          Percentile(delays, 0.999), Percentile(delays, 0.9999), delays.back()};
}

// Of several rounds: medians, but for the worst delay of all. REQUIRES: not empty.
inline Latency Combine(const std::vector<Latency>& rounds) {
  const auto median = [&](uint64_t Latency::*field) {
    std::vector<uint64_t> values;
    values.reserve(rounds.size());
    for (const Latency& round : rounds) values.push_back(round.*field);
    return Median(std::move(values));
  };
  uint64_t worst = 0;
  for (const Latency& round : rounds) worst = std::max(worst, round.max_ns);
  return {median(&Latency::p50_ns),  median(&Latency::p90_ns),   median(&Latency::p99_ns),
          median(&Latency::p999_ns), median(&Latency::p9999_ns), worst};
}

// The median rate of at most 512 windows of a stream, in records a second: what was reached while nothing came in
// between. `times`: when every `records`th record was read, in ns. Below two times: 0.
inline constexpr size_t kWindows = 512;
inline double MedianRate(std::span<const uint64_t> times, double records) {
  if (times.size() < 2) return 0;
  const size_t steps = times.size() - 1;
  const size_t windows = std::min(steps, kWindows);
  std::vector<double> rates;
  rates.reserve(windows);
  for (size_t i = 0; i < windows; ++i) {
    const size_t begin = i * steps / windows;
    const size_t end = (i + 1) * steps / windows;
    const uint64_t took = std::max<uint64_t>(times[end] - times[begin], 1);
    rates.push_back(static_cast<double>(end - begin) * records * 1e9 / static_cast<double>(took));
  }
  return Median(std::move(rates));
}

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_STATISTICS_H_
