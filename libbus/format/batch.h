// Batches: many records under one record word, so that all of them are committed at once, or none.
//
// A frame is a record whose word says kBatch. Its body:
//   BatchHeader           how many records
//   BatchEntry[count]     where each one begins, and its checksum
//   inner records         each at a multiple of 8: RecordHeader, attributes, payload, as a record of its own has them
// The frame's checksum covers position, word as DATA, type, timestamp, header and table, and so the checksums of the
// inner records, but not their bytes: a rotten inner record, be it its word, loses itself alone. An inner record's word
// has the state INNER and a check seeded by its own position; its checksum covers what a record's does.
// All functions here are pure. Bytes that are given to them are input, and may change while they are looked at: what
// was checked once is checked again where it is used.
#ifndef LIBBUS_FORMAT_BATCH_H_
#define LIBBUS_FORMAT_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "libbus/format/layout.h"
#include "libbus/format/record.h"
#include "libbus/format/word.h"

namespace libbus::format {

// Bytes from the start of a frame of `count` records to the first of them.
constexpr uint64_t BatchTableEnd(uint64_t count) {
  return kRecordHeaderSize + sizeof(BatchHeader) + count * sizeof(BatchEntry);
}

// Where an inner record lies, from the start of its frame; `end` is where the next one begins, or the frame ends.
struct InnerPlace {
  uint32_t offset = 0;
  uint32_t end = 0;
  uint32_t checksum = 0;  // that the table gives it
};

// How many records the frame at `position` holds, if its header and table verify; their own bytes are not looked at.
// REQUIRES: its word (header.word) was judged as DATA and is_batch(); `body` is what follows the header, word.length()
// bytes.
std::optional<uint32_t> VerifyFrame(TopicSeed seed, uint64_t position, const RecordHeader& header,
                                    std::span<const std::byte> body);

// How many records a frame that verified holds: what it counts in sequences.
inline uint32_t BatchCount(const std::byte* body) {
  uint32_t count;
  __builtin_memcpy(&count, body, sizeof(count));
  return count;
}

// The place of the inner record `index` of the frame with this body, which verified with `count` records. Nothing if
// the table does not lead into the frame, or out of order: somebody has changed it since.
std::optional<InnerPlace> FindInner(std::span<const std::byte> body, uint32_t count, uint32_t index);

// True if the inner record of the frame at `frame`, which is at `place` in it, verifies; `header` is filled in any
// case. The extent counts from behind the inner record's header.
bool VerifyInner(TopicSeed seed, uint64_t frame, const InnerPlace& place, std::span<const std::byte> body,
                 RecordHeader& header, Extent& extent);

// The index of the inner record that begins `offset` bytes behind the start of a frame that verified with `count`
// records.
std::optional<uint32_t> InnerIndex(std::span<const std::byte> body, uint32_t count, uint64_t offset);

// True if the record with this header is whole: VerifyRecord, or for a batch all of it, with every inner record.
bool VerifyWhole(TopicSeed seed, uint64_t position, const RecordHeader& header, std::span<const std::byte> body);

// True if a reader would hand out something of it: VerifyRecord, or for a batch VerifyFrame.
bool VerifyStart(TopicSeed seed, uint64_t position, const RecordHeader& header, std::span<const std::byte> body);

// --- writing ---------------------------------------------------------------------------------------------------------

// A record that waits for its batch to be committed: its bytes stand where it will be copied from, its header says
// length and flags (StagedWord), type and timestamp.
struct StagedRecord {
  uint32_t at;     // from the start of the first one
  uint32_t timed;  // 1: its timestamp was given; 0: it gets that of the commit
};
inline uint64_t StagedWord(uint8_t flags, uint32_t length) { return uint64_t(flags) << 8 | uint64_t{length} << 32; }

// Finishes records that were staged in `bytes` for the frame at `position`: the headers in place, and the table's
// entries. May be done again with another position. REQUIRES: as many entries as records, and the frame is not larger
// than kMaxBatchSize.
void FinishInner(TopicSeed seed, uint64_t position, uint32_t owner, int64_t now, std::span<const StagedRecord> staged,
                 std::byte* bytes, std::span<BatchEntry> entries);

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_BATCH_H_
