// Reading a topic.
#ifndef LIBBUS_CONSUMER_H_
#define LIBBUS_CONSUMER_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <iterator>
#include <memory>
#include <optional>
#include <span>

#include "libbus/cursor.h"
#include "libbus/options.h"
#include "libbus/record.h"

namespace libbus {

class Consumer;
class RecordRange;

namespace internal {
class ConsumerImpl;
}

// A handle that reads. One thread at a time, but for Interrupt(). Reads the log through a read-only mapping and never
// writes to it; consumers share nothing, each sees every record.
class Consumer {
 public:
  Consumer(Consumer&&) noexcept;
  Consumer& operator=(Consumer&&) noexcept;
  ~Consumer();

  // The next record or gap, waiting for it up to `timeout` (zero: no wait).
  // OK: a view, valid until the next call of Next, Poll or Seek. DEADLINE_EXCEEDED: nothing came in time; where the
  // record at the end is reserved and unfinished the message says by whom. OUT_OF_RANGE: ConsumerOptions::to was
  // reached. CANCELLED: Interrupt(). DATA_LOSS: damage, either with Gaps::kError (call again to go on behind it) or at
  // a place behind which nothing can be read. NOT_FOUND: the topic was removed. FAILED_PRECONDITION: the topic was
  // removed and made anew, or after fork.
  absl::StatusOr<RecordView> Next(absl::Duration timeout = absl::InfiniteDuration());

  // What can be read at once, at most `max` records; does not wait, and may return fewer than are there (at the end of
  // a segment). OK: the views, none if nothing is there. Errors as Next.
  absl::StatusOr<RecordBatch> Poll(size_t max);

  // For range-for: each record as Next(timeout) returns it, until it returns an error, which status() then holds.
  RecordRange Records(absl::Duration timeout = absl::InfiniteDuration());

  // Why the last loop over Records() ended: DEADLINE_EXCEEDED, OUT_OF_RANGE, ... OK when it was left early.
  const absl::Status& status() const;

  // Goes somewhere else. OK: the next record handed out is the one there. OUT_OF_RANGE: beyond the end.
  // INVALID_ARGUMENT: inside a record (the message names its start). The consumer stays where it was on error. A
  // position inside a gap, or one that was deleted (GapCause::kEvicted), goes to that gap, which is handed out first.
  absl::Status Seek(From from);

  // Where the next record will be read.
  Position position() const;

  // The first position that is not read, where ConsumerOptions::to said one.
  std::optional<Position> end() const;

  // Moves the cursor past everything handed out so far (after a Seek: to where it went). OK: whoever goes on with this
  // cursor starts there, whatever dies; what a power loss may do says ConsumerOptions::durable_commits.
  // FAILED_PRECONDITION: the consumer has no cursor, the cursor was removed, or after fork. UNAVAILABLE: the disk
  // failed: the commit may or may not stand. RESOURCE_EXHAUSTED: no room. On error it stands where it stood, or there.
  // Died inside: likewise.
  absl::Status Commit();

  // The same, up to `position`: where the next record will be read, such as RecordView::next_position() of the last one
  // that is done. A position inside a gap commits up to that gap. OUT_OF_RANGE: beyond what was handed out, or before
  // the oldest record. INVALID_ARGUMENT: inside a record (the message names its start).
  absl::Status Commit(Position position);

  // How far the end is from position(). Errors: DATA_LOSS, where the end cannot be found; FAILED_PRECONDITION after
  // fork. Counts records by reading on, up to 65,536 of them or 64 MiB; beyond that by
  // the sequences of both ends, as far as the topic's index knows them.
  absl::StatusOr<libbus::Lag> Lag() const;

  // Makes the running or the next waiting Next() return CANCELLED, once. Any thread, and signal handlers.
  void Interrupt();

 private:
  friend class Topic;
  friend absl::StatusOr<size_t> WaitAny(std::span<Consumer* const> consumers, absl::Duration timeout);
  explicit Consumer(std::unique_ptr<internal::ConsumerImpl> impl);

  std::unique_ptr<internal::ConsumerImpl> impl_;
};

// Waits up to `timeout` (zero: no wait) until one of the consumers, of any topics and buses, has something to return.
// OK: its index: its next Next() or Poll() does not wait, and returns a record, a gap, or an error such as NOT_FOUND
// for a topic that was removed. Where several have something each gets its turn. Views that were handed out stay valid.
// DEADLINE_EXCEEDED: nothing came in time. CANCELLED: Interrupt() of one of them. INVALID_ARGUMENT: no consumers, or a
// null one. One thread at a time may use the consumers, as ever. Polls and sleeps as their Wait options say (any kSpin:
// it polls until the timeout); beyond 64 consumers, or where the kernel has no futex_waitv (before 5.16), it looks
// every millisecond instead of being woken by all.
absl::StatusOr<size_t> WaitAny(std::span<Consumer* const> consumers, absl::Duration timeout = absl::InfiniteDuration());

// A single-pass range over Consumer::Next().
class RecordRange {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = RecordView;
    using difference_type = std::ptrdiff_t;
    using pointer = const RecordView*;
    using reference = const RecordView&;

    const RecordView& operator*() const { return *range_->current_; }
    const RecordView* operator->() const { return &*range_->current_; }
    Iterator& operator++() { return range_->Advance(), *this; }
    void operator++(int) { range_->Advance(); }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) { return it.AtEnd(); }

   private:
    friend class RecordRange;
    explicit Iterator(RecordRange* range) : range_(range) {}
    bool AtEnd() const { return !range_->current_.has_value(); }

    RecordRange* range_;
  };

  Iterator begin() { return Advance(), Iterator(this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  friend class Consumer;
  RecordRange(internal::ConsumerImpl* consumer, absl::Duration timeout) : consumer_(consumer), timeout_(timeout) {}
  void Advance();

  internal::ConsumerImpl* consumer_;
  absl::Duration timeout_;
  std::optional<RecordView> current_;
};

}  // namespace libbus

#endif  // LIBBUS_CONSUMER_H_
