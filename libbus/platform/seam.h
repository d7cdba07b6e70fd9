// The seam: every access to a shared word and every system call that the protocol rests on goes through one of these
// static functions. A build with LIBBUS_SEAM_HEADER replaces them at compile time (a struct Seam that derives from
// RealSeam and hides what it changes), so that tests can schedule, kill, fail or record the shipped code at each of
// them. No virtual call, no branch: in a normal build all of this inlines to the bare instruction.
#ifndef LIBBUS_PLATFORM_SEAM_H_
#define LIBBUS_PLATFORM_SEAM_H_

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace libbus::platform {

// What a shared word is used for; told to a replacement, unused otherwise.
enum class WordUse : uint8_t { kRecord, kFloor, kKeepAlive, kHint, kMark, kHelp, kSlotInfo, kLive, kControl, kCount };

// One of several words to sleep on.
struct FutexWaiter {
  const void* word;
  uint32_t expected;
  bool shared;
};
inline constexpr size_t kMaxFutexWaiters = 128;

struct RealSeam {
  // --- shared words ---
  template <int kOrder>
  static uint64_t Load(WordUse, const uint64_t* word) {
    return __atomic_load_n(word, kOrder);
  }
  template <int kOrder>
  static void Store(WordUse, uint64_t* word, uint64_t value) {
    __atomic_store_n(word, value, kOrder);
  }
  // On failure `expected` becomes what was there. Always sequentially consistent.
  static bool CompareExchange(WordUse, uint64_t* word, uint64_t& expected, uint64_t desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  static uint64_t FetchAdd(WordUse, uint64_t* word, uint64_t n) {
    return __atomic_fetch_add(word, n, __ATOMIC_SEQ_CST);
  }
  // Sequentially consistent as well: a store and a full fence.
  static void Exchange(WordUse, uint64_t* word, uint64_t value) {
    (void)__atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
  }

  // --- membarrier. Return 0 or -errno ---
  // The threads of this process take part in BarrierAll of any other.
  static int JoinBarriers();
  // A full fence here and in every running thread of the processes that joined.
  static int BarrierAll();

  // --- record bytes: the one copy that publishing makes ---
  static void CopyPayload(void* to, const void* from, size_t size) { __builtin_memcpy(to, from, size); }

  // --- futex; `timeout_ns` < 0: none. Return 0 or -errno. Bound() may lengthen the bounds of bounded sleeps ---
  static int FutexWait(const void* word, uint32_t expected, int64_t timeout_ns, bool shared);
  // Sleeps on all of them (at most kMaxFutexWaiters) at once. Returns which one was woken; -ENOSYS where the kernel
  // cannot.
  static int FutexWaitAny(std::span<const FutexWaiter> waiters, int64_t timeout_ns);
  static int FutexWake(const void* word, int count, bool shared);
  static int64_t Bound(int64_t bound_ns) { return bound_ns; }

  // --- time, ns ---
  static int64_t MonotonicNow();
  static int64_t CoarseRealtimeNow();
  static int64_t PreciseRealtimeNow();

  // --- files. Return 0 or errno ---
  static int Sync(int fd);                                                   // fsync
  static int DataSync(int fd);                                               // fdatasync
  static int Write(int fd, uint64_t offset, const void* from, size_t size);  // pwrite, all of it
  static int Allocate(int fd, uint64_t size);
  static int Truncate(int fd, uint64_t size);
  static int Link(const char* from, int to_dir, const char* to_name);
  static int Rename(int dir, const char* from, const char* to);
  static int Unlink(int dir, const char* name);
  static int LockByte(int fd, int type, int64_t byte);  // F_OFD_SETLK
  static bool Volatile(int fd);                         // true: its file system lives in memory
  // F_OFD_GETLK: true if another description holds a lock on the byte, and on error.
  static bool ProbeByte(int fd, int64_t byte);

  // --- mappings; null with errno set on failure ---
  static std::shared_ptr<boost::interprocess::mapped_region> Map(int fd, uint64_t size, bool writable);
  static int Populate(void* address, size_t size);

  // --- identity of the running kernel and of a mount ---
  static bool BootId(uint8_t (&id)[16]);
  static uint64_t MountId(int fd);
};

}  // namespace libbus::platform

#ifdef LIBBUS_SEAM_HEADER
#include LIBBUS_SEAM_HEADER
#else
namespace libbus::platform {
using Seam = RealSeam;
}
#endif

#endif  // LIBBUS_PLATFORM_SEAM_H_
