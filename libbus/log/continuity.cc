#include "libbus/log/continuity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "libbus/format/word.h"
#include "libbus/log/recovery.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::ControlRecord;
using format::ControlState;
using platform::Seam;

absl::StatusOr<bool> IsCopy(Log& log, uint64_t base) {
  const std::string path = log.any().PathOf(base);
  LIBBUS_ASSIGN_OR_RETURN(const platform::File file,
                          platform::OpenFileAt(log.directory(), log.path(), SegmentName(base), false));
  LIBBUS_ASSIGN_OR_RETURN(const format::SegmentHeader segment, log.any().ReadHeader(file, base));
  LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
  return identity.inode != segment.inode;
}

// The name of a file that is a copy; empty if none is. `reader`: one whose header cannot be read is passed over; it
// will be met where it is read.
absl::StatusOr<std::string> FindCopy(Log& log, bool reader) {
  if (log.control().identity().inode != log.control().header().control_inode) return std::string("control");
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.any().ListBases());
  for (const uint64_t base : bases) {
    const absl::StatusOr<bool> copy = IsCopy(log, base);
    if (!copy.ok() && !reader) return copy.status();
    if (copy.ok() && *copy) return SegmentName(base);
  }
  return std::string();
}

// A recovery that was begun, and its cause.
Continuity Unfinished(const ControlRecord& record, bool power_loss) {
  uint8_t cause = record.cause <= format::kEndSyncFailed ? static_cast<uint8_t>(record.cause) : format::kEndDamage;
  // What was harmless then is so no longer.
  if (cause == format::kEndOtherMount && power_loss) cause = format::kEndPowerLoss;
  return {false, false, cause, "a recovery was begun and not finished"};
}

// Where a reader stops before that recovery. A batch that it would tear is whole or nothing for everybody, so nothing
// of it is handed out before; behind a claim nobody gets anyway.
uint64_t LimitOf(const RecoveryPlan& plan) {
  const uint64_t kept = plan.seals.empty() ? plan.tail : plan.seals.front().position;
  return plan.claims.empty() ? kept : std::min(kept, plan.claims.front().position);
}

Continuity Broken(uint8_t cause, std::string why) { return {false, false, cause, std::move(why)}; }

}  // namespace

std::string_view CauseName(uint8_t cause) {
  switch (cause) {
    case 0:
      return "";
    case format::kEndPowerLoss:
      return "power loss";
    case format::kEndCopied:
      return "copied";
    case format::kEndOtherMount:
      return "other mount";
    case format::kEndDamage:
      return "damage";
    case format::kEndSyncFailed:
      return "sync failed";
    default:
      return "unknown";
  }
}

absl::StatusOr<std::string> FindIdentityProblem(const Log& log) {
  const Control& control = log.control();
  if (control.identity().inode != control.header().control_inode) return std::string("control is a copy");
  const auto locks = platform::IdentifyAt(log.directory(), log.path(), "locks");
  if (locks.status().code() == absl::StatusCode::kNotFound) return std::string("its locks file is gone");
  LIBBUS_RETURN_IF_ERROR(locks.status());
  const bool own = locks->inode == control.header().locks_inode;
  return std::string(own ? "" : "its locks file is not the one made with it");
}

absl::Status StampToday(const Log& log, ControlRecord& record) {
  if (!Seam::BootId(record.boot_id)) {
    return absl::FailedPreconditionError(
        fmt::format("{}: /proc/sys/kernel/random/boot_id cannot be read: mount /proc", log.path()));
  }
  LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(log.directory(), log.path()));
  record.device = identity.device;
  record.mount = Seam::MountId(log.directory().fd());
  return absl::OkStatus();
}

absl::Status NeedsRepair(const Log& log, std::string_view why) {
  return absl::FailedPreconditionError(fmt::format(
      "{}: {}: no writer may go on from here, and nothing was touched: readers may read it; run `bus recover "
      "{} --apply` to make it a log of its own",
      log.path(), why, log.path().substr(log.path().rfind('/') + 1)));
}

absl::StatusOr<Continuity> AssessContinuity(Log& log, const std::optional<ControlRecord>& record, bool alone) {
  LIBBUS_ASSIGN_OR_RETURN(const std::string copy, FindCopy(log, !alone));
  const bool clean = record && static_cast<ControlState>(record->state) == ControlState::kClean;
  if (!copy.empty()) return Continuity{clean, true, format::kEndCopied, copy + " is a copy"};
  const bool whole = clean && log.any().Containing(record->tail).status().code() != absl::StatusCode::kOutOfRange;
  if (whole) return Continuity{.clean = true};
  if (clean) return Broken(format::kEndDamage, "closed in order, but the segment that holds its end is gone");
  if (!record) return Broken(format::kEndDamage, "both copies of its control record are damaged");
  auto today = std::make_unique<ControlRecord>();
  LIBBUS_RETURN_IF_ERROR(StampToday(log, *today));
  // A recovery that was begun ends as what it was begun.
  const bool recovering = static_cast<ControlState>(record->state) == ControlState::kRecovering;
  const bool other_boot = std::memcmp(today->boot_id, record->boot_id, sizeof(today->boot_id)) != 0;
  if (recovering && record->cause != 0) return Unfinished(*record, other_boot || today->device != record->device);
  if (other_boot) {
    return Broken(format::kEndPowerLoss, "last written before this boot and not closed");
  }
  if (today->device != record->device) {
    return Broken(format::kEndPowerLoss, "last written on another device and not closed");
  }
  if (alone && today->mount != record->mount) {
    return Broken(format::kEndOtherMount, "last written on another mount and not closed");
  }
  return Continuity{};
}

absl::StatusOr<Readable> FindReadable(Log& log) {
  const auto record = log.control().ReadRecord();
  LIBBUS_ASSIGN_OR_RETURN(const Continuity continuity, AssessContinuity(log, record, false));
  if (!continuity.copy && (continuity.clean || continuity.cause == 0)) return Readable{};
  if (!continuity.copy && record) return Readable{record->durable, record->durable};
  // A copy's control file may be younger than its segments, and a damaged one tells nothing: as far as everything
  // verifies and a recovery keeps it: nobody can change that.
  LIBBUS_ASSIGN_OR_RETURN(const RecoveryPlan plan, continuity.clean ? PlanCleanCopy(log, *record)
                                                                    : PlanRecovery(log, {.cause = continuity.cause}));
  if (!plan.seals_log()) return Readable{};
  return Readable{LimitOf(plan), 0};
}

}  // namespace libbus::log
