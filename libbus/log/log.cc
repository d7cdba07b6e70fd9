#include "libbus/log/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "libbus/log/file_header.h"
#include "libbus/log/sync.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {

using format::Verdict;
using format::Word;
using platform::Seam;

namespace {

// How long who may not execute membarrier sleeps for an owner that relies on it, ns: its wake-up may get lost.
constexpr int64_t kUnorderedSleep = 1'000'000;
// How often a sync is measured, ns.
constexpr int64_t kMeasureEvery = 10'000'000;

}  // namespace

Log::Log(std::string path, platform::File directory, Control control, SleepPage sleep, bool writable,
         platform::BusErrors bus_errors)
    : path_(std::move(path)),
      directory_(std::move(directory)),
      volatile_(Seam::Volatile(directory_.fd())),
      control_(std::move(control)),
      sleep_(std::move(sleep)),
      consumers_(directory_, path_, sleep_),
      seed_(format::TopicSeed::Of(control_.header().header.uuid)),
      writable_(writable),
      readable_(directory_, path_, uuid(), false, bus_errors),
      writing_(directory_, path_, uuid(), true, bus_errors) {}

absl::StatusOr<std::unique_ptr<Log>> Log::Open(const std::string& path, bool writable, platform::BusErrors bus_errors) {
  LIBBUS_ASSIGN_OR_RETURN(platform::File directory, platform::OpenDirectory(path));
  LIBBUS_ASSIGN_OR_RETURN(Control control, Control::Open(directory, path, writable, bus_errors));
  LIBBUS_ASSIGN_OR_RETURN(SleepPage sleep,
                          SleepPage::Open(directory, path, control.header().header.uuid, writable, bus_errors));
  return std::unique_ptr<Log>(
      new Log(path, std::move(directory), std::move(control), std::move(sleep), writable, bus_errors));
}

LogOptions Log::options() const {
  const auto& header = control_.header();
  LogOptions options;
  options.segment_size = header.segment_size;
  options.claim_timeout = header.claim_timeout;
  options.timestamps = header.timestamps;
  options.sync_policy = header.sync_policy;
  options.sync_every = header.sync_every;
  options.access = header.access;
  options.retain_bytes = header.retain_bytes;
  options.retain_age = header.retain_age;
  options.exclusive = exclusive();
  return options;
}

absl::Status DamageAt(const Log& log, uint64_t position, std::string_view what) {
  return absl::DataLossError(fmt::format("{} at {}: {} (see `bus verify`)", log.path(), position, what));
}

absl::Status NotIntact(const Log& log, const Place& place) {
  return absl::DataLossError(fmt::format(
      "{}/{} at {}: a page of it could not be had (the file was truncated, the disk is full, or a sector is "
      "bad): nothing was read or published there: close the topic, see `bus verify`, and open it anew",
      log.path(), SegmentName(place.segment->base()), place.position));
}

absl::StatusOr<bool> StepOver(Log& log, SegmentStore& store, Place& place, Word seen) {
  const Verdict verdict = place.Judge(log.seed(), seen);
  // Where a walk ends or leaves a segment, all that it saw there must have been the log.
  if (verdict == Verdict::kFree || verdict == Verdict::kEnd) LIBBUS_RETURN_IF_ERROR(CheckIntact(log, place));
  switch (verdict) {
    case Verdict::kFree:
      return false;
    case Verdict::kReserved:
    case Verdict::kData:
    case Verdict::kGap:
      place.position += seen.size();
      return true;
    case Verdict::kEnd: {
      auto next = store.After(*place.segment);
      if (next.status().code() == absl::StatusCode::kNotFound) {
        return DamageAt(log, place.position, "the segment ends here and the next one is missing");
      }
      LIBBUS_RETURN_IF_ERROR(next.status());
      place = {*next, (*next)->first()};
      return true;
    }
    case Verdict::kBad:
      break;
  }
  return DamageAt(log, place.position, fmt::format("the record word {:016x} is damaged", seen.bits()));
}

uint64_t Log::VerifiedHint(SegmentStore& store) {
  const uint64_t hint = control_.tail_hint().Read();
  if (hint == 0 || hint % format::kRecordAlignment != 0) return 0;
  const auto segment = store.Containing(hint);
  if (!segment.ok()) return 0;
  const Place place{*segment, hint};
  const Word word = place.Read();
  return place.Judge(seed_, word) == Verdict::kData && place.Verifies(seed_, word) ? hint : 0;
}

absl::StatusOr<uint64_t> Log::First(SegmentStore& store) {
  const auto kept = [&] {
    const auto record = control_.ReadRecord();
    return record ? std::max(record->first_position, format::kSegmentHeaderSize) : format::kSegmentHeaderSize;
  };
  // Nearly always it is there, and no list of what may be thousands is needed.
  const uint64_t wanted = kept();
  if (platform::IdentifyAt(directory_, path_, SegmentName(wanted - format::kSegmentHeaderSize)).ok()) return wanted;
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, store.ListBases());
  if (bases.empty()) return absl::DataLossError(fmt::format("{}: no segment is left (see `bus verify`)", path_));
  // Read behind the list: files that go meanwhile went behind the record.
  const auto first = std::lower_bound(bases.begin(), bases.end(), kept() - format::kSegmentHeaderSize);
  return (first != bases.end() ? *first : bases.front()) + format::kSegmentHeaderSize;
}

absl::StatusOr<Place> Log::Oldest(SegmentStore& store) {
  for (int tries = 0;; ++tries) {
    LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, First(store));
    auto segment = store.Open(first - format::kSegmentHeaderSize);
    if (segment.ok()) return Place{*std::move(segment), first};
    // It may have been deleted since; then another is the oldest.
    if (!absl::IsNotFound(segment.status()) || tries == 100) return segment.status();
  }
}

bool Log::IsDeleted(uint64_t position) const {
  const auto record = control_.ReadRecord();
  return record && position < record->first_position;
}

absl::StatusOr<Place> Log::NearTail(SegmentStore& store) {
  uint64_t position = VerifiedHint(store);
  // A hint from before the log was closed, or recovered: what stands between the two may have rotted.
  if (const auto record = control_.ReadRecord()) position = std::max(position, record->tail);
  if (position % format::kRecordAlignment == 0) {
    if (auto segment = store.Containing(position); segment.ok()) return Place{*segment, position};
  }
  return Oldest(store);
}

absl::StatusOr<Place> Log::PlaceOfFloor(SegmentStore& store, uint64_t floor) {
  auto segment = store.Containing(floor);
  if (segment.ok()) return Place{*std::move(segment), floor};
  if (segment.status().code() != absl::StatusCode::kOutOfRange) return segment.status();
  return Oldest(store);
}

absl::StatusOr<Place> Log::FindTail(SegmentStore& store) {
  LIBBUS_ASSIGN_OR_RETURN(Place place, NearTail(store));
  for (;;) {
    LIBBUS_ASSIGN_OR_RETURN(const bool moved, StepOver(*this, store, place, place.Read()));
    if (!moved) return place;
  }
}

int64_t Log::AnnounceSleep(uint64_t position) const {
  // SYNC POINT: sleeper woken. The mark is raised before the kernel compares the word.
  sleep_.mark().Raise(position);
  if (!exclusive() || platform::SleepMark::Order()) return INT64_MAX;
  // Without membarrier only the owner can say that it needs none. Whoever becomes the owner behind this look has a full
  // fence (SelfFencing::Set) between it and its first read of the mark.
  return control_.slot(format::kExclusiveOwner).fences().Read() ? INT64_MAX : kUnorderedSleep;
}

void Log::WakeOne(const Place& place) const {
  const int woken = Seam::FutexWake(place.word().futex(), 1, true);
  control_.wakes().Add(1);
  if (woken > 0) control_.woken().Add(1);
}

bool Log::MayMeasure(int64_t now) {
  const auto last = static_cast<int64_t>(measured_at_.Read());
  if (last != 0 && now >= last && now - last < kMeasureEvery) return false;
  measured_at_.Set(static_cast<uint64_t>(now));
  return true;
}

absl::Status Log::MakeNameDurable(uint64_t base) {
  if (control_.name_durable().Read() >= base) return absl::OkStatus();
  // The kernel tells it once, and calls the name written from then on.
  if (!platform::SyncFile(directory_, path_).ok()) return MarkSyncFailed(*this, base, EIO);
  control_.name_durable().Raise(base);
  return absl::OkStatus();
}

uint32_t Log::Epoch() const {
  const auto record = control_.ReadRecord();
  return record ? record->epoch : 1;
}

absl::StatusOr<SegmentPtr> Log::MakeSegment(uint64_t base, uint64_t size, uint32_t epoch, uint8_t cause) {
  auto made = PrepareSegment(directory_, path_, uuid(), base, size, epoch, cause, options().access);
  // Made, but its name may be lost, and no later sync will tell.
  const bool unnamed =
      absl::IsUnavailable(made.status()) && platform::IdentifyAt(directory_, path_, SegmentName(base)).ok();
  if (unnamed) return MarkSyncFailed(*this, base, EIO);
  LIBBUS_RETURN_IF_ERROR(made.status());
  return made->is_open() ? writing_.OpenMade(base, *std::move(made)) : writing_.Open(base);
}

absl::StatusOr<SegmentPtr> Log::EnsureNext(const Segment& segment, uint64_t size) {
  auto next = MakeNext(segment, size);
  // In a directory that was removed nothing can be made, for reasons that tell nobody anything.
  if (!next.ok()) LIBBUS_RETURN_IF_ERROR(CheckStillThere());
  return next;
}

absl::StatusOr<SegmentPtr> Log::MakeNext(const Segment& segment, uint64_t size) {
  const uint64_t normal = options().segment_size;
  // A record that is too large for a normal segment gets one of its own size plus a normal one's, so that small records
  // which overtake it there do not send it on.
  const uint64_t overhead = format::kSegmentHeaderSize + format::kWordSize;
  const uint64_t wanted =
      size + overhead <= normal ? normal : format::AlignUp(size + overhead, format::kPageSize) + normal;
  SegmentPtr first;
  uint64_t base = segment.end();
  for (;;) {
    auto next = writing_.Open(base);
    if (next.status().code() == absl::StatusCode::kNotFound) {
      LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, writing_.ListBases());
      if (!bases.empty() && bases.back() > base) {
        // Somebody made this one and the next meanwhile; or it was removed, and a position is never used twice.
        if (writing_.Open(base).ok()) continue;
        // Deleted meanwhile: then the log is far ahead of who asks.
        if (IsDeleted(base)) return writing_.After(segment);
        return DamageAt(*this, base, "the segment that begins here is missing, and later ones are there");
      }
      LIBBUS_ASSIGN_OR_RETURN(next, MakeSegment(base, wanted, Epoch(), 0));
    }
    LIBBUS_RETURN_IF_ERROR(next.status());
    LIBBUS_RETURN_IF_ERROR(MakeNameDurable(base));
    if (first == nullptr) first = *next;
    if ((*next)->Fits((*next)->first(), size)) return first;
    base = (*next)->end();
  }
}

absl::StatusOr<platform::LockFile> Log::OpenLocks() const {
  auto locks = platform::LockFile::OpenAt(directory_, path_, "locks");
  if (locks.status().code() == absl::StatusCode::kNotFound) LIBBUS_RETURN_IF_ERROR(CheckStillThere());
  return locks;
}

absl::Status Log::CheckStillThere() const {
  const auto now = platform::IdentifyPath(control_.path());
  if (now.status().code() == absl::StatusCode::kNotFound) {
    return absl::NotFoundError(fmt::format("{}: the topic was removed while it was open", path_));
  }
  LIBBUS_RETURN_IF_ERROR(now.status());
  if (*now == control_.identity()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: the topic was replaced by another while it was open: open it anew", path_));
}

}  // namespace libbus::log
