// The ways of making a record durable, as the runner sees them.
#ifndef LIBBUS_BENCH_DURABLE_WRITER_H_
#define LIBBUS_BENCH_DURABLE_WRITER_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/lib/sides.h"

namespace libbus::bench {

// One run. The same for all ways of a round.
struct DurableRun {
  size_t size = 64;
  uint32_t producers = 1;
  uint64_t records = 0;      // of each producer
  uint64_t interval_ns = 0;  // between two records of all producers together; 0: as fast as it goes
  std::string directory;     // empty at first, removed afterwards

  uint64_t total() const { return records * producers; }
};

struct DurableSide {
  uint32_t index;  // of the producer, from 0
  Barrier* start;
  ProcessReport* report;
  std::span<uint64_t> delays;  // ns from the call to its return, of each record; empty: not wanted
};

class DurableWriter {
 public:
  virtual ~DurableWriter() = default;

  virtual std::string_view name() const = 0;
  // Why it cannot do such a run, in a few words. Empty: it can.
  virtual std::string Refusal(const DurableRun&) const { return {}; }
  // In the parent, before the processes start.
  virtual absl::Status Prepare(const DurableRun& run) = 0;
  // In a process of its own: get ready, arrive at side.start, write run.records records.
  virtual absl::Status Write(const DurableRun& run, DurableSide& side) = 0;
  // In the parent, when they have ended: verifies the file and returns how many syncs there were, also before the run;
  // 0: that is not known.
  virtual absl::StatusOr<uint64_t> Check(const DurableRun& run) = 0;
  virtual void Discard() = 0;
};

// libbus: a topic that syncs each record, and one that is synced by interval.
std::unique_ptr<DurableWriter> MakeDurableEach();
std::unique_ptr<DurableWriter> MakeDurableByInterval();
// In a process of its own, beside the producers of MakeDurableByInterval: reads only what is durable, verifies it, and
// notes how long after its publish each record was.
absl::Status FollowDurable(const DurableRun& run, const ConsumerSide& side);

// One file whose pages are all prepared and on the disk before the run; each producer syncs for itself.
std::unique_ptr<DurableWriter> MakeBareMapping();
std::unique_ptr<DurableWriter> MakeBareWrite();

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_DURABLE_WRITER_H_
