// Where a consumer may start: log/reader.h declares it.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "libbus/format/batch.h"
#include "libbus/log/index.h"
#include "libbus/log/reader.h"
#include "libbus/log/walk.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Word;

// Reads on from `reader` until `stop`, asked about each item before `end`, says true, or to the end; the reader then
// stands at that item, or where the first item from `end` on will be read.
template <typename Stop>
absl::StatusOr<Reader> ReadUntil(Reader reader, uint64_t end, Stop stop) {
  reader.KnowCommitted(end);
  Item item;
  while (reader.position() < end) {
    LIBBUS_ASSIGN_OR_RETURN(const Reader::Found found, reader.Read(item));
    if (found != Reader::Found::kItem) break;
    // An item at or behind the end was reached over an END; it is not part of this.
    if (item.position < end && !stop(item)) continue;
    LIBBUS_RETURN_IF_ERROR(reader.Unread(item));
    break;
  }
  return reader;
}

absl::StatusOr<Reader> StartAt(Log& log, SegmentStore& store, uint64_t base) {
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, store.Open(base));
  const uint64_t first = segment->first();
  return Reader(log, store, Place{std::move(segment), first});
}

// True if a recovery has sealed the place off, whatever still stands there: an END is in front of it. Where nobody
// knows what was sealed off, anything may be.
bool IsSealedOff(const Log& log, uint64_t position) {
  const auto record = log.control().ReadRecord();
  if (!record) return true;
  return std::any_of(record->epochs, record->epochs + record->epoch_entries,
                     [&](const format::EpochEntry& entry) { return entry.from <= position && position < entry.to; });
}

Reader ReaderFrom(Log& log, SegmentStore& store, const Counted& at) {
  Reader reader(log, store, at.place);
  reader.set_sequence(at.known());
  return reader;
}

// Walks on from `at` to the first item before `end` that is wanted, else to the end. `stop`: as WalkUntil, true where
// the item may be wanted, or one in the batch there; then it is read, and `wanted` decides.
template <typename Stop, typename Wanted>
absl::StatusOr<Reader> Search(Log& log, SegmentStore& store, uint64_t end, Counted at, Stop stop, Wanted wanted) {
  for (;;) {
    LIBBUS_RETURN_IF_ERROR(WalkUntil(log, store, end, at, stop));
    Reader reader = ReaderFrom(log, store, at);
    reader.KnowCommitted(end);
    if (at.place.position >= end) return reader;
    do {
      const Counted before = at;
      Item item;
      LIBBUS_ASSIGN_OR_RETURN(const bool found, ReadItem(reader, at, item));
      // An item at or behind the end was reached over an END; it is not part of this.
      const bool here = !found || item.position >= end || wanted(before, item);
      if (here && item.frame == 0) return ReaderFrom(log, store, before);
      if (!here) continue;
      LIBBUS_RETURN_IF_ERROR(reader.Unread(item));
      return reader;
    } while (reader.frame());
  }
}

absl::StatusOr<Reader> SearchSequence(Log& log, SegmentStore& store, uint64_t end, Counted from, uint64_t n) {
  const auto stop = [n](const Counted& at, const Ahead& ahead) {
    return !ahead.at_word || at.sequence + ahead.ordinals > n;
  };
  const auto wanted = [n](const Counted& at, const Item& item) { return at.sequence + item.ordinals > n; };
  return Search(log, store, end, std::move(from), stop, wanted);
}

absl::StatusOr<Counted> CountTo(Log& log, SegmentStore& store, uint64_t end, Counted at) {
  LIBBUS_RETURN_IF_ERROR(WalkUntil(log, store, end, at, [](const Counted&, const Ahead&) { return false; }));
  return at;
}

// Without an index: backwards a segment at a time. A segment starts with a record, so counting can begin at any of
// them.
absl::StatusOr<Reader> SearchBackwards(Log& log, SegmentStore& store, uint64_t end, uint64_t n) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, log.First(store));
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, store.ListBases());
  uint64_t until = end;
  for (auto base = bases.rbegin(); base != bases.rend() && *base + format::kSegmentHeaderSize >= first; ++base) {
    if (*base >= end) continue;
    Counted start;
    auto segment = store.Open(*base);
    // Deleted since it was listed: then the log begins behind it.
    if (absl::IsNotFound(segment.status())) break;
    LIBBUS_RETURN_IF_ERROR(segment.status());
    start.place.segment = *std::move(segment);
    start.place.position = start.place.segment->first();
    start.exact = false;
    LIBBUS_ASSIGN_OR_RETURN(const Counted counted, CountTo(log, store, until, start));
    if (counted.sequence >= n) return SearchSequence(log, store, until, start, counted.sequence - n);
    n -= counted.sequence;
    until = *base;
  }
  return SeekStart(log, store);
}

// Brings the index up to date, for who may: a search without it reads as much, each time. What fails is no reason not
// to search.
void TryExtendIndex(Log& log) {
  if (log.writable()) (void)ExtendIndex(log, kWholeIndex);
}

// True if a record that verifies starts there, or a batch whose table does: then nothing else can.
bool RecordStartsAt(Log& log, const Place& place) {
  const Word word = place.Read();
  return place.Judge(log.seed(), word) == format::Verdict::kData &&
         format::VerifyStart(log.seed(), place.position, place.HeaderWith(word), place.BodyOf(word)) &&
         !IsSealedOff(log, place.position);
}

// A reader at the inner record that starts at `position`, which lies in `segment`. Nothing: none does, or damage in
// between hides it. Walks the words, and hashes no more than one batch's table.
std::optional<Reader> ReaderInBatch(Log& log, SegmentStore& store, SegmentPtr segment, uint64_t position) {
  const uint64_t first = segment->first();
  for (Place place{std::move(segment), first}; place.position < position;) {
    const Word word = place.Read();
    const format::Verdict verdict = place.Judge(log.seed(), word);
    const bool steps =
        verdict == format::Verdict::kData || verdict == format::Verdict::kGap || verdict == format::Verdict::kReserved;
    if (!steps) break;
    if (place.position + word.size() > position) {
      Reader reader(log, store, place);
      if (!reader.Enter(position)) break;
      return reader;
    }
    place.position += word.size();
  }
  return std::nullopt;
}

// A reader at the record that verifies and starts at `position`, or at the batch's that does.
std::optional<Reader> ReaderAt(Log& log, SegmentStore& store, const SegmentPtr& segment, uint64_t position) {
  if (position % format::kRecordAlignment != 0) return std::nullopt;
  const Place place{segment, position};
  if (RecordStartsAt(log, place)) return Reader(log, store, place);
  return ReaderInBatch(log, store, segment, position);
}

// Why nothing can be read at a position at which `found` does not stand.
absl::Status InsideOf(const Log& log, uint64_t position, std::string_view what, uint64_t start) {
  return absl::InvalidArgumentError(fmt::format("{}: position {} {} {}", log.path(), position, what, start));
}

struct Gone {
  uint64_t from;
  uint8_t cause;
};

// What stood at `position`, below the oldest record at `first`, and is not there any more.
std::optional<Gone> GoneAt(const Log& log, uint64_t position, uint64_t first) {
  if (log.IsDeleted(position)) return Gone{position, kEvicted};
  if (position >= first) return std::nullopt;
  const std::optional<uint64_t> missing = MissingFrom(log, first);
  if (!missing || *missing > position + format::kSegmentHeaderSize) return std::nullopt;
  return Gone{std::max(position, *missing), kDamage};
}

}  // namespace

absl::StatusOr<Reader> SeekStart(Log& log, SegmentStore& store) {
  LIBBUS_ASSIGN_OR_RETURN(const Counted start, CountedStart(log, store));
  Reader reader = ReaderFrom(log, store, start);
  if (const auto missing = MissingFrom(log, start.place.position)) reader.SetMissing(*missing, kDamage);
  return reader;
}

absl::StatusOr<Reader> SeekEnd(Log& log, SegmentStore& store) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, CommittedEnd(log, store));
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, store.Containing(end));
  Reader reader(log, store, Place{std::move(segment), end});
  reader.set_sequence(SequenceAt(log, store, end));
  return reader;
}

absl::StatusOr<Reader> SeekPosition(Log& log, SegmentStore& store, uint64_t position) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, log.First(store));
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, CommittedEnd(log, store));
  if (const auto gone = GoneAt(log, position, std::min(first, end))) {
    LIBBUS_ASSIGN_OR_RETURN(Reader start, SeekStart(log, store));
    start.SetMissing(gone->from, gone->cause);
    return start;
  }
  if (position > end || position < first - format::kSegmentHeaderSize) {
    return absl::OutOfRangeError(fmt::format("{}: position {} is {}: the log goes from {} to {}", log.path(), position,
                                             position > end ? "beyond the end" : "before the oldest record", first,
                                             end));
  }
  // Where a cursor that has caught up stands: no walk is needed to know that a word is there.
  if (position == end) {
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, store.Containing(end));
    Reader reader(log, store, Place{std::move(segment), end});
    reader.set_sequence(SequenceAt(log, store, end));
    return reader;
  }
  const uint64_t page = position & ~(format::kPageSize - 1);
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, store.Containing(std::max(position, page + format::kSegmentHeaderSize)));
  const uint64_t wanted = std::max(position, segment->first());
  if (auto reader = ReaderAt(log, store, segment, wanted)) {
    reader->set_sequence(SequenceAt(log, store, wanted));
    return *std::move(reader);
  }
  // Not the start of a record that verifies: walk there from the segment's start to say what it is.
  LIBBUS_ASSIGN_OR_RETURN(Reader reader, StartAt(log, store, segment->base()));
  Item item = {};
  LIBBUS_ASSIGN_OR_RETURN(Reader found, ReadUntil(std::move(reader), std::min(position + 1, end),
                                                  [&](const Item& each) { return item = each, each.next > position; }));
  const bool inside = found.position() < position && item.next > position && !item.is_gap;
  if (inside) return InsideOf(log, position, "lies inside the record that starts at", item.position);
  const bool in_table = found.position() > position && found.frame() && *found.frame() < position;
  if (in_table) return InsideOf(log, position, "lies inside the batch that starts at", *found.frame());
  found.set_sequence(SequenceAt(log, store, found.position()));
  return found;
}

namespace {

// OK if `reader`, which was asked to go to `position`, stands at a record.
absl::Status CheckItem(const Log& log, Reader reader, uint64_t position) {
  Item item;
  LIBBUS_ASSIGN_OR_RETURN(const Reader::Found found, reader.Read(item));
  const auto at = [&](std::string_view what) { return fmt::format("{}: position {}: {}", log.path(), position, what); };
  if (found == Reader::Found::kReserved) {
    return absl::FailedPreconditionError(at("claimed and not committed yet: commit it first"));
  }
  if (found == Reader::Found::kFree) return absl::OutOfRangeError(at("no record was ever published there"));
  if (item.is_gap) return absl::DataLossError(at("a gap is there: it was lost or never committed (see `bus verify`)"));
  const bool starts = item.position == position || item.frame == position;
  return starts ? absl::OkStatus() : absl::OutOfRangeError(at("no record starts there"));
}

}  // namespace

absl::Status CheckCommitted(Log& log, SegmentStore& store, uint64_t position) {
  if (log.IsDeleted(position)) {
    return absl::OutOfRangeError(fmt::format("{}: position {}: what stood there was deleted", log.path(), position));
  }
  // A record behind an open claim counts, though no consumer gets there yet.
  if (auto segment = store.Containing(position); segment.ok()) {
    if (auto reader = ReaderAt(log, store, *segment, position)) return CheckItem(log, *std::move(reader), position);
  }
  LIBBUS_ASSIGN_OR_RETURN(Reader reader, SeekPosition(log, store, position));
  return CheckItem(log, std::move(reader), position);
}

absl::StatusOr<Reader> SeekTime(Log& log, SegmentStore& store, int64_t time) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, CommittedEnd(log, store));
  TryExtendIndex(log);
  LIBBUS_ASSIGN_OR_RETURN(const Counted from, NearestTime(log, store, time));
  const auto stop = [time](const Counted&, const Ahead& ahead) { return !ahead.at_word || ahead.timestamp >= time; };
  const auto wanted = [time](const Counted&, const Item& item) { return !item.is_gap && item.timestamp >= time; };
  return Search(log, store, end, from, stop, wanted);
}

absl::StatusOr<Reader> SeekSequence(Log& log, SegmentStore& store, uint64_t n) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, CommittedEnd(log, store));
  TryExtendIndex(log);
  LIBBUS_ASSIGN_OR_RETURN(const Counted from, NearestSequence(log, store, n));
  // The first of those that are missing.
  if (n < from.sequence && MissingFrom(log, from.place.position)) return SeekStart(log, store);
  return SearchSequence(log, store, end, from, n);
}

absl::StatusOr<Reader> SeekLast(Log& log, SegmentStore& store, uint64_t n) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, CommittedEnd(log, store));
  if (n == 0) return SeekEnd(log, store);
  TryExtendIndex(log);
  LIBBUS_ASSIGN_OR_RETURN(const Counted start, CountedStart(log, store));
  LIBBUS_ASSIGN_OR_RETURN(const Counted near, NearestPosition(log, store, end));
  const bool far = near.place.position == start.place.position && end > start.place.segment->end();
  // Where the first segment is missing, no count from the start is right.
  if (far || MissingFrom(log, start.place.position)) return SearchBackwards(log, store, end, n);
  LIBBUS_ASSIGN_OR_RETURN(const Counted all, CountTo(log, store, end, near));
  if (n >= all.sequence - start.sequence) return ReaderFrom(log, store, start);
  LIBBUS_ASSIGN_OR_RETURN(const Counted from, NearestSequence(log, store, all.sequence - n));
  return SearchSequence(log, store, end, from, all.sequence - n);
}

}  // namespace libbus::log
