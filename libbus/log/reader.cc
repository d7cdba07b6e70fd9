#include "libbus/log/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "libbus/format/batch.h"
#include "libbus/log/index.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Verdict;
using format::Word;

// True if an END must stand, or have stood, before the segment that begins with `first`.
bool LedTo(const Place& first) { return !first.Read().is_free() || first.segment->cause() != 0; }

// What a record with this header and extent says; `body` is what follows the header.
void Fill(Item& item, const format::RecordHeader& header, const format::Extent& extent, const std::byte* body) {
  item.is_gap = false;
  item.ordinals = 1;
  item.type = header.type;
  item.timestamp = header.timestamp;
  item.attributes = body;
  item.attributes_size = extent.attributes;
  item.payload = body + extent.attributes;
  item.payload_size = extent.payload;
}

}  // namespace

inline absl::StatusOr<Reader::Found> Reader::ReadData(Item& item) {
  if ((word_.flags() & ~format::kHasAttributes) != 0) return ReadOther(item);
  const format::RecordHeader header = place_.HeaderWith(word_);
  const std::span<const std::byte> body = place_.BodyOf(word_);
  format::Extent extent;
  const bool verifies = format::VerifyRecord(log_->seed(), place_.position, header, body, extent);
  if (place_.segment->poisoned()) return NotIntact(*log_, place_);
  if (!verifies) return LoseRecord(item);
  item.frame = 0;
  Fill(item, header, extent, body.data());
  item.position = place_.position;
  item.next = place_.position + word_.size();
  place_.position = item.next;
  if (sequence_) ++*sequence_;
  return Found::kItem;
}

absl::StatusOr<Reader::Found> Reader::Read(Item& item) {
  if (batch_.next < batch_.count) return ReadInner(item);
  if (missing_) return MakeMissing(item, missing_->from, missing_->cause);
  for (;;) {
    word_ = place_.Read();
    const Verdict verdict = place_.Judge(log_->seed(), word_);
    // A record is asked about behind its bytes.
    if (verdict != Verdict::kData && place_.segment->poisoned()) return NotIntact(*log_, place_);
    switch (verdict) {
      case Verdict::kData:
        return ReadData(item);
      case Verdict::kFree:
        return ReadFree(item);
      case Verdict::kReserved:
        if (place_.position >= log_->control().durable().Read()) return Found::kReserved;
        // What lies below D was final. Looked at again, because D may have come past it since the word was read.
        if (place_.Read() == word_) return LoseRecord(item);
        break;
      case Verdict::kGap:
        return ReadGap(item);
      case Verdict::kEnd: {
        LIBBUS_ASSIGN_OR_RETURN(const std::optional<Found> found, EnterNext(item));
        if (found) return *found;
        if (place_.position >= limit_) return Found::kFree;
        break;
      }
      case Verdict::kBad:
        return Resynchronise(item);
    }
  }
}

absl::StatusOr<Reader::Found> Reader::ReadFree(Item& item) {
  if (place_.position >= committed_) return Found::kFree;
  return Resynchronise(item);
}

absl::StatusOr<Reader::Found> Reader::ReadOther(Item& item) {
  if (word_.is_newer()) {
    return absl::UnimplementedError(
        fmt::format("{} at {}: a record of a newer libbus (flags {:#x}): use a newer version", log_->path(),
                    place_.position, word_.flags()));
  }
  const bool opened = OpenBatch(word_);
  if (place_.segment->poisoned()) return NotIntact(*log_, place_);
  return opened ? ReadInner(item) : LoseRecord(item);
}

bool Reader::OpenBatch(Word word) {
  const auto count = format::VerifyFrame(log_->seed(), place_.position, place_.HeaderWith(word), place_.BodyOf(word));
  if (!count) return false;
  batch_ = {place_.position, place_.position + word.size(), *count, 0, word};
  return true;
}

bool Reader::Enter(uint64_t position) {
  const Word word = place_.Read();
  if (place_.Judge(log_->seed(), word) != Verdict::kData || !word.is_batch() || !OpenBatch(word)) return false;
  const auto index = format::InnerIndex(place_.BodyOf(word), batch_.count, position - batch_.start);
  batch_.next = index.value_or(batch_.count);
  if (index) place_.position = position;
  return index.has_value();
}

absl::StatusOr<Reader::Found> Reader::ReadInner(Item& item) {
  // Not by a Place: that would count the segment's users up and down for each record.
  const std::span<const std::byte> body(place_.segment->at(batch_.start) + format::kRecordHeaderSize,
                                        batch_.word.length());
  const auto place = format::FindInner(body, batch_.count, batch_.next);
  if (!place || batch_.start + place->offset < place_.position) {
    // It verified once: somebody writes there. What is left of the batch goes with its table.
    batch_.next = batch_.count;
    item = {};
    sequence_.reset();
    return MakeDamage(item, {place_.segment, batch_.end});
  }
  place_.position = batch_.start + place->offset;
  format::RecordHeader header;
  format::Extent extent;
  const bool verifies = format::VerifyInner(log_->seed(), batch_.start, *place, body, header, extent);
  if (place_.segment->poisoned()) return NotIntact(*log_, place_);
  const bool last = ++batch_.next == batch_.count;
  const uint64_t next = last ? batch_.end : batch_.start + place->end;
  if (!verifies) {
    item = {};
    item.frame = batch_.start;
    item.owner = batch_.word.owner();
    return MakeDamage(item, {place_.segment, next});
  }
  item.frame = batch_.start;
  Fill(item, header, extent, body.data() + place->offset);
  item.position = place_.position;
  item.next = next;
  place_.position = next;
  if (sequence_) ++*sequence_;
  return Found::kItem;
}

Reader::Found Reader::LoseRecord(Item& item) {
  item = {};
  item.owner = word_.owner();
  // How many records a batch was nobody knows.
  if (word_.is_batch()) sequence_.reset();
  return MakeDamage(item, {place_.segment, place_.position + word_.size()});
}

absl::StatusOr<Reader::Found> Reader::ReadGap(Item& item) {
  item = {};
  item.is_gap = true;
  item.position = place_.position;
  item.next = place_.position + word_.size();
  item.cause = word_.flags();
  item.owner = word_.owner();
  place_.position = item.next;
  if (sequence_) ++*sequence_;
  return Found::kItem;
}

absl::StatusOr<std::optional<Reader::Found>> Reader::EnterNext(Item& item) {
  auto next = store_->After(*place_.segment);
  if (next.status().code() == absl::StatusCode::kNotFound) {
    LIBBUS_RETURN_IF_ERROR(log_->CheckStillThere());
    return DamageAt(*log_, place_.position, "the segment ends here and the next one is missing");
  }
  LIBBUS_RETURN_IF_ERROR(next.status());
  const Place first{*next, (*next)->first()};
  if (word_.flags() != format::kEndRolled) return ReadSealed(item, first);
  if ((*next)->base() == place_.segment->end()) {
    place_ = first;
    return std::optional<Found>();
  }
  if (log_->IsDeleted(place_.segment->end())) {
    const uint64_t from = place_.position;
    place_ = first;
    return MakeMissing(item, from, kEvicted);
  }
  item = {};
  return MakeDamage(item, first);
}

absl::StatusOr<Reader::Found> Reader::ReadSealed(Item& item, Place next) {
  const uint8_t cause = word_.flags();
  for (;;) {
    const Word word = next.Read();
    LIBBUS_RETURN_IF_ERROR(CheckIntact(*log_, next));
    if (next.Judge(log_->seed(), word) != Verdict::kEnd || word.flags() != cause) break;
    auto behind = store_->After(*next.segment);
    if (behind.status().code() == absl::StatusCode::kNotFound) break;
    LIBBUS_RETURN_IF_ERROR(behind.status());
    next = {*behind, (*behind)->first()};
  }
  item = {};
  item.is_gap = true;
  item.position = place_.position;
  item.next = next.position;
  item.cause = cause == format::kEndDamage ? kDamage : static_cast<uint8_t>(kSealed + cause);
  item.ordinals = 0;
  place_ = std::move(next);
  return Found::kItem;
}

absl::StatusOr<Reader::Found> Reader::Resynchronise(Item& item) {
  item = {};
  const auto found = FindNextRecord(*log_, *place_.segment, place_.position + format::kRecordAlignment);
  LIBBUS_RETURN_IF_ERROR(CheckIntact(*log_, place_));
  if (found) return MakeDamage(item, {place_.segment, *found});
  // Nothing more in this segment. The next one counts if an END led to it; a prepared one does not.
  auto next = store_->After(*place_.segment);
  if (next.ok()) {
    const Place first{*next, (*next)->first()};
    if (LedTo(first)) return MakeDamage(item, first);
  }
  return DamageAt(*log_, place_.position,
                  fmt::format("the record word {:016x} is damaged and nothing behind it verifies", word_.bits()));
}

Reader::Found Reader::MakeDamage(Item& item, Place to) {
  item.is_gap = true;
  item.position = place_.position;
  item.next = to.position;
  item.cause = kDamage;
  // A record whose word survived still counts as one; of lost words nobody knows how many there were.
  if (!item.owner) sequence_.reset();
  if (sequence_) ++*sequence_;
  place_ = std::move(to);
  return Found::kItem;
}

Reader::Found Reader::MakeMissing(Item& item, uint64_t from, uint8_t cause) {
  item = {};
  item.is_gap = true;
  item.position = from;
  item.next = place_.position;
  item.cause = cause;
  item.ordinals = cause == kEvicted ? 0 : 1;
  missing_.reset();
  sequence_ = SequenceAt(*log_, *store_, place_.position);
  return Found::kItem;
}

absl::Status Reader::Unread(const Item& item) {
  if (item.is_gap && item.cause == kEvicted) {
    missing_ = {item.position, item.cause};
    return absl::OkStatus();
  }
  // An item is behind the reader's place in the same segment, unless damage reached into the next one.
  if (!place_.segment->Contains(item.position)) {
    auto segment = store_->Containing(item.position);
    if (item.is_gap && absl::IsOutOfRange(segment.status())) {
      missing_ = {item.position, item.cause};
      return absl::OkStatus();
    }
    LIBBUS_RETURN_IF_ERROR(segment.status());
    place_.segment = *std::move(segment);
  }
  place_.position = item.position;
  // The last Read was of the batch: it is not behind it.
  if (item.frame != 0) --batch_.next;
  if (sequence_) *sequence_ -= item.ordinals;
  return absl::OkStatus();
}

std::optional<uint64_t> FindNextRecord(format::TopicSeed seed, const std::byte* bytes, uint64_t from, uint64_t end,
                                       uint64_t segment_size) {
  uint64_t budget = 4 * segment_size;
  for (uint64_t position = from; position + format::kWordSize <= end; position += format::kRecordAlignment) {
    const std::byte* const at = bytes + (position - from);
    const Word word(platform::RecordWordView(reinterpret_cast<const uint64_t*>(at)).Read());
    if (format::Judge(seed, position, word, end - position) != Verdict::kData) continue;
    if (word.length() > budget) return std::nullopt;
    budget -= word.length();
    format::RecordHeader header;
    std::memcpy(&header, at, sizeof(header));
    header.word = word.bits();
    if (format::VerifyStart(seed, position, header, {at + sizeof(header), word.length()})) return position;
  }
  return std::nullopt;
}

namespace {

// Steps over the word at `place`, and over damage as a reader does. False: at a FREE word, or at damage behind which
// nothing can be read.
absl::StatusOr<bool> StepAsReader(Log& log, SegmentStore& store, Place& place, Word seen) {
  auto moved = StepOver(log, store, place, seen);
  if (moved.ok() || moved.status().code() != absl::StatusCode::kDataLoss) return moved;
  const auto record = FindNextRecord(log, *place.segment, place.position + format::kRecordAlignment);
  // Not damage of the log, so nothing to step over.
  LIBBUS_RETURN_IF_ERROR(CheckIntact(log, place));
  if (record) {
    place.position = *record;
    return true;
  }
  const auto next = store.After(*place.segment);
  if (next.status().code() == absl::StatusCode::kNotFound) return false;
  LIBBUS_RETURN_IF_ERROR(next.status());
  const Place first{*next, (*next)->first()};
  if (!LedTo(first)) return false;
  place = first;
  return true;
}

absl::StatusOr<Place> FindEnd(Log& log, SegmentStore& store) {
  LIBBUS_ASSIGN_OR_RETURN(Place place, log.NearTail(store));
  for (;;) {
    LIBBUS_ASSIGN_OR_RETURN(const bool moved, StepAsReader(log, store, place, place.Read()));
    if (!moved) return place;
  }
}

}  // namespace

absl::StatusOr<Ends> FindEnds(Log& log, SegmentStore& store, const IsOver& is_over) {
  // The tail first, then the floors: a claim that is missing from the floors read now was made behind that tail.
  LIBBUS_ASSIGN_OR_RETURN(const Place tail, FindEnd(log, store));
  const auto lowest = log.control().LowestFloor();
  LIBBUS_RETURN_IF_ERROR(log.control().CheckIntact());
  if (!lowest || *lowest >= tail.position || *lowest % format::kRecordAlignment != 0) {
    return Ends{tail, tail.position};
  }
  LIBBUS_ASSIGN_OR_RETURN(Place place, log.PlaceOfFloor(store, *lowest));
  while (place.position < tail.position) {
    const Word seen = place.Read();
    const bool open = place.Judge(log.seed(), seen) == Verdict::kReserved;
    if (open && !(is_over && is_over(place, seen))) return Ends{tail, place.position};
    LIBBUS_ASSIGN_OR_RETURN(const bool moved, StepAsReader(log, store, place, seen));
    if (!moved) break;
  }
  return Ends{tail, tail.position};
}

absl::StatusOr<uint64_t> CommittedEnd(Log& log, SegmentStore& store) {
  LIBBUS_ASSIGN_OR_RETURN(const Ends ends, FindEnds(log, store));
  return ends.committed;
}

std::optional<uint64_t> FindNextRecord(const Log& log, const std::byte* bytes, uint64_t from, const Segment& segment) {
  const auto record = log.control().ReadRecord();
  const std::span<const format::EpochEntry> epochs(record ? record->epochs : nullptr,
                                                   record ? record->epoch_entries : 0);
  for (uint64_t at = from;;) {
    const auto found =
        FindNextRecord(log.seed(), bytes + (at - from), at, segment.end(), segment.end() - segment.base());
    if (!found) return std::nullopt;
    const auto sealed = std::find_if(epochs.begin(), epochs.end(), [&](const format::EpochEntry& entry) {
      return entry.from <= *found && *found < entry.to;
    });
    if (sealed == epochs.end()) return found;
    if (sealed->to > segment.end() - format::kWordSize) return std::nullopt;
    at = format::AlignUp(sealed->to, format::kRecordAlignment);
  }
}

std::optional<uint64_t> FindNextRecord(const Log& log, const Segment& segment, uint64_t from) {
  return FindNextRecord(log, segment.at(from), from, segment);
}

}  // namespace libbus::log
