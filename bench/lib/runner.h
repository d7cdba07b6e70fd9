// Runs a case: every contender in turn, in another order each round, each time with fresh processes and fresh files.
// Before and after each run the distance of two cores is measured. A run in which it changed, or in which others took
// the cores, is dropped and made again, a few times; what was still not left alone by then counts, and is told.
#ifndef LIBBUS_BENCH_RUNNER_H_
#define LIBBUS_BENCH_RUNNER_H_

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/contender.h"
#include "bench/lib/histogram.h"
#include "bench/lib/statistics.h"
#include "bench/lib/travel.h"
#include "libbus/options.h"

namespace libbus::bench {

// Bounds of a case, for people and for the disk.
inline constexpr size_t kMaxRecordSize = 16 << 20;
inline constexpr uint32_t kMaxProcesses = 64;  // producers, and consumers
inline constexpr uint32_t kMaxRounds = 1000;
inline constexpr uint64_t kMaxRunBytes = uint64_t{1} << 30;
inline constexpr uint64_t kMaxRate = 10'000'000;

struct CaseOptions {
  size_t size = 64;
  uint32_t producers = 1;
  uint32_t consumers = 1;
  Wait wait = Wait::kSpin;
  bool exclusive = false;  // an exclusive topic: one producer
  bool unpaced = true;     // measure rates
  bool paced = true;       // measure latencies
  uint32_t rounds = 5;
  uint64_t records = 0;                // of all producers in an unpaced run; 0: what fits 256 MiB, or the disk
  uint64_t rate = 0;                   // paced, a second, of all producers; 0: 100,000 (spin) or 10,000 (park)
  uint64_t paced_ns = 250'000'000;     // how long a paced run takes
  uint32_t attempts = 3;               // of a run that was not left alone
  uint64_t limit_ns = 0;               // begins no round when so much time is over; 0: no limit
  uint64_t seed = 1;                   // of the order
  std::string directory = ".";         // a directory is made in it and removed
  std::function<bool()> stopped = {};  // asked now and then: true ends everything
};

// A run that counts.
struct Sample {
  uint32_t round = 0;
  Travel travel;
  bool disturbed = false;  // others took the cores, every time
  double rate = 0;         // records a second, end to end
  double undisturbed = 0;
  Latency latency;
};

struct ContenderResult {
  std::string name;
  Kind kind = Kind::kReference;
  std::string refusal;  // why there is nothing of it. Empty: there is
  std::vector<Sample> unpaced;
  std::vector<Sample> paced;
  std::array<Histogram, 3> delays;  // of paced runs, by distance
};

struct CaseResult {
  CaseOptions options;
  uint32_t rounds = 0;                      // that there was time for
  uint64_t records = 0;                     // unpaced, a round
  uint64_t samples = 0;                     // paced, a round
  uint64_t interval_ns = 0;                 // paced
  uint32_t dropped = 0;                     // runs that were made again
  uint32_t disturbed = 0;                   // runs that count although others took the cores
  bool shrunk = false;                      // to the free disk
  std::vector<ContenderResult> contenders;  // libbus first

  const ContenderResult& Of(std::string_view name) const;
};

// INVALID_ARGUMENT: an option is out of bounds; the message says which.
absl::Status CheckOptions(const CaseOptions& options);

// OK: every record of every run arrived, once, in its producer's order, with every byte. INTERNAL: libbus or a
// reference lost, doubled or altered a record, or a process died (the message says which). CANCELLED: stopped.
// RESOURCE_EXHAUSTED: no room. A peer that fails is left out from then on, with a refusal that says why. Nothing is
// left behind in any case.
absl::StatusOr<CaseResult> RunCase(const CaseOptions& options,
                                   const std::vector<std::unique_ptr<Contender>>& contenders);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_RUNNER_H_
