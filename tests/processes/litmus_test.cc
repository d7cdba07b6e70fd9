// Litmus tests of the shipped operations (libbus/platform/shared_word.h) on the real machine: two processes on two
// cores, each with its own mapping, run the two sides of a SYNC POINT against each other, millions of times, and never
// is the outcome met that docs/memory-model.md says is forbidden there. A control with the fence left out shows that
// this machine does reorder, and that it would be seen.
//
// What it does not show: anything about another architecture. x86 reorders a store with a later load and nothing else;
// for ARM64 the page has the reasons.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "libbus/platform/shared_word.h"
#include "tests/support/processes.h"
#include "tests/support/proof.h"

namespace libbus::test {
namespace {

using platform::Floor;
using platform::RecordWord;
using platform::RecordWordView;
using platform::SleepMark;
using platform::TicketWord;

constexpr uint64_t kFree = 0;
constexpr uint64_t kReserved = 1;
constexpr uint64_t kData = 2;

struct alignas(64) Line {
  uint64_t value = 0;
};

// One try. Each word on a line of its own, and what each side saw on two more.
struct Cell {
  Line word;
  Line other;  // mark, floor or ticket
  Line payload[2];
  Line seen_a[2];
  Line seen_b[2];
};

// Between two meetings of the sides: few, for on a busy machine each costs a turn of the scheduler.
constexpr size_t kCells = 4096;

struct Arena {
  std::array<Cell, kCells> cells;
  Line begun_a;
  Line begun_b;
  Line done_b;
  Line stop;
};

// Mapped twice, as two processes would.
class SharedArena {
 public:
  SharedArena() {
    const int fd = memfd_create("litmus", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof(Arena)) != 0) std::abort();
    for (Arena*& view : views_) {
      void* const at = mmap(nullptr, sizeof(Arena), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (at == MAP_FAILED) std::abort();
      view = static_cast<Arena*>(at);
    }
    close(fd);
  }
  ~SharedArena() {
    for (Arena* view : views_) munmap(view, sizeof(Arena));
  }
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;
  Arena& a() { return *views_[0]; }
  Arena& b() { return *views_[1]; }

 private:
  Arena* views_[2];
};

uint64_t Get(const Line& line) { return __atomic_load_n(&line.value, __ATOMIC_ACQUIRE); }
void Put(Line& line, uint64_t value) { __atomic_store_n(&line.value, value, __ATOMIC_SEQ_CST); }

// Waits for the other side. On one core, or a busy one, it has to be let run.
void AwaitAtLeast(const Line& line, uint64_t value, const Line& stop) {
  for (uint64_t i = 1; Get(line) < value && Get(stop) == 0; ++i) {
    if (i % 256 == 0) sched_yield();
  }
}

// Pins the caller to the n-th processor it may use. False: there are not so many.
bool Pin(int n) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return false;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || n-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof(one), &one) == 0;
  }
  return false;
}
bool HasTwoProcessors() {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) >= 2;
}

struct Shape {
  const char* name;
  uint64_t word;  // what stands in it before
  void (*a)(Cell& cell);
  void (*b)(Cell& cell);
  bool (*forbidden)(const Cell& cell);
};

int SideB(Arena& arena, const Shape& shape) {
  Pin(1);
  for (uint64_t batch = 1;; ++batch) {
    AwaitAtLeast(arena.begun_a, batch, arena.stop);
    if (Get(arena.stop) != 0) return 0;
    Put(arena.begun_b, batch);
    for (Cell& cell : arena.cells) shape.b(cell);
    Put(arena.done_b, batch);
  }
}

struct Outcome {
  uint64_t tries = 0;
  uint64_t forbidden = 0;
};

// Tries until `more` says no.
template <typename More>
Outcome Try(const Shape& shape, More more) {
  SharedArena shared;
  Arena& arena = shared.a();
  Outcome outcome;
  cpu_set_t before;
  sched_getaffinity(0, sizeof(before), &before);
  Child side_b([&] { return SideB(shared.b(), shape); });
  Pin(0);
  for (uint64_t batch = 1; more(outcome); ++batch) {
    for (Cell& cell : arena.cells) {
      cell = {};
      cell.word.value = shape.word;
    }
    Put(arena.begun_a, batch);
    AwaitAtLeast(arena.begun_b, batch, arena.stop);
    for (Cell& cell : arena.cells) shape.a(cell);
    AwaitAtLeast(arena.done_b, batch, arena.stop);
    for (const Cell& cell : arena.cells) outcome.forbidden += shape.forbidden(cell) ? 1 : 0;
    outcome.tries += kCells;
  }
  Put(arena.stop, 1);
  EXPECT_EQ(side_b.Join(), 0);
  sched_setaffinity(0, sizeof(before), &before);
  return outcome;
}

void Fill(Cell& cell) {
  for (Line& line : cell.payload) __atomic_store_n(&line.value, 7, __ATOMIC_RELAXED);
}
void ReadPayload(Cell& cell) {
  cell.seen_b[1].value = 0;
  for (const Line& line : cell.payload) cell.seen_b[1].value += __atomic_load_n(&line.value, __ATOMIC_RELAXED);
}

// --- sleeper woken: commit, read the mark | raise the mark, read the word --------------------------------------------

bool SleptThrough(const Cell& cell) { return cell.seen_a[0].value == 0 && cell.seen_b[0].value == kReserved; }
void ReadMark(Cell& cell) { cell.seen_a[0].value = SleepMark(&cell.other.value).Read(); }
void CommitSwap(Cell& cell) {
  uint64_t seen = kReserved;
  (void)RecordWord(&cell.word.value).Transition(seen, kData);
  ReadMark(cell);
}
void CommitStore(Cell& cell) {
  RecordWord(&cell.word.value).StoreFinal(kData);
  ReadMark(cell);
}
void CommitFenced(Cell& cell) {
  RecordWord(&cell.word.value).StoreFinalFenced(kData);
  ReadMark(cell);
}
void Sleep(Cell& cell) {
  SleepMark(&cell.other.value).Raise(1);
  cell.seen_b[0].value = RecordWordView(&cell.word.value).Read();
}
void SleepOrdered(Cell& cell) {
  SleepMark(&cell.other.value).Raise(1);
  (void)SleepMark::Order();
  cell.seen_b[0].value = RecordWordView(&cell.word.value).Read();
}

// --- ticket drawn: commit, read `started` | draw a number, look for the tail -----------------------------------------

void CommitAndTakeTicket(Cell& cell) {
  RecordWord(&cell.word.value).StoreFinal(kData);
  cell.seen_a[0].value = TicketWord(&cell.other.value).Read();
}
void DrawAndLook(Cell& cell) {
  cell.seen_b[1].value = TicketWord(&cell.other.value).Draw();
  cell.seen_b[0].value = RecordWordView(&cell.word.value).Read();
}
// A sync with a higher number that did not find the record.
bool MissedBySync(const Cell& cell) {
  return cell.seen_b[1].value > cell.seen_a[0].value && cell.seen_b[0].value != kData;
}

// --- payload visible; floor before claim; reserved before bytes ------------------------------------------------------

void PublishSwap(Cell& cell) {
  uint64_t seen = kFree;
  (void)RecordWord(&cell.word.value).Transition(seen, kReserved);
  Fill(cell);
  seen = kReserved;
  (void)RecordWord(&cell.word.value).Transition(seen, kData);
}
void PublishStore(Cell& cell) {
  RecordWord(&cell.word.value).StoreReserved(kReserved);
  Fill(cell);
  RecordWord(&cell.word.value).StoreFinal(kData);
}
void ReadRecord(Cell& cell) {
  cell.seen_b[0].value = RecordWordView(&cell.word.value).Read();
  ReadPayload(cell);
}
bool HalfARecord(const Cell& cell) { return cell.seen_b[0].value == kData && cell.seen_b[1].value != 14; }
void ReadBackwards(Cell& cell) {
  ReadPayload(cell);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  cell.seen_b[0].value = RecordWordView(&cell.word.value).Read();
}
bool BytesWithoutAClaim(const Cell& cell) { return cell.seen_b[1].value != 0 && cell.seen_b[0].value == kFree; }

void ClaimByStore(Cell& cell) {
  Floor(&cell.other.value).Set(1);
  RecordWord(&cell.word.value).StoreReserved(kReserved);
}
void LookForFloor(Cell& cell) {
  cell.seen_b[0].value = RecordWordView(&cell.word.value).Read();
  cell.seen_b[1].value = Floor(&cell.other.value).Read();
}
bool ClaimWithoutFloor(const Cell& cell) { return cell.seen_b[0].value == kReserved && cell.seen_b[1].value == 0; }

constexpr Shape kShapes[] = {
    {"sleeper woken, by a swap", kReserved, CommitSwap, Sleep, SleptThrough},
    {"sleeper woken, by an exchange", kReserved, CommitFenced, Sleep, SleptThrough},
    {"ticket drawn", kReserved, CommitAndTakeTicket, DrawAndLook, MissedBySync},
    {"payload visible, by swaps", kFree, PublishSwap, ReadRecord, HalfARecord},
    {"payload visible, by stores", kFree, PublishStore, ReadRecord, HalfARecord},
    {"reserved before bytes", kFree, PublishStore, ReadBackwards, BytesWithoutAClaim},
    {"floor before claim", kFree, ClaimByStore, LookForFloor, ClaimWithoutFloor},
};
// Half a microsecond and more each.
constexpr Shape kMembarrier = {"sleeper woken, by membarrier", kReserved, CommitStore, SleepOrdered, SleptThrough};
constexpr Shape kControl = {"control: no fence", kReserved, CommitStore, Sleep, SleptThrough};

void TryAll(const Shape& shape, uint64_t short_form, uint64_t long_form, Figures& figures) {
  const Budget budget;
  const Outcome outcome =
      Try(shape, [&](const Outcome& so_far) { return budget.More(so_far.tries, short_form, long_form); });
  fmt::print("{}: {} of {} forbidden, {:.1f} s\n", shape.name, outcome.forbidden, outcome.tries, budget.Elapsed());
  EXPECT_EQ(outcome.forbidden, 0u) << shape.name;
  figures.executions += outcome.tries;
  figures.stuck += outcome.forbidden;
}

TEST(Litmus, NothingForbiddenIsSeen) {
  if (!HasTwoProcessors()) GTEST_SKIP() << "two processors are missing: nothing can be reordered";
  Figures figures;
  for (const Shape& shape : kShapes) TryAll(shape, 200'000, 100'000'000, figures);
  const bool joined = platform::Seam::JoinBarriers() == 0 && SleepMark::Order();
  if (joined) TryAll(kMembarrier, 40'000, 20'000'000, figures);
  fmt::print("{}", joined ? "" : "membarrier is missing: owners of exclusive topics fence their commits themselves\n");
  Report("litmus", figures);
}

// Without the fence the forbidden outcome is met: this machine reorders, and the test sees it.
TEST(Litmus, TheControlSeesReordering) {
  if (!HasTwoProcessors()) GTEST_SKIP() << "two processors are missing: nothing can be reordered";
  const Budget clock;
  const Outcome outcome =
      Try(kControl, [&](const Outcome& so_far) { return so_far.forbidden == 0 && clock.Elapsed() < 60; });
  fmt::print("{}: first seen after {} tries, {:.1f} s\n", kControl.name, outcome.tries, clock.Elapsed());
  EXPECT_GT(outcome.forbidden, 0u);
}

}  // namespace
}  // namespace libbus::test
