// Comparing what came out with what had to come out. Pure functions.
#ifndef EXAMPLES_ETL_CHECK_H_
#define EXAMPLES_ETL_CHECK_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace etl {

// A record of a stream: the number of the input's record that it was made from, and a digest of what it says.
struct Item {
  uint64_t number = 0;
  uint64_t digest = 0;
};

inline uint64_t Digest(std::string_view first, std::string_view second) {
  const std::hash<std::string_view> hash;
  return hash(first) * 0x9E3779B97F4A7C15u + hash(second);
}

struct Difference {
  uint64_t lost = 0;          // expected, and never seen
  uint64_t duplicated = 0;    // seen again
  uint64_t out_of_order = 0;  // seen for the first time behind one with a higher number
  uint64_t altered = 0;       // says something else
  uint64_t unexpected = 0;    // seen, and never expected

  bool none() const { return lost + duplicated + out_of_order + altered + unexpected == 0; }

  Difference& operator+=(const Difference& other) {
    lost += other.lost;
    duplicated += other.duplicated;
    out_of_order += other.out_of_order;
    altered += other.altered;
    unexpected += other.unexpected;
    return *this;
  }
};

// REQUIRES: the numbers of `expected` rise.
inline Difference Compare(const std::vector<Item>& expected, const std::vector<Item>& seen) {
  Difference difference;
  std::vector<bool> met(expected.size());
  uint64_t highest = 0;
  for (const Item& item : seen) {
    const auto found = std::lower_bound(expected.begin(), expected.end(), item.number,
                                        [](const Item& a, uint64_t number) { return a.number < number; });
    if (found == expected.end() || found->number != item.number) {
      ++difference.unexpected;
      continue;
    }
    if (found->digest != item.digest) ++difference.altered;
    auto before = met[static_cast<size_t>(found - expected.begin())];
    if (before) {
      ++difference.duplicated;
    } else if (item.number < highest) {
      ++difference.out_of_order;
    }
    before = true;
    highest = std::max(highest, item.number);
  }
  difference.lost = static_cast<uint64_t>(std::count(met.begin(), met.end(), false));
  return difference;
}

}  // namespace etl

#endif  // EXAMPLES_ETL_CHECK_H_
