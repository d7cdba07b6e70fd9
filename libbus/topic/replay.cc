#include "libbus/replay.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace {

using platform::Seam;

constexpr int64_t kLongestSleep = 50'000'000;  // ns: between two calls of progress
// Between two calls of progress where nothing is waited for.
constexpr uint64_t kProgressBytes = 1 << 20;
constexpr uint64_t kProgressRecords = 4096;
// From the end of the target backwards: at first so many records, then so many times as many.
constexpr uint64_t kLookBack = 16;

// A negative or absurd speed is not waited for.
absl::Status CheckSpeed(double speed) {
  if (std::isfinite(speed) && speed >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("replay speed {}: choose a positive number, or kReplayMax for as fast as possible", speed));
}

// When records are due, on the monotonic clock.
class Pacer {
 public:
  explicit Pacer(double speed) : speed_(speed) {}

  bool paces() const { return speed_ != kReplayMax; }

  // Rises from call to call.
  int64_t DueAt(int64_t timestamp) {
    if (timestamp == 0) return due_;
    if (!begun_) {
      begun_ = true;
      first_ = timestamp;
      start_ = due_ = Seam::MonotonicNow();
    }
    // Timestamps are what producers say: their difference may be more than an integer holds.
    const double passed = (static_cast<double>(timestamp) - static_cast<double>(first_)) / speed_;
    due_ = std::max(due_, start_ + static_cast<int64_t>(std::clamp(passed, 0.0, kFarAway)));
    return due_;
  }

 private:
  static constexpr double kFarAway = 4e18;  // ns: 126 years

  const double speed_;
  bool begun_ = false;
  int64_t first_ = 0;  // timestamp of the first record that has one
  int64_t start_ = 0;
  int64_t due_ = 0;
};

class Run {
 public:
  Run(Consumer& from, const ReplaySink& sink, const ReplayOptions& options, ReplayReport& report)
      : from_(from), sink_(sink), options_(options), report_(report), pacer_(options.speed), start_(from.position()) {
    report_ = {};
    report_.next = start_;
    const auto end = from.end();
    if (end && *end > start_) total_ = end->offset - start_.offset;
  }

  absl::Status ToTheEnd() {
    LIBBUS_RETURN_IF_ERROR(CheckSpeed(options_.speed));
    absl::Status status;
    while (status.ok() && !(options_.count && report_.records >= *options_.count)) status = One();
    const bool at_end = absl::IsOutOfRange(status) || absl::IsDeadlineExceeded(status);
    if (!at_end) return status;
    report_.next = from_.position();
    return absl::OkStatus();
  }

 private:
  absl::Status One() {
    LIBBUS_ASSIGN_OR_RETURN(const RecordView record, Next());
    if (record.kind() == RecordKind::kGap) return Skip(record);
    LIBBUS_RETURN_IF_ERROR(AwaitTurn(record));
    LIBBUS_RETURN_IF_ERROR(sink_(record));
    ++report_.records;
    report_.bytes += record.payload().size();
    report_.next = record.next_position();
    if (--until_told_ > 0 && report_.next.offset - told_ < kProgressBytes) return absl::OkStatus();
    until_told_ = kProgressRecords;
    return Tell();
  }

  absl::Status Skip(const RecordView& record) {
    const Gap gap = record.gap();
    if (gap.loss()) ++report_.losses;
    if (options_.on_gap) options_.on_gap(gap);
    report_.next = record.next_position();
    return absl::OkStatus();
  }

  // In pieces, so that progress is told and can end it.
  absl::StatusOr<RecordView> Next() {
    if (options_.wait <= absl::ZeroDuration()) return from_.Next(absl::ZeroDuration());
    absl::Duration left = options_.wait;
    for (;;) {
      const absl::Duration piece = std::min(left, absl::Nanoseconds(kLongestSleep));
      auto record = from_.Next(piece);
      left -= piece;
      if (!absl::IsDeadlineExceeded(record.status()) || left <= absl::ZeroDuration()) return record;
      LIBBUS_RETURN_IF_ERROR(Tell());
    }
  }

  absl::Status AwaitTurn(const RecordView& record) {
    if (!pacer_.paces()) return absl::OkStatus();
    const int64_t due = pacer_.DueAt(record.timestamp_nanos());
    for (;;) {
      const int64_t left = due - Seam::MonotonicNow();
      if (left <= 0) return absl::OkStatus();
      LIBBUS_RETURN_IF_ERROR(Tell());
      const timespec piece = {0, static_cast<long>(std::min(left, kLongestSleep))};
      nanosleep(&piece, nullptr);
    }
  }

  absl::Status Tell() {
    told_ = report_.next.offset;
    if (!options_.progress || options_.progress(told_ - start_.offset, total_)) return absl::OkStatus();
    return absl::CancelledError("replay: ended by its caller");
  }

  Consumer& from_;
  const ReplaySink& sink_;
  const ReplayOptions& options_;
  ReplayReport& report_;
  Pacer pacer_;
  const Position start_;
  uint64_t total_ = 0;
  uint64_t told_ = 0;
  uint64_t until_told_ = kProgressRecords;
};

// Publishes copies of records.
class Publisher {
 public:
  Publisher(Producer& to, ReplayReport& report) : to_(to), report_(report) {}

  absl::Status operator()(const RecordView& record) {
    RecordOptions options = {.key = record.key(),
                             .type = record.type(),
                             .timestamp = record.timestamp(),
                             .source = record.position(),
                             .producer = record.producer(),
                             .producer_sequence = record.producer_sequence()};
    headers_ = record.headers();
    options.headers = headers_;
    LIBBUS_ASSIGN_OR_RETURN(report_.last, to_.Publish(record.payload(), options));
    return absl::OkStatus();
  }

 private:
  Producer& to_;
  ReplayReport& report_;
  std::vector<Header> headers_;
};

bool SameRecord(const RecordView& original, const OwnedRecord& copy) {
  const OwnedRecord other = original.ToOwned();
  return other.kind == RecordKind::kData && other.payload == copy.payload && other.key == copy.key &&
         other.headers == copy.headers && other.type == copy.type && other.timestamp == copy.timestamp;
}

// The last record with a source among the last `n`; nothing if there is none. `all`: those were all.
absl::StatusOr<std::optional<OwnedRecord>> LastWithSource(Topic& topic, uint64_t n, bool& all) {
  LIBBUS_ASSIGN_OR_RETURN(Consumer consumer, topic.NewConsumer({.from = From::Last(n), .to = From::End()}));
  std::optional<OwnedRecord> last;
  uint64_t seen = 0;
  for (const RecordView& record : consumer.Records(absl::ZeroDuration())) {
    ++seen;
    if (record.kind() == RecordKind::kData && record.source()) last = record.ToOwned();
  }
  const absl::Status& end = consumer.status();
  if (!absl::IsOutOfRange(end) && !absl::IsDeadlineExceeded(end)) return end;
  all = seen < n;
  return last;
}

absl::Status NotOf(const Topic& from, const Topic& to, Position source) {
  return absl::FailedPreconditionError(
      fmt::format("{}: its last record says that it was made from the one at {}, which is not what stands there in {}: "
                  "say by hand where to go on (-o)",
                  to.name(), source.offset, from.name()));
}

}  // namespace

absl::Status Replay(Consumer& from, const ReplaySink& sink, const ReplayOptions& options, ReplayReport& report) {
  return Run(from, sink, options, report).ToTheEnd();
}

absl::Status Replay(Consumer& from, Producer& to, const ReplayOptions& options, ReplayReport& report) {
  Publisher publisher(to, report);
  const ReplaySink sink = [&](const RecordView& record) { return publisher(record); };
  return Run(from, sink, options, report).ToTheEnd();
}

absl::StatusOr<std::optional<Position>> FindResume(Topic& from, Topic& to) {
  std::optional<OwnedRecord> last;
  bool all = false;
  for (uint64_t n = kLookBack; !last && !all; n *= kLookBack) {
    LIBBUS_ASSIGN_OR_RETURN(last, LastWithSource(to, n, all));
    if (n > UINT64_MAX / kLookBack) break;
  }
  if (!last) return std::nullopt;
  auto consumer = from.NewConsumer({.from = From::At(*last->source)});
  const bool elsewhere = absl::IsInvalidArgument(consumer.status()) || absl::IsOutOfRange(consumer.status());
  if (elsewhere) return NotOf(from, to, *last->source);
  LIBBUS_RETURN_IF_ERROR(consumer.status());
  const auto original = consumer->Next(absl::ZeroDuration());
  if (absl::IsDeadlineExceeded(original.status())) return NotOf(from, to, *last->source);
  LIBBUS_RETURN_IF_ERROR(original.status());
  if (original->position() != *last->source || !SameRecord(*original, *last)) return NotOf(from, to, *last->source);
  return original->next_position();
}

}  // namespace libbus
