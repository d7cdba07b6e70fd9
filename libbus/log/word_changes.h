// How a producer changes record words: all in which shared and exclusive topics differ.
//
// On a shared topic every change is one swap. On an exclusive one its only producer, who holds the lock of slot 1,
// stores: same states, same bytes, same order. (A claim that is given up is swapped everywhere: that is seldom, and
// needs no look at who is the owner.) What others rely on, and why plain stores keep it:
//
//   floor before claim      the floor is stored (release) before RESERVED (release), and cleared behind the final word
//                           (release). Who sees RESERVED and then reads the floors (a sync, a watcher, recovery) finds
//                           it there, or finds a later one and the word final. No full fence was ever needed for that.
//   sync finds the tail     FREE at t, then the floors: what is claimed later stands at t or behind it, stored late or
//   not ticket                  read behind a full fence (TicketWord::Read), which durable publishes alone execute
//   sleeper woken           needs a full fence between commit and mark: membarrier by the sleeper, or a swap here
//   proof of a death        read the word, probe the lock, swap exactly that word. All that an owner stored is seen by
//                           who finds its lock free: the kernel drops the lock behind its last instruction, and passes
//                           it on under a lock of its own. A position is never claimed twice, so the word that was read
//                           is not there again, whoever owns the topic by then.
//   never revoked           a living owner's claim is changed by nobody: between its look at the word and its store
//                           there is nobody who might swap it. That is what claim_timeout would break.
//
// States of a take-over (log/slot.h), and what a death leaves:
//   1 lock of slot 1 taken          the kernel drops it; the dead owner's claim stands as before
//   2 generation raised             a number more; who was the owner before and still lives stops
//   3 its claim made a gap          the floor stands: the next one walks again, and finds nothing
//   4 floor cleared                 nothing is left to do
// Stopped (not dead) between 1 and 3, it holds up consumers at the dead claim until it goes on or dies.
//
// An owner whose lock went away behind its back (a host that closes foreign descriptors) still lives while others may
// prove it dead and take over. It looks at the generation and at the word itself before each store: so it stops at its
// next reserve or commit. Between such a look and the store behind it a few instructions are left, in which it may be
// interrupted for any time, and then overwrites what its successor put there. Nothing here can close that window; a
// swap does: shared topics are for who needs it closed.
#ifndef LIBBUS_LOG_WORD_CHANGES_H_
#define LIBBUS_LOG_WORD_CHANGES_H_

#include <absl/base/attributes.h>

#include <cstdint>

#include "libbus/format/word.h"
#include "libbus/log/segment.h"
#include "libbus/log/slot.h"

namespace libbus::log {

// One producer's. Not thread-safe.
class WordChanges {
 public:
  WordChanges(const Log& log, const SlotHold& slot)
      : exclusive_(log.exclusive()),
        fences_(slot.fences()),
        mine_(slot.generation()),
        generation_(log.control().owner_generation()) {}

  bool exclusive() const { return exclusive_; }

  // False, from then on, once the topic is seen to be somebody else's. Always true on a shared one.
  bool owns() const { return !exclusive_ || (!lost_ && generation_.Read() == mine_); }

  // FREE -> RESERVED. False: `seen` stands there, or owns() is false.
  bool Reserve(const Place& place, uint64_t& seen, format::Word to) {
    if (!exclusive_) return place.word().Transition(seen, to.bits());
    if (!MayStore(place, seen)) return false;
    place.word().StoreReserved(to.bits());
    return true;
  }

  // To DATA or END, with a full fence between the change and the next read of the sleep mark, wherever it is
  // executed. False: `seen` stands there; or owns() is false; or the page could not be had (Segment::poisoned).
  ABSL_ATTRIBUTE_ALWAYS_INLINE bool Finish(const Place& place, uint64_t& seen, format::Word to) {
    if (!exclusive_) return place.word().Transition(seen, to.bits());
    if (!MayStore(place, seen)) return false;
    if (fences_) {
      place.word().StoreFinalFenced(to.bits());
    } else {
      place.word().StoreFinal(to.bits());
    }
    // A swap would have found zeros there.
    return !place.segment->poisoned();
  }

 private:
  // Nobody but the owner changes what it changes.
  bool MayStore(const Place& place, uint64_t& seen) {
    if (!owns()) return false;
    const uint64_t stands = place.word().Read();
    if (stands == seen) return true;
    seen = stands;
    // Zeros in place of a claim: the page could not be had.
    if (!place.segment->poisoned()) lost_ = true;
    return false;
  }

  bool exclusive_;
  bool fences_;  // this process could not register for membarrier
  bool lost_ = false;
  uint64_t mine_;
  platform::GenerationWord generation_;
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_WORD_CHANGES_H_
