#include "libbus/topic/background.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "libbus/platform/fork_guard.h"
#include "libbus/platform/seam.h"

namespace libbus::internal {
namespace {

using platform::FutexWaiter;
using platform::Seam;

constexpr int64_t kMillisecond = 1'000'000;
// How often the work of many topics is looked at where the kernel cannot sleep on all their futexes at once.
constexpr int64_t kPollInterval = 10 * kMillisecond;

// Taken around fork(), so that no child finds it held for ever.
std::mutex& GetMutex() {
  static std::mutex* mutex = [] {
    auto* made = new std::mutex;
    pthread_atfork([] { GetMutex().lock(); }, [] { GetMutex().unlock(); }, [] { GetMutex().unlock(); });
    return made;
  }();
  return *mutex;
}

// One per process. A child of fork() has none of its parent's threads: it gets a new one, the old object is left alone.
class Thread {
 public:
  static Thread& Get() {
    static Thread* current = nullptr;
    const std::lock_guard lock(GetMutex());
    if (current == nullptr || !current->guard_.InMaker()) current = new Thread;
    return *current;
  }

  bool Add(const std::shared_ptr<BackgroundWork>& work) {
    const std::lock_guard lock(start_stop_);
    {
      const std::lock_guard list(mutex_);
      work->answered = work->help.Read();
      all_.push_back(work);
    }
    if (thread_.joinable()) {
      Wake();
    } else {
      Start();
    }
    if (thread_.joinable()) return true;
    const std::lock_guard list(mutex_);
    std::erase(all_, work);
    return false;
  }

  void Remove(const std::shared_ptr<BackgroundWork>& work) {
    {
      const std::lock_guard running(work->mutex);
      work->over = true;
    }
    const std::lock_guard lock(start_stop_);
    {
      const std::lock_guard list(mutex_);
      std::erase(all_, work);
      if (!all_.empty() || !thread_.joinable()) return;
      stop_ = true;
    }
    Wake();
    thread_.join();
    stop_ = false;
  }

  void Wake() {
    event_.Raise();
    Seam::FutexWake(event_.futex(), 1, false);
  }

 private:
  // Signals belong to the program's own threads.
  void Start() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);  // a touch of a page, not a message: blocked, it kills
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error&) {
      // No thread to be had (RLIMIT_NPROC, say): producers prepare segments themselves, as without a background thread;
      // the next producer tries again.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void Run() {
    for (;;) {
      // What is asked for behind these reads changes a word that the sleep compares: nothing asked for is slept
      // through.
      const uint32_t seen = event_.Read();
      std::vector<std::shared_ptr<BackgroundWork>> all;
      {
        const std::lock_guard list(mutex_);
        if (stop_) return;
        all = all_;
      }
      int64_t timeout = -1;
      std::vector<FutexWaiter> waiters = {{event_.futex(), seen, false}};
      for (const auto& work : all) {
        const Next next = Serve(*work);
        timeout = Sooner(timeout, next.after);
        if (next.listens) waiters.push_back({work->help.futex(), static_cast<uint32_t>(work->answered), true});
      }
      all.clear();
      Sleep(waiters, timeout);
    }
  }

  // Both may be ns or, negative, never.
  static int64_t Sooner(int64_t a, int64_t b) { return a < 0 || b < 0 ? std::max(a, b) : std::min(a, b); }

  struct Next {
    int64_t after;  // ns, after which to serve again; negative: when asked
    bool listens;   // sleep on `help` until then
  };

  // Does what was asked for, and what is due.
  static Next Serve(BackgroundWork& work) {
    const std::lock_guard running(work.mutex);
    if (work.over) return {-1, false};
    const bool called = work.called.Take();
    if (called) work.prepare();
    const int64_t after = SyncIfDue(work, called);
    const uint64_t help = work.help.Read();
    const bool asked = help != work.answered;
    // At most once a millisecond: whoever may write the page may raise it as often as he likes.
    const int64_t every = asked ? kMillisecond : work.look_every;
    if (every < 0) return {after, true};
    const int64_t wait = work.looked_at + every - Seam::MonotonicNow();
    if (work.looked_at != 0 && wait > 0) return {Sooner(after, wait), !asked};
    work.answered = help;
    work.look();
    work.looked_at = Seam::MonotonicNow();
    return {Sooner(after, work.look_every), true};
  }

  // Returns the ns after which it is due again; negative: when called.
  static int64_t SyncIfDue(BackgroundWork& work, bool called) {
    const int64_t now = Seam::MonotonicNow();
    if (called || (work.sync_at >= 0 && now >= work.sync_at)) {
      const int64_t after = work.sync();
      work.sync_at = after < 0 ? -1 : now + after;
    }
    return work.sync_at < 0 ? -1 : std::max(work.sync_at - Seam::MonotonicNow(), int64_t{0});
  }

  static void Sleep(std::vector<FutexWaiter>& waiters, int64_t timeout) {
    const bool too_many = waiters.size() > platform::kMaxFutexWaiters;
    if (too_many) waiters.resize(platform::kMaxFutexWaiters);
    if (too_many) timeout = timeout < 0 ? kPollInterval : std::min(timeout, kPollInterval);
    if (Seam::FutexWaitAny(waiters, timeout) != -ENOSYS) return;
    timeout = timeout < 0 ? kPollInterval : std::min(timeout, kPollInterval);
    Seam::FutexWait(waiters.front().word, waiters.front().expected, timeout, false);
  }

  const platform::ForkGuard guard_;
  std::mutex start_stop_;
  std::mutex mutex_;  // all_, stop_
  std::vector<std::shared_ptr<BackgroundWork>> all_;
  bool stop_ = false;
  platform::LocalEvent event_;
  std::thread thread_;
};

}  // namespace

bool StartBackground(const std::shared_ptr<BackgroundWork>& work) { return Thread::Get().Add(work); }

void StopBackground(const std::shared_ptr<BackgroundWork>& work) { Thread::Get().Remove(work); }

void CallBackground(BackgroundWork& work) {
  if (work.called.Read()) return;
  work.called.Set();
  Thread::Get().Wake();
}

}  // namespace libbus::internal
