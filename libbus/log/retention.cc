#include "libbus/log/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "libbus/log/cursors.h"
#include "libbus/log/index.h"
#include "libbus/log/reader.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using platform::Seam;

uint64_t BaseOf(uint64_t first) { return first - format::kSegmentHeaderSize; }

// Nothing from here on may be deleted, whoever wants it.
absl::StatusOr<uint64_t> NeededFrom(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(const Ends ends, FindEnds(log, log.readable()));
  const uint64_t kept = log.is_volatile() ? ends.committed : log.control().durable().Read();
  const uint64_t floor = log.control().LowestFloor().value_or(kept);
  LIBBUS_RETURN_IF_ERROR(log.control().CheckIntact());
  return std::min({kept, floor, ends.tail.segment->base()});
}

// Who stands at `position`, for people.
std::string NameOf(const Log& log, uint64_t position) {
  const auto cursors = ListCursors(log);
  if (!cursors.ok()) return "a cursor";
  for (const CursorEntry& entry : *cursors) {
    if (entry.content.ok() && entry.content->lowest == position) return entry.name;
  }
  return "a cursor";
}

// The highest base at or before `limit`.
uint64_t LastBase(const std::vector<uint64_t>& bases, uint64_t limit) {
  const auto behind = std::upper_bound(bases.begin(), bases.end(), limit);
  return behind == bases.begin() ? bases.front() : *std::prev(behind);
}

// What stands first in the segment `base`, counted.
absl::StatusOr<Counted> CountTo(Log& log, uint64_t first) {
  SegmentStore& store = log.readable();
  LIBBUS_ASSIGN_OR_RETURN(Counted at, NearestPosition(log, store, first));
  LIBBUS_RETURN_IF_ERROR(WalkUntil(log, store, first, at, [](const Counted&, const Ahead&) { return false; }));
  // Damage right before it hides how many there were.
  at.exact &= at.place.position == first;
  return at;
}

absl::Status WriteFirst(Log& log, uint64_t first) {
  LIBBUS_ASSIGN_OR_RETURN(const Counted counted, CountTo(log, first));
  const auto record = log.control().ReadRecord();
  if (!record)
    return absl::DataLossError(fmt::format("{}: its record is damaged (see `bus verify`)", log.control().path()));
  auto next = std::make_unique<format::ControlRecord>(*record);
  next->first_position = first;
  next->first_sequence = counted.stored();
  return log.control().WriteRecord(*next);
}

// Every file before `first`.
absl::Status Unlink(Log& log, const std::vector<uint64_t>& bases, uint64_t first) {
  bool any = false;
  for (const uint64_t base : bases) {
    if (base >= BaseOf(first)) break;
    const int error = Seam::Unlink(log.directory().fd(), SegmentName(base).c_str());
    if (error != 0 && error != ENOENT)
      return platform::ErrnoStatus(error, log.readable().PathOf(base), "cannot delete");
    log.readable().Forget(base);
    log.writing().Forget(base);
    any = true;
  }
  return any ? platform::SyncFile(log.directory(), log.path()) : absl::OkStatus();
}

uint64_t SizeOf(const Log& log, const std::vector<uint64_t>& bases, uint64_t from, uint64_t to, uint64_t& segments) {
  uint64_t bytes = 0;
  for (const uint64_t base : bases) {
    if (base < from || base >= to) continue;
    ++segments;
    const auto file = platform::OpenFileAt(log.directory(), log.path(), SegmentName(base), false);
    if (file.ok()) bytes += platform::FileSize(*file, log.path()).value_or(0);
  }
  return bytes;
}

}  // namespace

absl::StatusOr<Eviction> Evict(Log& log, uint64_t before, bool dry_run) {
  SegmentStore& store = log.readable();
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, store.ListBases());
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, log.First(store));
  if (!dry_run) LIBBUS_RETURN_IF_ERROR(Unlink(log, bases, first));
  Eviction eviction;
  eviction.first = first;
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t needed, NeededFrom(log));
  const uint64_t wanted = std::max(LastBase(bases, std::min(before, needed)), BaseOf(first));
  if (wanted == BaseOf(first)) return eviction;
  LIBBUS_ASSIGN_OR_RETURN(const std::optional<uint64_t> cursor, LowestNeeded(log));
  const uint64_t begin = std::max(LastBase(bases, std::min(wanted, cursor.value_or(wanted))), BaseOf(first));
  if (begin < wanted) {
    eviction.held_at = *cursor;
    eviction.held_by = NameOf(log, *cursor);
  }
  if (begin == BaseOf(first)) return eviction;
  eviction.bytes = SizeOf(log, bases, BaseOf(first), begin, eviction.segments);
  eviction.first = begin + format::kSegmentHeaderSize;
  if (dry_run) return eviction;
  LIBBUS_RETURN_IF_ERROR(WriteFirst(log, eviction.first));
  LIBBUS_RETURN_IF_ERROR(Unlink(log, bases, eviction.first));
  return eviction;
}

absl::StatusOr<uint64_t> RetainFrom(Log& log) {
  const LogOptions options = log.options();
  if (options.retain_bytes == 0 && options.retain_age <= 0) return 0;
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, CommittedEnd(log, log.readable()));
  uint64_t from = options.retain_bytes != 0 ? end - std::min(end, options.retain_bytes) : 0;
  if (options.retain_age <= 0) return from;
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.readable().ListBases());
  const int64_t oldest = Seam::CoarseRealtimeNow() - options.retain_age;
  for (size_t i = 0; i + 1 < bases.size(); ++i) {
    const auto file = platform::OpenFileAt(log.directory(), log.path(), SegmentName(bases[i]), false);
    if (absl::IsNotFound(file.status())) continue;
    LIBBUS_RETURN_IF_ERROR(file.status());
    LIBBUS_ASSIGN_OR_RETURN(const int64_t written, platform::LastWritten(*file, log.path()));
    if (written >= oldest) break;
    from = std::max(from, bases[i + 1]);
  }
  return from;
}

absl::StatusOr<bool> HasLeftovers(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.readable().ListBases());
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, log.First(log.readable()));
  return !bases.empty() && bases.front() < BaseOf(first);
}

}  // namespace libbus::log
