#include "libbus/consumer.h"

#include <fmt/format.h>
#include <pthread.h>

#include <mutex>
#include <utility>

#include "libbus/log/distance.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"
#include "libbus/topic/consumer_impl.h"
#include "libbus/topic/seek.h"

namespace libbus {
namespace internal {
namespace {

using Found = log::Reader::Found;

// Epochs are never freed, so that a stale view may ask; they are reused, and only rise.
class EpochPool {
 public:
  // Its lock is taken around fork(), so that no child finds it held for ever.
  static EpochPool& Get() {
    static EpochPool* pool = [] {
      auto* made = new EpochPool;
      pthread_atfork([] { Get().mutex_.lock(); }, [] { Get().mutex_.unlock(); }, [] { Get().mutex_.unlock(); });
      return made;
    }();
    return *pool;
  }
  ViewEpoch* Take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return new ViewEpoch;
    ViewEpoch* epoch = free_.back();
    free_.pop_back();
    return epoch;
  }
  void Return(ViewEpoch* epoch) {
    ++epoch->value;
    const std::lock_guard lock(mutex_);
    free_.push_back(epoch);
  }

 private:
  std::mutex mutex_;
  std::vector<ViewEpoch*> free_;
};

}  // namespace

ConsumerImpl::ConsumerImpl(std::shared_ptr<TopicImpl> topic, const ConsumerOptions& options, log::Reader reader,
                           std::optional<uint64_t> to, std::optional<CursorKeeper> cursor)
    : topic_(std::move(topic)),
      gaps_(options.gaps),
      durable_only_(options.limit == Limit::kDurable),
      reader_(std::move(reader)),
      to_(to),
      waiter_(*topic_, options),
      epoch_(EpochPool::Get().Take()),
      hand_out_gap_(InsideGap(reader_, options.from)),
      cursor_(std::move(cursor)),
      mark_(topic_->log().consumers().Take(reader_.position(), options.cursor)) {
  Tell();
  // What lies before a range's end was committed when the range was made, unless a position was given for it.
  if (options.to && options.to->kind() != From::Kind::kAt) reader_.KnowCommitted(*to_);
}

ConsumerImpl::~ConsumerImpl() {
  if (!topic_->CheckFork().ok()) return;
  if (cursor_) cursor_->Finish();
  EpochPool::Get().Return(epoch_);
}

absl::Status ConsumerImpl::CheckCursorOptions(const ConsumerOptions& options) {
  if (!options.cursor.empty()) return absl::OkStatus();
  if (!options.auto_commit && !options.durable_commits) return absl::OkStatus();
  return absl::InvalidArgumentError("auto_commit and durable_commits are of a cursor: name one in `cursor`");
}

absl::StatusOr<std::pair<log::Reader, CursorKeeper>> ConsumerImpl::StartAtCursor(TopicImpl& topic,
                                                                                 ConsumerOptions& options) {
  std::optional<log::Reader> made;
  const auto start = [&]() -> absl::StatusOr<log::CursorPlace> {
    LIBBUS_ASSIGN_OR_RETURN(made, SeekTo(topic.log(), options.from));
    return log::CursorPlace{made->position(), made->sequence()};
  };
  LIBBUS_ASSIGN_OR_RETURN(CursorKeeper cursor, CursorKeeper::Take(topic, options, start));
  if (made) return std::pair(*std::move(made), std::move(cursor));
  options.from = From::At({cursor.committed().position});
  LIBBUS_ASSIGN_OR_RETURN(log::Reader reader, SeekToCursor(topic, options.cursor, cursor.committed()));
  return std::pair(std::move(reader), std::move(cursor));
}

absl::StatusOr<std::unique_ptr<ConsumerImpl>> ConsumerImpl::Make(std::shared_ptr<TopicImpl> topic,
                                                                 const ConsumerOptions& given) {
  LIBBUS_RETURN_IF_ERROR(topic->CheckFork());
  LIBBUS_RETURN_IF_ERROR(CheckCursorOptions(given));
  ConsumerOptions options = given;
  LIBBUS_RETURN_IF_ERROR(topic->log().CheckStillThere());
  if (options.limit == Limit::kDurable) LIBBUS_RETURN_IF_ERROR(log::CheckNotVolatile(topic->log()));
  // The end first: what is committed between the two lies outside.
  LIBBUS_ASSIGN_OR_RETURN(const std::optional<uint64_t> to, EndOf(topic->log(), options.to));
  const auto check = [&](uint64_t from) -> absl::Status {
    // From the end to the end is an empty range, wherever the end went in between.
    if (!to || *to >= from || options.to->kind() == From::Kind::kEnd) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("{}: the range {}:{} ends before it begins", topic->log().path(), from, *to));
  };
  if (!options.cursor.empty()) {
    // One behind the range has read it: its first call says so.
    LIBBUS_ASSIGN_OR_RETURN(auto started, StartAtCursor(*topic, options));
    return std::unique_ptr<ConsumerImpl>(
        new ConsumerImpl(std::move(topic), options, std::move(started.first), to, std::move(started.second)));
  }
  if (options.from.kind() == From::Kind::kAt) LIBBUS_RETURN_IF_ERROR(check(options.from.number()));
  LIBBUS_ASSIGN_OR_RETURN(log::Reader reader, SeekTo(topic->log(), options.from));
  LIBBUS_RETURN_IF_ERROR(check(reader.position()));
  return std::unique_ptr<ConsumerImpl>(
      new ConsumerImpl(std::move(topic), options, std::move(reader), to, std::nullopt));
}

absl::Status ConsumerImpl::BeginCallWithMore() {
  if (cursor_) {
    LIBBUS_RETURN_IF_ERROR(topic_->CheckFork());
    LIBBUS_RETURN_IF_ERROR(cursor_->CommitWhatIsDue());
  }
  if (!pending_.ok()) return std::exchange(pending_, absl::OkStatus());
  return topic_->CheckFork();
}

inline absl::Status ConsumerImpl::BeginCall() {
  ++epoch_->value;
  pinned_.clear();
  return cursor_ || !pending_.ok() ? BeginCallWithMore() : topic_->CheckFork();
}

absl::Status ConsumerImpl::EndOfRange() const {
  return absl::OutOfRangeError(fmt::format("{}: the end of the range at {} is reached", topic_->log().path(), *to_));
}

absl::StatusOr<bool> ConsumerImpl::Wanted(const log::Item& item) {
  const bool asked_for = std::exchange(hand_out_gap_, false);
  if (asked_for || gaps_ == Gaps::kAll) return true;
  const Gap gap = MakeGap(item);
  if (gap.cause == GapCause::kOtherMount) return gaps_ == Gaps::kLoss;
  if (!gap.loss()) return false;
  if (gaps_ == Gaps::kLoss) return true;
  return absl::DataLossError(fmt::format("{}: lost from {} to {} ({}): read on behind it, or see `bus verify`",
                                         topic_->log().path(), gap.from.offset, gap.to.offset,
                                         GapCauseName(gap.cause)));
}

absl::Status ConsumerImpl::ReadOne(Handout& out) {
  out.found = false;
  for (;;) {
    if (AtEnd(reader_.position())) return EndOfRange();
    if (reader_.position() >= topic_->limit()) LIBBUS_RETURN_IF_ERROR(CheckLimit());
    if (BeyondLimit()) return absl::OkStatus();
    reader_.SetLimit(ReadLimit());
    // Not as a whole: that would wait for the part of it that the last read has just stored.
    if (reader_.sequence()) {
      out.sequence = *reader_.sequence();
    } else {
      out.sequence.reset();
    }
    LIBBUS_ASSIGN_OR_RETURN(const Found found, reader_.Read(out.item));
    if (found != Found::kItem) {
      // An END was stepped over, perhaps up to the end of the range, or to where nothing may be read.
      if (reader_.position() >= topic_->limit()) LIBBUS_RETURN_IF_ERROR(CheckLimit());
      return AtEnd(reader_.position()) ? EndOfRange() : absl::OkStatus();
    }
    if (IsBeyondLimit(out.item.position)) {
      LIBBUS_RETURN_IF_ERROR(reader_.Unread(out.item));
      continue;
    }
    if (AtEnd(out.item.position)) {
      LIBBUS_RETURN_IF_ERROR(reader_.Unread(out.item));
      return EndOfRange();
    }
    waiter_.Progress();
    if (reader_.position() >= mark_.due()) mark_.Reads(reader_.position());
    if (!out.item.is_gap) {
      hand_out_gap_ = false;
      out.found = true;
      return absl::OkStatus();
    }
    LIBBUS_ASSIGN_OR_RETURN(out.found, Wanted(out.item));
    if (out.found) return absl::OkStatus();
  }
}

absl::Status ConsumerImpl::CheckLimit() {
  LIBBUS_ASSIGN_OR_RETURN(const std::optional<uint64_t> limit, topic_->LearnLimit());
  if (limit && reader_.position() >= *limit) return topic_->WaitsForRecovery(reader_.position());
  return absl::OkStatus();
}

void ConsumerImpl::Tell() {
  // What was met and not returned yet was not handed out.
  if (cursor_ && !peeked_ && pending_.ok()) cursor_->Tell(reader_.position(), reader_.sequence());
}

void ConsumerImpl::Idle(bool inside) {
  const uint64_t waits_for = BeyondLimit() ? format::kWaitsForSync : format::kWaitsForRecord;
  mark_.Idles(reader_.position(), inside ? waits_for : format::kWaitsForNothing);
}

absl::Status ConsumerImpl::Wait(int64_t deadline) {
  Idle(true);
  const int64_t until = cursor_ ? std::min(deadline, cursor_->due()) : deadline;
  // The word is looked at again with the limit: it may be final, and wait for nothing but a sync.
  absl::Status status = BeyondLimit() ? waiter_.WaitForSync(reader_, until) : waiter_.Wait(reader_, until);
  if (until == deadline || !absl::IsDeadlineExceeded(status)) return status;
  return cursor_->CommitWhatIsDue();
}

absl::StatusOr<RecordView> ConsumerImpl::Next(absl::Duration timeout) {
  const Teller teller(*this);
  LIBBUS_RETURN_IF_ERROR(BeginCall());
  std::optional<int64_t> deadline;
  for (;;) {
    if (!std::exchange(peeked_, false)) LIBBUS_RETURN_IF_ERROR(ReadOne(out_));
    if (out_.found) return absl::StatusOr<RecordView>(absl::in_place, ViewKey(), out_.item, out_.sequence, epoch_);
    if (!deadline) deadline = DeadlineAfter(timeout);
    if (absl::Status status = Wait(*deadline); !status.ok()) {
      mark_.Returns();
      return status;
    }
  }
}

absl::StatusOr<RecordBatch> ConsumerImpl::Poll(size_t max) {
  const Teller teller(*this);
  LIBBUS_RETURN_IF_ERROR(BeginCall());
  RecordBatch batch;
  while (batch.size() < max) {
    if (pinned_.empty() || pinned_.back() != reader_.segment()) pinned_.push_back(reader_.segment());
    Tell();
    const absl::Status status = std::exchange(peeked_, false) ? absl::OkStatus() : ReadOne(out_);
    if (!status.ok() && batch.empty()) return status;
    if (!status.ok()) pending_ = status;
    if (!status.ok() || (!out_.found && !batch.empty())) break;
    if (!out_.found) {
      Idle(false);
      // Nothing there: now and then a look whether somebody died.
      LIBBUS_RETURN_IF_ERROR(BeyondLimit() ? waiter_.LookForSync(reader_) : waiter_.Idle(reader_));
      break;
    }
    batch.emplace_back(ViewKey(), out_.item, out_.sequence, epoch_);
  }
  return batch;
}

absl::Status ConsumerImpl::Seek(From from) {
  // What a Poll met stays pending when this fails: the consumer stays where it is.
  absl::Status pending = std::exchange(pending_, absl::OkStatus());
  const absl::Status begun = BeginCall();
  auto sought = begun.ok() ? SeekTo(topic_->log(), from) : begun;
  if (!sought.ok()) {
    pending_ = std::move(pending);
    return sought.status();
  }
  log::Reader reader = *std::move(sought);
  hand_out_gap_ = InsideGap(reader, from);
  reader_ = std::move(reader);
  peeked_ = false;
  waiter_.Progress();
  mark_.Reads(reader_.position());
  Tell();
  return absl::OkStatus();
}

absl::Status ConsumerImpl::CheckHasCursor() const {
  LIBBUS_RETURN_IF_ERROR(topic_->CheckFork());
  if (cursor_) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{}: this consumer has no cursor to commit: name one in ConsumerOptions::cursor", topic_->log().path()));
}

absl::Status ConsumerImpl::Commit() {
  LIBBUS_RETURN_IF_ERROR(CheckHasCursor());
  return cursor_->Commit();
}

absl::Status ConsumerImpl::Commit(Position position) {
  LIBBUS_RETURN_IF_ERROR(CheckHasCursor());
  const log::CursorPlace& told = cursor_->told();
  if (position.offset == told.position) return cursor_->Commit();
  if (position.offset > told.position) {
    return absl::OutOfRangeError(fmt::format("{}: position {} is beyond what was handed out, up to {}: commit that",
                                             topic_->log().path(), position.offset, told.position));
  }
  LIBBUS_ASSIGN_OR_RETURN(const log::Reader reader, SeekTo(topic_->log(), From::At(position)));
  log::CursorPlace place{std::min(position.offset, reader.position())};
  const auto behind = told.sequence ? log::CountRecords(reader, told.position) : std::nullopt;
  if (behind && *behind <= *told.sequence) place.sequence = *told.sequence - *behind;
  return cursor_->Commit(place);
}

absl::StatusOr<libbus::Lag> ConsumerImpl::Lag() const {
  LIBBUS_RETURN_IF_ERROR(topic_->CheckFork());
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, ReadableEnd(*topic_));
  log::Reader reader = reader_;
  if (peeked_) LIBBUS_RETURN_IF_ERROR(reader.Unread(out_.item));
  return libbus::Lag{end - std::min(end, reader.position()), log::CountToEnd(topic_->log(), reader, end)};
}

bool ConsumerImpl::Ready() {
  if (peeked_ || !pending_.ok()) return true;
  pending_ = topic_->CheckFork();
  if (!pending_.ok()) return true;
  // A view that was handed out may lie in the segment that is left here.
  if (pinned_.empty() || pinned_.back() != reader_.segment()) pinned_.push_back(reader_.segment());
  pending_ = ReadOne(out_);
  peeked_ = pending_.ok() && out_.found;
  return peeked_ || !pending_.ok();
}

std::optional<Waiter::Sleep> ConsumerImpl::PrepareSleep() {
  Idle(true);
  return BeyondLimit() ? waiter_.PrepareSleepForSync(reader_) : waiter_.PrepareSleep(reader_);
}

void ConsumerImpl::AfterSleep(bool woken) {
  mark_.Returns();
  if (BeyondLimit()) {
    pending_ = waiter_.LookForSync(reader_);
    return;
  }
  waiter_.PassOn(reader_);
  pending_ = waiter_.LookWhereDue(reader_, woken);
}

}  // namespace internal

Consumer::Consumer(std::unique_ptr<internal::ConsumerImpl> impl) : impl_(std::move(impl)) {}
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&&) noexcept = default;
Consumer::~Consumer() = default;

absl::StatusOr<RecordView> Consumer::Next(absl::Duration timeout) { return impl_->Next(timeout); }
absl::StatusOr<RecordBatch> Consumer::Poll(size_t max) { return impl_->Poll(max); }
absl::Status Consumer::Seek(From from) { return impl_->Seek(from); }
Position Consumer::position() const { return impl_->position(); }
std::optional<Position> Consumer::end() const { return impl_->end(); }
absl::Status Consumer::Commit() { return impl_->Commit(); }
absl::Status Consumer::Commit(Position position) { return impl_->Commit(position); }
absl::StatusOr<libbus::Lag> Consumer::Lag() const { return impl_->Lag(); }
void Consumer::Interrupt() { impl_->Interrupt(); }
const absl::Status& Consumer::status() const { return impl_->status(); }

RecordRange Consumer::Records(absl::Duration timeout) {
  impl_->status() = absl::OkStatus();
  return RecordRange(impl_.get(), timeout);
}

void RecordRange::Advance() {
  auto next = consumer_->Next(timeout_);
  current_.reset();
  if (next.ok()) {
    current_.emplace(*std::move(next));
  } else {
    consumer_->status() = std::move(next).status();
  }
}

absl::StatusOr<Consumer> Topic::NewConsumer(const ConsumerOptions& options) {
  LIBBUS_ASSIGN_OR_RETURN(auto consumer, internal::ConsumerImpl::Make(impl_, options));
  return Consumer(std::move(consumer));
}

}  // namespace libbus
