// The place of a process in a run: where it waits for the others and where it reports.
#ifndef LIBBUS_BENCH_SIDES_H_
#define LIBBUS_BENCH_SIDES_H_

#include <cstdint>
#include <span>

#include "bench/lib/shared.h"

namespace libbus::bench {

// In shared memory; written by its process, read by the parent when that process is gone.
struct ProcessReport {
  uint64_t verified = 0;     // consumers: records read and found right
  uint64_t started_ns = 0;   // when the barrier opened
  uint64_t finished_ns = 0;  // after the last record
  uint64_t written = 0;      // durable runs: bytes that it had the kernel write
  uint64_t syncs = 0;        // durable runs: how many there had been before the start
  char error[480] = {};      // empty: none
};

// Where all that follows lies, for a program that takes a side but is no fork of this process: offsets from `base` are
// offsets in the file behind `fd`.
struct Area {
  int fd = -1;
  const std::byte* base = nullptr;
  Barrier* warm = nullptr;  // peers that warm up first: all can reach each other

  uint64_t OffsetOf(const void* part) const {
    return static_cast<uint64_t>(static_cast<const std::byte*>(part) - base);
  }
};

struct ProducerSide {
  uint32_t index;  // from 0
  Barrier* start;  // all processes of the run are ready
  Barrier* done;   // all have written or read everything
  ProcessReport* report;
  Area area = {};
};

struct ConsumerSide {
  uint32_t index;
  Barrier* start;
  Barrier* done;
  ProcessReport* report;
  // Of each stamped record in the order read. Paced runs: ns from due to read. Others: when it was read.
  std::span<uint64_t> times;
  Area area = {};
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SIDES_H_
