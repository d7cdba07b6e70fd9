#include "libbus/log/attach.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "libbus/log/continuity.h"
#include "libbus/log/index.h"
#include "libbus/log/recovery.h"
#include "libbus/log/slot.h"
#include "libbus/log/sync.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::ControlRecord;
using format::ControlState;
using platform::LockFile;
using platform::Seam;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kAttachTimeout = 30 * kSecond;
// How much log the last one out adds to the index, bytes; the rest is left to the next one.
constexpr uint64_t kIndexAtLeave = uint64_t{256} << 20;

void SleepFor(int64_t ns) {
  const timespec duration = {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
  nanosleep(&duration, nullptr);
}

ControlState StateOf(const ControlRecord& record) { return static_cast<ControlState>(record.state); }

std::string Recoverer(const Log& log) {
  const uint64_t pid = log.control().attach_pid().Read();
  return pid == 0 ? std::string("another process") : fmt::format("process {}", pid);
}

// Two who back off from each other must not meet again for ever.
void BackOff() {
  thread_local std::minstd_rand random(static_cast<unsigned>(getpid() ^ Seam::MonotonicNow()));
  SleepFor(std::uniform_int_distribution<int64_t>(100'000, 5'000'000)(random));
}

}  // namespace

absl::StatusOr<Attachment> Attachment::Attach(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(const std::string problem, FindIdentityProblem(log));
  if (!problem.empty()) return NeedsRepair(log, problem);
  Attachment attachment(log);
  LIBBUS_ASSIGN_OR_RETURN(attachment.probe_, log.OpenLocks());
  const int64_t deadline = Seam::MonotonicNow() + kAttachTimeout;
  for (;;) {
    LIBBUS_ASSIGN_OR_RETURN(const bool attached, attachment.TryAttach());
    if (attached) return attachment;
    attachment.locks_.Close();
    if (Seam::MonotonicNow() > deadline) {
      return absl::DeadlineExceededError(
          fmt::format("{}: waited {} s for {}, which is recovering it: wait on, or end that process", log.path(),
                      kAttachTimeout / kSecond, Recoverer(log)));
    }
    BackOff();
  }
}

absl::StatusOr<bool> Attachment::TryAttach() {
  LIBBUS_ASSIGN_OR_RETURN(LockFile locks, log_->OpenLocks());
  LIBBUS_ASSIGN_OR_RETURN(const bool alone, locks.TryExclusive(format::kAttachByte));
  if (alone) {
    locks_ = std::move(locks);
    const absl::Status status = AttachAlone();
    if (log_->control().attach_pid().Read() != 0) log_->control().attach_pid().Set(0);
    if (!status.ok()) {
      locks_.Close();
      return status;
    }
    // OPEN is on disk: now others may come in beside.
    LIBBUS_ASSIGN_OR_RETURN(const bool open, locks_.TryShared(format::kOpenByte));
    LIBBUS_ASSIGN_OR_RETURN(const bool shared, locks_.TryShared(format::kAttachByte));
    return open && shared;
  }
  LIBBUS_ASSIGN_OR_RETURN(const bool beside, locks.TryShared(format::kAttachByte));
  if (!beside) return false;
  locks_ = std::move(locks);
  return AttachBeside();
}

absl::Status Attachment::AttachAlone() {
  log_->control().attach_pid().Set(static_cast<uint64_t>(getpid()));
  const auto record = log_->control().ReadRecord();
  LIBBUS_ASSIGN_OR_RETURN(const Continuity continuity, AssessContinuity(*log_, record, true));
  if (continuity.copy) return NeedsRepair(*log_, continuity.why);
  LIBBUS_RETURN_IF_ERROR(LearnSyncFailed(*log_));
  log_->control().name_durable().Reset(0);
  if (!continuity.clean) return RecoverAlone(*log_, record, {.cause = continuity.cause}).status();
  ResetHints(*log_);
  auto next = std::make_unique<ControlRecord>(*record);
  return WriteOpen(*log_, *next, next->tail, next->tail);
}

absl::StatusOr<bool> Attachment::AttachBeside() {
  const auto record = log_->control().ReadRecord();
  if (!record || StateOf(*record) != ControlState::kOpen) return false;
  // An OPEN of before this boot means that the one who was recovering died: start over.
  auto stamped = std::make_unique<ControlRecord>();
  ControlRecord& today = *stamped;
  LIBBUS_RETURN_IF_ERROR(StampToday(*log_, today));
  if (std::memcmp(today.boot_id, record->boot_id, sizeof(today.boot_id)) != 0) return false;
  // Nor does an OPEN of this boot count unless somebody lives who made or found it so.
  if (!probe_.Probe(format::kOpenByte)) return false;
  LIBBUS_ASSIGN_OR_RETURN(const bool open, locks_.TryShared(format::kOpenByte));
  if (!open) return false;
  LIBBUS_RETURN_IF_ERROR(log_->control().Sync());
  return true;
}

absl::Status Attachment::Leave() {
  locks_.Unlock(format::kOpenByte);
  locks_.Unlock(format::kAttachByte);
  LIBBUS_ASSIGN_OR_RETURN(const bool alone, locks_.TryExclusive(format::kAttachByte));
  if (!alone) return absl::OkStatus();
  const auto record = log_->control().ReadRecord();
  if (!record || StateOf(*record) != ControlState::kOpen) return absl::OkStatus();
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t tail, ResolveAll(*log_));
  // Every segment before CLEAN, names too: CLEAN is trusted after a power loss.
  const auto synced = SyncOnce(*log_);
  RaiseSyncEvent(*log_);
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t durable, synced);
  if (durable != tail) return absl::OkStatus();  // damage was met: the next one looks at it
  auto next = std::make_unique<ControlRecord>(*record);
  next->state = static_cast<uint32_t>(ControlState::kClean);
  next->tail = tail;
  next->durable = durable;
  LIBBUS_RETURN_IF_ERROR(log_->control().WriteRecord(*next));
  // Nobody who only reads can do it later.
  return ExtendIndex(*log_, kIndexAtLeave);
}

Attachment::~Attachment() {
  // In a child, and once moved from, the descriptor is not open. What fails here leaves OPEN: the next one recovers.
  if (locks_.is_open()) (void)Leave();
}

}  // namespace libbus::log
