// When to kill. Pure functions.
//
// The way is cut into kills + 1 portions. In each but the last one, transform and load are killed once, at a random
// record; only then may extract begin with the next portion. So no stage, however fast, can be done before its last
// kill, and each run of it finds something to do, on any machine.
#ifndef EXAMPLES_ETL_PLAN_H_
#define EXAMPLES_ETL_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace etl {

// The numbers of the records before which extract pauses.
inline std::vector<uint64_t> PlanPauses(uint64_t records, uint64_t kills) {
  std::vector<uint64_t> pauses;
  for (uint64_t i = 1; i <= kills; ++i) pauses.push_back(records * i / (kills + 1));
  return pauses;
}

// For a stage that handles the records with these (rising) numbers: kill it when it has handled so many. One entry for
// each pause; 0 where the stage has nothing to do in the portion before it.
inline std::vector<uint64_t> PlanKills(const std::vector<uint64_t>& numbers, const std::vector<uint64_t>& pauses,
                                       std::mt19937_64& random) {
  std::vector<uint64_t> kills;
  uint64_t begin = 0;
  for (const uint64_t pause : pauses) {
    const auto end = static_cast<uint64_t>(std::lower_bound(numbers.begin(), numbers.end(), pause) - numbers.begin());
    const uint64_t size = end - begin;
    const uint64_t first = begin + size / 4 + 1;
    const uint64_t last = std::max(first, begin + size * 9 / 10);
    kills.push_back(size == 0 ? 0 : std::uniform_int_distribution<uint64_t>(first, last)(random));
    begin = end;
  }
  return kills;
}

}  // namespace etl

#endif  // EXAMPLES_ETL_PLAN_H_
