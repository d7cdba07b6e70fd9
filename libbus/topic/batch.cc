// A batch is collected in memory, then claimed, filled and committed like one record.
#include "libbus/batch.h"

#include <absl/time/time.h>
#include <fmt/format.h>

#include <cstring>
#include <new>
#include <utility>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"
#include "libbus/producer.h"
#include "libbus/topic/batch_buffer.h"
#include "libbus/topic/producer_impl.h"

namespace libbus {
namespace internal {
absl::Status BatchBuffer::Add(Bytes payload, const RecordOptions& options) {
  const uint64_t attributes = format::AttributesSize(SpecOf(options));
  // Each alone first: their sum must not wrap around.
  const bool fits = payload.size() <= format::kMaxBatchSize && attributes <= format::kMaxBatchSize;
  const uint64_t size =
      fits ? format::AlignUp(format::kRecordHeaderSize + attributes + payload.size(), format::kRecordAlignment) : 0;
  if (!fits || FrameSize(staged_.size() + 1, records_.size() + size) > format::kMaxBatchSize) {
    return absl::InvalidArgumentError(
        fmt::format("a record of {} bytes and {} of attributes makes the batch of {} records and {} bytes too long: at "
                    "most {} bytes together: commit first",
                    payload.size(), attributes, staged_.size(), frame_size(), format::kMaxBatchSize));
  }
  const size_t before = records_.size();
  const size_t count = staged_.size();
  try {
    // Room for what Write() needs, where there is no way to say that there is none.
    if (entries_.capacity() <= count) entries_.reserve(2 * count + 1);
    staged_.push_back({static_cast<uint32_t>(before), options.timestamp ? 1u : 0u});
    Append(payload, options, static_cast<uint32_t>(attributes));
  } catch (const std::bad_alloc&) {
    staged_.resize(count);
    records_.resize(before);
    return absl::ResourceExhaustedError(
        fmt::format("no memory for a batch of {} records and {} bytes: commit first", count + 1, frame_size() + size));
  }
  durable_ = durable_ || options.durable;
  return absl::OkStatus();
}

void BatchBuffer::Append(Bytes payload, const RecordOptions& options, uint32_t attributes) {
  const uint64_t length = attributes + payload.size();
  const format::RecordHeader header = {
      format::StagedWord(attributes == 0 ? uint8_t{0} : format::kHasAttributes, static_cast<uint32_t>(length)), 0,
      options.type, options.timestamp ? absl::ToUnixNanos(*options.timestamp) : 0};
  const size_t before = records_.size();
  // Once and with the padding, which is zero then.
  records_.resize(format::AlignUp(before + sizeof(header) + length, format::kRecordAlignment));
  std::byte* const at = records_.data() + before;
  std::memcpy(at, &header, sizeof(header));
  if (attributes != 0) format::WriteAttributes(SpecOf(options), attributes, at + sizeof(header));
  if (!payload.empty()) std::memcpy(at + sizeof(header) + attributes, payload.data(), payload.size());
}

void BatchBuffer::Clear() {
  records_.clear();
  staged_.clear();
  entries_.clear();
  durable_ = false;
}

void BatchBuffer::Write(format::TopicSeed seed, uint64_t position, uint32_t owner, int64_t now, std::byte* body) {
  entries_.resize(staged_.size());
  format::FinishInner(seed, position, owner, now, staged_, records_.data(), entries_);
  const format::BatchHeader header = {static_cast<uint32_t>(staged_.size()), 0};
  std::memcpy(body, &header, sizeof(header));
  const size_t table = entries_.size() * sizeof(format::BatchEntry);
  std::memcpy(body + sizeof(header), entries_.data(), table);
  platform::Seam::CopyPayload(body + sizeof(header) + table, records_.data(), records_.size());
}

absl::StatusOr<Position> ProducerImpl::CommitBatch(BatchBuffer& batch) {
  if (!usable()) return CheckUsable();
  if (batch.size() == 0) {
    return absl::InvalidArgumentError(fmt::format("{}: an empty batch: add a record first", topic_->log().path()));
  }
  LIBBUS_RETURN_IF_ERROR(CheckMayBeDurable(batch.durable()));
  LIBBUS_RETURN_IF_ERROR(CheckNoClaim());
  const uint64_t length = batch.frame_size() - format::kRecordHeaderSize;
  LIBBUS_RETURN_IF_ERROR(appender_.Reserve(format::kBatch, static_cast<uint32_t>(length)));
  const int64_t now = TimestampFor(std::nullopt);
  batch.Write(topic_->log().seed(), appender_.position(), appender_.owner(), now, appender_.body());
  const auto hashed = static_cast<uint32_t>(batch.table_end() - format::kRecordHeaderSize);
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t position, appender_.Commit(0, now, hashed));
  const uint64_t first = position + batch.table_end();
  const bool durable = batch.durable();
  batch.Clear();
  return Acknowledge(first, durable);
}

}  // namespace internal

Batch::Batch(std::shared_ptr<internal::ProducerImpl> producer)
    : producer_(std::move(producer)), buffer_(std::make_unique<internal::BatchBuffer>()) {}
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;
Batch::~Batch() = default;

absl::Status Batch::CheckUsable() const {
  if (producer_) return producer_->CheckUsable();
  return absl::FailedPreconditionError("batch: it was moved from: make a new one");
}

absl::Status Batch::Add(Bytes payload, const RecordOptions& options) {
  LIBBUS_RETURN_IF_ERROR(CheckUsable());
  LIBBUS_RETURN_IF_ERROR(producer_->CheckMayBeDurable(options.durable));
  return buffer_->Add(payload, options);
}

size_t Batch::size() const { return buffer_ ? buffer_->size() : 0; }
uint64_t Batch::bytes() const { return empty() ? 0 : buffer_->frame_size(); }

absl::StatusOr<Position> Batch::Commit() {
  LIBBUS_RETURN_IF_ERROR(CheckUsable());
  return producer_->CommitBatch(*buffer_);
}

void Batch::Clear() {
  if (buffer_) buffer_->Clear();
}

Batch Producer::NewBatch() { return Batch(impl_); }

}  // namespace libbus
