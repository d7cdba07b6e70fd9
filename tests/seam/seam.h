// The seam as tests want it: the shipped code with each access to a shared word and each system call counted, and,
// where a test says so, killed, failed, bounded otherwise or told another time, boot or mount.
#ifndef LIBBUS_TESTS_SEAM_SEAM_H_
#define LIBBUS_TESTS_SEAM_SEAM_H_

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>

#include "libbus/platform/seam.h"

#if defined(__SANITIZE_THREAD__)
#define LIBBUS_TEST_SHARED_MAPPING 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LIBBUS_TEST_SHARED_MAPPING 1
#endif
#endif

namespace libbus::platform {

// Sees what the library does to its files, on the thread that does it; what it does itself must not go through the
// library, or must mind that it comes back here. `error` is what the library is told: 0 or errno.
class SeamWatcher {
 public:
  virtual ~SeamWatcher() = default;
  virtual void AtPoint() {}  // before each point
  virtual void AtLook() {}   // before a record word or a floor is read
  virtual void AtSleep() {}  // before a bounded sleep that is skipped
  // A page is made dirty though its content may stay: a word is added 0 to, or bytes are written.
  virtual void AtTouch(const void* /*word*/) {}
  virtual void AtWrite(int /*fd*/, uint64_t /*offset*/, size_t /*size*/) {}
  virtual void BeforeSync(int /*fd*/) {}
  virtual void AfterSync(int /*fd*/, int /*error*/) {}
  virtual void AfterAllocate(int /*fd*/, int /*error*/) {}
  virtual void AfterWrite(int /*fd*/) {}  // or a change of the size
  virtual void AfterLink(const char* /*from*/, int /*to_dir*/, const char* /*to_name*/, int /*error*/) {}
  virtual void AfterRename(int /*dir*/, const char* /*from*/, const char* /*to*/, int /*error*/) {}
  virtual void AfterUnlink(int /*dir*/, const char* /*name*/, int /*error*/) {}
  // Asked in the place of the kernel. Under TSan nobody is asked.
  virtual std::shared_ptr<boost::interprocess::mapped_region> Map(int fd, uint64_t size, bool writable) {
    return RealSeam::Map(fd, size, writable);
  }
};

// Runs what a test does one step at a time (tests/crash/scheduler.h): told before each access to a shared word and
// before each system call, and asked in the place of the kernel to sleep, to wake and what time it is.
class SeamScheduler {
 public:
  virtual ~SeamScheduler() = default;
  virtual void AtAccess(WordUse use, const void* word, bool writes) = 0;
  virtual void AtCall() = 0;
  virtual void AfterMap(int fd, const void* address, uint64_t size) = 0;
  virtual void AfterLock(int fd, int type, int64_t byte, int error) = 0;
  virtual int Wait(std::span<const FutexWaiter> waiters, int64_t timeout_ns) = 0;
  virtual int Wake(const void* word, int count, bool shared) = 0;
  virtual int64_t Now() = 0;
};

// What a test may set. One per process; a forked child has its own copy.
struct SeamControl {
  // Points: changes of shared bytes, and system calls, in the order in which this process makes them.
  std::atomic<uint64_t> points{0};
  uint64_t kill_at = 0;                         // SIGKILL before the point with this number (from 1); 0: never
  uint64_t stop_at = 0;                         // SIGSTOP before it
  void (*at_point)(uint64_t number) = nullptr;  // called before each point
  SeamWatcher* watcher = nullptr;
  SeamScheduler* scheduler = nullptr;

  bool no_bounds = false;                // bounded sleeps last an hour: a lost wake-up is a hang
  bool skip_sleeps = false;              // a bounded sleep ends at once, and the monotonic clock moves on by its bound
  std::atomic<int64_t> clock_offset{0};  // added to the monotonic clock, ns
  bool own_clock = false;              // the monotonic clock is clock_offset alone, and a microsecond more at each look
  int64_t realtime = 0;                // what the realtime clock says, ns; 0: the truth
  int allocate_error = 0;              // what fallocate returns; 0: the truth
  uint64_t fail_allocations_from = 0;  // ENOSPC from the fallocate with this number on (from 1); 0: never
  int write_error = 0;                 // what pwrite returns; 0: the truth
  bool tear_writes = false;            // a pwrite is two, with a point in between
  int sync_error = 0;                  // what fsync and fdatasync return; 0: the truth
  uint64_t fail_sync_at = 0;           // EIO at the sync with this number (from 1); 0: never
  bool stop_at_data_sync = false;      // SIGSTOP inside the next fdatasync
  bool kill_at_data_sync = false;      // SIGKILL inside it
  bool no_waitv = false;               // futex_waitv is missing
  bool no_join = false;                // this process cannot register for membarrier
  bool no_barrier = false;             // this process cannot execute membarrier
  uint32_t boot_id = 0;                // added to the first bytes of the boot id: another boot
  uint64_t mount_id = 0;               // added to the mount's id: another mount
  bool pretend_durable = false;        // a file system in memory passes for a disk

  std::atomic<uint64_t> allocations{0};  // fallocate
  std::atomic<uint64_t> syncs{0};        // fsync and fdatasync
  std::atomic<uint64_t> data_syncs{0};   // fdatasync
  std::atomic<uint64_t> touches{0};      // record words that were added 0 to
  std::atomic<uint64_t> copies{0};       // payload copies
  std::atomic<uint64_t> copied_bytes{0};
  std::atomic<uint64_t> wakes{0};          // FUTEX_WAKEs on shared words
  std::atomic<uint64_t> sleeps{0};         // FUTEX_WAITs
  std::atomic<uint64_t> barriers{0};       // membarriers executed, or tried
  std::atomic<uint64_t> swaps{0};          // compare-and-swaps of record words, done or not
  std::atomic<uint64_t> exchanges{0};      // record words exchanged
  std::atomic<uint64_t> record_writes{0};  // record words swapped or stored
};
inline SeamControl seam_control;

inline void SeamAccess(WordUse use, const void* word, bool writes) {
  if (seam_control.scheduler != nullptr) seam_control.scheduler->AtAccess(use, word, writes);
}
inline void SeamCall() {
  if (seam_control.scheduler != nullptr) seam_control.scheduler->AtCall();
}

inline void SeamPoint() {
  const uint64_t number = seam_control.points.fetch_add(1, std::memory_order_relaxed) + 1;
  if (seam_control.at_point != nullptr) seam_control.at_point(number);
  if (seam_control.watcher != nullptr) seam_control.watcher->AtPoint();
  if (number == seam_control.kill_at) raise(SIGKILL);
  if (number == seam_control.stop_at) raise(SIGSTOP);
}

struct Seam : RealSeam {
  template <int kOrder>
  static uint64_t Load(WordUse use, const uint64_t* word) {
    const bool looks = use == WordUse::kRecord || use == WordUse::kFloor;
    if (looks && seam_control.watcher != nullptr) seam_control.watcher->AtLook();
    SeamAccess(use, word, false);
    return RealSeam::Load<kOrder>(use, word);
  }
  template <int kOrder>
  static void Store(WordUse use, uint64_t* word, uint64_t value) {
    SeamPoint();
    SeamAccess(use, word, true);
    // Counted before: behind the store it would be the full fence that an exclusive commit goes without.
    if (use == WordUse::kRecord) ++seam_control.record_writes;
    RealSeam::Store<kOrder>(use, word, value);
  }
  static bool CompareExchange(WordUse use, uint64_t* word, uint64_t& expected, uint64_t desired) {
    SeamPoint();
    SeamAccess(use, word, true);
    const bool swapped = RealSeam::CompareExchange(use, word, expected, desired);
    if (use == WordUse::kRecord) ++seam_control.swaps;
    if (swapped && use == WordUse::kRecord) ++seam_control.record_writes;
    return swapped;
  }
  static uint64_t FetchAdd(WordUse use, uint64_t* word, uint64_t n) {
    SeamPoint();
    SeamAccess(use, word, true);
    if (use == WordUse::kRecord && n == 0) {
      ++seam_control.touches;
      if (seam_control.watcher != nullptr) seam_control.watcher->AtTouch(word);
    }
    return RealSeam::FetchAdd(use, word, n);
  }
  static void Exchange(WordUse use, uint64_t* word, uint64_t value) {
    SeamPoint();
    SeamAccess(use, word, true);
    RealSeam::Exchange(use, word, value);
    if (use != WordUse::kRecord) return;
    ++seam_control.exchanges;
    ++seam_control.record_writes;
  }
  static int JoinBarriers() { return seam_control.no_join ? -EPERM : RealSeam::JoinBarriers(); }
  static int BarrierAll() {
    ++seam_control.barriers;
    SeamCall();
    return seam_control.no_barrier ? -EPERM : RealSeam::BarrierAll();
  }
  static void CopyPayload(void* to, const void* from, size_t size) {
    SeamPoint();
    SeamCall();
    ++seam_control.copies;
    seam_control.copied_bytes += size;
    // In two halves, so that a death finds a payload half written.
    std::memcpy(to, from, size / 2);
    SeamPoint();
    SeamCall();
    std::memcpy(static_cast<char*>(to) + size / 2, static_cast<const char*>(from) + size / 2, size - size / 2);
  }

  static int FutexWait(const void* word, uint32_t expected, int64_t timeout_ns, bool shared) {
    ++seam_control.sleeps;
    if (seam_control.scheduler != nullptr) {
      const FutexWaiter waiter = {word, expected, shared};
      return seam_control.scheduler->Wait({&waiter, 1}, timeout_ns);
    }
    if (seam_control.skip_sleeps && timeout_ns >= 0) {
      if (seam_control.watcher != nullptr) seam_control.watcher->AtSleep();
      seam_control.clock_offset += timeout_ns;
      return -ETIMEDOUT;
    }
    return RealSeam::FutexWait(word, expected, timeout_ns, shared);
  }
  static int FutexWaitAny(std::span<const FutexWaiter> waiters, int64_t timeout_ns) {
    if (seam_control.no_waitv) return -ENOSYS;
    ++seam_control.sleeps;
    if (seam_control.scheduler != nullptr) return seam_control.scheduler->Wait(waiters, timeout_ns);
    return RealSeam::FutexWaitAny(waiters, timeout_ns);
  }
  static int FutexWake(const void* word, int count, bool shared) {
    SeamPoint();
    if (shared) ++seam_control.wakes;
    if (seam_control.scheduler != nullptr) return seam_control.scheduler->Wake(word, count, shared);
    return RealSeam::FutexWake(word, count, shared);
  }
  static int64_t Bound(int64_t bound_ns) { return seam_control.no_bounds ? 3600 * int64_t{1'000'000'000} : bound_ns; }
  static int64_t MonotonicNow() {
    if (seam_control.scheduler != nullptr) return seam_control.scheduler->Now();
    if (seam_control.own_clock) return seam_control.clock_offset += 1000;
    return RealSeam::MonotonicNow() + seam_control.clock_offset.load();
  }
  static int64_t CoarseRealtimeNow() {
    return seam_control.realtime != 0 ? seam_control.realtime : RealSeam::CoarseRealtimeNow();
  }
  static int64_t PreciseRealtimeNow() {
    return seam_control.realtime != 0 ? seam_control.realtime : RealSeam::PreciseRealtimeNow();
  }

  static int Sync(int fd) { return Watched(fd, &RealSeam::Sync); }
  static int DataSync(int fd) {
    ++seam_control.data_syncs;
    if (seam_control.stop_at_data_sync) raise(SIGSTOP);
    if (seam_control.kill_at_data_sync) raise(SIGKILL);
    return Watched(fd, &RealSeam::DataSync);
  }
  static int Write(int fd, uint64_t offset, const void* from, size_t size) {
    SeamPoint();
    SeamCall();
    if (seam_control.write_error != 0) return seam_control.write_error;
    if (seam_control.watcher != nullptr) seam_control.watcher->AtWrite(fd, offset, size);
    if (!seam_control.tear_writes) return Written(fd, RealSeam::Write(fd, offset, from, size));
    // In two halves, so that a death finds one written.
    const int error = Written(fd, RealSeam::Write(fd, offset, from, size / 2));
    if (error != 0) return error;
    SeamPoint();
    const char* const rest = static_cast<const char*>(from) + size / 2;
    return Written(fd, RealSeam::Write(fd, offset + size / 2, rest, size - size / 2));
  }
  static int Allocate(int fd, uint64_t size) {
    SeamPoint();
    SeamCall();
    const uint64_t from = seam_control.fail_allocations_from;
    const bool full = ++seam_control.allocations >= from && from != 0;
    const int wanted = full ? ENOSPC : seam_control.allocate_error;
    const int error = wanted != 0 ? wanted : RealSeam::Allocate(fd, size);
    if (seam_control.watcher != nullptr) seam_control.watcher->AfterAllocate(fd, error);
    return error;
  }
  static int Truncate(int fd, uint64_t size) {
    SeamPoint();
    SeamCall();
    return Written(fd, RealSeam::Truncate(fd, size));
  }
  static int Link(const char* from, int to_dir, const char* to_name) {
    SeamPoint();
    SeamCall();
    const int error = RealSeam::Link(from, to_dir, to_name);
    if (seam_control.watcher != nullptr) seam_control.watcher->AfterLink(from, to_dir, to_name, error);
    return error;
  }
  static int Rename(int dir, const char* from, const char* to) {
    SeamPoint();
    SeamCall();
    const int error = RealSeam::Rename(dir, from, to);
    if (seam_control.watcher != nullptr) seam_control.watcher->AfterRename(dir, from, to, error);
    return error;
  }
  static int Unlink(int dir, const char* name) {
    SeamPoint();
    SeamCall();
    const int error = RealSeam::Unlink(dir, name);
    if (seam_control.watcher != nullptr) seam_control.watcher->AfterUnlink(dir, name, error);
    return error;
  }
  static bool Volatile(int fd) { return !seam_control.pretend_durable && RealSeam::Volatile(fd); }
  static int LockByte(int fd, int type, int64_t byte) {
    SeamPoint();
    SeamCall();
    const int error = RealSeam::LockByte(fd, type, byte);
    if (seam_control.scheduler != nullptr) seam_control.scheduler->AfterLock(fd, type, byte, error);
    return error;
  }
  // No point: it changes nothing that anybody sees.
  static bool ProbeByte(int fd, int64_t byte) {
    SeamCall();
    return RealSeam::ProbeByte(fd, byte);
  }
  static int Populate(void* address, size_t size) {
    SeamPoint();
    return RealSeam::Populate(address, size);
  }

  static bool BootId(uint8_t (&id)[16]) {
    const bool known = RealSeam::BootId(id);
    for (int i = 0; i < 4; ++i) id[i] = static_cast<uint8_t>(id[i] + (seam_control.boot_id >> 8 * i));
    return known;
  }
  static uint64_t MountId(int fd) { return RealSeam::MountId(fd) + seam_control.mount_id; }

  static int Written(int fd, int error) {
    if (seam_control.watcher != nullptr) seam_control.watcher->AfterWrite(fd);
    return error;
  }
  static int Watched(int fd, int (*sync)(int)) {
    SeamPoint();
    SeamCall();
    SeamWatcher* const watcher = seam_control.watcher;
    if (watcher != nullptr) watcher->BeforeSync(fd);
    const bool fails = ++seam_control.syncs == seam_control.fail_sync_at;
    const int error = seam_control.sync_error != 0 ? seam_control.sync_error : fails ? EIO : sync(fd);
    if (watcher != nullptr) watcher->AfterSync(fd, error);
    return error;
  }

#ifdef LIBBUS_TEST_SHARED_MAPPING
  // To TSan the same file mapped twice is two memories: one mapping for all, or it would prove nothing.
  static std::shared_ptr<boost::interprocess::mapped_region> Map(int fd, uint64_t size, bool writable);
#else
  static std::shared_ptr<boost::interprocess::mapped_region> Map(int fd, uint64_t size, bool writable) {
    SeamWatcher* const watcher = seam_control.watcher;
    auto region = watcher != nullptr ? watcher->Map(fd, size, writable) : RealSeam::Map(fd, size, writable);
    if (region && seam_control.scheduler != nullptr) {
      seam_control.scheduler->AfterMap(fd, region->get_address(), size);
    }
    return region;
  }
#endif
};

}  // namespace libbus::platform

#endif  // LIBBUS_TESTS_SEAM_SEAM_H_
