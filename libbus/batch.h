// Publishing many records at once.
#ifndef LIBBUS_BATCH_H_
#define LIBBUS_BATCH_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "libbus/options.h"
#include "libbus/record.h"

namespace libbus {

namespace internal {
class BatchBuffer;
class ProducerImpl;
}  // namespace internal

// Records that are published together: every consumer sees all of them or none, whoever dies when. Made by
// Producer::NewBatch(). They are collected in this process's memory; nothing stands in the log before Commit(), so an
// open batch holds nobody up. A producer may have several; one thread at a time, the producer's.
// A batch that is destroyed with records in it drops them.
class Batch {
 public:
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;
  ~Batch();

  // Adds a copy of a record; attributes and headers as for Producer::Publish. options.durable makes the whole Commit()
  // durable. A record without a timestamp gets that of the commit.
  // INVALID_ARGUMENT: the batch would be longer than the format can say (4 GiB with all headers).
  // RESOURCE_EXHAUSTED: no memory. FAILED_PRECONDITION: a durable record on a volatile bus (tmpfs), producer closed, or
  // after fork. On error the batch is as it was.
  absl::Status Add(Bytes payload, const RecordOptions& options = {});
  absl::Status Add(std::string_view payload, const RecordOptions& options = {}) {
    return Add(AsBytes(payload), options);
  }

  // Records added since the last Commit() or Clear().
  size_t size() const;
  bool empty() const { return size() == 0; }
  // Bytes that Commit() will add to the log, all headers included; 0 if empty.
  uint64_t bytes() const;

  // Publishes all records, in the order in which they were added and with nothing of others in between. OK: the
  // position of the first; the batch is empty then and may be filled again, in the same memory. INVALID_ARGUMENT:
  // empty: there is no first record. UNAVAILABLE: published, and the batch is empty, but a sync failed (see
  // Producer::Publish). All other errors as Producer::Publish: nothing was published, and the batch still holds its
  // records; commit again, or Clear().
  // A batch larger than a segment gets a segment of its own size.
  // If the process dies inside, the batch is published whole or not at all.
  absl::StatusOr<Position> Commit();

  // Drops the records. Their memory is kept for the next ones.
  void Clear();

 private:
  friend class Producer;
  explicit Batch(std::shared_ptr<internal::ProducerImpl> producer);
  absl::Status CheckUsable() const;

  std::shared_ptr<internal::ProducerImpl> producer_;  // null once moved from
  std::unique_ptr<internal::BatchBuffer> buffer_;
};

}  // namespace libbus

#endif  // LIBBUS_BATCH_H_
