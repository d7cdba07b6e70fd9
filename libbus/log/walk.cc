#include "libbus/log/walk.h"

#include <cstddef>
#include <span>
#include <utility>

#include "libbus/format/batch.h"
#include "libbus/platform/status.h"

namespace libbus::log {

absl::StatusOr<Counted> CountedStart(Log& log, SegmentStore& store) {
  Counted start;
  LIBBUS_ASSIGN_OR_RETURN(start.place, log.Oldest(store));
  const auto record = log.control().ReadRecord();
  if (record && record->first_position != 0) start.SetStored(record->first_sequence);
  // Else the oldest segment is one that is missing.
  const uint64_t kept = record && record->first_position != 0 ? record->first_position : format::kSegmentHeaderSize;
  start.exact &= kept == start.place.position;
  if (MissingFrom(log, start.place.position)) ++start.sequence;
  return start;
}

namespace {

// Where the log begins, as it was when `record` was written.
uint64_t KeptFrom(const format::ControlRecord& record) {
  return std::max(record.first_position, format::kSegmentHeaderSize);
}

}  // namespace

std::optional<uint64_t> MissingFrom(const Log& log, uint64_t oldest) {
  // Read until it stays: while both copies of the record are written one after the other, an older one may seem to
  // hold.
  std::optional<uint64_t> seen;
  for (;;) {
    const auto record = log.control().ReadRecord();
    if (!record || KeptFrom(*record) >= oldest) return std::nullopt;
    if (seen == KeptFrom(*record)) break;
    seen = KeptFrom(*record);
  }
  // A list that is made while files come and go is not trusted to tell that one is missing.
  const std::string name = SegmentName(*seen - format::kSegmentHeaderSize);
  return absl::IsNotFound(platform::IdentifyAt(log.directory(), log.path(), name).status()) ? seen : std::nullopt;
}

absl::StatusOr<bool> ReadItem(Reader& reader, Counted& at, Item& item) {
  reader.set_sequence(0);
  const auto found = reader.Read(item);
  // Behind such damage there is nothing; nor is there behind a record of a newer version.
  const bool ends = absl::IsDataLoss(found.status()) || absl::IsUnimplemented(found.status());
  if (ends && !reader.segment()->poisoned()) return false;
  LIBBUS_RETURN_IF_ERROR(found.status());
  if (*found != Reader::Found::kItem) return false;
  at.sequence += item.ordinals;
  at.exact &= reader.sequence().has_value();
  if (!item.is_gap) at.before = std::max(at.before, item.timestamp);
  at.place = reader.place();
  reader.set_sequence(at.known());
  return true;
}

namespace internal {

absl::StatusOr<bool> ReadOver(Log& log, SegmentStore& store, uint64_t end, Counted& at) {
  Reader reader(log, store, at.place);
  reader.KnowCommitted(end);
  Item item;
  LIBBUS_ASSIGN_OR_RETURN(bool passed, ReadItem(reader, at, item));
  while (passed && reader.frame()) {
    LIBBUS_ASSIGN_OR_RETURN(passed, ReadItem(reader, at, item));
  }
  return passed;
}

std::optional<Ahead> DescribeBatch(const Log& log, const Place& place, format::Word word) {
  const std::span<const std::byte> body = place.BodyOf(word);
  const auto count = format::VerifyFrame(log.seed(), place.position, place.HeaderWith(word), body);
  if (!count) return std::nullopt;
  Ahead ahead = {*count, kNoTime, place.position + word.size(), true};
  for (uint32_t i = 0; i < *count; ++i) {
    const auto inner = format::FindInner(body, *count, i);
    if (!inner) return std::nullopt;
    int64_t timestamp;
    std::memcpy(&timestamp,
                place.segment->at(place.position + inner->offset) + offsetof(format::RecordHeader, timestamp),
                sizeof(timestamp));
    ahead.timestamp = std::max(ahead.timestamp, timestamp);
  }
  return ahead;
}

absl::StatusOr<bool> EnterNext(Log& log, SegmentStore& store, format::Word end, Counted& at) {
  if (end.flags() != format::kEndRolled) return false;
  LIBBUS_RETURN_IF_ERROR(CheckIntact(log, at.place));
  auto next = store.After(*at.place.segment);
  if (!next.ok() || (*next)->base() != at.place.segment->end()) return false;
  at.place = {*next, (*next)->first()};
  return true;
}

}  // namespace internal
}  // namespace libbus::log
