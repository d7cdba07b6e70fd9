// Waiting on many topics at once: libbus/consumer.h declares it.
//
// Each consumer names the words on which it would sleep alone (its record word, or the sync event; and its interrupt).
// One futex_waitv sleeps on all of them. Where the kernel has none, or there are more words than it takes, the sleep is
// on some of them and short: the rest is polled.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <vector>

#include "libbus/consumer.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/shared_word.h"
#include "libbus/topic/consumer_impl.h"

namespace libbus {
namespace internal {
namespace {

using platform::FutexWaiter;
using platform::Seam;

constexpr int64_t kPollInterval = 1'000'000;
constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();
constexpr int kPollsPerClock = 16;
constexpr size_t kNobody = SIZE_MAX;

class ManyWaiter {
 public:
  ManyWaiter(std::vector<ConsumerImpl*> consumers, int64_t deadline)
      : consumers_(std::move(consumers)), deadline_(deadline), first_(turn_++ % consumers_.size()) {}

  absl::StatusOr<size_t> Run() {
    spin_until_ = SpinUntil();
    for (;;) {
      if (const auto ready = FindReady()) return *ready;
      if (TakeInterrupt()) return absl::CancelledError("interrupted");
      if (Seam::MonotonicNow() >= deadline_) {
        return absl::DeadlineExceededError(fmt::format("nothing came on any of {} topics in time", consumers_.size()));
      }
      if (!Poll()) Sleep();
    }
  }

 private:
  // Not always from the first on: a topic where records flow must not hide the others.
  std::optional<size_t> FindReady() const {
    for (size_t i = 0; i < consumers_.size(); ++i) {
      const size_t at = (first_ + i) % consumers_.size();
      if (consumers_[at]->Ready()) return at;
    }
    return std::nullopt;
  }

  bool TakeInterrupt() const {
    bool any = false;
    for (ConsumerImpl* consumer : consumers_) any = consumer->waiter().TakeInterrupt() || any;
    return any;
  }

  // The most patient poller decides.
  int64_t SpinUntil() const {
    int64_t longest = 0;
    for (ConsumerImpl* consumer : consumers_) {
      const std::optional<int64_t> spin = consumer->waiter().spin();
      if (!spin) return kForEver;
      longest = std::max(longest, *spin);
    }
    return longest == 0 ? 0 : Seam::MonotonicNow() + longest;
  }

  // True: look again.
  bool Poll() const {
    const int64_t until = std::min(spin_until_, deadline_);
    while (Seam::MonotonicNow() < until) {
      for (int i = 0; i < kPollsPerClock; ++i) {
        for (const ConsumerImpl* consumer : consumers_) {
          if (consumer->MayBeReady()) return true;
        }
        platform::Relax();
      }
      // Sleeps look whether somebody died; who never sleeps does so here.
      if (spin_until_ == kForEver) return AfterSleep(kNobody), true;
      if (AnyInterrupted()) return true;
    }
    return false;
  }

  bool AnyInterrupted() const {
    return std::any_of(consumers_.begin(), consumers_.end(),
                       [](ConsumerImpl* consumer) { return consumer->waiter().Interrupted(); });
  }

  void Sleep() const {
    std::vector<FutexWaiter> waiters;
    int64_t patience = kForEver;
    for (ConsumerImpl* consumer : consumers_) {
      const auto sleep = consumer->PrepareSleep();
      if (!sleep) return AfterSleep(kNobody);
      waiters.insert(waiters.end(), sleep->begin(), sleep->end());
      patience = std::min(patience, consumer->Patience());
    }
    const int64_t left = deadline_ == kForEver ? kForEver : deadline_ - Seam::MonotonicNow();
    const int64_t timeout = std::min(patience, left);
    if (timeout <= 0) return AfterSleep(kNobody);
    for (const ConsumerImpl* consumer : consumers_) consumer->CountSleep();
    AfterSleep(SleepOn(waiters, timeout));
  }

  // Returns which waiter was woken.
  static size_t SleepOn(std::vector<FutexWaiter>& waiters, int64_t timeout) {
    if (waiters.size() > platform::kMaxFutexWaiters) {
      waiters.resize(platform::kMaxFutexWaiters);
      timeout = std::min(timeout, kPollInterval);
    }
    const int result = Seam::FutexWaitAny(waiters, timeout == kForEver ? -1 : timeout);
    if (result >= 0) return static_cast<size_t>(result);
    if (result != -ENOSYS) return kNobody;
    const FutexWaiter& one = waiters.front();
    const int woken = Seam::FutexWait(one.word, one.expected, std::min(timeout, kPollInterval), one.shared);
    return woken == 0 ? 0 : kNobody;
  }

  // A consumer's words stand at 2 i and 2 i + 1, the second one is its interrupt.
  void AfterSleep(size_t woken) const {
    for (size_t i = 0; i < consumers_.size(); ++i) consumers_[i]->AfterSleep(woken == 2 * i);
  }

  const std::vector<ConsumerImpl*> consumers_;
  const int64_t deadline_;
  static thread_local size_t turn_;
  const size_t first_;
  int64_t spin_until_ = 0;
};

thread_local size_t ManyWaiter::turn_ = 0;

}  // namespace
}  // namespace internal

absl::StatusOr<size_t> WaitAny(std::span<Consumer* const> consumers, absl::Duration timeout) {
  if (consumers.empty()) return absl::InvalidArgumentError("WaitAny: no consumers to wait for");
  std::vector<internal::ConsumerImpl*> all;
  for (Consumer* consumer : consumers) {
    if (consumer == nullptr) return absl::InvalidArgumentError("WaitAny: one of the consumers is null");
    all.push_back(consumer->impl_.get());
  }
  return internal::ManyWaiter(std::move(all), internal::DeadlineAfter(timeout)).Run();
}

}  // namespace libbus
