// Words that threads of one process share; never in a file.
#ifndef LIBBUS_PLATFORM_LOCAL_WORD_H_
#define LIBBUS_PLATFORM_LOCAL_WORD_H_

#include <atomic>
#include <cstdint>

namespace libbus::platform {

// How far something got. Only an estimate hangs on it, so relaxed.
class LocalMark {
 public:
  uint64_t Read() const { return value_.load(std::memory_order_relaxed); }
  void Raise(uint64_t value) {
    uint64_t seen = Read();
    while (seen < value && !value_.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<uint64_t> value_{0};
};

// A number that one thread sets and others read; nothing else hangs on it.
class LocalValue {
 public:
  explicit LocalValue(uint64_t value) : value_(value) {}
  uint64_t Read() const { return value_.load(std::memory_order_relaxed); }
  void Set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_;
};

// A count that is a private futex: raised and woken by any thread or signal handler, compared by one sleeper.
class LocalEvent {
 public:
  // SYNC POINT: event raised. The release (and a full fence): what was stored before is seen by who reads the new
  // count.
  void Raise() { value_.fetch_add(1, std::memory_order_seq_cst); }
  // SYNC POINT: event raised. The acquire.
  uint32_t Read() const { return value_.load(std::memory_order_seq_cst); }
  const void* futex() const { return &value_; }

 private:
  std::atomic<uint32_t> value_{0};
  static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free);
};

// Set by one thread or a signal handler, taken by another.
class LocalFlag {
 public:
  void Set() { value_.store(true, std::memory_order_seq_cst); }
  bool Take() { return value_.load(std::memory_order_relaxed) && value_.exchange(false, std::memory_order_seq_cst); }
  bool Read() const { return value_.load(std::memory_order_seq_cst); }

 private:
  std::atomic<bool> value_{false};
};

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_LOCAL_WORD_H_
