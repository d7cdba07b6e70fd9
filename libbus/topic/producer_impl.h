// What is behind Producer and ClaimedRecord.
#ifndef LIBBUS_TOPIC_PRODUCER_IMPL_H_
#define LIBBUS_TOPIC_PRODUCER_IMPL_H_

#include <absl/base/attributes.h>
#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <span>

#include "libbus/format/record.h"
#include "libbus/log/appender.h"
#include "libbus/producer.h"
#include "libbus/topic/topic_impl.h"

namespace libbus::internal {

class BatchBuffer;

// What a record's options put into its attributes.
format::AttributesSpec<Header> SpecOf(const RecordOptions& options);

// Not thread-safe.
class ProducerImpl {
 public:
  static absl::StatusOr<std::shared_ptr<ProducerImpl>> Make(std::shared_ptr<TopicImpl> topic,
                                                            const ProducerOptions& options);
  ~ProducerImpl();

  absl::StatusOr<Position> Publish(Bytes payload, const RecordOptions& options);
  // OK: the payload's bytes in the log.
  absl::StatusOr<std::span<std::byte>> Claim(size_t size, const RecordOptions& options);
  absl::StatusOr<Position> CommitClaim(size_t size);
  absl::Status AbandonClaim();
  // OK, or UNAVAILABLE: published, and the batch is empty. OK: the position of its first record.
  absl::StatusOr<Position> CommitBatch(BatchBuffer& batch);
  void KeepAlive();
  absl::Status Close();

  bool has_claim() const { return usable() && appender_.has_claim(); }
  std::shared_ptr<void> mapping() const { return appender_.segment(); }

  // FAILED_PRECONDITION: closed, or after fork.
  absl::Status CheckUsable() const;
  // FAILED_PRECONDITION: a record that is to be durable, by itself or by the topic's policy, on a volatile bus.
  absl::Status CheckMayBeDurable(bool durable) const {
    return durable || sync_each_ ? log::CheckNotVolatile(topic_->log()) : absl::OkStatus();
  }

 private:
  ProducerImpl(std::shared_ptr<TopicImpl> topic, log::Appender appender);
  bool usable() const { return !closed_ && guard_.InMaker(); }
  absl::Status CheckNoClaim() const;
  // Why no record of this size can be reserved.
  absl::Status WhyNot(uint64_t attributes, uint64_t payload_size) const;
  // Reserves a record: OK: its payload goes behind so many bytes of attributes.
  ABSL_ATTRIBUTE_ALWAYS_INLINE inline absl::Status Reserve(uint64_t attributes, uint64_t payload_size);
  // And writes its attributes.
  absl::Status Reserve(const format::AttributesSpec<Header>& spec, uint64_t payload_size);
  // The same, not to be found in the way of records without any.
  ABSL_ATTRIBUTE_NOINLINE absl::Status ReserveDescribed(const RecordOptions& options, uint64_t payload_size);
  // Committed: waits where that is not enough.
  absl::StatusOr<Position> Acknowledge(uint64_t position, bool durable) {
    return durable || sync_each_ || sync_inside_ ? AcknowledgeSynced(position, durable) : Position{position};
  }
  absl::StatusOr<Position> AcknowledgeSynced(uint64_t position, bool durable);
  int64_t TimestampFor(const std::optional<absl::Time>& given) const;

  const std::shared_ptr<TopicImpl> topic_;
  const platform::ForkGuard guard_;
  const Timestamps timestamps_;
  const bool sync_each_;
  const bool sync_inside_;  // a publish may make a sync due
  log::Appender appender_;
  bool closed_ = false;

  // Of the open or the last record.
  uint32_t attributes_size_ = 0;
  size_t claimed_size_ = 0;
  uint32_t type_ = 0;
  std::optional<absl::Time> timestamp_;
  bool durable_ = false;
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_PRODUCER_IMPL_H_
