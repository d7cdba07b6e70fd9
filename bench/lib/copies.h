// What memory itself gives: memcpy of records into pages that are there, and into pages that are touched first by it.
#ifndef LIBBUS_BENCH_COPIES_H_
#define LIBBUS_BENCH_COPIES_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace libbus::bench {

struct Copies {
  size_t size = 0;   // bytes of a record
  size_t bytes = 0;  // of the area that is filled, record behind record
  double warm = 0;   // records a second, medians of the rounds
  double fresh = 0;  // the same into pages of a new file, in the page cache
};

// A file is made in `directory` and removed. RESOURCE_EXHAUSTED: no room.
absl::StatusOr<Copies> MeasureCopies(size_t size, size_t bytes, uint32_t rounds, const std::string& directory);

// A table, and one object on one line for each. Both end with a newline.
std::string CopiesText(const std::vector<Copies>& all);
std::string CopiesJson(const Copies& one);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_COPIES_H_
