#include "libbus/log/appender.h"

#include <fmt/format.h>

#include <utility>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Verdict;
using format::Word;
using platform::Seam;

// Pages are made present this far ahead of the tail, across the end of a segment too; and so often, in bytes, the
// background thread is called for it.
constexpr uint64_t kPopulateAhead = uint64_t{4} << 20;
constexpr uint64_t kCallEvery = uint64_t{1} << 20;

// A walk longer than this looks at the hint; a hint is stored every so many records.
constexpr int kWalkLimit = 64;
constexpr uint32_t kHintEvery = 32;

}  // namespace

absl::StatusOr<Appender> Appender::Make(Log& log, SlotHold slot, std::function<void()> near_end) {
  LIBBUS_ASSIGN_OR_RETURN(Place place, log.NearTail(log.writing()));
  return Appender(log, std::move(slot), std::move(place), std::move(near_end));
}

inline absl::Status Appender::WalkAndClaim(uint8_t flags, uint32_t length) {
  const uint64_t size = Word(uint64_t{length} << 32).size();
  const uint64_t known_tail = log_->control().known_tail().Read();
  for (int steps = 0;;) {
    uint64_t seen = place_.word().Read();
    if (seen == 0) {
      if (place_.position < known_tail) return DamageAt(*log_, place_.position, "a record stood here and is gone");
      if (!place_.segment->Fits(place_.position, size)) {
        LIBBUS_RETURN_IF_ERROR(Roll(size));
        continue;
      }
      const Word reserved =
          format::MakeWord(log_->seed(), place_.position, format::State::kReserved, flags, slot_.owner(), length);
      if (words_.Reserve(place_, seen, reserved)) {
        claim_ = reserved;
        // The floor stands in the control page: where others do not see it, no claim may be made.
        if (log_->control().poisoned() || place_.segment->poisoned()) return DropClaim(CheckIntact());
        return absl::OkStatus();
      }
      if (!words_.owns()) return OwnershipLost();
    }
    LIBBUS_RETURN_IF_ERROR(Pass(Word(seen), steps));
  }
}

absl::Status Appender::Reserve(uint8_t flags, uint32_t length) {
  // The floor is the slot's: another owner's is left alone.
  if (!words_.owns()) return OwnershipLost();
  floor().Set(place_.position);
  absl::Status status = WalkAndClaim(flags, length);
  if (!status.ok() && words_.owns()) floor().Clear();
  return status;
}

absl::Status Appender::Roll(uint64_t size) {
  // The next segment stands under a durable name before END leads to it; without room for it nothing is touched.
  LIBBUS_ASSIGN_OR_RETURN(const SegmentPtr next, log_->EnsureNext(*place_.segment, size));
  uint64_t seen = 0;
  const Word end = format::MakeEnd(log_->seed(), place_.position, format::kEndRolled);
  const bool ended = words_.Finish(place_, seen, end);
  // Behind an END that only this process sees nobody would find a record.
  LIBBUS_RETURN_IF_ERROR(CheckIntact());
  if (ended) {
    log_->WakeSleepers(place_);
    // Retention by age counts from here on.
    platform::SetWritten(place_.segment->file());
    place_ = {next, next->first()};
    since_hint_ = kHintEvery;
    if (near_end_) near_end_();
    return absl::OkStatus();
  }
  if (!words_.owns()) return OwnershipLost();
  // Somebody placed a smaller record here, or the END, first.
  int steps = 0;
  return Pass(Word(seen), steps);
}

absl::Status Appender::Pass(Word seen, int& steps) {
  const bool end = place_.Judge(log_->seed(), seen) == Verdict::kEnd;
  if (end && log_->writing().After(*place_.segment).status().code() == absl::StatusCode::kNotFound) {
    // The newest segment was removed by hand: the log goes on behind the END.
    LIBBUS_RETURN_IF_ERROR(log_->EnsureNext(*place_.segment, 0).status());
  }
  LIBBUS_RETURN_IF_ERROR(StepOver(*log_, log_->writing(), place_, seen).status());
  if (end && near_end_) near_end_();
  if (++steps % kWalkLimit != 0) return absl::OkStatus();
  const uint64_t hint = log_->VerifiedHint(log_->writing());
  if (hint <= place_.position) return absl::OkStatus();
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, log_->writing().Containing(hint));
  place_ = {std::move(segment), hint};
  return absl::OkStatus();
}

absl::Status Appender::CheckIntact() const {
  LIBBUS_RETURN_IF_ERROR(log::CheckIntact(*log_, place_));
  return log_->control().CheckIntact();
}

absl::Status Appender::DropClaim(absl::Status why) {
  Abandon();
  return why;
}

inline void Appender::Finish() {
  if (words_.owns()) floor().Clear();
  place_.position += claim_.size();
  claim_ = Word();
  if (place_.position >= call_at_) CallAhead();
}

absl::StatusOr<uint64_t> Appender::Commit(uint32_t type, int64_t timestamp, uint32_t size) {
  const uint64_t position = place_.position;
  // Over the bytes in the log, not the caller's: were those changed meanwhile, the record would be damage.
  const uint32_t begun = format::BeginChecksum(log_->seed(), position, claim_, type, timestamp);
  const uint32_t crc = format::Crc32c(begun, body(), size);
  format::WriteHeaderBehindWord(place_.segment->at(position), crc, type, timestamp);
  // A page that could not be had is seen here at the latest: what was filled is given up as a gap, rather than
  // committed as damage. If the word's own page goes only now, the swap fails: it finds zeros.
  if (place_.segment->poisoned()) return DropClaim(CheckIntact());
  uint64_t seen = claim_.bits();
  // SYNC POINT: payload visible.
  const bool committed = words_.Finish(place_, seen, claim_.AsData());
  if (committed) {
    log_->WakeSleepers(place_);
    if (++since_hint_ >= kHintEvery) {
      log_->control().tail_hint().Set(position);
      since_hint_ = 0;
    }
  }
  Finish();
  if (committed) return position;
  return NotCommitted(position);
}

absl::Status Appender::NotCommitted(uint64_t position) const {
  LIBBUS_RETURN_IF_ERROR(CheckIntact());
  if (!words_.owns()) return OwnershipLost();
  return absl::AbortedError(
      fmt::format("{} at {}: the claim was revoked after claim_timeout without a sign of life: "
                  "nothing was published, publish again",
                  log_->path(), position));
}

absl::Status Appender::OwnershipLost() const {
  LIBBUS_RETURN_IF_ERROR(CheckIntact());
  return absl::AbortedError(
      fmt::format("{}: ownership lost: this exclusive topic is no longer this producer's (its lock was closed behind "
                  "its back; last "
                  "taken by {}): nothing was published: open the producer anew",
                  log_->path(), DescribeOwner(*log_, slot_.owner())));
}

void Appender::Abandon() {
  // Revoked meanwhile: then it is a gap already. A swap on exclusive topics too: it is right whoever owns them by now.
  EndClaim(*log_, place_, claim_, format::kGapAborted);
  Finish();
}

void Appender::CallAhead() {
  call_at_ = place_.position + kCallEvery;
  if (near_end_) near_end_();
}

absl::Status PrepareAhead(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(const Place tail, log.FindTail(log.writing()));
  const uint64_t until = tail.position + kPopulateAhead;
  tail.segment->Populate(tail.position, until);
  LIBBUS_ASSIGN_OR_RETURN(const SegmentPtr next, log.EnsureNext(*tail.segment, 0));
  if (until > next->base()) next->Populate(next->base(), until);
  return absl::OkStatus();
}

}  // namespace libbus::log
