// Slots: who may produce, how a dead holder is proven, and what he left is resolved.
//
// An exclusive topic has one slot: its lock is the ownership of the topic, taken over from who died or closed. The
// states of that, and what a death leaves, are in log/word_changes.h.
#ifndef LIBBUS_LOG_SLOT_H_
#define LIBBUS_LOG_SLOT_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "libbus/log/log.h"
#include "libbus/platform/ofd_lock.h"

namespace libbus::log {

// A slot held: an OFD lock on its byte through a description of its own. Dropped by the kernel at death.
class SlotHold {
 public:
  // Takes a free slot, and makes every claim that a dead holder left in it a gap before it returns.
  // RESOURCE_EXHAUSTED: all are held; the message names holders. FAILED_PRECONDITION: the topic is exclusive, and held;
  // the message names the holder.
  static absl::StatusOr<SlotHold> Take(Log& log, const std::string& name);

  uint32_t owner() const { return owner_; }
  // Exclusive topics: which owner this is, and whether it fences its commits itself (platform::SelfFencing).
  uint64_t generation() const { return generation_; }
  bool fences() const { return fences_; }
  // Gives the slot back. REQUIRES: no open claim.
  void Release() { locks_.Close(); }

 private:
  absl::Status TakeOver(Log& log, const std::string& name);

  platform::LockFile locks_;
  uint32_t owner_ = 0;
  uint64_t generation_ = 0;
  bool fences_ = false;
};

// Looks after claims whose owners are dead or stalled. One per watcher: a consumer that may write, or the background
// thread of a process. Not thread-safe.
//
// A claim ends by proof: read the word, probe the lock of its slot, or find there that its holder has no claim so far
// back, swap exactly the word that was read. Or by time: the same word and the same keep-alive count, seen for
// claim_timeout on this process's monotonic clock. All slots are watched at once, so that many stalled claims take one
// time-out, not one each.
class Watcher {
 public:
  // `probe` holds no lock itself and outlives the watcher.
  Watcher(Log& log, const platform::LockFile& probe) : log_(log), probe_(probe) {}

  // Looks at every RESERVED word from `from`, the start of a word, to the tail or the first damage.
  absl::Status Look(Place from);

  // The same from the lowest floor on, once a second from D: a floor can be lost with its page, if that could not be
  // written to the disk. Then clears the floors of the dead that had nothing open.
  absl::Status LookFromFloors();

  // Ends claims that stalled for claim_timeout, but for those of an exclusive topic, whose owner does not look before
  // it commits. Off: only the dead.
  void set_revoke(bool revoke) { revoke_ = revoke; }

 private:
  struct Seen {
    uint64_t position;
    uint64_t word;
    uint64_t keep_alive;
    int64_t since;
  };

  // A position at or below every claim that may need an end; nothing: there is none.
  std::optional<uint64_t> WhereToBegin();
  // The claim is not its slot's holder's, but one of an earlier holder who died, and whose floor was lost.
  bool IsOrphaned(const Place& place, format::Word reserved) const;
  void Consider(const Place& place, format::Word reserved);
  bool Stalled(const Place& place, format::Word reserved);

  Log& log_;
  const platform::LockFile& probe_;
  bool revoke_ = true;
  int64_t look_far_at_ = 0;
  std::unordered_map<uint32_t, Seen> seen_;  // by owner: a slot has at most one open claim
};

// Swaps exactly `reserved` for a gap and wakes its sleepers. False: somebody else made it final first.
bool EndClaim(const Log& log, const Place& place, format::Word reserved, uint8_t cause);

// For who is alone: makes every RESERVED word from the lowest floor to the tail a gap, then clears all floors.
// OK: the tail. DATA_LOSS: damage in between.
absl::StatusOr<uint64_t> ResolveAll(Log& log);

// Slots whose lock is held.
uint32_t CountHolders(const platform::LockFile& probe);

// "slot 3: writer (pid 123), slot 4: ...", for messages; at most `most`.
std::string DescribeHolders(const Log& log, const platform::LockFile& probe, uint32_t most);
// "slot 3, writer (pid 123)".
std::string DescribeOwner(const Log& log, uint32_t owner);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_SLOT_H_
