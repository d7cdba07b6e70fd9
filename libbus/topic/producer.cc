#include "libbus/producer.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>
#include <utility>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"
#include "libbus/topic/producer_impl.h"

namespace libbus {
namespace internal {

using platform::Seam;

format::AttributesSpec<Header> SpecOf(const RecordOptions& options) {
  format::AttributesSpec<Header> spec;
  if (options.source) spec.source = options.source->offset;
  spec.producer = options.producer;
  spec.producer_sequence = options.producer_sequence;
  spec.key = options.key;
  spec.headers = options.headers;
  return spec;
}

namespace {

// Most records have none, and need not pay for describing them.
bool HasAttributes(const RecordOptions& options) {
  return options.source.has_value() || !options.producer.empty() || !options.key.empty() || !options.headers.empty();
}

}  // namespace

ProducerImpl::ProducerImpl(std::shared_ptr<TopicImpl> topic, log::Appender appender)
    : topic_(std::move(topic)),
      timestamps_(static_cast<Timestamps>(topic_->log().options().timestamps)),
      sync_each_(topic_->log().options().sync_policy == log::kSyncEach),
      sync_inside_(topic_->SyncsInsidePublish()),
      appender_(std::move(appender)) {
  topic_->AddProducer();
}

absl::StatusOr<std::shared_ptr<ProducerImpl>> ProducerImpl::Make(std::shared_ptr<TopicImpl> topic,
                                                                 const ProducerOptions& options) {
  LIBBUS_RETURN_IF_ERROR(topic->CheckWritable());
  if (options.name.size() > kMaxProducerName || options.name.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("producer name: at most {} bytes, none of them NUL", kMaxProducerName));
  }
  LIBBUS_ASSIGN_OR_RETURN(log::SlotHold slot, log::SlotHold::Take(topic->log(), options.name));
  TopicImpl* const raw = topic.get();
  LIBBUS_ASSIGN_OR_RETURN(log::Appender appender,
                          log::Appender::Make(topic->log(), std::move(slot), [raw] { raw->CallBackground(); }));
  return std::shared_ptr<ProducerImpl>(new ProducerImpl(std::move(topic), std::move(appender)));
}

ProducerImpl::~ProducerImpl() {
  if (usable()) (void)Close();
}

absl::Status ProducerImpl::Close() {
  if (closed_) return absl::OkStatus();
  LIBBUS_RETURN_IF_ERROR(guard_.Check("producer"));
  closed_ = true;
  if (appender_.has_claim()) appender_.Abandon();
  appender_.Release();
  topic_->RemoveProducer();
  return absl::OkStatus();
}

absl::Status ProducerImpl::CheckUsable() const {
  LIBBUS_RETURN_IF_ERROR(guard_.Check("producer"));
  if (!closed_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: this producer is closed: make a new one", topic_->log().path()));
}

absl::Status ProducerImpl::CheckNoClaim() const {
  if (!appender_.has_claim()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: a claim of this producer is open: commit or abandon it first", topic_->log().path()));
}

absl::Status ProducerImpl::WhyNot(uint64_t attributes, uint64_t payload_size) const {
  LIBBUS_RETURN_IF_ERROR(CheckUsable());
  LIBBUS_RETURN_IF_ERROR(CheckNoClaim());
  return absl::InvalidArgumentError(
      fmt::format("{}: a record of {} bytes and {} of attributes is too long: at most {} together",
                  topic_->log().path(), payload_size, attributes, format::kMaxLength));
}

int64_t ProducerImpl::TimestampFor(const std::optional<absl::Time>& given) const {
  if (given) return absl::ToUnixNanos(*given);
  switch (timestamps_) {
    case Timestamps::kCoarse:
      return Seam::CoarseRealtimeNow();
    case Timestamps::kPrecise:
      return Seam::PreciseRealtimeNow();
    case Timestamps::kNone:
      break;
  }
  return 0;
}

inline absl::Status ProducerImpl::Reserve(uint64_t attributes, uint64_t payload_size) {
  const bool fits = payload_size <= format::kMaxLength && attributes + payload_size <= format::kMaxLength;
  if (!usable() || appender_.has_claim() || !fits) return WhyNot(attributes, payload_size);
  attributes_size_ = static_cast<uint32_t>(attributes);
  return appender_.Reserve(attributes == 0 ? uint8_t{0} : format::kHasAttributes,
                           static_cast<uint32_t>(attributes + payload_size));
}

absl::Status ProducerImpl::Reserve(const format::AttributesSpec<Header>& spec, uint64_t payload_size) {
  const uint64_t attributes = format::AttributesSize(spec);
  LIBBUS_RETURN_IF_ERROR(Reserve(attributes, payload_size));
  if (attributes != 0) format::WriteAttributes(spec, attributes_size_, appender_.body());
  return absl::OkStatus();
}

absl::Status ProducerImpl::ReserveDescribed(const RecordOptions& options, uint64_t payload_size) {
  return Reserve(SpecOf(options), payload_size);
}

absl::StatusOr<Position> ProducerImpl::Publish(Bytes payload, const RecordOptions& options) {
  LIBBUS_RETURN_IF_ERROR(CheckMayBeDurable(options.durable));
  LIBBUS_RETURN_IF_ERROR(HasAttributes(options) ? ReserveDescribed(options, payload.size())
                                                : Reserve(0, payload.size()));
  if (!payload.empty()) Seam::CopyPayload(appender_.body() + attributes_size_, payload.data(), payload.size());
  const auto size = static_cast<uint32_t>(attributes_size_ + payload.size());
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t position,
                          appender_.Commit(options.type, TimestampFor(options.timestamp), size));
  return Acknowledge(position, options.durable);
}

namespace {

// It is published, and must not be published again: every reason why no sync can be had says so by one code.
absl::Status NotAcknowledged(uint64_t position, const absl::Status& why) {
  const bool gone = absl::IsNotFound(why) || absl::IsFailedPrecondition(why);
  return absl::Status(gone ? absl::StatusCode::kUnavailable : why.code(),
                      fmt::format("the record at {} is published, but not known to be durable: {}", position,
                                  std::string_view(why.message().data(), why.message().size())));
}

}  // namespace

absl::StatusOr<Position> ProducerImpl::AcknowledgeSynced(uint64_t position, bool durable) {
  if (durable || sync_each_) {
    // Behind the commit and a full fence (TicketWord::Read).
    const absl::Status status =
        topic_->WaitTicket(log::TakeTicket(topic_->log()), TopicImpl::kNoLimit, absl::InfiniteDuration());
    if (!status.ok()) return NotAcknowledged(position, status);
  } else if (sync_inside_) {
    topic_->SyncAsPublished(appender_.position());
  }
  return Position{position};
}

absl::StatusOr<std::span<std::byte>> ProducerImpl::Claim(size_t size, const RecordOptions& options) {
  LIBBUS_RETURN_IF_ERROR(CheckMayBeDurable(options.durable));
  format::AttributesSpec<Header> spec = SpecOf(options);
  spec.payload_length = size;
  LIBBUS_RETURN_IF_ERROR(Reserve(spec, size));
  claimed_size_ = size;
  type_ = options.type;
  timestamp_ = options.timestamp;
  durable_ = options.durable;
  return std::span<std::byte>(appender_.body() + attributes_size_, size);
}

absl::StatusOr<Position> ProducerImpl::CommitClaim(size_t size) {
  LIBBUS_RETURN_IF_ERROR(CheckUsable());
  if (size > claimed_size_) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} bytes were claimed, {} cannot be committed", topic_->log().path(), claimed_size_, size));
  }
  format::SetPayloadLength(appender_.body(), size);
  const auto hashed = static_cast<uint32_t>(attributes_size_ + size);
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t position, appender_.Commit(type_, TimestampFor(timestamp_), hashed));
  return Acknowledge(position, durable_);
}

absl::Status ProducerImpl::AbandonClaim() {
  LIBBUS_RETURN_IF_ERROR(CheckUsable());
  appender_.Abandon();
  return absl::OkStatus();
}

void ProducerImpl::KeepAlive() {
  if (has_claim()) appender_.KeepAlive();
}

void TopicImpl::CallBackground() {
  if (work_) internal::CallBackground(*work_);
}

}  // namespace internal

namespace {

absl::Status AlreadyOver() {
  return absl::FailedPreconditionError("claimed record: it was committed or abandoned before: claim a new one");
}

}  // namespace

ClaimedRecord::ClaimedRecord(std::shared_ptr<internal::ProducerImpl> producer, std::span<std::byte> bytes,
                             std::shared_ptr<void> mapping)
    : producer_(std::move(producer)), bytes_(bytes), mapping_(std::move(mapping)) {}

ClaimedRecord::ClaimedRecord(ClaimedRecord&& other) noexcept
    : producer_(std::move(other.producer_)),
      bytes_(std::exchange(other.bytes_, {})),
      mapping_(std::move(other.mapping_)) {}

ClaimedRecord& ClaimedRecord::operator=(ClaimedRecord&& other) noexcept {
  if (this == &other) return *this;
  if (producer_) (void)std::move(*this).Abandon();
  producer_ = std::move(other.producer_);
  bytes_ = std::exchange(other.bytes_, {});
  mapping_ = std::move(other.mapping_);
  return *this;
}

ClaimedRecord::~ClaimedRecord() {
  if (producer_) (void)std::move(*this).Abandon();
}

std::span<std::byte> ClaimedRecord::bytes() { return bytes_; }

absl::StatusOr<Position> ClaimedRecord::Commit() && {
  const size_t all = bytes_.size();
  return std::move(*this).Commit(all);
}

absl::StatusOr<Position> ClaimedRecord::Commit(size_t size) && {
  if (!producer_) return AlreadyOver();
  auto position = producer_->CommitClaim(size);
  if (position.status().code() == absl::StatusCode::kInvalidArgument) return position;
  producer_.reset();
  bytes_ = {};
  return position;
}

absl::Status ClaimedRecord::Abandon() && {
  if (!producer_) return AlreadyOver();
  bytes_ = {};
  return std::exchange(producer_, nullptr)->AbandonClaim();
}

void ClaimedRecord::KeepAlive() {
  if (producer_) producer_->KeepAlive();
}

Producer::Producer(std::shared_ptr<internal::ProducerImpl> impl) : impl_(std::move(impl)) {}
Producer::Producer(Producer&&) noexcept = default;
Producer& Producer::operator=(Producer&& other) noexcept {
  if (this == &other) return *this;
  if (impl_) (void)impl_->Close();
  impl_ = std::move(other.impl_);
  return *this;
}
Producer::~Producer() {
  // An open ClaimedRecord keeps the rest alive; the slot goes now.
  if (impl_) (void)impl_->Close();
}

absl::StatusOr<Position> Producer::Publish(Bytes payload, const RecordOptions& options) {
  return impl_->Publish(payload, options);
}

absl::StatusOr<ClaimedRecord> Producer::Claim(size_t size, const RecordOptions& options) {
  LIBBUS_ASSIGN_OR_RETURN(const std::span<std::byte> bytes, impl_->Claim(size, options));
  return ClaimedRecord(impl_, bytes, impl_->mapping());
}

absl::Status Producer::Close() { return impl_->Close(); }

absl::StatusOr<Producer> Topic::NewProducer(const ProducerOptions& options) {
  LIBBUS_ASSIGN_OR_RETURN(auto producer, internal::ProducerImpl::Make(impl_, options));
  return Producer(std::move(producer));
}

}  // namespace libbus
