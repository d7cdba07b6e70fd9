#include "libbus/topic/seek.h"

#include <fmt/format.h>

#include <algorithm>

#include "libbus/platform/status.h"

namespace libbus::internal {

absl::StatusOr<log::Reader> SeekTo(log::Log& log, From from) {
  log::SegmentStore& store = log.readable();
  switch (from.kind()) {
    case From::Kind::kStart:
      return log::SeekStart(log, store);
    case From::Kind::kEnd:
      return log::SeekEnd(log, store);
    case From::Kind::kAt:
      return log::SeekPosition(log, store, from.number());
    case From::Kind::kTime:
      return log::SeekTime(log, store, absl::ToUnixNanos(from.time()));
    case From::Kind::kLast:
      return log::SeekLast(log, store, from.number());
    case From::Kind::kSequence:
      return log::SeekSequence(log, store, from.number());
  }
  return absl::InvalidArgumentError("From: unknown kind");
}

bool InsideGap(const log::Reader& reader, From from) {
  return from.kind() == From::Kind::kAt && reader.position() < from.number();
}

absl::StatusOr<std::optional<uint64_t>> EndOf(log::Log& log, const std::optional<From>& to) {
  if (!to) return std::optional<uint64_t>();
  if (to->kind() == From::Kind::kAt) return std::optional(to->number());
  if (to->kind() == From::Kind::kEnd) {
    // Nobody asks for its sequence, so nobody counts up to there.
    LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, log::CommittedEnd(log, log.readable()));
    return std::optional(end);
  }
  LIBBUS_ASSIGN_OR_RETURN(const log::Reader reader, SeekTo(log, *to));
  return std::optional(reader.position());
}

namespace {

// A log that was copied while it lived may be behind cursors that were copied after it, and goes on from where it ends:
// at a position behind that, something else stands by now than what the cursor meant.
bool IsOfTheOriginal(const log::Log& log, const log::CursorPlace& place) {
  const auto record = log.control().ReadRecord();
  if (!record) return false;
  return std::any_of(record->epochs, record->epochs + record->epoch_entries, [&](const format::EpochEntry& entry) {
    return entry.cause == format::kEndCopied && place.epoch < entry.number && place.position > entry.to;
  });
}

absl::StatusOr<log::Reader> SeekToPlace(log::Log& log, const log::CursorPlace& place) {
  if (!IsOfTheOriginal(log, place)) return log::SeekPosition(log, log.readable(), place.position);
  return absl::OutOfRangeError(
      fmt::format("{}: position {} is beyond what was there when the topic was copied", log.path(), place.position));
}

}  // namespace

absl::StatusOr<log::Reader> SeekToCursor(TopicImpl& topic, const std::string& name, const log::CursorPlace& place) {
  auto reader = SeekToPlace(topic.log(), place);
  if (!reader.ok()) {
    const bool range = absl::IsOutOfRange(reader.status()) || absl::IsInvalidArgument(reader.status());
    // Nobody has decided yet what of the log counts.
    if (range && topic.limit() != TopicImpl::kNoLimit) return topic.WaitsForRecovery(place.position);
    if (!range) return reader.status();
    return absl::Status(
        reader.status().code(),
        fmt::format("{}: cursor {} cannot go on from there: set it anew with `bus cursor seek {} {} "
                    "POSITION`, or remove it with `bus cursor rm {} {}`",
                    std::string(reader.status().message()), name, topic.name(), name, topic.name(), name));
  }
  // An END counts nothing, so the sequence is the same behind it; at the start of a gap, and behind what was deleted,
  // it is another.
  const bool same = reader->position() >= place.position && !topic.log().IsDeleted(place.position);
  if (same && !reader->sequence()) reader->set_sequence(place.sequence);
  return reader;
}

absl::StatusOr<uint64_t> ReadableEnd(TopicImpl& topic) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, log::CommittedEnd(topic.log(), topic.log().readable()));
  return std::min(end, topic.limit());
}

}  // namespace libbus::internal
