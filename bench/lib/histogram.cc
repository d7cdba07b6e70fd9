#include "bench/lib/histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <numeric>
#include <vector>

namespace libbus::bench {
namespace {

std::string TimeText(uint64_t ns) {
  if (ns < 10'000) return fmt::format("{} ns", ns);
  if (ns < 10'000'000) return fmt::format("{} us", ns / 1000);
  return fmt::format("{} ms", ns / 1'000'000);
}

}  // namespace

// Below 4 each value is a bucket; above, the two bits behind the first tell the quarter of its doubling.
size_t Histogram::BucketOf(uint64_t ns) {
  if (ns < 4) return ns;
  const auto top = static_cast<size_t>(std::bit_width(ns)) - 1;
  return (top - 1) * 4 + (ns >> (top - 2) & 3);
}

uint64_t Histogram::FloorOf(size_t bucket) {
  if (bucket < 4) return bucket;
  return (4 + bucket % 4) << (bucket / 4 - 1);
}

void Histogram::Add(std::span<const uint64_t> delays) {
  for (const uint64_t delay : delays) ++counts_[BucketOf(delay)];
  count_ += delays.size();
}

void Histogram::Add(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
}

std::string Histogram::Draw(size_t lines, size_t width) const {
  if (count_ == 0) return {};
  const auto holds = [](uint64_t count) { return count > 0; };
  const auto first = static_cast<size_t>(std::find_if(counts_.begin(), counts_.end(), holds) - counts_.begin());
  const auto last = static_cast<size_t>(counts_.rend() - std::find_if(counts_.rbegin(), counts_.rend(), holds));
  const size_t step = (last - first + lines - 1) / lines;
  std::vector<uint64_t> sums;
  for (size_t i = first; i < last; i += step) {
    const size_t end = std::min(i + step, last);
    sums.push_back(std::accumulate(counts_.begin() + static_cast<std::ptrdiff_t>(i),
                                   counts_.begin() + static_cast<std::ptrdiff_t>(end), uint64_t{0}));
  }
  const uint64_t longest = *std::max_element(sums.begin(), sums.end());
  std::string out;
  uint64_t below = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    below += sums[i];
    // What holds one is seen: the rare ones are what one looks for.
    const size_t length = sums[i] == 0 ? 0 : std::max<size_t>(1, sums[i] * width / longest);
    std::string line =
        fmt::format("  {:>9} {:>9.4f} % {}", TimeText(FloorOf(first + i * step)),
                    100.0 * static_cast<double>(below) / static_cast<double>(count_), std::string(length, '#'));
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

}  // namespace libbus::bench
