// The records of a batch before they are committed, as they will stand in the log.
#ifndef LIBBUS_TOPIC_BATCH_BUFFER_H_
#define LIBBUS_TOPIC_BATCH_BUFFER_H_

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "libbus/format/batch.h"
#include "libbus/options.h"

namespace libbus::internal {

// Not thread-safe. Memory only grows, until its end.
class BatchBuffer {
 public:
  absl::Status Add(Bytes payload, const RecordOptions& options);
  void Clear();

  size_t size() const { return staged_.size(); }
  bool durable() const { return durable_; }
  // Of the frame, its header included.
  uint64_t frame_size() const { return FrameSize(staged_.size(), records_.size()); }
  // Of its header and table: what the frame's checksum covers.
  uint64_t table_end() const { return format::BatchTableEnd(staged_.size()); }

  // Writes what follows the header of the frame at `position` to `body`. May be done again.
  void Write(format::TopicSeed seed, uint64_t position, uint32_t owner, int64_t now, std::byte* body);

 private:
  static uint64_t FrameSize(uint64_t count, uint64_t bytes) { return format::BatchTableEnd(count) + bytes; }
  void Append(Bytes payload, const RecordOptions& options, uint32_t attributes);

  std::vector<std::byte> records_;  // headers, attributes, payloads, padding
  std::vector<format::StagedRecord> staged_;
  std::vector<format::BatchEntry> entries_;
  bool durable_ = false;
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_BATCH_BUFFER_H_
