// The loops around every contender, so that all do the same work beside their own.
//
//   Writer   absl::Status Write(std::span<const std::byte>)
//   Reader   absl::StatusOr<std::span<const std::byte>> Next()   waits; the bytes stay until the next call
//            bool AtEnd()                                        nothing is left to read
#ifndef LIBBUS_BENCH_LOOPS_H_
#define LIBBUS_BENCH_LOOPS_H_

#include <absl/status/status.h>
#include <fmt/format.h>

#include <vector>

#include "bench/lib/contender.h"
#include "bench/lib/content.h"
#include "bench/lib/sides.h"
#include "libbus/platform/shared_word.h"

namespace libbus::bench {

// How long a spinning consumer leaves the line alone after its first failed poll, as libbus does.
inline constexpr uint64_t kFirstPauseNs = 800;

// Polls for `ready` after one poll has failed, in the way of libbus consumers.
template <typename Ready>
void SpinUntilReady(Ready ready) {
  const uint64_t quiet_until = NowNs() + kFirstPauseNs;
  do {
    for (int i = 0; i < 8; ++i) platform::Relax();
  } while (NowNs() < quiet_until);
  while (!ready()) platform::Relax();
}

// The same, or sleeps.
template <typename Ready>
void WaitUntilReady(Wait wait, Bell& bell, Ready ready) {
  if (wait == Wait::kPark) {
    while (!ready()) bell.SleepUnless(ready);
    return;
  }
  SpinUntilReady(ready);
}

template <typename Writer>
absl::Status WriteFast(const Run& run, const ProducerSide& side, Writer& writer, std::span<std::byte> buffer) {
  for (uint64_t sequence = 0; sequence < run.records; ++sequence) {
    const uint64_t id = RecordId(side.index, sequence);
    if (IsStamped(sequence, run.stamp_every())) {
      FillRecord(id, NowNs(), buffer);
    } else {
      FillRecord(id, buffer);
    }
    if (auto written = writer.Write(buffer); !written.ok()) return written;
  }
  return absl::OkStatus();
}

// Each record has its due time, whatever became of those before it: a stall delays all that were due in it, and all of
// them count.
template <typename Writer>
absl::Status WritePaced(const Run& run, const ProducerSide& side, uint64_t start, Writer& writer,
                        std::span<std::byte> buffer) {
  for (uint64_t sequence = 0; sequence < run.records; ++sequence) {
    const uint64_t due = start + (sequence * run.producers + side.index + 1) * run.interval_ns;
    FillRecord(RecordId(side.index, sequence), due, buffer);
    SpinUntil(due);
    if (auto written = writer.Write(buffer); !written.ok()) return written;
  }
  return absl::OkStatus();
}

template <typename Writer>
absl::Status WriteRecords(const Run& run, const ProducerSide& side, Writer& writer) {
  std::vector<std::byte> buffer(run.size);
  const uint64_t start = side.start->Arrive();
  auto status = run.paced() ? WritePaced(run, side, start, writer, buffer) : WriteFast(run, side, writer, buffer);
  if (status.ok()) side.done->Arrive();
  return status;
}

// Of a stamped record that was read at `now`.
inline absl::Status NoteTime(const Run& run, ConsumerSide& side, uint64_t stamp, uint64_t now, uint64_t index) {
  if (now < stamp) return absl::InternalError(fmt::format("read at {} ns, before its stamp of {} ns", now, stamp));
  side.times[index] = run.paced() ? now - stamp : now;
  return absl::OkStatus();
}

// Reads one record, verifies it, notes the time of a stamped one.
template <typename Reader>
absl::Status ReadOne(const Run& run, ConsumerSide& side, Reader& reader, Verifier& verifier, uint64_t& stamped) {
  const auto record = reader.Next();
  if (!record.ok()) return record.status();
  const uint64_t now = run.paced() ? NowNs() : 0;
  if (!verifier.Check(*record)) return absl::InternalError(verifier.error());
  if (!verifier.stamped()) return absl::OkStatus();
  return NoteTime(run, side, StampOf(*record), run.paced() ? now : NowNs(), stamped++);
}

template <typename Reader>
absl::Status ReadRecords(const Run& run, ConsumerSide& side, Reader& reader) {
  Verifier verifier(run.size, run.producers, run.stamp_every());
  uint64_t stamped = 0;
  side.report->started_ns = side.start->Arrive();
  while (verifier.verified() < run.total()) {
    if (auto read = ReadOne(run, side, reader, verifier, stamped); !read.ok()) return read;
  }
  side.report->finished_ns = NowNs();
  side.report->verified = verifier.verified();
  side.done->Arrive();
  if (!reader.AtEnd()) return absl::InternalError("more records can be read than were written");
  return absl::OkStatus();
}

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_LOOPS_H_
