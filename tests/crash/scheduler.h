// A controlled scheduler: processes that take turns at one step each, in every order that there is.
//
// What is proved with it: the shipped code, run over the seam, under all interleavings with up to so many preemptions
// (iterative context bounding), each access to a shared word, futex call, lock and sync being a place where
// another process may go on, and where this one may die or be stopped. Memory is sequentially consistent here: what a
// weaker machine makes of it is proved elsewhere (tests/processes/litmus_test.cc, docs/memory-model.md).
//
// How: each process is a fiber with objects of its own (its own attachment, mappings and descriptors) in one thread, so
// exactly one runs at a time, and the order is a list of decisions. The explorer runs a scenario from the start, takes
// the first way at each decision behind the list that it replays, and then changes the last decision that has another
// way left: depth first, until none is left.
//
//   preemption   a switch away from a process that could go on: costs one of the bound
//   death        the process never runs again and its locks are gone, as the kernel does it: costs one
//   stop         the process does not run until nobody else can get on; its locks stay: costs one
//   sleep        futexes are simulated: asleep until woken. With bounds off nothing else ends a sleep; with bounds on
//                time stands still while anybody can run, then jumps to the next sleeper's time-out
//
// A word that only one process ever touches, or that nobody ever writes, is no place to switch: whatever the others do
// there changes nothing. Which words those are is learned on the way; when another turns out to be shared the
// exploration begins anew with it.
//
// Every change of a record word is checked as it is made: FREE -> RESERVED -> DATA or GAP, FREE -> END, nothing else.
//
// Not modelled: store buffers; a death between two plain stores to bytes of a claim (nobody reads those before the
// commit); switches inside a system call, or between the words of a control record.
#ifndef LIBBUS_TESTS_CRASH_SCHEDULER_H_
#define LIBBUS_TESTS_CRASH_SCHEDULER_H_

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "libbus/format/word.h"
#include "tests/seam/seam.h"

namespace libbus::test {

// Where a process is.
enum class FiberState : uint8_t { kRuns, kSleeps, kAwaits, kStopped, kDead, kEnded };

// What one execution may do.
struct ScheduleRules {
  int preemptions = 2;   // deaths and stops count
  uint32_t may_die = 0;  // bit i: process i
  uint32_t may_stop = 0;
  bool bounds = false;  // sleeps end by themselves
};

class Scheduler : public platform::SeamScheduler {
 public:
  Scheduler() { platform::seam_control.scheduler = this; }
  ~Scheduler() override { platform::seam_control.scheduler = nullptr; }
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // --- one execution ---

  // What `work` does, locks above all, is process `i`'s. Not scheduled.
  template <typename Work>
  void As(size_t i, Work work) {
    Prepare(i);
    const size_t before = std::exchange(current_, i);
    work();
    current_ = before;
  }

  // Runs the processes until none can go on. Those that are not over stay as they are: see Drain.
  void Execute(const ScheduleRules& rules, std::vector<std::function<void()>> bodies) {
    rules_ = rules;
    left_ = rules.preemptions;
    now_ = kEpoch;
    idle_ = 0;
    at_ = 0;
    steps_ = 0;
    trace_.clear();
    changing_ = nullptr;
    for (size_t i = 0; i < bodies.size(); ++i) Begin(i, std::move(bodies[i]));
    count_ = bodies.size();
    active_ = true;
    while (RunSome()) {
    }
    active_ = false;
    Judge();
  }
  // The same, where a stopped one is among them: it goes on. False: nobody is stopped.
  bool Continue() {
    bool any = false;
    for (size_t i = 0; i < count_; ++i) any |= Is(i, FiberState::kStopped);
    if (!any) return false;
    for (size_t i = 0; i < count_; ++i) {
      if (Is(i, FiberState::kStopped)) fibers_[i].state = FiberState::kRuns;
    }
    trace_ += " cont";
    idle_ = 0;
    active_ = true;
    while (RunSome()) {
    }
    active_ = false;
    Judge();
    return true;
  }
  // Lets everybody go on to his end, the dead too, unscheduled and without a wait: nothing of theirs stays on a stack.
  void Drain() {
    draining_ = true;
    drained_ = 0;
    for (size_t i = 0; i < count_; ++i) {
      if (!Is(i, FiberState::kEnded)) Enter(i);
    }
    draining_ = false;
    for (auto& fiber : fibers_) {
      std::erase_if(fiber.locks, [&](const Lock& lock) { return lock.temporary; });
      // What it held before this execution it holds again.
      if (fiber.died) {
        for (const Lock& lock : fiber.locks) (void)platform::RealSeam::LockByte(lock.fd, lock.type, lock.byte);
      }
      fiber.died = false;
    }
    count_ = 0;
  }
  // What is locked from here on is forgotten behind the execution.
  void MarkTemporary(bool temporary) { temporary_ = temporary; }

  // Inside a process: until `true`. Asked whenever something has happened.
  void Await(const std::function<bool()>& condition) {
    while (active_ && !draining_ && !condition()) {
      Current().condition = condition;
      Leave(FiberState::kAwaits);
    }
  }
  // Time goes on for everybody.
  void Advance(int64_t ns) { now_ += ns; }
  bool draining() const { return draining_; }
  FiberState state(size_t i) const { return fibers_[i].state; }
  bool Died(size_t i) const { return fibers_[i].state == FiberState::kDead; }
  // As if it had died before: its locks go now.
  void KillNow(size_t i) {
    fibers_[i].died = true;
    for (const Lock& lock : fibers_[i].locks) (void)platform::RealSeam::LockByte(lock.fd, F_UNLCK, lock.byte);
  }
  // Whether the execution stopped or killed anybody.
  bool Disturbed() const { return disturbed_; }

  // --- all executions ---

  // Makes the next list of decisions. False: there was none left. Called behind each execution.
  bool Next() {
    disturbed_ = false;
    if (grew_) {
      // What was no place to switch is one: begin anew.
      grew_ = false;
      path_.clear();
      for (auto& [name, words] : files_) {
        for (SharedWord& word : *words) word.frozen = word.shared();
      }
      return true;
    }
    if (random_) return true;
    while (!path_.empty() && path_.back().taken + 1 == path_.back().ways) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
    return true;
  }
  // Decisions by chance, from now on, where others than the first are taken one time in `rarity`.
  void Random(uint64_t seed, uint32_t rarity) {
    random_.emplace(seed);
    rarity_ = rarity;
  }
  // The decisions of this execution: "0x12,2,0x3".
  std::string Decisions() const {
    std::string text;
    for (size_t i = 0; i < path_.size() && i < at_;) {
      size_t end = i;
      while (end < path_.size() && end < at_ && path_[end].taken == path_[i].taken) ++end;
      text += fmt::format("{}{}x{}", text.empty() ? "" : ",", path_[i].taken, end - i);
      i = end;
    }
    return text;
  }
  const std::string& trace() const { return trace_; }
  // What went wrong by itself: an illegal change of a word, or a replay that went another way.
  std::string TakeComplaint() { return std::exchange(complaint_, {}); }
  uint64_t steps() const { return steps_; }

  // --- SeamScheduler ---

  void AtAccess(platform::WordUse use, const void* word, bool writes) override {
    if (!active_ || draining_) return;
    // The record of the control file is guarded by a checksum as a whole: it counts as one word of its writer.
    if (use == platform::WordUse::kControl) return;
    if (IsShared(word, writes)) Step();
    if (use != platform::WordUse::kRecord || !writes || draining_) return;
    CheckChange();
    changing_ = static_cast<const uint64_t*>(word);
    before_ = *changing_;
  }
  void AtCall() override {
    if (active_ && !draining_) Step();
  }
  void AfterMap(int fd, const void* address, uint64_t size) override {
    const auto begin = reinterpret_cast<uintptr_t>(address);
    std::erase_if(regions_, [&](const Region& r) { return r.begin < begin + size && begin < r.begin + r.size; });
    regions_.insert(regions_.begin(), {begin, size, WordsOf(fd, size)});
  }
  void AfterLock(int fd, int type, int64_t byte, int error) override {
    if (error != 0 || current_ == kNobody) return;
    auto& locks = Current().locks;
    std::erase_if(locks, [&](const Lock& lock) { return lock.fd == fd && lock.byte == byte; });
    if (type != F_UNLCK) locks.push_back({fd, type, byte, temporary_ || active_});
  }
  int Wait(std::span<const platform::FutexWaiter> waiters, int64_t timeout_ns) override {
    if (draining_ || !active_) return CheckDrained();
    Step();
    for (const auto& waiter : waiters) {
      if (*static_cast<const uint32_t*>(waiter.word) != waiter.expected) return -EAGAIN;
    }
    if (timeout_ns == 0) return -ETIMEDOUT;
    Fiber& fiber = Current();
    fiber.keys.clear();
    for (const auto& waiter : waiters) fiber.keys.push_back(KeyOf(waiter.word, waiter.shared));
    fiber.wakes_at = timeout_ns < 0 || !rules_.bounds ? kNever : now_ + timeout_ns;
    fiber.asleep_since = ++order_;
    fiber.result = -ETIMEDOUT;
    Leave(FiberState::kSleeps);
    return fiber.result;
  }
  int Wake(const void* word, int count, bool shared) override {
    if (draining_ || !active_) return 0;
    Step();
    const void* const key = KeyOf(word, shared);
    int woken = 0;
    while (woken < count) {
      Fiber* first = nullptr;
      for (size_t i = 0; i < count_; ++i) {
        Fiber& fiber = fibers_[i];
        if (fiber.state != FiberState::kSleeps) continue;
        if (std::find(fiber.keys.begin(), fiber.keys.end(), key) == fiber.keys.end()) continue;
        if (first == nullptr || fiber.asleep_since < first->asleep_since) first = &fiber;
      }
      if (first == nullptr) break;
      first->result = static_cast<int>(std::find(first->keys.begin(), first->keys.end(), key) - first->keys.begin());
      first->state = FiberState::kRuns;
      ++woken;
    }
    return woken;
  }
  int64_t Now() override { return draining_ ? now_ += 1'000'000'000 : now_; }

 private:
  static constexpr size_t kNobody = SIZE_MAX;
  static constexpr size_t kStack = size_t{512} << 10;
  static constexpr int64_t kEpoch = 1'000'000'000'000;
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  // So often in a row time may jump with nothing changed: more than any time-out of the library takes.
  static constexpr int kIdleJumps = 24;
  static constexpr uint64_t kMostSteps = 200'000;

  struct Lock {
    int fd;
    int type;
    int64_t byte;
    bool temporary;
  };
  struct Fiber {
    ucontext_t context = {};
    std::unique_ptr<char[]> stack;
    std::function<void()> body;
    std::function<bool()> condition;
    FiberState state = FiberState::kEnded;
    std::vector<const void*> keys;
    int64_t wakes_at = kNever;
    uint64_t asleep_since = 0;
    int result = 0;
    std::vector<Lock> locks;
    bool died = false;
  };
  struct Decision {
    int taken;
    int ways;
  };
  Fiber& Current() { return fibers_[current_]; }
  bool Is(size_t i, FiberState state) const { return fibers_[i].state == state; }
  void Prepare(size_t i) {
    while (fibers_.size() <= i) fibers_.emplace_back();
  }

  void Begin(size_t i, std::function<void()> body) {
    Prepare(i);
    Fiber& fiber = fibers_[i];
    if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStack);
    fiber.body = std::move(body);
    fiber.condition = nullptr;
    fiber.state = FiberState::kRuns;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&Scheduler::Main), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self));
  }
  static void Main(unsigned high, unsigned low) {
    auto* const self = reinterpret_cast<Scheduler*>(uintptr_t{high} << 32 | low);
    self->Current().body();
    self->CheckChange();
    self->Current().state = FiberState::kEnded;
    for (;;) swapcontext(&self->Current().context, &self->main_);
  }
  void Enter(size_t i) {
    current_ = i;
    swapcontext(&main_, &fibers_[i].context);
    current_ = kNobody;
  }
  // Back to RunSome, which picks the next.
  void Leave(FiberState state) {
    Current().state = state;
    swapcontext(&Current().context, &main_);
  }

  // --- decisions ---

  int Decide(int ways) {
    if (ways <= 1) return 0;
    if (random_) {
      const int taken = (*random_)() % rarity_ == 0 ? static_cast<int>((*random_)() % static_cast<uint64_t>(ways)) : 0;
      path_.resize(at_);
      path_.push_back({taken, ways});
      ++at_;
      return taken;
    }
    if (at_ == path_.size()) path_.push_back({0, ways});
    Decision& decision = path_[at_++];
    if (decision.ways != ways) Complain("the replay went another way");
    return std::min(decision.taken, ways - 1);
  }

  // Before a step of the running process: it goes on, or somebody else does, or it dies, or it is stopped.
  void Step() {
    CheckChange();
    idle_ = active_word_changed_ ? 0 : idle_;
    active_word_changed_ = false;
    if (++steps_ > kMostSteps) {
      Complain("it goes on for ever");
      std::abort();
    }
    if (left_ == 0) return;
    std::vector<size_t> others;
    for (size_t i = 0; i < count_; ++i) {
      if (i != current_ && CanRun(i)) others.push_back(i);
    }
    const bool dies = (rules_.may_die >> current_ & 1) != 0;
    const bool stops = (rules_.may_stop >> current_ & 1) != 0;
    const int taken = Decide(1 + static_cast<int>(others.size()) + (dies ? 1 : 0) + (stops ? 1 : 0));
    if (taken == 0) return;
    --left_;
    const auto chosen = static_cast<size_t>(taken - 1);
    if (chosen < others.size()) {
      next_ = others[chosen];
      trace_ += fmt::format(" {}@{}>{}", current_, steps_, next_);
      Leave(FiberState::kRuns);
    } else if (dies && chosen == others.size()) {
      Die();
    } else {
      trace_ += fmt::format(" {}@{}stop", current_, steps_);
      disturbed_ = true;
      Leave(FiberState::kStopped);
    }
  }
  void Die() {
    trace_ += fmt::format(" {}@{}dies", current_, steps_);
    disturbed_ = true;
    Current().died = true;
    for (const Lock& lock : Current().locks) (void)platform::RealSeam::LockByte(lock.fd, F_UNLCK, lock.byte);
    Leave(FiberState::kDead);
  }

  bool CanRun(size_t i) const {
    const Fiber& fiber = fibers_[i];
    return fiber.state == FiberState::kRuns || (fiber.state == FiberState::kAwaits && fiber.condition());
  }

  // One goes on until it yields. False: none can.
  bool RunSome() {
    size_t next = std::exchange(next_, kNobody);
    if (next == kNobody) {
      std::vector<size_t> able;
      for (size_t i = 0; i < count_; ++i) {
        if (CanRun(i)) able.push_back(i);
      }
      if (able.empty()) return JumpToTimeout();
      next = able[static_cast<size_t>(Decide(static_cast<int>(able.size())))];
    }
    fibers_[next].state = FiberState::kRuns;
    Enter(next);
    return true;
  }
  bool JumpToTimeout() {
    if (idle_++ >= kIdleJumps) return false;
    size_t first = kNobody;
    for (size_t i = 0; i < count_; ++i) {
      if (!Is(i, FiberState::kSleeps) || fibers_[i].wakes_at == kNever) continue;
      if (first == kNobody || fibers_[i].wakes_at < fibers_[first].wakes_at) first = i;
    }
    if (first == kNobody) return false;
    now_ = std::max(now_, fibers_[first].wakes_at);
    fibers_[first].result = -ETIMEDOUT;
    fibers_[first].state = FiberState::kRuns;
    return true;
  }

  // --- words ---

  struct SharedWord {
    uint32_t who = 0;
    bool written = false;
    bool frozen = false;  // a place to switch in this exploration
    bool shared() const { return written && (who & (who - 1)) != 0; }
  };
  using Words = std::vector<SharedWord>;
  struct Region {
    uintptr_t begin;
    uint64_t size;
    Words* words;
  };

  Words* WordsOf(int fd, uint64_t size) {
    char name[256];
    const ssize_t n = readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), name, sizeof(name));
    std::string text(name, n > 0 ? static_cast<size_t>(n) : 0);
    auto& words = files_[text.substr(text.rfind('/') + 1)];
    if (!words) words = std::make_unique<Words>();
    if (words->size() < size / 8) words->resize(size / 8);
    return words.get();
  }
  // Null: in no mapped file.
  SharedWord* Find(const void* word) {
    const auto at = reinterpret_cast<uintptr_t>(word);
    for (size_t i = 0; i < regions_.size(); ++i) {
      if (at - regions_[i].begin >= regions_[i].size) continue;
      // Most are close to the one before.
      if (i > 0) std::swap(regions_[i], regions_[0]);
      return regions_[0].words->data() + (at - regions_[0].begin) / 8;
    }
    return nullptr;
  }
  // The same for all who mapped the file.
  const void* KeyOf(const void* word, bool shared) {
    const SharedWord* const known = shared ? Find(word) : nullptr;
    return known != nullptr ? static_cast<const void*>(known) : word;
  }
  bool IsShared(const void* word, bool writes) {
    SharedWord* const known = Find(word);
    if (known == nullptr) return true;
    const bool before = known->shared();
    known->who |= uint32_t{1} << current_;
    known->written |= writes;
    if (known->shared() && !before) grew_ = true;
    return known->frozen;
  }

  // The last change of a record word is one that may be.
  void CheckChange() {
    if (changing_ == nullptr) return;
    const uint64_t* const at = std::exchange(changing_, nullptr);
    const format::Word from(before_);
    const format::Word to(*at);
    if (from.bits() == to.bits()) return;
    active_word_changed_ = true;
    using format::State;
    const bool legal = (from.is_free() && (to.state() == State::kReserved || to.state() == State::kEnd)) ||
                       (from.state() == State::kReserved && (to.state() == State::kData || to.state() == State::kGap));
    if (!legal) Complain(fmt::format("a record word went from {:016x} to {:016x}", from.bits(), to.bits()));
  }
  void Judge() { CheckChange(); }
  void Complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = what;
  }
  // A wait of somebody who is to end: as woken. One that goes on for ever would hang the test.
  int CheckDrained() {
    if (++drained_ > 100'000) {
      fmt::print(stderr, "a process does not end: {}\n", Decisions());
      std::abort();
    }
    return 0;
  }

  ScheduleRules rules_;
  std::deque<Fiber> fibers_;  // contexts point into themselves
  size_t count_ = 0;          // that run
  size_t current_ = kNobody;
  size_t next_ = kNobody;
  ucontext_t main_ = {};
  bool active_ = false;
  bool draining_ = false;
  bool temporary_ = false;
  bool disturbed_ = false;
  int left_ = 0;
  int64_t now_ = kEpoch;
  int idle_ = 0;
  uint64_t order_ = 0;
  uint64_t steps_ = 0;
  uint64_t drained_ = 0;

  std::vector<Decision> path_;
  size_t at_ = 0;
  std::optional<std::mt19937_64> random_;
  uint32_t rarity_ = 1;
  std::string trace_;
  std::string complaint_;

  std::vector<Region> regions_;
  std::unordered_map<std::string, std::unique_ptr<Words>> files_;  // by name
  bool grew_ = false;
  bool active_word_changed_ = false;
  const uint64_t* changing_ = nullptr;
  uint64_t before_ = 0;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_SCHEDULER_H_
