// Handing the records of a range out once more: to a function or into another topic, as fast as they were recorded, so
// many times as fast, or as fast as possible.
//
// Pace. A record is due when as much time has passed since the first one, times the speed, as lies between their
// timestamps. Producers take these from their own clocks, and records stand in the order in which they were committed:
// one whose timestamp lies before an earlier one's is due at once, never earlier. A record without a timestamp (0) is
// due at once. Who is late (the sink is slow, the process was stopped) catches up without waiting.
//
// Died in between: what was published stays, in order and whole, each record with the position of its original as
// RecordOptions::source. FindResume() says where the next replay goes on.
#ifndef LIBBUS_REPLAY_H_
#define LIBBUS_REPLAY_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "libbus/consumer.h"
#include "libbus/producer.h"
#include "libbus/record.h"
#include "libbus/topic.h"

namespace libbus {

// ReplayOptions::speed: as fast as possible.
inline constexpr double kReplayMax = 0;

struct ReplayOptions {
  // 1: as recorded; 10: ten times as fast; kReplayMax: without waiting. Finite and not negative.
  double speed = kReplayMax;
  std::optional<uint64_t> count = {};  // at most so many records
  // Ends where nothing more came for this long. Zero: at the end of what is there. A consumer with a range
  // (ConsumerOptions::to) ends there at the latest.
  absl::Duration wait = absl::ZeroDuration();
  // Told of each gap that the consumer hands out (ConsumerOptions::gaps), in the order of the log.
  std::function<void(const Gap&)> on_gap = {};
  // Called now and then, at least every 50 ms while the replay waits until a record is due, with the bytes of log that
  // were read and, where the consumer has a range, how many there are (else 0). False ends the replay: CANCELLED.
  std::function<bool(uint64_t done, uint64_t total)> progress = {};
};

// How far a replay came.
struct ReplayReport {
  uint64_t records = 0;
  uint64_t bytes = 0;   // of their payloads
  uint64_t losses = 0;  // gaps that may have cost a record
  Position next;        // of the consumer's topic: where the next replay goes on
  Position last;        // of the record published last; 0: none was
};

// What is done with each record. An error ends the replay, which returns it.
using ReplaySink = std::function<absl::Status(const RecordView&)>;

// Hands out records and waits in between as `options` say. `report` is right whatever this returns: what `sink` said OK
// to is counted, and next is behind it. OK: the end was reached, or count. CANCELLED: progress said so, or
// Consumer::Interrupt(). INVALID_ARGUMENT: the speed. What `sink` returned. Else as Consumer::Next, but DATA_LOSS only
// with Gaps::kError or where nothing can be read behind. Not thread-safe; the consumer is used by this alone meanwhile.
absl::Status Replay(Consumer& from, const ReplaySink& sink, const ReplayOptions& options, ReplayReport& report);

// The same into another topic: payload, key, headers, type, timestamp, producer and its sequence as in the original,
// source: the original's position. Errors also as Producer::Publish. The topic of `from` and of `to` is not the same
// one, or this does not end.
absl::Status Replay(Consumer& from, Producer& to, const ReplayOptions& options, ReplayReport& report);

// Where a replay from `from` into `to` goes on that ended early, however it ended: behind the record in `from` that the
// last record in `to` with a source was made from. OK with nothing: no record in `to` has a source. The two records are
// compared. FAILED_PRECONDITION: they differ, so that `to` holds records of another topic too; or the original was
// deleted since. A replay that goes on there publishes each record once, if nobody else replays into `to`.
// Reads `to` backwards as far as records of other producers stand behind. Else as Topic::NewConsumer, Consumer::Next.
absl::StatusOr<std::optional<Position>> FindResume(Topic& from, Topic& to);

}  // namespace libbus

#endif  // LIBBUS_REPLAY_H_
