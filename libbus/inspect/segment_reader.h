// Reads the records of one segment file without a mapping and without believing anything: each word is judged, each
// committed record is verified.
//
// The file may be live. What verifies stays as it is for ever, so it may come from a window read earlier; every other
// verdict is taken from a fresh read, and holds only if the word, read once more after the bytes, is still the same.
#ifndef LIBBUS_INSPECT_SEGMENT_READER_H_
#define LIBBUS_INSPECT_SEGMENT_READER_H_

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libbus/format/batch.h"
#include "libbus/format/layout.h"
#include "libbus/format/record.h"
#include "libbus/format/word.h"
#include "libbus/inspect/file.h"

namespace libbus::inspect {

// What stands at one place of a segment.
struct Look {
  uint64_t offset = 0;
  format::Word word;
  format::Verdict verdict = format::Verdict::kFree;
  uint64_t size = 0;  // to the next word; END: to the end of the file; FREE and bad: 0
  // Of a committed record:
  format::RecordHeader header = {};
  std::optional<format::Extent> extent;  // nothing: the attributes do not fit
  uint32_t computed = 0;                 // checksum
  std::span<const std::byte> body;       // what follows the header; until the next call
  // Of a record in a batch: the checksum that the table gives it.
  std::optional<uint32_t> told = {};
  // Of a batch whose table holds together: its records. The verdict of one whose word is no INNER with a right check
  // and a length that fits is bad; its size is that of its place.
  std::vector<Look> inner = {};

  // Of a batch: its own header and table.
  bool valid() const {
    return extent.has_value() && computed == header.checksum && computed == told.value_or(computed);
  }
};

class SegmentReader {
 public:
  // `size`: how many bytes of the file belong to the segment, at most file.size(). `sealed`: what recovery has sealed
  // off; Resync finds nothing there, even where the END that stood before it is lost.
  SegmentReader(const File& file, format::TopicSeed seed, uint64_t base, uint64_t size,
                std::vector<format::EpochEntry> sealed = {});

  uint64_t base() const { return base_; }
  uint64_t size() const { return size_; }
  format::TopicSeed seed() const { return seed_; }
  // OK, or why a read failed; what was returned since is then worth nothing.
  const absl::Status& status() const { return status_; }

  // The word at `offset`, judged; a committed record is not verified. REQUIRES: offset is a multiple of 8.
  Look WordAt(uint64_t offset);

  // The same with the record's bytes and its checksum.
  Look At(uint64_t offset);

  // Where reading goes on after damage at `offset`: the next place where a committed record verifies, or size().
  uint64_t Resync(uint64_t offset);

  // The first byte that is not zero in [from, to), or nothing.
  std::optional<uint64_t> FirstNonZero(uint64_t from, uint64_t to);

  // `size` bytes at `offset`, fewer at the end of the file. Until the next call of any function.
  std::span<const std::byte> Bytes(uint64_t offset, uint64_t size);

 private:
  Look Judge(uint64_t offset, format::Word word) const;
  format::Word FreshWord(uint64_t offset);
  format::Word CachedWord(uint64_t offset);
  Look Verified(Look look);
  Look VerifiedFrom(Look look, std::span<const std::byte> record) const;
  // These bytes, if they fit into a window; else none.
  std::span<const std::byte> Window(uint64_t offset, uint64_t size);
  Look VerifiedRecord(Look look) const;
  Look VerifiedBatch(Look look) const;
  Look Inner(const Look& frame, const format::InnerPlace& place) const;
  // Where the range ends that was sealed off and holds `offset`; nothing if none does.
  std::optional<uint64_t> SealedUpTo(uint64_t offset) const;
  bool StillThere(const Look& look) { return FreshWord(look.offset) == look.word; }
  void Fill(uint64_t offset);

  const File& file_;
  format::TopicSeed seed_;
  uint64_t base_;
  uint64_t size_;
  uint64_t hash_budget_;  // bytes that Resync may still hash
  std::vector<format::EpochEntry> sealed_;
  absl::Status status_;
  std::vector<std::byte> window_;
  uint64_t window_offset_ = 0;
  std::vector<std::byte> body_;
};

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_SEGMENT_READER_H_
