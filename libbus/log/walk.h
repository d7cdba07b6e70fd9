// Counting what stands in the log, from a place where the count is known. Much cheaper than reading: words and
// timestamps alone are looked at, and the reader is asked only where something stands in the way.
#ifndef LIBBUS_LOG_WALK_H_
#define LIBBUS_LOG_WALK_H_

#include <absl/status/statusor.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>

#include "libbus/log/log.h"
#include "libbus/log/reader.h"
#include "libbus/platform/status.h"

namespace libbus::log {

inline constexpr int64_t kNoTime = std::numeric_limits<int64_t>::min();

// What is known of the log before a place.
struct Counted {
  Place place;
  uint64_t sequence = 0;     // of what stands there. Records count 1, and so do gaps that were claims, and damage
  bool exact = true;         // false: damage before it hides how many records there were
  int64_t before = kNoTime;  // no record before it has a higher timestamp

  std::optional<uint64_t> known() const { return exact ? std::optional(sequence) : std::nullopt; }
  // As it is stored in the control record and in the index.
  uint64_t stored() const { return sequence | (exact ? 0 : format::kCountedOverDamage); }
  void SetStored(uint64_t stored) {
    sequence = stored & ~format::kCountedOverDamage;
    exact = sequence == stored;
  }
};

// The oldest record. Behind a missing first segment it is counted over damage, which is one.
absl::StatusOr<Counted> CountedStart(Log& log, SegmentStore& store);

// Where the log begins by its control record, if the segment there is missing: from there to `oldest`, the oldest
// record there is, is damage. Nothing: it is there, or was deleted meanwhile, or the record is lost and nobody knows.
// Nobody deletes a segment before the record says so, and `oldest` was found before that is read here.
std::optional<uint64_t> MissingFrom(const Log& log, uint64_t oldest);

// What a walk is about to step over.
struct Ahead {
  uint64_t ordinals = 0;        // how many it counts
  int64_t timestamp = kNoTime;  // the highest of its records, not verified; kNoTime: a gap
  uint64_t next = 0;            // where the next word stands
  bool at_word = false;         // a DATA or GAP word stands there; else nothing more is known before it is read
};

// Reads the next item, and counts it. REQUIRES: the reader stands at `at`, or in the batch that begins there. False:
// there is nothing, or nothing can be read.
absl::StatusOr<bool> ReadItem(Reader& reader, Counted& at, Item& item);

namespace internal {

// Steps over what the walk does not understand as a reader does. False: there is nothing to step over.
absl::StatusOr<bool> ReadOver(Log& log, SegmentStore& store, uint64_t end, Counted& at);

// Of a batch: how many records it holds, and their highest timestamp. Nothing: its table does not verify.
std::optional<Ahead> DescribeBatch(const Log& log, const Place& place, format::Word word);

// Nothing: what stands there is not plain.
inline std::optional<Ahead> Describe(const Log& log, const Place& place, format::Word word, format::Verdict verdict) {
  Ahead ahead = {1, kNoTime, place.position + word.size(), true};
  if (verdict == format::Verdict::kGap) return ahead;
  if (verdict != format::Verdict::kData || word.is_newer()) return std::nullopt;
  if (word.is_batch()) return DescribeBatch(log, place, word);
  const std::byte* const header = place.segment->at(place.position);
  std::memcpy(&ahead.timestamp, header + offsetof(format::RecordHeader, timestamp), sizeof(ahead.timestamp));
  return ahead;
}

// Enters the segment behind an END, if that is all there is to it.
absl::StatusOr<bool> EnterNext(Log& log, SegmentStore& store, format::Word end, Counted& at);

}  // namespace internal

// Walks on from `at` until `stop`, called as bool(const Counted&, const Ahead&) before each step over something that
// begins before `end`, says true; else to `end`, which was committed, or to where nothing can be read. OK: `at` is
// where the walk stopped; it may have entered the next segment at `end`. DATA_LOSS: a page could not be had.
template <typename Stop>
absl::Status WalkUntil(Log& log, SegmentStore& store, uint64_t end, Counted& at, Stop stop) {
  while (at.place.position < end) {
    const format::Word word = at.place.Read();
    const format::Verdict verdict = at.place.Judge(log.seed(), word);
    if (const auto ahead = internal::Describe(log, at.place, word, verdict)) {
      if (stop(at, *ahead)) return absl::OkStatus();
      at.sequence += ahead->ordinals;
      at.before = std::max(at.before, ahead->timestamp);
      at.place.position = ahead->next;
      continue;
    }
    if (verdict == format::Verdict::kEnd) {
      LIBBUS_ASSIGN_OR_RETURN(const bool entered, internal::EnterNext(log, store, word, at));
      if (entered) continue;
    }
    if (stop(at, Ahead())) return absl::OkStatus();
    LIBBUS_ASSIGN_OR_RETURN(const bool passed, internal::ReadOver(log, store, end, at));
    if (!passed) break;
  }
  return CheckIntact(log, at.place);
}

}  // namespace libbus::log

#endif  // LIBBUS_LOG_WALK_H_
