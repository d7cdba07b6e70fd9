// The steps of a recovery: log/recovery.h declares them.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "libbus/log/continuity.h"
#include "libbus/log/index.h"
#include "libbus/log/recovery.h"
#include "libbus/log/repair.h"
#include "libbus/log/segment_file.h"
#include "libbus/log/slot.h"
#include "libbus/log/sync.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::ControlRecord;
using format::ControlState;
using format::Word;

// True for a claim, and for a batch of which not all is there.
bool MayBecomeGap(const Log& log, const Place& place, Word word) {
  const format::Verdict verdict = place.Judge(log.seed(), word);
  if (verdict == format::Verdict::kReserved) return true;
  return verdict == format::Verdict::kData && word.is_batch() && !place.Verifies(log.seed(), word);
}

absl::Status MakeGaps(Log& log, const RecoveryPlan& plan) {
  for (const RecoveryPlan::Claim& claim : plan.claims) {
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, log.writing().Containing(claim.position));
    const Place place{std::move(segment), claim.position};
    const Word word = place.Read();
    if (MayBecomeGap(log, place, word)) EndClaim(log, place, word, claim.cause);
    LIBBUS_RETURN_IF_ERROR(CheckIntact(log, place));
  }
  return absl::OkStatus();
}

absl::Status MakeSeals(Log& log, const RecoveryPlan& plan) {
  for (const RecoveryPlan::Seal& seal : plan.seals) {
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, log.writing().Containing(seal.position));
    const Place place{std::move(segment), seal.position};
    uint64_t seen = seal.word;
    const Word end = format::MakeEnd(log.seed(), seal.position, plan.cause);
    if (!place.word().Transition(seen, end.bits())) {
      return DamageAt(log, seal.position, "the word changed during recovery: somebody writes without holding a lock");
    }
    LIBBUS_RETURN_IF_ERROR(CheckIntact(log, place));
    log.WakeSleepers(place);
  }
  return absl::OkStatus();
}

absl::Status Apply(Log& log, const RecoveryPlan& plan, uint32_t epoch) {
  // The hint first: it may lead behind what is repaired here. The floors last: as long as they stand, who comes after a
  // death in here finds the claims again.
  log.control().tail_hint().Set(0);
  LIBBUS_RETURN_IF_ERROR(MakeGaps(log, plan));
  if (plan.new_base) {
    LIBBUS_RETURN_IF_ERROR(log.MakeSegment(*plan.new_base, log.options().segment_size, epoch, plan.cause).status());
    // Not by MakeNameDurable: who made it may have died before its name was on disk, and after a higher one was noted.
    if (!platform::SyncFile(log.directory(), log.path()).ok()) return MarkSyncFailed(log, *plan.new_base, EIO);
    LIBBUS_RETURN_IF_ERROR(MakeSeals(log, plan));
  }
  ResetHints(log);
  return absl::OkStatus();
}

// What was sealed, now or by an attempt that was not finished, each range once. When the list is full the oldest go:
// their ENDs still stand in the log.
void NoteEpoch(ControlRecord& record, const RecoveryPlan& plan) {
  const auto note = [&](uint8_t cause, uint64_t from, uint64_t to) {
    const std::span<const format::EpochEntry> known(record.epochs, record.epoch_entries);
    if (std::any_of(known.begin(), known.end(),
                    [&](const format::EpochEntry& entry) { return entry.from == from && entry.to == to; })) {
      return;
    }
    if (record.epoch_entries == format::kMaxEpochEntries) {
      std::memmove(record.epochs, record.epochs + 1, sizeof(format::EpochEntry) * (format::kMaxEpochEntries - 1));
      --record.epoch_entries;
    }
    record.epochs[record.epoch_entries++] = {record.epoch, cause, {}, from, to};
  };
  for (const auto& seal : plan.sealed) note(Word(seal.word).flags(), seal.position, seal.to);
  for (const auto& seal : plan.seals) note(plan.cause, seal.position, seal.to);
  if (plan.seals.empty() && plan.new_base) note(plan.cause, *plan.new_base, *plan.new_base);
}

// A copy that was closed in order loses nothing: the epoch says that there are two now.
void NoteCopied(ControlRecord& record, uint64_t tail) {
  if (record.epoch_entries >= format::kMaxEpochEntries) return;
  record.epochs[record.epoch_entries++] = {record.epoch, format::kEndCopied, {}, tail, tail};
}

// Where both copies of the record are gone nothing tells what was deleted before the oldest segment.
absl::Status NoteFirst(Log& log, ControlRecord& record) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, log.First(log.any()));
  if (first == format::kSegmentHeaderSize) return absl::OkStatus();
  record.first_position = first;
  record.first_sequence = format::kCountedOverDamage;
  return absl::OkStatus();
}

// True if a second look at what was kept finds all of it again.
absl::StatusOr<bool> StillThere(Log& log, const RecoveryPlan& plan) {
  LIBBUS_ASSIGN_OR_RETURN(const RecoveryPlan again, PlanRecovery(log, plan.input));
  return again.records.count >= plan.records.count && again.records.bytes >= plan.records.bytes &&
         again.rotten.bytes <= plan.rotten.bytes && again.skipped.bytes <= plan.skipped.bytes;
}

// Everything that was kept, from D's segment on. First every page is made dirty, so that none is dropped; then it is
// read once more, because one may have been dropped since the walk, unwritten. What the walk found rotten is a gap for
// ever, and no longer a sign that the disk is failing.
absl::Status SyncKept(Log& log, const RecoveryPlan& plan) {
  LIBBUS_RETURN_IF_ERROR(CheckSyncFailed(log));
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.writing().ListBases());
  std::vector<SegmentPtr> kept;
  for (const uint64_t base : bases) {
    if (base < plan.from || base >= plan.tail) continue;
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, log.writing().Open(base));
    TouchPages(*segment, segment->first(), std::min(segment->end(), plan.tail));
    kept.push_back(std::move(segment));
  }
  LIBBUS_ASSIGN_OR_RETURN(const bool still_there, StillThere(log, plan));
  if (!still_there) return MarkSyncFailed(log, plan.from, 0);
  for (const SegmentPtr& segment : kept) {
    const uint64_t to = std::min(segment->end(), plan.tail);
    LIBBUS_RETURN_IF_ERROR(SyncSegment(log, segment, segment->first(), to, Check::kNothing));
  }
  return absl::OkStatus();
}

// True if nothing but zeros stands in the segments behind `position`'s.
absl::StatusOr<bool> NothingBehind(Log& log, uint64_t position) {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.any().ListBases());
  for (const uint64_t base : bases) {
    if (base <= position) continue;
    LIBBUS_ASSIGN_OR_RETURN(const SegmentPtr segment, log.any().Open(base));
    LIBBUS_ASSIGN_OR_RETURN(SegmentFile file, SegmentFile::Open(log, *segment));
    LIBBUS_ASSIGN_OR_RETURN(const bool bytes, file.HasBytesFrom(segment->first()));
    if (bytes) return false;
  }
  return true;
}

// What the index tells of is kept by every recovery, unless a disk lost what it had confirmed.
absl::Status CutIndexBehind(Log& log, const RecoveryPlan& plan) {
  if (!plan.seals_log()) return absl::OkStatus();
  const uint64_t sealed = plan.seals.empty() ? plan.tail : plan.seals.front().position;
  return CutIndex(log, std::min(plan.durable, sealed));
}

// Who made the topic may have died before its name was on disk, or the bus's.
absl::Status SyncNames(const Log& log) {
  std::string path = log.path();
  for (const bool of_bus : {true, false}) {
    path = path.substr(0, path.rfind('/'));
    const auto directory = platform::OpenDirectory(path.empty() ? "/" : path);
    if (directory.ok()) LIBBUS_RETURN_IF_ERROR(platform::SyncFile(*directory, path));
    // What lies above the bus may be somebody else's, and not be ours to open.
    if (!directory.ok() && of_bus) return directory.status();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RecoveryPlan> PlanCleanCopy(Log& log, const ControlRecord& record) {
  LIBBUS_ASSIGN_OR_RETURN(RecoveryPlan plan, PlanRecovery(log, {}));
  LIBBUS_ASSIGN_OR_RETURN(const bool nothing_behind, NothingBehind(log, plan.tail));
  const bool damaged = plan.rotten.count + plan.skipped.count + plan.dead.count > 0 || plan.seals_log();
  if (!damaged && nothing_behind && plan.tail == record.tail) return plan;
  // Closed in order, and with all its segments: what does not verify has rotted, or the copy has torn it.
  const bool all_there = nothing_behind && plan.tail == record.tail;
  return PlanRecovery(log, {.cause = format::kEndCopied, .untorn = all_there ? record.tail : 0});
}

absl::Status WriteOpen(Log& log, ControlRecord& record, uint64_t tail, uint64_t durable) {
  const Control& control = log.control();
  if (!log.is_volatile()) LIBBUS_RETURN_IF_ERROR(SyncNames(log));
  LIBBUS_RETURN_IF_ERROR(StampToday(log, record));
  control.durable().Reset(durable);
  control.known_tail().Reset(tail);
  // Never lowered, so that a ticket taken before somebody was killed still counts; only nonsense is put right.
  const uint64_t done = control.sync_done().Read();
  if (done > control.sync_started().Read()) control.sync_started().Reset(done);
  record.state = static_cast<uint32_t>(ControlState::kOpen);
  record.cause = 0;
  record.tail = tail;
  record.durable = std::min(durable, tail);
  // Behind D.
  RaiseSyncEvent(log);
  return log.control().WriteRecord(record);
}

absl::StatusOr<RecoveryPlan> RecoverAlone(Log& log, const std::optional<ControlRecord>& record,
                                          const RecoveryOptions& options) {
  auto next = record ? std::make_unique<ControlRecord>(*record) : std::make_unique<ControlRecord>();
  const RecoveryInput input = {.durable = next->durable,
                               .watched = log.control().durable().Read(),
                               .known_tail = log.control().known_tail().Read(),
                               .cause = options.cause};
  // Only looks: what cannot be read leaves everything as it is.
  const bool clean_copy = options.cause == format::kEndCopied && next->was_clean != 0 && CheckSyncFailed(log).ok();
  LIBBUS_ASSIGN_OR_RETURN(const RecoveryPlan plan,
                          clean_copy ? PlanCleanCopy(log, *next) : PlanRecovery(log, input, options.progress));
  next->state = static_cast<uint32_t>(ControlState::kRecovering);
  // The cause that was given, not what the walk found: with continuity the next attempt has it too, and finds the same.
  next->cause = options.cause;
  if (!record) LIBBUS_RETURN_IF_ERROR(StampToday(log, *next));
  if (!record) LIBBUS_RETURN_IF_ERROR(NoteFirst(log, *next));
  next->epoch = std::max(next->epoch, plan.newest_epoch);
  LIBBUS_RETURN_IF_ERROR(log.control().WriteRecord(*next));
  if (plan.seals_log() || clean_copy) ++next->epoch;
  LIBBUS_RETURN_IF_ERROR(Apply(log, plan, next->epoch));
  NoteEpoch(*next, plan);
  if (clean_copy && !plan.seals_log()) NoteCopied(*next, plan.tail);
  next->was_clean = 0;
  LIBBUS_RETURN_IF_ERROR(CutIndexBehind(log, plan));
  if (options.repair) LIBBUS_RETURN_IF_ERROR(RewriteFailed(log));
  // In place this is left to the next sync, which does not pass by what is rotten, unless somebody asked for repair.
  const bool syncs = plan.seals_log() || options.repair || clean_copy;
  const bool kept = syncs && SyncKept(log, plan).ok();
  LIBBUS_RETURN_IF_ERROR(WriteOpen(log, *next, plan.tail, kept ? plan.tail : plan.durable));
  return plan;
}

}  // namespace libbus::log
