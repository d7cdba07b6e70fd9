// Runs a case: every contender in turn, round after round, each time with fresh processes and fresh files, so that
// whatever disturbs the machine disturbs all of them alike.
#ifndef LIBBUS_BENCH_RUNNER_H_
#define LIBBUS_BENCH_RUNNER_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/contender.h"
#include "bench/lib/statistics.h"
#include "libbus/options.h"

namespace libbus::bench {

// Bounds of a case, for people and for the disk.
inline constexpr size_t kMaxRecordSize = 16 << 20;
inline constexpr uint32_t kMaxProcesses = 64;  // producers, and consumers
inline constexpr uint32_t kMaxRounds = 1000;
inline constexpr uint64_t kMaxRunBytes = uint64_t{1} << 30;

struct CaseOptions {
  size_t size = 64;
  uint32_t producers = 1;
  uint32_t consumers = 1;
  Wait wait = Wait::kSpin;
  bool exclusive = false;  // an exclusive topic: one producer
  uint32_t rounds = 5;
  uint64_t records = 0;           // of all producers in an unpaced run; 0: what fits 256 MiB
  std::string directory = ".";    // a directory is made in it and removed
  std::function<bool()> stopped;  // asked now and then: true ends everything
};

// What one contender did, a value for each round.
struct ContenderResult {
  std::string name;
  std::vector<double> rates;  // records a second, unpaced
  std::vector<Latency> latencies;
};

struct CaseResult {
  CaseOptions options;
  uint64_t records = 0;      // unpaced, a round
  uint64_t samples = 0;      // paced, a round
  uint64_t interval_ns = 0;  // paced
  std::vector<ContenderResult> contenders;

  const ContenderResult& Of(std::string_view name) const;
};

// INVALID_ARGUMENT: an option is out of bounds; the message says which.
absl::Status CheckOptions(const CaseOptions& options);

// OK: every record of every run arrived, once, in its producer's order, with every byte. INTERNAL: a
// contender lost, doubled or altered a record, or a process died (the message says which). CANCELLED: stopped.
// RESOURCE_EXHAUSTED: no room. Nothing is left behind in any case.
absl::StatusOr<CaseResult> RunCase(const CaseOptions& options,
                                   const std::vector<std::unique_ptr<Contender>>& contenders);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_RUNNER_H_
