#include "bench/lib/shared.h"

#include <absl/status/status.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace libbus::bench {
namespace {

int64_t ReadClock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

absl::Status Failed(const std::string& what, int error) {
  const auto text = fmt::format("{}: {}", what, std::strerror(error));
  return error == ENOSPC || error == ENOMEM ? absl::ResourceExhaustedError(text) : absl::FailedPreconditionError(text);
}

// Makes the file whole at once: a sparse one that meets a full disk is a SIGBUS.
absl::Status MakeFile(const std::string& path, size_t size, int& fd) {
  fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Failed(path, errno);
  const int error = posix_fallocate(fd, 0, static_cast<off_t>(size));
  if (error == 0) return absl::OkStatus();
  close(fd);
  unlink(path.c_str());
  return Failed(fmt::format("{}: no room for {} MiB", path, size >> 20), error);
}

}  // namespace

uint64_t NowNs() { return static_cast<uint64_t>(ReadClock(CLOCK_MONOTONIC)); }

int64_t CoarseNs() { return ReadClock(CLOCK_REALTIME_COARSE); }

void SpinUntil(uint64_t due) {
  while (NowNs() < due) {
  }
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<Mapping> Mapping::Anonymous(size_t size) {
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return Failed(fmt::format("mapping {} bytes", size), errno);
  return Mapping(static_cast<std::byte*>(data), size);
}

absl::StatusOr<Mapping> Mapping::Shareable(size_t size) {
  const int fd = memfd_create("libbus-bench", MFD_CLOEXEC);
  if (fd < 0) return Failed("memfd_create", errno);
  Mapping mapping(nullptr, size, fd);
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) return Failed(fmt::format("{} bytes of memory", size), errno);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return Failed(fmt::format("mapping {} bytes", size), errno);
  mapping.data_ = static_cast<std::byte*>(data);
  return mapping;
}

absl::StatusOr<Mapping> Mapping::NewFile(const std::string& path, size_t size) {
  int fd = -1;
  if (auto made = MakeFile(path, size, fd); !made.ok()) return made;
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int error = errno;
  close(fd);
  if (data == MAP_FAILED) return Failed(path, error);
  return Mapping(static_cast<std::byte*>(data), size);
}

absl::Status Mapping::PopulateForWriting() { return Populate(MADV_POPULATE_WRITE); }

absl::Status Mapping::PopulateForReading() { return Populate(MADV_POPULATE_READ); }

absl::Status Mapping::Populate(int advice) {
  while (madvise(data_, size_, advice) != 0) {
    if (errno != EINTR && errno != EAGAIN) return Failed("preparing pages", errno);
  }
  return absl::OkStatus();
}

uint64_t Barrier::Arrive() {
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == expected_) {
    opened_.store(NowNs(), std::memory_order_release);
  }
  uint64_t opened = 0;
  while ((opened = opened_.load(std::memory_order_acquire)) == 0) sched_yield();
  return opened;
}

void Bell::WaitWhile(uint32_t seen) {
  static_assert(sizeof(rung_) == sizeof(uint32_t));
  syscall(SYS_futex, &rung_, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

void Bell::Wake() {
  rung_.fetch_add(1, std::memory_order_seq_cst);
  syscall(SYS_futex, &rung_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace libbus::bench
