// How delays are spread, four buckets to each doubling, and a drawing of it for a terminal.
#ifndef LIBBUS_BENCH_HISTOGRAM_H_
#define LIBBUS_BENCH_HISTOGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace libbus::bench {

class Histogram {
 public:
  static constexpr size_t kBuckets = 252;

  // The bucket of a delay, and the least delay of a bucket.
  static size_t BucketOf(uint64_t ns);
  static uint64_t FloorOf(size_t bucket);

  void Add(std::span<const uint64_t> delays);
  void Add(const Histogram& other);

  uint64_t count() const { return count_; }

  // A line for each bucket from the first to the last that holds any, at most `lines`: then several share one. Each is
  // how much of all is below its end, and a bar whose length is a share of the longest. Empty: no delays.
  std::string Draw(size_t lines, size_t width) const;

 private:
  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_HISTOGRAM_H_
