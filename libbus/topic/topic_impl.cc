#include "libbus/topic/topic_impl.h"

#include <fmt/format.h>

#include <utility>

#include "libbus/log/appender.h"
#include "libbus/log/file_header.h"
#include "libbus/log/reader.h"
#include "libbus/platform/status.h"

namespace libbus::internal {
namespace {

absl::Duration ClaimTimeout(const log::LogOptions& options) { return absl::Nanoseconds(options.claim_timeout); }

}  // namespace

absl::StatusOr<std::shared_ptr<TopicImpl>> TopicImpl::Open(std::shared_ptr<BusImpl> bus, const std::string& name) {
  LIBBUS_ASSIGN_OR_RETURN(auto log, log::Log::Open(bus->path + "/" + name, !bus->options.read_only));
  return std::shared_ptr<TopicImpl>(new TopicImpl(std::move(bus), name, std::move(log)));
}

absl::Status TopicImpl::CheckOptions(const TopicOptions& options, const log::LogOptions& wanted) const {
  const log::LogOptions own = log_->options();
  const auto differs = [&](std::string_view what, const auto& asked, const auto& is) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: made with {} {}, opened with {}: leave it unset to take the topic's own", log_->path(), what, is, asked));
  };
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
  return absl::OkStatus();
}

absl::Status TopicImpl::Attach() {
  if (read_only()) return log::CheckReadable(*log_);
  LIBBUS_ASSIGN_OR_RETURN(log::Attachment attachment, log::Attachment::Attach(*log_));
  attachment_.emplace(std::move(attachment));
  watcher_.emplace(*log_, attachment_->probe());
  return absl::OkStatus();
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
          .claim_timeout = ClaimTimeout(own)};
}

absl::StatusOr<TopicStats> TopicImpl::Stats() {
  LIBBUS_RETURN_IF_ERROR(CheckFork());
  log::SegmentStore& store = log_->readable();
  TopicStats stats;
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, store.ListBases());
  for (const uint64_t base : bases) {
    LIBBUS_ASSIGN_OR_RETURN(const log::SegmentPtr segment, store.Open(base));
    ++stats.segments;
    stats.bytes += segment->end() - segment->base();
  }
  LIBBUS_ASSIGN_OR_RETURN(stats.first.offset, log_->First(store));
  LIBBUS_ASSIGN_OR_RETURN(stats.end.offset, log::CommittedEnd(*log_, store));
  if (attachment_) stats.producers = log::CountHolders(attachment_->probe());
  return stats;
}

absl::Status TopicImpl::PrepareAhead() {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  return log::PrepareAhead(*log_);
}

absl::Status TopicImpl::LookAfterClaims() {
  LIBBUS_RETURN_IF_ERROR(CheckWritable());
  const std::lock_guard lock(watcher_mutex_);
  return watcher_->LookFromFloors();
}

void TopicImpl::AddProducer() {
  const std::lock_guard lock(producers_mutex_);
  if (++producers_ > 1 || !bus_->options.background) return;
  work_ = std::make_shared<BackgroundWork>(
      log_->sleep().help(), [this] { (void)PrepareAhead(); }, [this] { (void)LookAfterClaims(); });
  StartBackground(work_);
}

void TopicImpl::RemoveProducer() {
  if (!guard_.InMaker()) return;
  std::shared_ptr<BackgroundWork> over;
  {
    const std::lock_guard lock(producers_mutex_);
    if (--producers_ > 0 || !work_) return;
    over = std::move(work_);
  }
  StopBackground(over);
}

}  // namespace libbus::internal

namespace libbus {

Topic::Topic(std::shared_ptr<internal::TopicImpl> impl) : impl_(std::move(impl)) {}
Topic::Topic(Topic&&) noexcept = default;
Topic& Topic::operator=(Topic&&) noexcept = default;
Topic::~Topic() = default;

absl::Status Topic::Maintain() {
  const absl::Status prepared = impl_->PrepareAhead();
  const absl::Status looked = impl_->LookAfterClaims();
  return prepared.ok() ? looked : prepared;
}

const std::string& Topic::name() const { return impl_->name(); }
std::string Topic::uuid() const { return log::UuidText(impl_->log().uuid()); }
TopicOptions Topic::options() const { return impl_->Options(); }
absl::StatusOr<TopicStats> Topic::Stats() const { return impl_->Stats(); }

}  // namespace libbus
