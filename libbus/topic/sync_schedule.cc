#include "libbus/topic/sync_schedule.h"

#include <algorithm>

#include "libbus/log/reader.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::internal {

using platform::Seam;

namespace {

constexpr uint64_t kLongestInterval = uint64_t{3600} * 1'000'000'000;

}  // namespace

int64_t SyncSchedule::HalfInterval() const {
  // What stands in the control file is input.
  return static_cast<int64_t>(std::clamp(options_.sync_every / 2, uint64_t{1}, kLongestInterval));
}

uint64_t SyncSchedule::Synced() const { return std::max(synced_.Read(), log_.control().durable().Read()); }

bool SyncSchedule::IsNews(const log::Ends& ends) const {
  // A claim that is committed moves the second and not the first; behind another open one it moves neither.
  if (ends.committed != ends.tail.position) return true;
  if (seen_tail_ == 0) return ends.tail.position > log_.control().durable().Read();
  return ends.tail.position != seen_tail_ || ends.committed != seen_committed_;
}

bool SyncSchedule::TimeIsUp(const log::Ends& ends) {
  const std::lock_guard lock(mutex_);
  const int64_t now = Seam::MonotonicNow();
  if (pending_ && log_.control().sync_done().Read() > ticket_) pending_ = false;
  if (!pending_ && IsNews(ends)) {
    pending_ = true;
    ticket_ = log::TakeTicket(log_);
    since_ = now;
    seen_tail_ = ends.tail.position;
    seen_committed_ = ends.committed;
    return false;
  }
  // A little early rather than a look late; and a clock that went backwards is no reason to wait.
  return pending_ && (now - since_ >= HalfInterval() * 9 / 10 || now < since_);
}

absl::Status SyncSchedule::Run() {
  if (log_.is_volatile()) return absl::OkStatus();
  LIBBUS_RETURN_IF_ERROR(log::CheckSyncFailed(log_));
  LIBBUS_ASSIGN_OR_RETURN(const log::Ends ends, log::FindEnds(log_, log_.writing()));
  const uint64_t durable = log_.control().durable().Read();
  const bool enough = options_.sync_policy == log::kSyncByBytes && IsDue(ends.tail.position);
  if (enough || (options_.sync_policy == log::kSyncByTime && TimeIsUp(ends))) {
    LIBBUS_ASSIGN_OR_RETURN(const bool ran, syncer_.Try());
    if (ran) synced_.Raise(ends.tail.position);
    return absl::OkStatus();
  }
  const uint64_t base = ends.tail.segment->base();
  {
    const std::lock_guard lock(mutex_);
    if (durable >= base || left_ == base) return absl::OkStatus();
  }
  LIBBUS_ASSIGN_OR_RETURN(const bool ran, syncer_.TrySealed());
  const std::lock_guard lock(mutex_);
  if (ran) left_ = base;
  return absl::OkStatus();
}

bool SyncSchedule::IsDue(uint64_t position) {
  if (options_.sync_policy == log::kSyncByBytes) {
    return position - std::min(position, Synced()) >= options_.sync_every;
  }
  if (options_.sync_policy != log::kSyncByTime) return false;
  const int64_t now = Seam::MonotonicNow();
  const std::lock_guard lock(mutex_);
  if (now - looked_ < HalfInterval() && now >= looked_) return false;
  looked_ = now;
  return true;
}

absl::Status SyncSchedule::Finish() {
  if (options_.sync_policy == log::kSyncNone || log_.is_volatile()) return absl::OkStatus();
  LIBBUS_ASSIGN_OR_RETURN(const log::Ends ends, log::FindEnds(log_, log_.writing()));
  if (ends.tail.position <= log_.control().durable().Read()) return absl::OkStatus();
  return syncer_.Wait(log::TakeTicket(log_), log::kNoDeadline);
}

}  // namespace libbus::internal
