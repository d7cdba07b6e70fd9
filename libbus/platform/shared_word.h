// The typed shared words: everything that several processes read and write while the bus runs. All memory orders of the
// library stand here, each beside what it pairs with. A class is a pointer; copy it freely.
#ifndef LIBBUS_PLATFORM_SHARED_WORD_H_
#define LIBBUS_PLATFORM_SHARED_WORD_H_

#include <cstdint>

#include "libbus/platform/seam.h"

namespace libbus::platform {

// A record word seen by a reader.
class RecordWordView {
 public:
  explicit RecordWordView(const uint64_t* word) : word_(word) {}

  // SYNC POINT: payload visible. The acquire; pairs with RecordWord::Transition of who committed. What the word says is
  // final (DATA) was written before it.
  uint64_t Read() const { return Seam::Load<__ATOMIC_ACQUIRE>(WordUse::kRecord, word_); }

  // The futex: the kernel compares the low half.
  const void* futex() const { return word_; }

 private:
  const uint64_t* word_;
};

// A record word seen by a writer.
class RecordWord : public RecordWordView {
 public:
  explicit RecordWord(uint64_t* word) : RecordWordView(word), word_(word) {}

  // The only way to change a record word: compare and swap of all 64 bits, sequentially consistent. On failure `seen`
  // becomes what stands there.
  // SYNC POINT: payload visible. The release; what was written before RESERVED -> DATA is seen by who reads DATA.
  // SYNC POINT: sleeper woken. A full fence: the sleep mark is read behind it (SleepMark::Read).
  bool Transition(uint64_t& seen, uint64_t to) const {
    return Seam::CompareExchange(WordUse::kRecord, word_, seen, to);
  }

  // --- Exclusive topics: what their one owner stores instead of swapping. It alone stores; whoever else changes a word
  // there (a GAP for a dead owner) swaps. The owner reads the word before: a change by others it finds, but for one
  // that falls between that read and the store.

  // FREE -> RESERVED. What follows, the bytes of the record, is not seen before it: a release fence.
  void StoreReserved(uint64_t to) const {
    Seam::Store<__ATOMIC_RELEASE>(WordUse::kRecord, word_, to);
    __atomic_thread_fence(__ATOMIC_RELEASE);
  }

  // To DATA or END. SYNC POINT: payload visible. The release, as in Transition.
  // SYNC POINT: sleeper woken. The sleep mark is read behind it, but the processor may do that before others see the
  // store: who goes to sleep executes membarrier (SleepMark::Order), which is a full fence here too. The fence below is
  // no instruction; it keeps the compiler from moving the read.
  void StoreFinal(uint64_t to) const {
    Seam::Store<__ATOMIC_RELEASE>(WordUse::kRecord, word_, to);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
  }

  // The same where this process could not register for membarrier: the full fence is here.
  void StoreFinalFenced(uint64_t to) const { Seam::Exchange(WordUse::kRecord, word_, to); }

  // Changes nothing, and makes the kernel write the page again. Atomic, so whoever owns these bytes loses nothing; any
  // 8 bytes of a record will do.
  void Touch() const { Seam::FetchAdd(WordUse::kRecord, word_, 0); }

 private:
  uint64_t* word_;
};

// Where a producer's open walk or claim began; 0: none. Written by the holder of the slot, cleared by who proved it
// dead.
class Floor {
 public:
  explicit Floor(uint64_t* word) : word_(word) {}

  // SYNC POINT: floor before claim. The release; before FREE -> RESERVED. Who sees the RESERVED word (acquire) and then
  // reads the floor finds this value or a later one of the same holder.
  void Set(uint64_t position) const { Seam::Store<__ATOMIC_RELEASE>(WordUse::kFloor, word_, position); }

  // After the claim became final, so never while it is open.
  void Clear() const { Seam::Store<__ATOMIC_RELEASE>(WordUse::kFloor, word_, 0); }

  // SYNC POINT: floor before claim. The acquire. An old value is lower or none: a walk from it is longer or, at none,
  // misses a claim that is younger than the walk's own tail.
  uint64_t Read() const { return Seam::Load<__ATOMIC_ACQUIRE>(WordUse::kFloor, word_); }

  // The dead owner's floor goes only if it is still the one that was read: a new holder's is not touched.
  void ClearIf(uint64_t seen) const { Seam::CompareExchange(WordUse::kFloor, word_, seen, 0); }

 private:
  uint64_t* word_;
};

// Counts signs of life of an open claim. Written by one owner, compared by watchers; nothing else hangs on it, so
// relaxed will do: a sign seen late costs a watcher one more look, never a wrong proof (its time-out is far longer).
class KeepAlive {
 public:
  explicit KeepAlive(uint64_t* word) : word_(word) {}
  void Bump() const { Seam::Store<__ATOMIC_RELAXED>(WordUse::kKeepAlive, word_, Read() + 1); }
  uint64_t Read() const { return Seam::Load<__ATOMIC_RELAXED>(WordUse::kKeepAlive, word_); }

 private:
  uint64_t* word_;
};

// The start of some committed record, stored now and then. May be old, may be nonsense: whoever takes it checks the
// record that stands there first.
class TailHint {
 public:
  explicit TailHint(uint64_t* word) : word_(word) {}
  // SYNC POINT: hinted record. The release; the record at the hint was committed before.
  void Set(uint64_t position) const { Seam::Store<__ATOMIC_RELEASE>(WordUse::kHint, word_, position); }
  // SYNC POINT: hinted record. The acquire.
  uint64_t Read() const { return Seam::Load<__ATOMIC_ACQUIRE>(WordUse::kHint, word_); }

 private:
  uint64_t* word_;
};

// The highest position anyone slept on. Never lowered; consumers may write it, so nobody believes it: too high costs
// each publish an empty wake.
class SleepMark {
 public:
  explicit SleepMark(uint64_t* word) : word_(word) {}

  // Before FUTEX_WAIT. SYNC POINT: sleeper woken. A sequentially consistent RMW if the mark is lower, else a
  // sequentially consistent load: in the one order of these with the committer's CAS and its Read, either the committer
  // sees the mark, or the kernel's compare in FUTEX_WAIT sees the final word.
  void Raise(uint64_t position) const {
    uint64_t seen = Seam::Load<__ATOMIC_SEQ_CST>(WordUse::kMark, word_);
    while (seen < position && !Seam::CompareExchange(WordUse::kMark, word_, seen, position)) {
    }
  }

  // Between Raise and FUTEX_WAIT on an exclusive topic, whose owner stores without a fence. SYNC POINT: sleeper woken.
  // A full fence in the owner and here: the owner's store stands before it, then the kernel's compare sees it, or else
  // its read of the mark stands behind it and sees the mark. False: this process may not; see SelfFencing.
  static bool Order() { return Seam::BarrierAll() == 0; }

  // After a word was made final. SYNC POINT: sleeper woken. See RecordWord::Transition.
  uint64_t Read() const { return Seam::Load<__ATOMIC_SEQ_CST>(WordUse::kMark, word_); }

 private:
  uint64_t* word_;
};

// A counter that is a futex (its low half): raised, then woken; sleepers read it before they look for work.
class EventCounter {
 public:
  explicit EventCounter(uint64_t* word) : word_(word) {}
  // SYNC POINT: help wanted. The release (and a full fence).
  void Raise() const { Seam::FetchAdd(WordUse::kHelp, word_, 1); }
  // SYNC POINT: help wanted. The acquire.
  uint64_t Read() const { return Seam::Load<__ATOMIC_SEQ_CST>(WordUse::kHelp, word_); }
  const void* futex() const { return word_; }

 private:
  uint64_t* word_;
};

// A word for people (who holds a slot, since when): any mix of old and new is harmless, so relaxed.
class InfoWord {
 public:
  explicit InfoWord(uint64_t* word) : word_(word) {}
  void Set(uint64_t value) const { Seam::Store<__ATOMIC_RELAXED>(WordUse::kSlotInfo, word_, value); }
  uint64_t Read() const { return Seam::Load<__ATOMIC_RELAXED>(WordUse::kSlotInfo, word_); }

 private:
  uint64_t* word_;
};

// Counts what happened, for people. Nothing hangs on it, and what is read may be nonsense that somebody wrote there.
// Only where the work that is counted is far dearer: a system call, a repair.
class CountWord {
 public:
  explicit CountWord(uint64_t* word) : word_(word) {}
  void Add(uint64_t n) const { Seam::FetchAdd(WordUse::kCount, word_, n); }
  uint64_t Read() const { return Seam::Load<__ATOMIC_RELAXED>(WordUse::kCount, word_); }

 private:
  uint64_t* word_;
};

// Who owns an exclusive topic, as a number that rises with every owner. The owner remembers its own.
class GenerationWord {
 public:
  explicit GenerationWord(uint64_t* word) : word_(word) {}
  // By who has just taken the lock. SYNC POINT: owner changed. The release (and a full fence): who was the owner finds
  // it at its next look. Returns the new one.
  uint64_t Next() const { return Seam::FetchAdd(WordUse::kLive, word_, 1) + 1; }
  // SYNC POINT: owner changed. The acquire: what is stored behind it is stored behind the look.
  uint64_t Read() const { return Seam::Load<__ATOMIC_ACQUIRE>(WordUse::kLive, word_); }

 private:
  uint64_t* word_;
};

// Whether the owner of an exclusive topic fences its commits itself. A sleeper that may not execute membarrier asks,
// after it has raised the mark, whether it needs one.
class SelfFencing {
 public:
  explicit SelfFencing(uint64_t* word) : word_(word) {}
  // Before the owner's first commit. A full fence: a sleeper that finds what stood here before had raised its mark
  // before every read of the mark that follows.
  void Set(bool fences) const { Seam::Exchange(WordUse::kLive, word_, fences ? 1 : 0); }
  // Behind SleepMark::Raise, sequentially consistent like it.
  bool Read() const { return Seam::Load<__ATOMIC_SEQ_CST>(WordUse::kLive, word_) == 1; }

 private:
  uint64_t* word_;
};

// A position that only rises, e.g. the newest segment whose name is on disk. A lower value seen late repeats work.
class RisingWord {
 public:
  explicit RisingWord(uint64_t* word) : word_(word) {}
  void Raise(uint64_t value) const {
    uint64_t seen = Read();
    while (seen < value && !Seam::CompareExchange(WordUse::kLive, word_, seen, value)) {
    }
  }
  void Reset(uint64_t value) const { Seam::Store<__ATOMIC_SEQ_CST>(WordUse::kLive, word_, value); }
  uint64_t Read() const { return Seam::Load<__ATOMIC_SEQ_CST>(WordUse::kLive, word_); }

 private:
  uint64_t* word_;
};

// Counts syncs as they start: the ticket of a publisher.
class TicketWord {
 public:
  explicit TicketWord(uint64_t* word) : word_(word) {}
  // SYNC POINT: ticket drawn. The release (and a full fence): the sync looks for the tail behind it.
  uint64_t Draw() const { return Seam::FetchAdd(WordUse::kLive, word_, 1) + 1; }
  // SYNC POINT: ticket drawn. Behind a full fence: a sync with a higher number than the value read here drew it after
  // everything that the reader committed, or saw committed, before; so it finds and writes all of that.
  uint64_t Read() const {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return Seam::Load<__ATOMIC_SEQ_CST>(WordUse::kLive, word_);
  }
  void Reset(uint64_t value) const { Seam::Store<__ATOMIC_SEQ_CST>(WordUse::kLive, word_, value); }

 private:
  uint64_t* word_;
};

// 0, or a position that is only lowered: the oldest place where something is wrong.
class FallingWord {
 public:
  explicit FallingWord(uint64_t* word) : word_(word) {}
  void Lower(uint64_t value) const {
    uint64_t seen = Read();
    while ((seen == 0 || seen > value) && !Seam::CompareExchange(WordUse::kLive, word_, seen, value)) {
    }
  }
  void Reset(uint64_t value) const { Seam::Store<__ATOMIC_SEQ_CST>(WordUse::kLive, word_, value); }
  uint64_t Read() const { return Seam::Load<__ATOMIC_SEQ_CST>(WordUse::kLive, word_); }

 private:
  uint64_t* word_;
};

// A run of words that one process writes while others may copy it: a control record. Each word is atomic, the whole is
// not: the reader's checksum tells a torn copy.
class SharedBlock {
 public:
  // `size` is a multiple of 8.
  static void Write(uint64_t* to, const void* from, uint64_t size) {
    for (uint64_t i = 0; i < size / 8; ++i) {
      uint64_t word;
      __builtin_memcpy(&word, static_cast<const uint8_t*>(from) + i * 8, 8);
      Seam::Store<__ATOMIC_RELEASE>(WordUse::kControl, to + i, word);
    }
  }
  static void Read(void* to, const uint64_t* from, uint64_t size) {
    for (uint64_t i = 0; i < size / 8; ++i) {
      const uint64_t word = Seam::Load<__ATOMIC_ACQUIRE>(WordUse::kControl, from + i);
      __builtin_memcpy(static_cast<uint8_t*>(to) + i * 8, &word, 8);
    }
  }
};

// A pause inside a polling loop.
inline void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_SHARED_WORD_H_
