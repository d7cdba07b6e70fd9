// The loop around every way of making records durable.
#ifndef LIBBUS_BENCH_DURABLE_LOOP_H_
#define LIBBUS_BENCH_DURABLE_LOOP_H_

#include <absl/status/statusor.h>
#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

#include "bench/lib/content.h"
#include "bench/lib/durable_writer.h"
#include "bench/lib/shared.h"

namespace libbus::bench {

// Bytes that a process, or this one, has had the kernel write to disks, as far as the kernel counts them.
uint64_t WrittenBytesOf(pid_t process);
uint64_t WrittenBytes();

// All of the run's records were found: returns 0, for how many syncs there were is not known.
absl::StatusOr<uint64_t> CheckCount(const DurableRun& run, const Verifier& verifier);

// Sleeps until NowNs() >= due.
void SleepUntil(uint64_t due);

// `publish` takes the bytes; `finish` is called once behind the last record, inside the time.
template <typename Publish, typename Finish>
absl::Status WriteDurably(const DurableRun& run, DurableSide& side, Publish publish, Finish finish) {
  std::vector<std::byte> buffer(run.size);
  const uint64_t written = WrittenBytes();
  const uint64_t start = side.start->Arrive();
  for (uint64_t sequence = 0; sequence < run.records; ++sequence) {
    const uint64_t id = RecordId(side.index, sequence);
    if (run.interval_ns > 0) SleepUntil(start + (sequence * run.producers + side.index + 1) * run.interval_ns);
    const uint64_t begin = NowNs();
    FillRecord(id, begin, buffer);
    if (absl::Status status = publish(std::span<const std::byte>(buffer)); !status.ok()) return status;
    if (!side.delays.empty()) side.delays[sequence] = NowNs() - begin;
  }
  if (absl::Status status = finish(); !status.ok()) return status;
  side.report->started_ns = start;
  side.report->finished_ns = NowNs();
  side.report->written = WrittenBytes() - written;
  return absl::OkStatus();
}

template <typename Publish>
absl::Status WriteDurably(const DurableRun& run, DurableSide& side, Publish publish) {
  return WriteDurably(run, side, publish, [] { return absl::OkStatus(); });
}

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_DURABLE_LOOP_H_
