#include "libbus/platform/seam.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <ctime>

#include "libbus/platform/file.h"

namespace libbus::platform {
namespace {

namespace bip = boost::interprocess;

// What Boost's mapped_region takes: anything that gives a handle. The descriptor was checked by who opened it.
class CheckedDescriptor {
 public:
  explicit CheckedDescriptor(int fd) : fd_(fd) {}
  bip::mapping_handle_t get_mapping_handle() const { return {fd_, false}; }

 private:
  int fd_;
};

timespec ToTimespec(int64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

struct flock OneByte(int type, int64_t byte) {
  struct flock lock = {};
  lock.l_type = static_cast<short>(type);
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

int64_t Now(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int Errno(int64_t result) { return result < 0 ? errno : 0; }

int HexDigit(int c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

int RealSeam::JoinBarriers() { return -Errno(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0)); }

int RealSeam::BarrierAll() { return -Errno(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0)); }

int RealSeam::FutexWait(const void* word, uint32_t expected, int64_t timeout_ns, bool shared) {
  const timespec timeout = ToTimespec(timeout_ns < 0 ? 0 : timeout_ns);
  const long result = syscall(SYS_futex, word, shared ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE, expected,
                              timeout_ns < 0 ? nullptr : &timeout, nullptr, 0);
  return -Errno(result);
}

int RealSeam::FutexWaitAny(std::span<const FutexWaiter> waiters, int64_t timeout_ns) {
#if defined(SYS_futex_waitv) && defined(FUTEX_32)
  if (waiters.size() > kMaxFutexWaiters) return -EINVAL;
  futex_waitv all[kMaxFutexWaiters] = {};
  for (size_t i = 0; i < waiters.size(); ++i) {
    all[i].val = waiters[i].expected;
    all[i].uaddr = reinterpret_cast<uintptr_t>(waiters[i].word);
    all[i].flags = FUTEX_32 | (waiters[i].shared ? 0u : FUTEX_PRIVATE_FLAG);
  }
  const timespec until = ToTimespec(timeout_ns < 0 ? 0 : Now(CLOCK_MONOTONIC) + timeout_ns);
  const long result =
      syscall(SYS_futex_waitv, all, waiters.size(), 0, timeout_ns < 0 ? nullptr : &until, CLOCK_MONOTONIC);
  return result < 0 ? -errno : static_cast<int>(result);
#else
  (void)waiters, (void)timeout_ns;
  return -ENOSYS;
#endif
}

int RealSeam::FutexWake(const void* word, int count, bool shared) {
  const long result = syscall(SYS_futex, word, shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
  return result < 0 ? -errno : static_cast<int>(result);
}

int64_t RealSeam::MonotonicNow() { return Now(CLOCK_MONOTONIC); }
int64_t RealSeam::CoarseRealtimeNow() { return Now(CLOCK_REALTIME_COARSE); }
int64_t RealSeam::PreciseRealtimeNow() { return Now(CLOCK_REALTIME); }

int RealSeam::Sync(int fd) { return Errno(fsync(fd)); }
int RealSeam::DataSync(int fd) { return Errno(fdatasync(fd)); }

int RealSeam::Write(int fd, uint64_t offset, const void* from, size_t size) {
  const SignalBlocker blocker(SIGXFSZ);  // as at Allocate
  for (size_t done = 0; done < size;) {
    const ssize_t n = pwrite(fd, static_cast<const char*>(from) + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno != EINTR) return errno;
    if (n > 0) done += static_cast<size_t>(n);
  }
  return 0;
}

int RealSeam::Allocate(int fd, uint64_t size) {
  // Past RLIMIT_FSIZE fallocate raises SIGXFSZ, whose default kills the process.
  const SignalBlocker blocker(SIGXFSZ);
  int result;
  do {
    result = Errno(fallocate(fd, 0, 0, static_cast<off_t>(size)));
  } while (result == EINTR);
  return result;
}

int RealSeam::Truncate(int fd, uint64_t size) { return Errno(ftruncate(fd, static_cast<off_t>(size))); }

int RealSeam::Link(const char* from, int to_dir, const char* to_name) {
  return Errno(linkat(AT_FDCWD, from, to_dir, to_name, AT_SYMLINK_FOLLOW));
}

int RealSeam::Rename(int dir, const char* from, const char* to) { return Errno(renameat(dir, from, dir, to)); }

int RealSeam::Unlink(int dir, const char* name) { return Errno(unlinkat(dir, name, 0)); }

bool RealSeam::Volatile(int fd) {
  struct statfs info;
  return fstatfs(fd, &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

int RealSeam::LockByte(int fd, int type, int64_t byte) {
  struct flock lock = OneByte(type, byte);
  return Errno(fcntl(fd, F_OFD_SETLK, &lock));
}

bool RealSeam::ProbeByte(int fd, int64_t byte) {
  struct flock lock = OneByte(F_WRLCK, byte);
  return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

std::shared_ptr<bip::mapped_region> RealSeam::Map(int fd, uint64_t size, bool writable) {
  try {
    auto region = std::make_shared<bip::mapped_region>(CheckedDescriptor(fd),
                                                       writable ? bip::read_write : bip::read_only, 0, size);
    madvise(region->get_address(), region->get_size(), MADV_DONTDUMP);
    return region;
  } catch (const bip::interprocess_exception& error) {
    errno = error.get_native_error() != 0 ? error.get_native_error() : ENOMEM;
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
  }
  return nullptr;
}

int RealSeam::Populate(void* address, size_t size) {
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
  return Errno(madvise(address, size, MADV_POPULATE_WRITE));
}

bool RealSeam::BootId(uint8_t (&id)[16]) {
  std::FILE* file = std::fopen("/proc/sys/kernel/random/boot_id", "re");
  if (file == nullptr) return false;
  int digits = 0;
  for (int c; digits < 32 && (c = std::fgetc(file)) != EOF;) {
    const int digit = HexDigit(c);
    if (digit < 0) continue;
    id[digits / 2] = static_cast<uint8_t>(digits % 2 == 0 ? digit << 4 : id[digits / 2] | digit);
    ++digits;
  }
  std::fclose(file);
  return digits == 32;
}

uint64_t RealSeam::MountId(int fd) {
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U  // Linux 6.8; older kernels give the id that is used again after an unmount
#endif
  struct statx info = {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &info) != 0) return 0;
  return (info.stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE)) != 0 ? info.stx_mnt_id : 0;
}

}  // namespace libbus::platform
