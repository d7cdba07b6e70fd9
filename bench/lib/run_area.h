// What the processes of a run and their parent share: barriers, reports, times.
#ifndef LIBBUS_BENCH_RUN_AREA_H_
#define LIBBUS_BENCH_RUN_AREA_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>

#include "bench/lib/shared.h"
#include "bench/lib/sides.h"

namespace libbus::bench {

class RunArea {
 public:
  // `times`: how many there is room for, of all processes together.
  static absl::StatusOr<RunArea> Make(uint32_t producers, uint32_t consumers, uint64_t times);

  Barrier* start() { return reinterpret_cast<Barrier*>(memory_.data()); }
  Barrier* done() { return reinterpret_cast<Barrier*>(memory_.data() + kDoneAt); }
  // For who executes another program.
  Area area() { return {memory_.fd(), memory_.data(), reinterpret_cast<Barrier*>(memory_.data() + kWarmAt)}; }
  ProcessReport* producer_report(uint32_t producer) { return report(producer); }
  ProcessReport* consumer_report(uint32_t consumer) { return report(producers_ + consumer); }
  std::span<uint64_t> times() { return {reinterpret_cast<uint64_t*>(report(producers_ + consumers_)), times_}; }

  // In a child: maps every page, so that no fault is left for the run.
  void CatchUp() { static_cast<void>(memory_.PopulateForWriting()); }

  // In a child: leaves what went wrong for the parent; returns the exit code.
  static int Report(const absl::Status& status, ProcessReport& report);
  // In the parent: a child's own words in place of `status`, where one left any.
  absl::Status Explain(const absl::Status& status);

 private:
  static constexpr size_t kDoneAt = 128;
  static constexpr size_t kWarmAt = 256;
  static constexpr size_t kReportsAt = 384;

  RunArea(Mapping memory, uint32_t producers, uint32_t consumers, uint64_t times);
  ProcessReport* report(uint32_t process) {
    return reinterpret_cast<ProcessReport*>(memory_.data() + kReportsAt) + process;
  }

  Mapping memory_;
  uint32_t producers_;
  uint32_t consumers_;
  uint64_t times_;
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_RUN_AREA_H_
