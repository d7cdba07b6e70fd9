// Appending to a topic.
#ifndef LIBBUS_PRODUCER_H_
#define LIBBUS_PRODUCER_H_

#include <absl/status/statusor.h>

#include <memory>
#include <span>
#include <string_view>

#include "libbus/batch.h"
#include "libbus/options.h"
#include "libbus/record.h"

namespace libbus {

namespace internal {
class ProducerImpl;
}

// A record that is reserved in the log and filled in place: no copy is made. The destructor abandons what was not
// committed. Use it on its producer's thread. It may outlive the producer handle: Close() abandons it, and what is done
// with it afterwards returns FAILED_PRECONDITION; bytes() stays mapped as long as the ClaimedRecord lives.
class ClaimedRecord {
 public:
  ClaimedRecord(ClaimedRecord&&) noexcept;
  ClaimedRecord& operator=(ClaimedRecord&&) noexcept;
  ~ClaimedRecord();

  // The payload to fill, in the shared mapping, aligned to 8 bytes and zero at first.
  // Empty after Commit or Abandon.
  std::span<std::byte> bytes();

  // Publishes the first `size` bytes. OK: the record's position; readable by every consumer at once, and it survives
  // the death of this process. ABORTED: the claim was revoked (claim_timeout), nothing was published; claim again.
  // On an exclusive topic: ownership lost, see Producer::Publish.
  // INVALID_ARGUMENT: `size` is more than was claimed; the claim stays open. FAILED_PRECONDITION: already committed or
  // abandoned, producer closed, or after fork. Durable claims: see Producer::Publish.
  // If the process dies inside, the record is either published whole or becomes a gap (dead).
  absl::StatusOr<Position> Commit() &&;
  absl::StatusOr<Position> Commit(size_t size) &&;

  // Gives the claim up; consumers with Gaps::kAll see a gap (aborted). OK also when it had been revoked before.
  // FAILED_PRECONDITION: already committed or abandoned, or after fork.
  absl::Status Abandon() &&;

  // Tells the watchers that the owner is alive and still filling: claim_timeout starts anew. One store, no syscall.
  // Without effect on exclusive topics, where no claim is revoked.
  void KeepAlive();

 private:
  friend class Producer;
  ClaimedRecord(std::shared_ptr<internal::ProducerImpl> producer, std::span<std::byte> bytes,
                std::shared_ptr<void> mapping);

  std::shared_ptr<internal::ProducerImpl> producer_;  // null once committed or abandoned
  std::span<std::byte> bytes_;
  std::shared_ptr<void> mapping_;  // keeps bytes_ mapped
};

// A handle that appends. One thread at a time; a process may have many. Holds one of a topic's 1,023 slots.
// After fork() a handle is of no use in the child: every call there is FAILED_PRECONDITION, the destructor does
// nothing.
class Producer {
 public:
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  ~Producer();  // closes

  // Appends one record (one copy of the payload). OK: its position; every consumer in every process can read it at
  // once, and it survives kill -9 of this process from here on.
  // INVALID_ARGUMENT: the record is longer than the format can say (4 GiB less attributes), or an option is malformed.
  // RESOURCE_EXHAUSTED: no room for the segment that this record needs; nothing was touched, smaller records may still
  // fit, and publishing goes on when there is room. ABORTED: this process was stopped inside the call for longer than
  // claim_timeout and the record was revoked; publish again. On an exclusive topic ABORTED means that ownership is
  // lost: something closed the descriptor of this producer's lock, and another took over or might have. Nothing was
  // published, every later call says the same: make a new producer. DATA_LOSS: the log is damaged where the record
  // would go. FAILED_PRECONDITION: closed, a claim of this producer is open, a durable record on a volatile bus
  // (tmpfs), or after fork. With options.durable, or where the topic syncs each record, OK means that it survives a
  // power loss as well. Then UNAVAILABLE: the record is published at the position that the message names, but a sync
  // failed: it may or may not survive a power loss; docs/durability.md says what to do. If the process dies inside, the
  // record is published whole or not at all.
  absl::StatusOr<Position> Publish(Bytes payload, const RecordOptions& options = {});
  absl::StatusOr<Position> Publish(std::string_view payload, const RecordOptions& options = {}) {
    return Publish(AsBytes(payload), options);
  }

  // Reserves a record of `size` payload bytes to be filled in place. One open claim per producer: a second is
  // FAILED_PRECONDITION. Other errors as Publish. An open claim holds up every consumer of the topic: fill it soon.
  absl::StatusOr<ClaimedRecord> Claim(size_t size, const RecordOptions& options = {});

  // An empty batch: records that are collected and then published together, all or none. May be made at any time; its
  // Add() and Commit() return FAILED_PRECONDITION once this producer is closed. See libbus/batch.h.
  Batch NewBatch();

  // Abandons an open claim and gives the slot back. OK also when already closed.
  absl::Status Close();

 private:
  friend class Topic;
  explicit Producer(std::shared_ptr<internal::ProducerImpl> impl);

  std::shared_ptr<internal::ProducerImpl> impl_;
};

}  // namespace libbus

#endif  // LIBBUS_PRODUCER_H_
