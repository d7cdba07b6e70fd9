// What becomes of libbus as a system around the hot path: opening, recovering, checking, replaying, seeking, growing,
// its memory, its idling, its stalls. Each case makes its own bus in processes of their own, measures it beside what
// the machine could do, and leaves nothing behind.
#ifndef LIBBUS_BENCH_SYSTEM_CASES_H_
#define LIBBUS_BENCH_SYSTEM_CASES_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/system/rows.h"

namespace libbus::bench {

struct SystemOptions {
  std::string directory = ".";
  uint32_t rounds = 5;
  uint64_t records = 0;  // not 0: everything as small as can be, so that it takes no time
  std::function<bool()> stopped;

  bool tiny() const { return records > 0; }
  bool Stopped() const { return stopped && stopped(); }
};

// OK: the rows. RESOURCE_EXHAUSTED: no room; CANCELLED: stopped; others: it went wrong.
using SystemCase = absl::StatusOr<std::vector<Row>> (*)(const SystemOptions&);

absl::StatusOr<std::vector<Row>> MeasureOpening(const SystemOptions& options);
absl::StatusOr<std::vector<Row>> MeasureReading(const SystemOptions& options);
absl::StatusOr<std::vector<Row>> MeasureGrowth(const SystemOptions& options);
absl::StatusOr<std::vector<Row>> MeasureMemory(const SystemOptions& options);
absl::StatusOr<std::vector<Row>> MeasureIdling(const SystemOptions& options);
absl::StatusOr<std::vector<Row>> MeasureStalls(const SystemOptions& options);
absl::StatusOr<std::vector<Row>> MeasureProducing(const SystemOptions& options);

struct SystemTable {
  std::string_view name;
  std::string_view title;
  SystemCase measure;
};
std::span<const SystemTable> SystemTables();

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SYSTEM_CASES_H_
