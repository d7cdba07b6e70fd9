// What is behind Consumer.
#ifndef LIBBUS_TOPIC_CONSUMER_IMPL_H_
#define LIBBUS_TOPIC_CONSUMER_IMPL_H_

#include <absl/base/attributes.h>
#include <absl/status/statusor.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "libbus/consumer.h"
#include "libbus/log/consumer_table.h"
#include "libbus/log/reader.h"
#include "libbus/topic/cursor_keeper.h"
#include "libbus/topic/topic_impl.h"
#include "libbus/topic/view_builder.h"
#include "libbus/topic/waiter.h"

namespace libbus::internal {

// Not thread-safe but for Interrupt().
class ConsumerImpl {
 public:
  static absl::StatusOr<std::unique_ptr<ConsumerImpl>> Make(std::shared_ptr<TopicImpl> topic,
                                                            const ConsumerOptions& options);
  ~ConsumerImpl();

  absl::StatusOr<RecordView> Next(absl::Duration timeout);
  absl::StatusOr<RecordBatch> Poll(size_t max);
  absl::Status Seek(From from);
  Position position() const { return {peeked_ ? out_.item.position : reader_.position()}; }
  std::optional<Position> end() const { return to_ ? std::optional(Position{*to_}) : std::nullopt; }
  void Interrupt() { waiter_.Interrupt(); }

  // For a wait on many topics (topic/wait_any.cc).
  // True: the next Next() or Poll() returns at once, with what this has found. Views stay as they are.
  bool Ready();
  // Cheap: false where Ready() would say the same as before.
  bool MayBeReady() const { return BeyondLimit() ? false : !reader_.Pending(); }
  std::optional<Waiter::Sleep> PrepareSleep();
  void AfterSleep(bool woken);
  Waiter& waiter() { return waiter_; }
  void CountSleep() const { topic_->log().sleep().sleeps().Add(1); }
  int64_t Patience() { return BeyondLimit() ? waiter_.PatienceForSync() : waiter_.Patience(reader_); }
  absl::Status& status() { return status_; }

  absl::Status Commit();
  absl::Status Commit(Position position);
  absl::StatusOr<libbus::Lag> Lag() const;

 private:
  ConsumerImpl(std::shared_ptr<TopicImpl> topic, const ConsumerOptions& options, log::Reader reader,
               std::optional<uint64_t> to, std::optional<CursorKeeper> cursor);
  static absl::Status CheckCursorOptions(const ConsumerOptions& options);
  // Sets options.from to where a cursor stands that was there.
  static absl::StatusOr<std::pair<log::Reader, CursorKeeper>> StartAtCursor(TopicImpl& topic, ConsumerOptions& options);
  absl::Status CheckHasCursor() const;

  // What there is to hand out.
  struct Handout {
    bool found = false;
    log::Item item;
    std::optional<uint64_t> sequence;
  };
  absl::Status ReadOne(Handout& out);
  // Until something may have changed, or a commit was due and is done. DEADLINE_EXCEEDED, CANCELLED, ...
  absl::Status Wait(int64_t deadline);
  // Nothing is there to be read; `inside`: of a call that waits.
  void Idle(bool inside);
  // Tells the cursor what was handed out.
  void Tell();
  // At the end of a call, whatever it returns.
  class Teller {
   public:
    explicit Teller(ConsumerImpl& consumer) : consumer_(consumer) {}
    ~Teller() { consumer_.Tell(); }
    Teller(const Teller&) = delete;
    Teller& operator=(const Teller&) = delete;

   private:
    ConsumerImpl& consumer_;
  };
  absl::StatusOr<bool> Wanted(const log::Item& item);
  ABSL_ATTRIBUTE_ALWAYS_INLINE inline absl::Status BeginCall();
  // The same where there is a cursor, or something is pending.
  absl::Status BeginCallWithMore();
  absl::Status EndOfRange() const;
  // The reader stands where a recovery has to decide; perhaps one has by now.
  absl::Status CheckLimit();
  bool AtEnd(uint64_t position) const { return to_ && position >= *to_; }
  // True where nothing may be read yet, whatever stands there.
  bool BeyondLimit() const { return durable_only_ && reader_.position() >= topic_->Durable().offset; }
  // True if an item that was read there is none to be handed out yet.
  bool IsBeyondLimit(uint64_t position) const { return position >= ReadLimit(); }
  uint64_t ReadLimit() const {
    return durable_only_ ? std::min(topic_->limit(), topic_->Durable().offset) : topic_->limit();
  }

  const std::shared_ptr<TopicImpl> topic_;
  const Gaps gaps_;
  const bool durable_only_;
  log::Reader reader_;
  std::optional<uint64_t> to_;
  Waiter waiter_;
  ViewEpoch* epoch_;
  bool peeked_ = false;                  // out_ was found by Ready(), and is to be handed out
  Handout out_;                          // here and not in each call, which would clear it
  std::vector<log::SegmentPtr> pinned_;  // of the views handed out, where the reader has gone on
  bool hand_out_gap_ = false;            // the next gap is handed out whatever gaps_ says: somebody asked for its place
  absl::Status pending_;  // what a Poll met behind the records that it handed out; the next call returns it
  absl::Status status_;   // of the last loop over Records()
  std::optional<CursorKeeper> cursor_;
  log::ConsumerMark mark_;  // for who looks which consumers there are
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_CONSUMER_IMPL_H_
