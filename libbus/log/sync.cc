#include "libbus/log/sync.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "libbus/log/file_header.h"
#include "libbus/log/reader.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Verdict;
using format::Word;
using platform::Seam;

// Who waits looks again after this time: a holder may have died. Who has waited for kPatience and sees neither counter
// move does not wait for a holder that was stopped.
constexpr int64_t kLook = 10'000'000;
constexpr int64_t kPatience = 50'000'000;

constexpr std::string_view kFailedSuffix = ".failed";

// True if a whole record, or none, stands at `place`.
bool Verifies(const Log& log, const Place& place, Word word) {
  switch (place.Judge(log.seed(), word)) {
    case Verdict::kData:
      break;
    case Verdict::kReserved:
    case Verdict::kGap:
    case Verdict::kEnd:
      return true;
    case Verdict::kFree:
    case Verdict::kBad:
      return false;
  }
  return word.is_newer() || place.Verifies(log.seed(), word);
}

// OK: every record from `from` to `to` verifies. REQUIRES: a word starts at `from`.
absl::Status VerifyRange(Log& log, const SegmentPtr& segment, uint64_t from, uint64_t to) {
  Place place{segment, from};
  while (place.position < to) {
    const Word word = place.Read();
    if (!Verifies(log, place, word)) return MarkSyncFailed(log, segment->base(), 0);
    if (word.state() == format::State::kEnd) break;
    place.position += word.size();
  }
  return absl::OkStatus();
}

// The segment with which a sync begins: D's. A D that leads nowhere is no D.
absl::StatusOr<Place> DurablePlace(Log& log) {
  const uint64_t durable = log.control().durable().Read();
  if (durable != 0 && durable % format::kRecordAlignment == 0) {
    if (auto segment = log.writing().Containing(durable); segment.ok()) return Place{*std::move(segment), durable};
  }
  return log.Oldest(log.writing());
}

// How much a sync writes of a segment of which [from, to) is new. Pages are written in larger pieces where the kernel
// holds them so, up to 2 MiB. Where it does not tell, the pages of that range.
uint64_t BytesToWrite(const Segment& segment, uint64_t from, uint64_t to) {
  constexpr uint64_t kLargestPiece = uint64_t{2} << 20;
  from -= segment.base();
  to -= segment.base();
  const uint64_t begin = from & ~(kLargestPiece - 1);
  if (const auto dirty = platform::DirtyBytes(segment.file(), begin, format::AlignUp(to, kLargestPiece) - begin)) {
    return *dirty;
  }
  return format::AlignUp(to, format::kPageSize) - (from & ~(format::kPageSize - 1));
}

// What a sync that is measured writes: see Log::MayMeasure.
struct Measure {
  uint64_t known = 0;  // up to there the last one wrote
  uint64_t bytes = 0;
};

// Every segment from `place`'s to the one that holds `to`, by arithmetic, oldest first. `measure`: null, or what is
// added to.
absl::Status SyncRange(Log& log, Place place, uint64_t to, Measure* measure) {
  while (place.segment->base() < to) {
    const uint64_t until = std::min(to, place.segment->end());
    const uint64_t from = measure == nullptr ? until : std::max(place.position, measure->known);
    if (from < until) measure->bytes += BytesToWrite(*place.segment, from, until);
    LIBBUS_RETURN_IF_ERROR(SyncSegment(log, place.segment, place.position, until, Check::kRecords));
    if (to <= place.segment->end()) break;
    LIBBUS_ASSIGN_OR_RETURN(place.segment, log.writing().After(*place.segment));
    place.position = place.segment->first();
  }
  // Where the live words are not shared, nobody would learn of it.
  LIBBUS_RETURN_IF_ERROR(log.control().CheckIntact());
  // Somebody else's sync may have failed meanwhile, and the descriptors here were not told.
  return CheckSyncFailed(log);
}

}  // namespace

std::string SyncFailedName(uint64_t base) { return fmt::format("{:020}{}", base, kFailedSuffix); }

absl::Status CheckNotVolatile(const Log& log) {
  if (!log.is_volatile()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: this bus lies in memory (tmpfs): it is volatile, nothing on it survives a power loss: publish "
                  "without durability, or put it on ext4, xfs or btrfs",
                  log.path()));
}

absl::Status CheckSyncFailed(const Log& log) {
  const uint64_t failed = log.control().sync_failed().Read();
  if (failed == 0) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("{}: {} could not be written to the disk: nothing from there on is durable, though it can be read "
                  "and the log goes on; when the disk is well again, close the topic everywhere and run "
                  "`bus recover {} --apply`",
                  log.path(), SegmentName(failed - 1), log.path().substr(log.path().rfind('/') + 1)));
}

absl::Status MarkSyncFailed(Log& log, uint64_t base, int error) {
  log.control().sync_failed().Lower(base + 1);
  format::SyncFailedFile mark = {};
  mark.header = MakeFileHeader(format::kSyncFailedMagic, log.uuid());
  mark.base = base;
  mark.time = Seam::PreciseRealtimeNow();
  mark.error = static_cast<uint32_t>(error);
  mark.checksum = format::FileChecksum(mark);
  // The disk is ill: nothing more can be asked for than a file, on the disk or not. That it is there says enough.
  platform::LeaveMark(log.directory(), SyncFailedName(base), &mark, sizeof(mark));
  return CheckSyncFailed(log);
}

absl::StatusOr<uint64_t> CountSyncFailed(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.any().ListBases());
  const uint64_t oldest = log.control().sync_failed().Read();
  uint64_t count = 0;
  for (const uint64_t base : bases) {
    const bool marked = platform::IdentifyAt(log.directory(), log.path(), SyncFailedName(base)).ok();
    count += marked || base + 1 == oldest ? 1 : 0;
  }
  return count;
}

absl::Status LearnSyncFailed(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.writing().ListBases());
  for (const uint64_t base : bases) {
    // Whatever stands in it: that it is there says enough.
    if (platform::IdentifyAt(log.directory(), log.path(), SyncFailedName(base)).ok())
      log.control().sync_failed().Lower(base + 1);
  }
  return absl::OkStatus();
}

void TouchPages(const Segment& segment, uint64_t from, uint64_t to) {
  for (uint64_t page = from & ~(format::kPageSize - 1); page < to; page += format::kPageSize) {
    segment.word(std::max(page, segment.first())).Touch();
  }
}

absl::Status SyncSegment(Log& log, const SegmentPtr& segment, uint64_t from, uint64_t to, Check check) {
  LIBBUS_RETURN_IF_ERROR(log.MakeNameDurable(segment->base()));
  if (!segment->trusted()) {
    // In this order: a page that is dirty is not dropped, and if it cannot be written this descriptor is told.
    TouchPages(*segment, from, to);
    if (check == Check::kRecords) LIBBUS_RETURN_IF_ERROR(VerifyRange(log, segment, from, to));
  }
  if (const int error = Seam::DataSync(segment->file().fd()); error != 0) {
    return MarkSyncFailed(log, segment->base(), error);
  }
  LIBBUS_RETURN_IF_ERROR(CheckIntact(log, {segment, from}));
  // Every page of it is written: it held a record, or was touched.
  const uint64_t begin = (from - segment->base()) & ~(format::kPageSize - 1);
  if (!segment->trusted() && platform::TakenForUnwritten(segment->file(), begin, to - segment->base() - begin)) {
    return MarkSyncFailed(log, segment->base(), EIO);
  }
  segment->Trust();
  return absl::OkStatus();
}

namespace {

// FindEnds, for a sync: what an earlier one has found is there still.
absl::StatusOr<Ends> FindKnownEnds(Log& log) {
  const platform::RisingWord known = log.control().known_tail();
  const uint64_t before = known.Read();
  LIBBUS_ASSIGN_OR_RETURN(Ends ends, FindEnds(log, log.writing()));
  if (ends.tail.position < before) return MarkSyncFailed(log, ends.tail.segment->base(), 0);
  known.Raise(ends.tail.position);
  return ends;
}

}  // namespace

absl::StatusOr<uint64_t> SyncOnce(Log& log) {
  LIBBUS_RETURN_IF_ERROR(CheckSyncFailed(log));
  // In files that have no name any more nothing is durable.
  LIBBUS_RETURN_IF_ERROR(log.CheckStillThere());
  const Control& control = log.control();
  // Read first: a sync that draws a higher number may end before this one looks again.
  const uint64_t done = control.sync_done().Read();
  // SYNC POINT: ticket drawn. Before the walk: what was committed before a lower ticket was read is found by it.
  const uint64_t number = control.sync_started().Draw();
  if (number <= done) {
    return absl::DataLossError(fmt::format("{}: somebody scribbled over the sync counters: open it anew", log.path()));
  }
  const bool measures = log.MayMeasure(Seam::MonotonicNow());
  Measure measure = {.known = control.known_tail().Read()};
  LIBBUS_ASSIGN_OR_RETURN(const Ends ends, FindKnownEnds(log));
  LIBBUS_ASSIGN_OR_RETURN(Place from, DurablePlace(log));
  // A D beyond the tail can only be nonsense that somebody wrote there.
  if (from.position > ends.tail.position) from = {ends.tail.segment, ends.tail.segment->first()};
  LIBBUS_RETURN_IF_ERROR(SyncRange(log, std::move(from), ends.tail.position, measures ? &measure : nullptr));
  control.sync_done().Raise(number);
  control.durable().Raise(ends.committed);
  if (measures) {
    control.measured_syncs().Add(1);
    control.measured_bytes().Add(measure.bytes);
  }
  return ends.committed;
}

absl::StatusOr<uint64_t> SyncSealed(Log& log) {
  LIBBUS_RETURN_IF_ERROR(CheckSyncFailed(log));
  LIBBUS_ASSIGN_OR_RETURN(const Ends ends, FindKnownEnds(log));
  LIBBUS_ASSIGN_OR_RETURN(Place from, DurablePlace(log));
  const uint64_t base = ends.tail.segment->base();
  LIBBUS_RETURN_IF_ERROR(SyncRange(log, std::move(from), base, nullptr));
  const uint64_t durable = std::min(ends.committed, ends.tail.segment->first());
  log.control().durable().Raise(durable);
  return durable;
}

absl::Status AwaitSync(const Log& log, uint64_t ticket, uint64_t position, int64_t deadline) {
  const Control& control = log.control();
  for (;;) {
    // Before the counters are read: a sync that ends behind that changes the event.
    const uint64_t event = control.sync_event().Read();
    if (control.sync_done().Read() > ticket || control.durable().Read() > position) return absl::OkStatus();
    LIBBUS_RETURN_IF_ERROR(CheckSyncFailed(log));
    LIBBUS_RETURN_IF_ERROR(log.CheckStillThere());
    const int64_t now = Seam::MonotonicNow();
    if (now >= deadline) {
      return absl::DeadlineExceededError(
          fmt::format("{}: not durable in time: somebody who writes has to sync", log.path()));
    }
    const int64_t bound = std::min(deadline - now, Seam::Bound(10 * kLook));
    Seam::FutexWait(control.sync_event().futex(), static_cast<uint32_t>(event), bound, true);
  }
}

absl::StatusOr<std::unique_ptr<Syncer>> Syncer::Make(Log& log) {
  std::unique_ptr<Syncer> syncer(new Syncer(log));
  LIBBUS_ASSIGN_OR_RETURN(syncer->locks_, log.OpenLocks());
  return syncer;
}

void RaiseSyncEvent(const Log& log) {
  log.control().sync_event().Raise();
  Seam::FutexWake(log.control().sync_event().futex(), INT_MAX, true);
}

absl::StatusOr<bool> Syncer::Run(Work work, bool without_lock) {
  std::unique_lock thread(mutex_, std::try_to_lock);
  if (!thread.owns_lock()) return false;
  LIBBUS_ASSIGN_OR_RETURN(const bool locked, locks_.TryExclusive(format::kSyncByte));
  if (!locked && !without_lock) return false;
  const auto durable = work(log_);
  // Only who holds the lock writes the control record: two would tear both of its copies.
  if (locked && durable.ok()) log_.control().WriteDurable(*durable);
  if (locked) locks_.Unlock(format::kSyncByte);
  thread.unlock();
  // Behind both: who is woken by this finds neither taken by who woke him.
  RaiseSyncEvent(log_);
  LIBBUS_RETURN_IF_ERROR(durable.status());
  return true;
}

absl::Status Syncer::UnderLock(const std::function<absl::Status()>& work, int64_t deadline) {
  for (;;) {
    const uint64_t event = log_.control().sync_event().Read();
    {
      const std::lock_guard thread(mutex_);
      LIBBUS_ASSIGN_OR_RETURN(const bool locked, locks_.TryExclusive(format::kSyncByte));
      if (locked) {
        absl::Status status = work();
        locks_.Unlock(format::kSyncByte);
        RaiseSyncEvent(log_);
        return status;
      }
    }
    const int64_t now = Seam::MonotonicNow();
    if (now >= deadline) {
      return absl::DeadlineExceededError(
          fmt::format("{}: somebody else syncs, and goes on with it: try again", log_.path()));
    }
    Seam::FutexWait(log_.control().sync_event().futex(), static_cast<uint32_t>(event),
                    std::min(deadline - now, Seam::Bound(kLook)), true);
  }
}

bool Syncer::Patience::IsOver(const Control& control) {
  const int64_t now = Seam::MonotonicNow();
  const uint64_t counters = control.sync_started().Read() + control.sync_done().Read();
  if (since_ == 0 || counters != seen_ || now < since_) {
    seen_ = counters;
    since_ = now;
  }
  return now - since_ >= kPatience;
}

absl::StatusOr<bool> Syncer::TryWork(Work work) {
  const std::lock_guard lock(try_mutex_);
  LIBBUS_ASSIGN_OR_RETURN(bool ran, Run(work, false));
  if (!ran && patience_.IsOver(log_.control())) {
    LIBBUS_ASSIGN_OR_RETURN(ran, Run(work, true));
  }
  if (ran) patience_ = Patience();
  return ran;
}

absl::StatusOr<bool> Syncer::Try() { return TryWork(SyncOnce); }
absl::StatusOr<bool> Syncer::TrySealed() { return TryWork(SyncSealed); }

absl::Status Syncer::Wait(uint64_t ticket, int64_t deadline) {
  LIBBUS_RETURN_IF_ERROR(CheckNotVolatile(log_));
  const Control& control = log_.control();
  Patience patience;
  for (;;) {
    const uint64_t event = control.sync_event().Read();
    if (control.sync_done().Read() > ticket) return absl::OkStatus();
    LIBBUS_RETURN_IF_ERROR(CheckSyncFailed(log_));
    if (Seam::MonotonicNow() >= deadline) {
      return absl::DeadlineExceededError(fmt::format("{}: not durable in time: wait on", log_.path()));
    }
    LIBBUS_ASSIGN_OR_RETURN(const bool ran, Run(SyncOnce, patience.IsOver(control)));
    // It drew its number behind the ticket.
    if (ran) return absl::OkStatus();
    const int64_t bound = std::min(deadline - Seam::MonotonicNow(), Seam::Bound(kLook));
    if (bound > 0) Seam::FutexWait(control.sync_event().futex(), static_cast<uint32_t>(event), bound, true);
  }
}

}  // namespace libbus::log
