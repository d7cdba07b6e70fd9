#include "libbus/platform/bus_guard.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>

namespace libbus::platform {
namespace {

// --- the list: nodes are only ever added at the head, so that a signal handler may walk it at any moment -------------

std::atomic<GuardNode*> head{nullptr};

GuardNode* Take() {
  for (GuardNode* node = head.load(std::memory_order_acquire); node != nullptr; node = node->next) {
    bool free = false;
    if (node->taken.compare_exchange_strong(free, true, std::memory_order_acquire)) return node;
  }
  auto* node = new GuardNode;
  node->taken.store(true, std::memory_order_relaxed);
  node->next = head.load(std::memory_order_relaxed);
  while (!head.compare_exchange_weak(node->next, node, std::memory_order_release)) {
  }
  return node;
}

// What a node says, if it says anything and no other thread is changing it. Whoever faults in a range keeps it, so its
// own node never changes under it.
struct Snapshot {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  bool writable = false;
  bool Contains(uintptr_t address) const { return begin <= address && address < end; }
};

Snapshot Look(const GuardNode& node) {
  const uint64_t version = node.version.load(std::memory_order_acquire);
  if (version % 2 != 0) return {};
  const Snapshot seen = {node.begin.load(std::memory_order_relaxed), node.end.load(std::memory_order_relaxed),
                         node.writable.load(std::memory_order_relaxed)};
  std::atomic_thread_fence(std::memory_order_acquire);
  return node.version.load(std::memory_order_relaxed) == version ? seen : Snapshot{};
}

// --- the handler: no locks, no allocation, system calls only ---------------------------------------------------------

uintptr_t page_size = 4096;

// Poisons every range that holds the address. Of the same file mapped once for many (as a test's seam may do) each has
// a node of its own.
bool Poison(uintptr_t address, bool& writable) {
  bool ours = false;
  for (GuardNode* node = head.load(std::memory_order_acquire); node != nullptr; node = node->next) {
    const Snapshot range = Look(*node);
    if (!range.Contains(address)) continue;
    ours = true;
    writable = writable || range.writable;
    node->poisoned.Set();
  }
  return ours;
}

// Two threads may get here for one page; the later one's zeros stand, and what the other wrote between is lost like
// everything that is written to a poisoned range.
bool Replace(uintptr_t address, bool writable) {
  const uintptr_t page = address & ~(page_size - 1);
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  // The bare call: what a tool puts before mmap() need not be fit for a signal handler.
  const long got = syscall(SYS_mmap, page, page_size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L);
  return static_cast<uintptr_t>(got) == page;
}

// What was there before us.
struct sigaction earlier = {};
std::atomic<bool> earlier_is_spent{false};  // it was for one signal only (SA_RESETHAND)

// A touch of memory, which happens again when the handler returns; not a kill() nor a notice from the memory
// controller.
bool IsTouch(const siginfo_t& info) {
  return info.si_code == BUS_ADRALN || info.si_code == BUS_ADRERR || info.si_code == BUS_OBJERR ||
         info.si_code == BUS_MCEERR_AR;
}

// The default takes over: a touch dies of it as soon as the handler returns, any other signal is sent once more.
void DieAsWithoutUs(int signal, const siginfo_t& info) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  if (!IsTouch(info)) raise(signal);
}

void PassOn(int signal, siginfo_t* info, void* context) {
  const bool calls = earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN;
  const bool once = (earlier.sa_flags & static_cast<int>(SA_RESETHAND)) != 0;
  if (calls && !(once && earlier_is_spent.exchange(true))) {
    if ((earlier.sa_flags & SA_SIGINFO) != 0) {
      earlier.sa_sigaction(signal, info, context);
    } else {
      earlier.sa_handler(signal);
    }
    return;
  }
  // A touch cannot be ignored: the kernel kills.
  if (earlier.sa_handler == SIG_IGN && !IsTouch(*info)) return;
  DieAsWithoutUs(signal, *info);
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  bool writable = false;
  const bool mended =
      IsTouch(*info) && info->si_code != BUS_ADRALN && Poison(address, writable) && Replace(address, writable);
  errno = saved;
  if (!mended) PassOn(signal, info, context);
}

// --- installing it ---------------------------------------------------------------------------------------------------

// Taken around fork(), so that no child finds it held for ever.
std::mutex& InstallMutex() {
  static std::mutex* mutex = [] {
    auto* made = new std::mutex;
    pthread_atfork([] { InstallMutex().lock(); }, [] { InstallMutex().unlock(); }, [] { InstallMutex().unlock(); });
    return made;
  }();
  return *mutex;
}

std::atomic<bool> installed{false};

void Install() {
  if (installed.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(InstallMutex());
  if (installed.load(std::memory_order_relaxed)) return;
  page_size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  sigaction(SIGBUS, nullptr, &earlier);
  struct sigaction ours = {};
  ours.sa_sigaction = OnBusError;
  // As the earlier handler wanted to be called; on the alternate stack of threads that have one.
  ours.sa_mask = earlier.sa_mask;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (earlier.sa_flags & (SA_NODEFER | SA_RESTART));
  if (earlier.sa_handler == SIG_DFL || earlier.sa_handler == SIG_IGN) ours.sa_flags |= SA_RESTART;
  sigaction(SIGBUS, &ours, nullptr);
  installed.store(true, std::memory_order_release);
}

// What ranges that guard nothing point to.
GuardNode nobody;

}  // namespace

GuardedRange::GuardedRange() : node_(&nobody) {}

GuardedRange::GuardedRange(const void* begin, size_t size, bool writable) : node_(Take()) {
  Install();
  node_->poisoned.Clear();
  // Release: a handler that reads one of these finds the version odd, or a later one.
  node_->begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
  node_->end.store(reinterpret_cast<uintptr_t>(begin) + size, std::memory_order_release);
  node_->writable.store(writable, std::memory_order_release);
  node_->version.fetch_add(1, std::memory_order_release);  // even: the handler may believe it
}

GuardedRange::GuardedRange(GuardedRange&& other) noexcept : node_(std::exchange(other.node_, &nobody)) {}

GuardedRange& GuardedRange::operator=(GuardedRange&& other) noexcept {
  std::swap(node_, other.node_);
  return *this;
}

GuardedRange::~GuardedRange() {
  if (node_ == &nobody) return;
  node_->version.fetch_add(1, std::memory_order_acq_rel);
  node_->taken.store(false, std::memory_order_release);
}

}  // namespace libbus::platform
