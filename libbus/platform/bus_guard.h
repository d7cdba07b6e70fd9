// The SIGBUS guard. A touch of a mapped page that cannot be had (the file was truncated, the sector is bad, the disk is
// full under a shared extent) raises SIGBUS, whose default kills the process. For the mappings of this library a
// private page of zeros takes the place of such a page instead, and the mapping is poisoned: whoever used it asks
// before it reports success.
//
// The handler is one for the process, installed with the first range and never taken back. A SIGBUS that is not about
// a range of ours goes to the handler that was there before, with the same siginfo and context; where none was there
// the process dies of it as it would have.
//
// After fork() handler and ranges are the child's too, each process with flags of its own.
#ifndef LIBBUS_PLATFORM_BUS_GUARD_H_
#define LIBBUS_PLATFORM_BUS_GUARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace libbus::platform {

// Set by the handler.
class PoisonFlag {
 public:
  // False: all that this thread has read and written in the range was the file's. True: a page was replaced. One
  // relaxed load, behind a fence that is no instruction on x86.
  bool Read() const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return set_.load(std::memory_order_relaxed);
  }
  // Before the page of zeros appears: who reads a zero there finds the flag set.
  void Set() { set_.store(true, std::memory_order_seq_cst); }
  void Clear() { set_.store(false, std::memory_order_relaxed); }

 private:
  std::atomic<bool> set_{false};
};

// One range in the list that the handler walks. Never freed, used again. Only bus_guard.cc writes it.
struct alignas(64) GuardNode {
  std::atomic<bool> taken{false};
  PoisonFlag poisoned;
  // Odd while the fields below change or mean nothing; it only rises, so that the handler knows a torn read.
  std::atomic<uint64_t> version{1};
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> writable{false};
  GuardNode* next = nullptr;
};

// Addresses under the guard, as long as it lives: it must end before they are unmapped. Ranges may overlap.
class GuardedRange {
 public:
  // Guards nothing and is never poisoned.
  GuardedRange();
  // REQUIRES: `begin` is the start of a page. `writable`: what the mapping allows; the page of zeros allows the same.
  GuardedRange(const void* begin, size_t size, bool writable);
  GuardedRange(GuardedRange&& other) noexcept;
  GuardedRange& operator=(GuardedRange&& other) noexcept;
  ~GuardedRange();

  // As long as the range lives.
  const PoisonFlag& poisoned() const { return node_->poisoned; }

 private:
  GuardNode* node_;
};

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_BUS_GUARD_H_
