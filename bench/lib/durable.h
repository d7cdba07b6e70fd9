// What durability costs. Two kinds of cases:
//
//   each      Every record is on the disk before its producer goes on: libbus with the sync policy "each", beside the
//             bare system calls, mmap + store + fdatasync and write + fdatasync, on the same file system.
//   interval  Records are published plainly to a topic that is synced every 10 ms: how many a second until all of them
//             are durable, and how long each is not.
//
// Producers are processes of their own. The ways take turns, round after round, each time with fresh files.
#ifndef LIBBUS_BENCH_DURABLE_H_
#define LIBBUS_BENCH_DURABLE_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/lib/durable_writer.h"
#include "bench/lib/statistics.h"

namespace libbus::bench {

inline constexpr absl::Duration kSyncInterval = absl::Milliseconds(10);

struct DurableOptions {
  size_t size = 64;
  uint32_t producers = 1;
  uint32_t rounds = 5;
  uint64_t limit_ns = 0;        // begins no round when so much time is over; 0: no limit
  uint64_t records = 0;         // of all producers in a round; 0: 4,000; what fits 64 MiB by interval
  std::string directory = ".";  // a directory is made in it and removed
  std::function<std::vector<std::unique_ptr<DurableWriter>>()> peers;  // beside the bare system calls; empty: none
  std::function<bool()> stopped;                                       // asked now and then: true ends everything
};

// What one way did, a value for each round.
struct DurableWay {
  std::string name;
  std::string refusal;             // why there is nothing of it. Empty: there is
  std::vector<double> rates;       // records a second
  std::vector<Latency> latencies;  // each: from the call to its return. interval: from the publish until durable
  std::vector<double> syncs;       // a record
  std::vector<double> written;     // bytes a record that the kernel was made to write
};

struct DurableResult {
  DurableOptions options;
  bool by_interval = false;
  uint32_t rounds = 0;           // that there was time for
  uint64_t records = 0;          // a round
  uint64_t samples = 0;          // interval: a round, for the latencies
  uint64_t interval_ns = 0;      // interval: between two of those, of all producers together
  std::vector<DurableWay> ways;  // libbus first

  const DurableWay& Of(std::string_view name) const;
};

// INVALID_ARGUMENT: an option is out of bounds; the message says which.
absl::Status CheckDurableOptions(const DurableOptions& options);

// OK: every record of every run was found on the file, once, in its producer's order, with every byte. Errors as
// RunCase; a volatile directory (tmpfs) is one.
absl::StatusOr<DurableResult> RunDurableEach(const DurableOptions& options);
absl::StatusOr<DurableResult> RunDurableByInterval(const DurableOptions& options);

// A table, or an object on one line. Both end with a newline.
std::string DurableText(const DurableResult& result);
std::string DurableJson(const DurableResult& result);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_DURABLE_H_
