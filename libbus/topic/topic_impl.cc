#include "libbus/topic/topic_impl.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cstring>
#include <limits>
#include <utility>

#include "libbus/log/access.h"
#include "libbus/log/appender.h"
#include "libbus/log/continuity.h"
#include "libbus/log/file_header.h"
#include "libbus/log/index.h"
#include "libbus/log/reader.h"
#include "libbus/log/retention.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"
#include "libbus/topic/seek.h"

namespace libbus::internal {
namespace {

// How often the background thread looks unasked where others may write the sleep page, ns.
constexpr int64_t kLookEvery = 100'000'000;
// How much log the background thread adds to the index before it looks after other things, bytes.
constexpr uint64_t kIndexAtOnce = uint64_t{16} << 20;

absl::Duration ClaimTimeout(const log::LogOptions& options) { return absl::Nanoseconds(options.claim_timeout); }

SyncPolicy PolicyOf(const log::LogOptions& options) {
  switch (options.sync_policy) {
    case log::kSyncEach:
      return SyncPolicy::Each();
    case log::kSyncByTime:
      return SyncPolicy::Every(absl::Nanoseconds(static_cast<int64_t>(options.sync_every)));
    case log::kSyncByBytes:
      return SyncPolicy::EveryBytes(options.sync_every);
    default:
      return SyncPolicy::None();
  }
}

// A position that is given need not be the start of a record.
absl::StatusOr<uint64_t> TrimPoint(log::Log& log, From before) {
  if (before.kind() != From::Kind::kAt) {
    LIBBUS_ASSIGN_OR_RETURN(const log::Reader reader, SeekTo(log, before));
    return reader.position();
  }
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, log::CommittedEnd(log, log.readable()));
  if (before.number() <= end) return before.number();
  return absl::OutOfRangeError(
      fmt::format("{}: position {} is beyond the end: the log ends at {}", log.path(), before.number(), end));
}

}  // namespace

int64_t DeadlineAfter(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return log::kNoDeadline;
  if (timeout <= absl::ZeroDuration()) return std::numeric_limits<int64_t>::min();
  const int64_t now = platform::Seam::MonotonicNow();
  const int64_t ns = absl::ToInt64Nanoseconds(timeout);
  return ns > log::kNoDeadline - now ? log::kNoDeadline : now + ns;
}

absl::StatusOr<std::shared_ptr<TopicImpl>> TopicImpl::Open(std::shared_ptr<BusImpl> bus, const std::string& name) {
  LIBBUS_ASSIGN_OR_RETURN(auto log, log::Log::Open(bus->path + "/" + name, !bus->options.read_only, bus->bus_errors()));
  return std::shared_ptr<TopicImpl>(new TopicImpl(std::move(bus), name, std::move(log)));
}

absl::Status TopicImpl::CheckOptions(const TopicOptions& options, const log::LogOptions& wanted) const {
  const log::LogOptions own = log_->options();
  const auto differs = [&](std::string_view what, const auto& asked, const auto& is) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: made with {} {}, opened with {}: leave it unset to take the topic's own", log_->path(), what, is, asked));
  };
  if (options.exclusive && wanted.exclusive != own.exclusive) {
    const auto name = [](bool exclusive) { return exclusive ? "exclusive" : "shared"; };
    return differs("producers", name(wanted.exclusive), name(own.exclusive));
  }
  if (options.segment_size && wanted.segment_size != own.segment_size) {
    return differs("segment size", wanted.segment_size, own.segment_size);
  }
  if (options.timestamps && wanted.timestamps != own.timestamps) {
    return differs("timestamps of kind", wanted.timestamps, own.timestamps);
  }
  if (options.claim_timeout && wanted.claim_timeout != own.claim_timeout) {
    return differs("claim timeout", absl::FormatDuration(ClaimTimeout(wanted)),
                   absl::FormatDuration(ClaimTimeout(own)));
  }
  const bool same_sync = wanted.sync_policy == own.sync_policy && wanted.sync_every == own.sync_every;
  if (options.retain_bytes && wanted.retain_bytes != own.retain_bytes) {
    return differs("retain bytes", wanted.retain_bytes, own.retain_bytes);
  }
  if (options.retain_age && wanted.retain_age != own.retain_age) {
    return differs("retain age of ns", wanted.retain_age, own.retain_age);
  }
  if (options.sync && !same_sync) {
    return differs("sync policy", PolicyOf(wanted).ToString(), PolicyOf(own).ToString());
  }
  return absl::OkStatus();
}

absl::Status TopicImpl::Attach() {
  if (read_only()) return LearnLimit().status();
  LIBBUS_ASSIGN_OR_RETURN(log::Attachment attachment, log::Attachment::Attach(*log_));
  attachment_.emplace(std::move(attachment));
  watcher_.emplace(*log_, attachment_->probe());
  LIBBUS_ASSIGN_OR_RETURN(syncer_, log::Syncer::Make(*log_));
  schedule_.emplace(*log_, *syncer_);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<uint64_t>> TopicImpl::LearnLimit() {
  if (!read_only()) return std::optional<uint64_t>();
  LIBBUS_ASSIGN_OR_RETURN(const log::Readable readable, log::FindReadable(*log_));
  limited_durable_.Set(readable.durable);
  limit_.Set(readable.limit.value_or(kNoLimit));
  return readable.limit;
}

absl::Status TopicImpl::WaitsForRecovery(uint64_t position) const {
  return absl::FailedPreconditionError(
      fmt::format("{} at {}: what follows was not durable when the machine stopped or the bus was copied, and only a "
                  "writer decides what of it counts: open the topic for writing once, or run `bus recover {} --apply`",
                  log_->path(), position, name_));
}

absl::Status TopicImpl::CheckWritable() const {
  LIBBUS_RETURN_IF_ERROR(CheckFork());
  if (!read_only()) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format("{}: the bus is open read-only: open it for writing", log_->path()));
}

TopicOptions TopicImpl::Options() const {
  const log::LogOptions own = log_->options();
  return {.segment_size = own.segment_size,
          .timestamps = static_cast<Timestamps>(own.timestamps),
          .claim_timeout = ClaimTimeout(own),
          .sync = PolicyOf(own),
          .retain_bytes = own.retain_bytes,
          .retain_age = absl::Nanoseconds(own.retain_age),
          .exclusive = own.exclusive};
}

absl::StatusOr<TopicStats> TopicImpl::Stats() {
  LIBBUS_RETURN_IF_ERROR(CheckFork());
  log::SegmentStore& store = log_->readable();
  TopicStats stats;
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, store.ListBases());
  for (const uint64_t base : bases) {
    const auto segment = store.Open(base);
    if (absl::IsNotFound(segment.status())) continue;  // deleted since it was listed
    LIBBUS_RETURN_IF_ERROR(segment.status());
    ++stats.segments;
    stats.bytes += (*segment)->end() - (*segment)->base();
  }
  LIBBUS_ASSIGN_OR_RETURN(stats.first.offset, log_->First(store));
  LIBBUS_ASSIGN_OR_RETURN(stats.end.offset, log::CommittedEnd(*log_, store));
  stats.durable = Durable();
  if (attachment_) stats.producers = log::CountHolders(attachment_->probe());
  AddCounts(stats);
  return stats;
}

void TopicImpl::AddCounts(TopicStats& stats) {
  struct stat status;
  for (const uint64_t base : log_->readable().ListBases().value_or(std::vector<uint64_t>())) {
    if (fstatat(log_->directory().fd(), log::SegmentName(base).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    stats.disk_bytes += static_cast<uint64_t>(status.st_blocks) * 512;
  }
  stats.records = log::SequenceAt(*log_, log_->readable(), stats.end.offset);
  if (stats.durable.offset != 0) {
    stats.durable_records = log::SequenceAt(*log_, log_->readable(), stats.durable.offset);
  }
  const log::Control& control = log_->control();
  stats.consumers = log_->consumers().CountLiving();
  stats.sleeps = log_->sleep().sleeps().Read();
  stats.wakes = control.wakes().Read();
  stats.woken = control.woken().Read();
  stats.gaps = control.gaps().Read();
  stats.repairs = control.repairs().Read();
  stats.syncs = control.sync_started().Read();
  stats.measured_syncs = control.measured_syncs().Read();
  stats.measured_bytes = control.measured_bytes().Read();
  // As inspect/stats.cc has it.
  std::memcpy(&stats.instance, log_->uuid().bytes, sizeof(stats.instance));
  stats.instance ^= control.identity().inode;
}

absl::Status TopicImpl::PrepareAhead() {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  absl::Status status = log_->CheckStillThere();
  if (status.ok()) status = log::PrepareAhead(*log_);
  return bus_->health.Note(name_, WorkKind::kPrepare, std::move(status));
}

absl::Status TopicImpl::LookAfterClaims() {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  absl::Status status;
  {
    const std::lock_guard lock(watcher_mutex_);
    status = watcher_->LookFromFloors();
  }
  return bus_->health.Note(name_, WorkKind::kRepair, std::move(status));
}

Position TopicImpl::Durable() const {
  if (log_->is_volatile()) return {0};
  // Where only a part may be read, the words that live beside it are of another time, or of another bus.
  return {limit() != kNoLimit ? limited_durable_.Read() : log_->control().durable().Read()};
}

absl::Status TopicImpl::WaitTicket(uint64_t ticket, uint64_t position, absl::Duration timeout) {
  LIBBUS_RETURN_IF_ERROR(CheckFork());
  LIBBUS_RETURN_IF_ERROR(log::CheckNotVolatile(*log_));
  const int64_t deadline = DeadlineAfter(timeout);
  if (read_only()) return log::AwaitSync(*log_, ticket, position, deadline);
  absl::Status status = syncer_->Wait(ticket, deadline);
  // A wait that was too short says nothing.
  if (status.code() == absl::StatusCode::kDeadlineExceeded) return status;
  return bus_->health.Note(name_, WorkKind::kSync, std::move(status));
}

absl::Status TopicImpl::WaitDurable(Position record, absl::Duration timeout) {
  LIBBUS_RETURN_IF_ERROR(CheckFork());
  LIBBUS_RETURN_IF_ERROR(log::CheckNotVolatile(*log_));
  LIBBUS_RETURN_IF_ERROR(log::CheckCommitted(*log_, log_->readable(), record.offset));
  if (limit() != kNoLimit) LIBBUS_RETURN_IF_ERROR(LearnLimit().status());
  if (record < Durable()) return absl::OkStatus();
  // The counters there are of another time, or of another bus.
  if (limit() != kNoLimit) return WaitsForRecovery(record.offset);
  return WaitTicket(log::TakeTicket(*log_), record.offset, timeout);
}

absl::Status TopicImpl::Sync() {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  return WaitTicket(log::TakeTicket(*log_), kNoLimit, absl::InfiniteDuration());
}

absl::Status TopicImpl::SyncWhatIsDue() {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  return bus_->health.Note(name_, WorkKind::kSync, schedule_->Run());
}

absl::Status TopicImpl::Retain(bool always) {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  const log::LogOptions options = log_->options();
  if (options.retain_bytes == 0 && options.retain_age <= 0) return absl::OkStatus();
  const auto work = [&]() -> absl::Status {
    LIBBUS_ASSIGN_OR_RETURN(const log::Place tail, log_->FindTail(log_->writing()));
    // D may get there only later: the segment is looked at again as long as it is the tail's.
    const uint64_t mark = tail.segment->base() + (Durable().offset >= tail.segment->base() ? 1 : 0);
    if (!always && retained_at_.Read() == mark) return absl::OkStatus();
    LIBBUS_ASSIGN_OR_RETURN(const uint64_t from, log::RetainFrom(*log_));
    LIBBUS_ASSIGN_OR_RETURN(const bool leftovers, log::HasLeftovers(*log_));
    LIBBUS_ASSIGN_OR_RETURN(const log::Eviction wanted, log::Evict(*log_, from, true));
    if (wanted.segments > 0 || leftovers) {
      const auto evict = [&] { return log::Evict(*log_, from, false).status(); };
      LIBBUS_RETURN_IF_ERROR(syncer_->UnderLock(evict, DeadlineAfter(absl::ZeroDuration())));
    }
    retained_at_.Set(mark);
    return absl::OkStatus();
  };
  absl::Status status = work();
  // Somebody else syncs: another time.
  if (absl::IsDeadlineExceeded(status)) return absl::OkStatus();
  return bus_->health.Note(name_, WorkKind::kRetain, std::move(status));
}

absl::StatusOr<TrimReport> TopicImpl::Trim(From before, const TrimOptions& options) {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t point, TrimPoint(*log_, before));
  log::Eviction eviction;
  const auto evict = [&]() -> absl::Status {
    LIBBUS_ASSIGN_OR_RETURN(eviction, log::Evict(*log_, point, options.dry_run));
    return absl::OkStatus();
  };
  LIBBUS_RETURN_IF_ERROR(options.dry_run ? evict() : syncer_->UnderLock(evict, DeadlineAfter(absl::Seconds(10))));
  TrimReport report{.segments = eviction.segments, .bytes = eviction.bytes, .first = {eviction.first}};
  if (!eviction.held_by.empty()) report.held = {eviction.held_by, {eviction.held_at}};
  return report;
}

absl::Status TopicImpl::ExtendIndex(uint64_t budget) {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t limit, log::IndexLimit(*log_));
  const uint64_t asked = index_asked_.Read();
  if (limit >= asked && limit - asked < log::kIndexStride) return absl::OkStatus();
  index_asked_.Set(limit - asked > budget && limit > asked ? asked + budget : limit);
  return bus_->health.Note(name_, WorkKind::kIndex, log::ExtendIndex(*log_, budget));
}

bool TopicImpl::SyncsInsidePublish() const {
  const uint8_t policy = log_->options().sync_policy;
  return policy == log::kSyncByBytes || policy == log::kSyncByTime;
}

void TopicImpl::SyncAsPublished(uint64_t position) {
  if (work_ && log_->options().sync_policy == log::kSyncByTime) return;  // it looks by itself
  if (!schedule_->IsDue(position)) return;
  if (work_) {
    internal::CallBackground(*work_);
  } else {
    (void)SyncWhatIsDue();
  }
}

void TopicImpl::AddProducer() {
  const std::lock_guard lock(producers_mutex_);
  if (++producers_ > 1 || !bus_->options.background) return;
  const auto sync = [this] {
    (void)SyncWhatIsDue();
    // Behind D.
    (void)ExtendIndex(kIndexAtOnce);
    (void)Retain(false);
    return schedule_->Again();
  };
  work_ = std::make_shared<BackgroundWork>(
      log_->sleep().help(), [this] { (void)PrepareAhead(); }, sync, [this] { (void)LookAfterClaims(); });
  // Somebody who only may read can truncate the page, and no call for help arrives any more.
  if (log_->options().access != log::kAccessOwner) work_->look_every = kLookEvery;
  // Without a thread, publishes and Maintain do its work.
  if (!StartBackground(work_)) work_.reset();
}

void TopicImpl::RemoveProducer() {
  if (!guard_.InMaker()) return;
  std::shared_ptr<BackgroundWork> over;
  {
    const std::lock_guard lock(producers_mutex_);
    if (--producers_ > 0) return;
    over = std::move(work_);
  }
  if (over) StopBackground(over);
  absl::Status finished = schedule_->Finish();
  if (!finished.ok()) (void)bus_->health.Note(name_, WorkKind::kSync, std::move(finished));
}

}  // namespace libbus::internal

namespace libbus {

Topic::Topic(std::shared_ptr<internal::TopicImpl> impl) : impl_(std::move(impl)) {}
Topic::Topic(Topic&&) noexcept = default;
Topic& Topic::operator=(Topic&&) noexcept = default;
Topic::~Topic() = default;

absl::Status Topic::Maintain() {
  absl::Status status = impl_->PrepareAhead();
  status.Update(impl_->LookAfterClaims());
  status.Update(impl_->SyncWhatIsDue());
  status.Update(impl_->ExtendIndex(log::kWholeIndex));
  status.Update(impl_->Retain(true));
  return status;
}

absl::StatusOr<TrimReport> Topic::Trim(From before, const TrimOptions& options) { return impl_->Trim(before, options); }
Position Topic::durable() const { return impl_->Durable(); }
absl::Status Topic::WaitDurable(Position record, absl::Duration timeout) { return impl_->WaitDurable(record, timeout); }
absl::Status Topic::Sync() { return impl_->Sync(); }

const std::string& Topic::name() const { return impl_->name(); }
std::string Topic::uuid() const { return log::UuidText(impl_->log().uuid()); }
TopicOptions Topic::options() const { return impl_->Options(); }
absl::StatusOr<TopicStats> Topic::Stats() const { return impl_->Stats(); }

}  // namespace libbus
