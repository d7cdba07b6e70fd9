// Reading: what stands at a position, verified. Never writes, never waits.
#ifndef LIBBUS_LOG_READER_H_
#define LIBBUS_LOG_READER_H_

#include <absl/base/attributes.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "libbus/format/record.h"
#include "libbus/log/log.h"

namespace libbus::log {

// What a read found: a record, an inner record of a batch, or a gap. Pointers lead into the mapped segment and stay
// valid as long as `segment` lives.
struct Item {
  bool is_gap = false;
  uint64_t position = 0;
  uint64_t next = 0;
  uint64_t frame = 0;  // of the batch that it stands in: where that begins; 0: in none
  // Records:
  uint32_t type = 0;
  int64_t timestamp = 0;
  const std::byte* attributes = nullptr;
  uint32_t attributes_size = 0;
  const std::byte* payload = nullptr;
  uint32_t payload_size = 0;
  // Gaps:
  uint8_t cause = 0;  // a format::kGap... cause, kDamage, or kSealed + a format::kEnd... cause
  std::optional<uint32_t> owner;
  uint32_t ordinals = 1;  // how many it counts in sequences
};

// The cause of a gap that stands in no word: bytes that do not verify. So is what recovery sealed off because of them.
inline constexpr uint8_t kDamage = 64;
// Deleted by retention.
inline constexpr uint8_t kEvicted = 96;
// What recovery sealed off for another cause.
inline constexpr uint8_t kSealed = 64;

// One consumer's end of the log. Not thread-safe.
class Reader {
 public:
  enum class Found : uint8_t {
    kItem,      // a record or a gap: the reader moved behind it
    kFree,      // nothing yet
    kReserved,  // a record in the making
  };

  // `store` outlives the reader.
  Reader(Log& log, SegmentStore& store, Place place) : log_(&log), store_(&store), place_(std::move(place)) {}

  // Reads the next record or gap into `item`. DATA_LOSS: damage behind which nothing can be read, or a page of the file
  // that could not be had (Segment::poisoned); the reader stays.
  // UNIMPLEMENTED: a record of a newer version; the reader stays.
  absl::StatusOr<Found> Read(Item& item);

  // True while the word at the reader's place is FREE or RESERVED. Cheap, for polling.
  bool Pending() const {
    if (batch_.next < batch_.count || missing_) return false;
    const format::Word word = place_.Read();
    return word.is_free() || word.state() == format::State::kReserved;
  }

  // The word that was read last, and where it stands: what a consumer waits on.
  format::Word word() const { return word_; }
  const Place& place() const { return place_; }
  uint64_t position() const { return missing_ ? missing_->from : place_.position; }
  const SegmentPtr& segment() const { return place_.segment; }

  // Ordinal of the next record, where it is known.
  const std::optional<uint64_t>& sequence() const { return sequence_; }
  void set_sequence(std::optional<uint64_t> sequence) { sequence_ = sequence; }

  // What stood from `from` to the reader's place is not there: that is read first, as a gap. `cause`: kEvicted, or
  // kDamage where nobody deleted it.
  void SetMissing(uint64_t from, uint8_t cause) { missing_ = {from, cause}; }

  // Enters the batch that begins at the reader's place, at its inner record `position`. False: there is none that
  // verifies, or no inner record begins there; the reader stays.
  bool Enter(uint64_t position);
  // Where the batch begins in which the reader stands; nothing if it stands at a word.
  std::optional<uint64_t> frame() const {
    return batch_.next < batch_.count ? std::optional(batch_.start) : std::nullopt;
  }

  // Behind an END nothing is looked at from here on: Read says kFree there.
  void SetLimit(uint64_t limit) { limit_ = limit; }

  // Takes back the last Read, which gave `item`.
  absl::Status Unread(const Item& item);

  // A FREE word below a committed record is damage, not the end. What is known to be committed only rises.
  void KnowCommitted(uint64_t position) { committed_ = std::max(committed_, position); }
  // Looks at the hint, for a reader that found a FREE word for a while.
  void LearnCommitted() { KnowCommitted(std::max(log_->VerifiedHint(*store_), log_->control().known_tail().Read())); }

 private:
  absl::StatusOr<Found> ReadFree(Item& item);
  ABSL_ATTRIBUTE_ALWAYS_INLINE inline absl::StatusOr<Found> ReadData(Item& item);
  // A batch, or something that only a newer version knows.
  absl::StatusOr<Found> ReadOther(Item& item);
  // Enters the batch at the reader's place with this word, if it verifies.
  bool OpenBatch(format::Word word);
  absl::StatusOr<Found> ReadInner(Item& item);
  absl::StatusOr<Found> ReadGap(Item& item);
  // The record at the reader's place does not verify, or is a claim below D: the file has an older state of what was
  // final. Its bytes are a gap (damage).
  Found LoseRecord(Item& item);
  // Behind an END. kItem: recovery sealed the segment there, or segments are missing in between; `item` is the gap.
  absl::StatusOr<std::optional<Found>> EnterNext(Item& item);
  // All that was sealed off at once is one gap.
  absl::StatusOr<Found> ReadSealed(Item& item, Place next);
  // Delivers the bytes up to the next record that verifies as a gap.
  absl::StatusOr<Found> Resynchronise(Item& item);
  Found MakeDamage(Item& item, Place to);
  // The gap from `from` to the reader's place, where a record starts that was kept.
  Found MakeMissing(Item& item, uint64_t from, uint8_t cause);

  // The batch that was entered last. Nothing of it is left once next == count, but Unread goes back into it.
  struct Batch {
    uint64_t start = 0;
    uint64_t end = 0;
    uint32_t count = 0;
    uint32_t next = 0;  // index of the inner record to be read
    format::Word word;
  };

  Log* log_;
  SegmentStore* store_;
  Place place_;
  format::Word word_;
  Batch batch_;
  uint64_t committed_ = 0;
  uint64_t limit_ = UINT64_MAX;
  std::optional<uint64_t> sequence_;
  struct Missing {
    uint64_t from;
    uint8_t cause;
  };
  std::optional<Missing> missing_;
};

// The next position in [from, end) where a DATA word with right check and checksum stands (of a batch: its own, which
// covers the table); `bytes` are those from
// `from` on, mapped or read, and `end` is the end of their segment. Hashes at most four times `segment_size` in all.
std::optional<uint64_t> FindNextRecord(format::TopicSeed seed, const std::byte* bytes, uint64_t from, uint64_t end,
                                       uint64_t segment_size);
// The same for the bytes of `segment` from `from` on, and in the mapped segment itself; nothing inside a range that
// recovery has sealed off, even if the END that stood before it is lost.
std::optional<uint64_t> FindNextRecord(const Log& log, const std::byte* bytes, uint64_t from, const Segment& segment);
std::optional<uint64_t> FindNextRecord(const Log& log, const Segment& segment, uint64_t from);

// Where the log ends now. Damage on the way is stepped over as a reader does; damage behind which nothing can be read
// is the end.
struct Ends {
  Place tail;          // the first FREE word
  uint64_t committed;  // everything before it is final: the first RESERVED word from the lowest floor on, else the tail
};
// `is_over`, if given: asked about each RESERVED word from the lowest floor on; true: it is stepped over.
using IsOver = std::function<bool(const Place& place, format::Word reserved)>;
absl::StatusOr<Ends> FindEnds(Log& log, SegmentStore& store, const IsOver& is_over = {});
absl::StatusOr<uint64_t> CommittedEnd(Log& log, SegmentStore& store);

// OK: a committed record starts at `position`, inside a batch or not, or a batch. OUT_OF_RANGE: beyond the end, or
// before the oldest record. INVALID_ARGUMENT: inside a record, or in a batch's table. DATA_LOSS: a gap is there.
// FAILED_PRECONDITION: reserved, not committed.
absl::Status CheckCommitted(Log& log, SegmentStore& store, uint64_t position);

// Where a consumer may start. Each returns a reader whose next Read gives what is wanted.
// They know the sequence where the index does (log/index.h), which who may write brings up to date here.
// SeekStart: the oldest record. SeekEnd: behind the last committed record.
absl::StatusOr<Reader> SeekStart(Log& log, SegmentStore& store);
absl::StatusOr<Reader> SeekEnd(Log& log, SegmentStore& store);
// The record that starts at `position` (of a batch that starts there: its first), or the gap that holds it.
// What was deleted comes first, as a gap (evicted), and so does a first segment that is missing (damage).
// OUT_OF_RANGE: beyond the end, or a segment in the middle that is missing.
// INVALID_ARGUMENT: inside a record, or in a batch's table; the message names the start.
absl::StatusOr<Reader> SeekPosition(Log& log, SegmentStore& store, uint64_t position);
// The first record whose timestamp is not before `time` (ns), else the end.
absl::StatusOr<Reader> SeekTime(Log& log, SegmentStore& store, int64_t time);
// `n` records before the end, else the start. Gaps count as they count in sequences: claims that were given up one,
// damage one, what recovery sealed off nothing.
absl::StatusOr<Reader> SeekLast(Log& log, SegmentStore& store, uint64_t n);
// The record with sequence n, counted like that, else the end.
absl::StatusOr<Reader> SeekSequence(Log& log, SegmentStore& store, uint64_t n);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_READER_H_
