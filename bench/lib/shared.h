// What the processes of one run share: memory, a barrier, a bell for who sleeps, the clock.
#ifndef LIBBUS_BENCH_SHARED_H_
#define LIBBUS_BENCH_SHARED_H_

#include <absl/status/statusor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace libbus::bench {

// CLOCK_MONOTONIC in ns: one time for all processes of the machine.
uint64_t NowNs();

// CLOCK_REALTIME_COARSE in ns: what a record is stamped with.
int64_t CoarseNs();

// Spins until NowNs() >= due.
void SpinUntil(uint64_t due);

// Shared memory that children inherit by fork: anonymous, or a file's.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  static absl::StatusOr<Mapping> Anonymous(size_t size);

  // Has a descriptor too, for programs that are executed and have to map it anew.
  static absl::StatusOr<Mapping> Shareable(size_t size);

  // A new file, all of whose blocks exist.
  static absl::StatusOr<Mapping> NewFile(const std::string& path, size_t size);

  // Maps every page into this process, so that no fault is left for the run. A child starts with an empty page table
  // and has to do it again.
  absl::Status PopulateForWriting();
  absl::Status PopulateForReading();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  int fd() const { return fd_; }  // of a shareable one; else -1

 private:
  Mapping(std::byte* data, size_t size, int fd = -1) : data_(data), size_(size), fd_(fd) {}
  absl::Status Populate(int advice);

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
};

// Lets processes go on when all have arrived. Yields the core while it waits. Peers in other languages do the same with
// the same bytes: the three members lie at 0, 4 and 8.
class Barrier {
 public:
  explicit Barrier(uint32_t expected) : expected_(expected) {}

  // When the last one arrived.
  uint64_t Arrive();

 private:
  uint32_t expected_;
  std::atomic<uint32_t> arrived_{0};
  std::atomic<uint64_t> opened_{0};
};

// Wakes parked consumers of the references: the usual count of sleepers and an event word.
class Bell {
 public:
  // Returns when `ready()` may have changed to true; the caller asks again.
  template <typename Ready>
  void SleepUnless(Ready ready) {
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    const uint32_t seen = rung_.load(std::memory_order_seq_cst);
    if (!ready()) WaitWhile(seen);
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
  }

  // After what `ready()` asks for was published.
  void Ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_relaxed) > 0) Wake();
  }

 private:
  void WaitWhile(uint32_t seen);
  void Wake();

  std::atomic<uint32_t> sleepers_{0};
  alignas(64) std::atomic<uint32_t> rung_{0};
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SHARED_H_
