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

// Waits for `ready` after one poll has failed, in the way of libbus consumers.
template <typename Ready>
void WaitUntilReady(Wait wait, Bell& bell, Ready ready) {
  if (wait == Wait::kPark) {
    while (!ready()) bell.SleepUnless(ready);
    return;
  }
  const uint64_t quiet_until = NowNs() + kFirstPauseNs;
  do {
    for (int i = 0; i < 8; ++i) platform::Relax();
  } while (NowNs() < quiet_until);
  while (!ready()) platform::Relax();
}

template <typename Writer>
absl::Status WriteFast(const Run& run, const ProducerSide& side, Writer& writer, std::span<std::byte> buffer) {
  for (uint64_t sequence = 0; sequence < run.records; ++sequence) {
    FillRecord(RecordId(side.index, sequence), buffer);
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

// Reads one record, notes its delay, verifies it.
template <typename Reader>
absl::Status ReadOne(const Run& run, ConsumerSide& side, Reader& reader, Verifier& verifier) {
  const auto record = reader.Next();
  if (!record.ok()) return record.status();
  const uint64_t now = run.paced() ? NowNs() : 0;
  if (!verifier.Check(*record)) return absl::InternalError(verifier.error());
  if (!run.paced()) return absl::OkStatus();
  const uint64_t due = DueOf(*record);
  if (now < due) return absl::InternalError(fmt::format("read at {} ns, before it was due at {} ns", now, due));
  side.delays[verifier.verified() - 1] = now - due;
  return absl::OkStatus();
}

template <typename Reader>
absl::Status ReadRecords(const Run& run, ConsumerSide& side, Reader& reader) {
  Verifier verifier(run.size, run.producers, run.paced());
  side.report->started_ns = side.start->Arrive();
  while (verifier.verified() < run.total()) {
    if (auto read = ReadOne(run, side, reader, verifier); !read.ok()) return read;
  }
  side.report->finished_ns = NowNs();
  side.report->verified = verifier.verified();
  side.done->Arrive();
  if (!reader.AtEnd()) return absl::InternalError("more records can be read than were written");
  return absl::OkStatus();
}

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_LOOPS_H_
