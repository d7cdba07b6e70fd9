#include "libbus/log/slot.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Verdict;
using format::Word;
using platform::LockFile;
using platform::Seam;

constexpr int64_t kLookFarEvery = 1'000'000'000;

// Where the claims of `owner` begin that its last holder may have left open; 0: there are none.
//
// A floor can be lost with its page, if that could not be written to the disk. An exclusive owner has one claim, behind
// everything that it committed: it is found without. On a shared topic it may stand anywhere; whoever waits for it sees
// that it is not the new holder's (Watcher).
absl::StatusOr<uint64_t> FloorOf(Log& log, uint32_t owner) {
  const uint64_t floor = log.control().slot(owner).floor().Read();
  if (floor != 0 || !log.exclusive()) return floor;
  LIBBUS_ASSIGN_OR_RETURN(const Place near, log.NearTail(log.writing()));
  return near.position;
}

// Makes the claims of `owner` from its floor to the tail gaps, then clears its floor. REQUIRES: the caller holds the
// lock of that slot, got after its last holder died or released it.
//
// Die anywhere in here and the next taker starts again: the floor still stands. Until it is done the lock makes the
// dead claims look alive; a taker stopped just here is ended by claim_timeout like any other stall.
absl::Status ResolveSlot(Log& log, uint32_t owner) {
  const platform::Floor floor = log.control().slot(owner).floor();
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t from, FloorOf(log, owner));
  if (from == 0) return absl::OkStatus();
  LIBBUS_ASSIGN_OR_RETURN(const Place tail, log.FindTail(log.writing()));
  if (from < tail.position && from % format::kRecordAlignment == 0) {
    // From the oldest record, where that segment was deleted since.
    LIBBUS_ASSIGN_OR_RETURN(Place place, log.PlaceOfFloor(log.writing(), from));
    while (place.position < tail.position) {
      const Word seen = place.Read();
      if (place.Judge(log.seed(), seen) == Verdict::kReserved && seen.owner() == owner) {
        EndClaim(log, place, seen, format::kGapDead);
      }
      // On a page that could not be had nothing was resolved.
      LIBBUS_RETURN_IF_ERROR(CheckIntact(log, place));
      LIBBUS_ASSIGN_OR_RETURN(const bool moved, StepOver(log, log.writing(), place, seen));
      if (!moved) break;
    }
  }
  floor.Clear();
  return absl::OkStatus();
}

// Takes the lock of a slot that looked free, resolves what its last holder left, and lets go: so nobody else can begin
// to use the slot between the proof and the cleaning of its floor.
void CleanSlot(Log& log, uint32_t owner) {
  auto locks = log.OpenLocks();
  if (!locks.ok()) return;
  const auto taken = locks->TryExclusive(owner);
  if (taken.ok() && *taken) (void)ResolveSlot(log, owner);
}

void Introduce(const SlotWords& slot, const std::string& name) {
  slot.pid().Set(static_cast<uint64_t>(getpid()));
  slot.since().Set(static_cast<uint64_t>(Seam::CoarseRealtimeNow()));
  slot.SetName(name);
}

}  // namespace

bool EndClaim(const Log& log, const Place& place, Word reserved, uint8_t cause) {
  uint64_t seen = reserved.bits();
  if (!place.word().Transition(seen, format::MakeGap(log.seed(), place.position, reserved, cause).bits())) return false;
  log.WakeSleepers(place);
  log.control().gaps().Add(1);
  if (cause != format::kGapAborted) log.control().repairs().Add(1);
  return true;
}

absl::Status SlotHold::TakeOver(Log& log, const std::string& name) {
  constexpr uint32_t kOwner = format::kExclusiveOwner;
  LIBBUS_ASSIGN_OR_RETURN(const bool taken, locks_.TryExclusive(kOwner));
  if (!taken) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: this topic is exclusive and has its producer: {}: close that one, or end its process (then the "
        "next one takes over)",
        log.path(), DescribeOwner(log, kOwner)));
  }
  const SlotWords slot = log.control().slot(kOwner);
  Introduce(slot, name);
  fences_ = Seam::JoinBarriers() != 0;
  slot.fences().Set(fences_);
  // SYNC POINT: owner changed. Before anything of the last owner's is touched: should it live, it stops.
  generation_ = log.control().owner_generation().Next();
  LIBBUS_RETURN_IF_ERROR(ResolveSlot(log, kOwner));
  owner_ = kOwner;
  // Where these words are not shared, nobody learns that the topic has an owner.
  return log.control().CheckIntact();
}

absl::StatusOr<SlotHold> SlotHold::Take(Log& log, const std::string& name) {
  SlotHold hold;
  LIBBUS_ASSIGN_OR_RETURN(hold.locks_, log.OpenLocks());
  if (log.exclusive()) {
    LIBBUS_RETURN_IF_ERROR(hold.TakeOver(log, name));
    return hold;
  }
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) {
    LIBBUS_ASSIGN_OR_RETURN(const bool taken, hold.locks_.TryExclusive(owner));
    if (!taken) continue;
    LIBBUS_RETURN_IF_ERROR(ResolveSlot(log, owner));
    Introduce(log.control().slot(owner), name);
    hold.owner_ = owner;
    return hold;
  }
  return absl::ResourceExhaustedError(fmt::format("{}: all {} producer slots are held ({}): close a producer",
                                                  log.path(), format::kMaxOwner, DescribeHolders(log, hold.locks_, 3)));
}

bool Watcher::Stalled(const Place& place, Word reserved) {
  const int64_t timeout = log_.options().claim_timeout;
  if (timeout == 0 || log_.exclusive()) return false;
  const uint64_t keep_alive = log_.control().slot(reserved.owner()).keep_alive().Read();
  const int64_t now = Seam::MonotonicNow();
  Seen& seen = seen_[reserved.owner()];
  const bool same = seen.position == place.position && seen.word == reserved.bits() && seen.keep_alive == keep_alive;
  if (!same) seen = {place.position, reserved.bits(), keep_alive, now};
  return same && now - seen.since >= timeout;
}

bool Watcher::IsOrphaned(const Place& place, Word reserved) const {
  // SYNC POINT: floor before claim. Read behind the word: if the claim is the holder's, its floor is found, or a later
  // one; then the word is final and the swap fails. On an exclusive topic the owner does not swap.
  const uint64_t floor = log_.control().slot(reserved.owner()).floor().Read();
  return !log_.exclusive() && (floor == 0 || floor > place.position);
}

void Watcher::Consider(const Place& place, Word reserved) {
  // The word was read before this probe: a lock found free now proves that the owner of that word is dead, because a
  // claim is never older than its owner's lock.
  if (!probe_.Probe(reserved.owner()) || IsOrphaned(place, reserved)) {
    EndClaim(log_, place, reserved, format::kGapDead);
  } else if (revoke_ && Stalled(place, reserved)) {
    EndClaim(log_, place, reserved, format::kGapRevoked);
  }
}

absl::Status Watcher::Look(Place place) {
  if (!log_.writable()) return absl::OkStatus();
  LIBBUS_ASSIGN_OR_RETURN(place.segment, log_.writing().Open(place.segment->base()));
  for (;;) {
    const Word seen = place.Read();
    if (place.Judge(log_.seed(), seen) == Verdict::kReserved) Consider(place, seen);
    // Damage further on ends the look: who reads up to it says so.
    const auto moved = StepOver(log_, log_.writing(), place, seen);
    if (!moved.ok() || !*moved) return absl::OkStatus();
  }
}

std::optional<uint64_t> Watcher::WhereToBegin() {
  const auto floor = log_.control().LowestFloor();
  const int64_t now = Seam::MonotonicNow();
  if (log_.is_volatile() || now < look_far_at_) return floor;
  look_far_at_ = now + kLookFarEvery;
  // No open claim stands below D.
  const uint64_t durable = std::max(log_.control().durable().Read(), format::kSegmentHeaderSize);
  return std::min(durable, floor.value_or(durable));
}

absl::Status Watcher::LookFromFloors() {
  std::vector<uint32_t> owners;
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) {
    if (log_.control().slot(owner).floor().Read() != 0) owners.push_back(owner);
  }
  const auto from = WhereToBegin();
  if (from && *from % format::kRecordAlignment == 0) {
    LIBBUS_ASSIGN_OR_RETURN(Place place, log_.PlaceOfFloor(log_.writing(), *from));
    LIBBUS_RETURN_IF_ERROR(Look(std::move(place)));
  }
  // On an exclusive topic the next owner does it, and until then no walk gets longer. Its lock is not taken: who wants
  // to be the owner just now would be told that there is one.
  if (log_.exclusive()) return absl::OkStatus();
  for (const uint32_t owner : owners) {
    if (!probe_.Probe(owner)) CleanSlot(log_, owner);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> ResolveAll(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(Place place, log.NearTail(log.writing()));
  const auto lowest = log.control().LowestFloor();
  if (lowest && *lowest < place.position && *lowest % format::kRecordAlignment == 0) {
    LIBBUS_ASSIGN_OR_RETURN(place, log.PlaceOfFloor(log.writing(), *lowest));
  }
  for (;;) {
    const Word seen = place.Read();
    if (place.Judge(log.seed(), seen) == Verdict::kReserved) EndClaim(log, place, seen, format::kGapDead);
    LIBBUS_RETURN_IF_ERROR(CheckIntact(log, place));
    LIBBUS_ASSIGN_OR_RETURN(const bool moved, StepOver(log, log.writing(), place, seen));
    if (!moved) break;
  }
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) {
    const platform::Floor floor = log.control().slot(owner).floor();
    if (floor.Read() != 0) floor.Clear();
  }
  return place.position;
}

uint32_t CountHolders(const LockFile& probe) {
  uint32_t count = 0;
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) count += probe.Probe(owner) ? 1 : 0;
  return count;
}

std::string DescribeOwner(const Log& log, uint32_t owner) {
  if (owner == 0 || owner > format::kMaxOwner) return fmt::format("slot {}", owner);
  const SlotWords slot = log.control().slot(owner);
  const std::string name = slot.Name();
  return fmt::format("slot {}, {} (pid {})", owner, name.empty() ? "unnamed" : name, slot.pid().Read());
}

std::string DescribeHolders(const Log& log, const LockFile& probe, uint32_t most) {
  std::string text;
  uint32_t named = 0;
  for (uint32_t owner = 1; owner <= format::kMaxOwner && named < most; ++owner) {
    if (!probe.Probe(owner)) continue;
    if (named++ > 0) text += "; ";
    text += DescribeOwner(log, owner);
  }
  return text + (named == most ? "; ..." : "");
}

}  // namespace libbus::log
