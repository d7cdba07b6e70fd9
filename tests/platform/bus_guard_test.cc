#include "libbus/platform/bus_guard.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "libbus/platform/mapping.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::platform {
namespace {

const uint64_t kPage = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));

// The optimiser must not know what stands there.
char ReadByte(const std::byte* at) { return static_cast<char>(*const_cast<const volatile std::byte*>(at)); }
void WriteByte(std::byte* at, char value) { *const_cast<volatile std::byte*>(at) = std::byte(value); }

// A file of `pages` pages of 'x'.
class Victim {
 public:
  explicit Victim(uint64_t pages = 4) : pages_(pages) { std::ofstream(path_) << std::string(pages * kPage, 'x'); }

  Mapping Map(bool writable, BusErrors bus_errors = BusErrors::kGuarded) const {
    auto mapping = Mapping::Map(*OpenFile(path_, writable), path_, pages_ * kPage, writable, bus_errors);
    if (!mapping.ok()) throw std::runtime_error(mapping.status().ToString());
    return *std::move(mapping);
  }
  const std::string& path() const { return path_; }
  void Truncate(uint64_t pages) const { std::filesystem::resize_file(path_, pages * kPage); }
  std::string Content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  const test::Scratch scratch_;
  const std::string path_ = scratch_ / "file";
  const uint64_t pages_;
};

// --- what is not ours ------------------------------------------------------------------------------------------------
// Each in a child of its own in which no handler of ours was installed yet. So these stand first: nothing was mapped
// here before.

// The default of this process: a sanitizer has handlers of its own.
void DefaultSigbus() { std::signal(SIGBUS, SIG_DFL); }

// What the child returns; -signal if it was killed.
int InFreshChild(const std::function<int()>& body) {
  return test::Child([&] {
           alarm(20);
           return body();
         })
      .Join();
}

struct Call {
  int signal = 0;
  int code = 0;
  void* address = nullptr;
  bool context = false;
  int calls = 0;
};
Call seen;
sigjmp_buf back;

void Note(int signal, siginfo_t* info, void* context) {
  seen = {signal, info->si_code, info->si_addr, context != nullptr, seen.calls + 1};
  if (info->si_code > 0) siglongjmp(back, 1);
}
void NoteSimply(int signal) {
  seen = {signal, 0, nullptr, false, seen.calls + 1};
  siglongjmp(back, 1);
}

void InstallNote(int extra_flags = 0) {
  struct sigaction action = {};
  action.sa_sigaction = Note;
  action.sa_flags = SA_SIGINFO | extra_flags;
  sigaction(SIGBUS, &action, nullptr);
}

// A page that cannot be had, of a file that the host maps itself.
std::byte* ForeignLostPage(const Victim& victim) {
  const File file = *OpenFile(victim.path(), false);
  void* const page = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file.fd(), 0);
  victim.Truncate(0);
  return static_cast<std::byte*>(page);
}

TEST(BusGuardChain, AForeignFaultGoesToTheEarlierHandler) {
  EXPECT_EQ(InFreshChild([] {
              InstallNote();
              const Victim ours;
              const Victim foreign;
              const Mapping mapping = ours.Map(false);
              std::byte* const page = ForeignLostPage(foreign);
              if (sigsetjmp(back, 1) == 0) {
                ReadByte(page + 17);
                return 1;
              }
              if (seen.calls != 1 || seen.signal != SIGBUS || seen.code != BUS_ADRERR || !seen.context) return 2;
              if (seen.address != page + 17) return 3;
              // And again; ours still work.
              if (sigsetjmp(back, 1) == 0) {
                ReadByte(page);
                return 4;
              }
              ours.Truncate(0);
              return ReadByte(mapping.data()) == '\0' && mapping.poisoned() && seen.calls == 2 ? 0 : 5;
            }),
            0);
}

TEST(BusGuardChain, AnEarlierHandlerOfTheSimpleKindIsCalled) {
  EXPECT_EQ(InFreshChild([] {
              std::signal(SIGBUS, NoteSimply);
              const Victim ours;
              const Victim foreign;
              const Mapping mapping = ours.Map(false);
              std::byte* const page = ForeignLostPage(foreign);
              if (sigsetjmp(back, 1) == 0) ReadByte(page);
              return seen.calls == 1 && seen.signal == SIGBUS ? 0 : 1;
            }),
            0);
}

TEST(BusGuardChain, WhatWasSentGoesToTheEarlierHandler) {
  EXPECT_EQ(InFreshChild([] {
              InstallNote();
              const Victim ours;
              const Mapping mapping = ours.Map(false);
              raise(SIGBUS);
              raise(SIGBUS);
              return seen.calls == 2 && seen.code <= 0 && !mapping.poisoned() ? 0 : 1;
            }),
            0);
}

TEST(BusGuardChain, AHandlerForOneSignalIsCalledOnce) {
  EXPECT_EQ(InFreshChild([] {
              InstallNote(static_cast<int>(SA_RESETHAND));
              const Victim ours;
              const Mapping mapping = ours.Map(false);
              raise(SIGBUS);
              if (seen.calls != 1) return 1;
              raise(SIGBUS);
              return 2;
            }),
            -SIGBUS);
}

TEST(BusGuardChain, WithoutOneAForeignFaultKills) {
  EXPECT_EQ(InFreshChild([] {
              DefaultSigbus();
              const Victim ours;
              const Victim foreign;
              const Mapping mapping = ours.Map(false);
              ReadByte(ForeignLostPage(foreign));
              return 1;
            }),
            -SIGBUS);
}

TEST(BusGuardChain, WithoutOneWhatWasSentKills) {
  EXPECT_EQ(InFreshChild([] {
              DefaultSigbus();
              const Victim ours;
              const Mapping mapping = ours.Map(false);
              raise(SIGBUS);
              return 1;
            }),
            -SIGBUS);
}

TEST(BusGuardChain, WhereItIsIgnoredAFaultKillsAndWhatWasSentDoesNot) {
  EXPECT_EQ(InFreshChild([] {
              std::signal(SIGBUS, SIG_IGN);
              const Victim ours;
              const Victim foreign;
              const Mapping mapping = ours.Map(false);
              raise(SIGBUS);
              ReadByte(ForeignLostPage(foreign));
              return 1;
            }),
            -SIGBUS);
}

// What was ours is not any more: the same addresses are somebody else's.
TEST(BusGuardChain, AnUnmappedRangeIsForgotten) {
  EXPECT_EQ(InFreshChild([] {
              DefaultSigbus();
              const Victim victim;
              void* const reserved = mmap(nullptr, 4 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              { const GuardedRange range(reserved, 4 * kPage, false); }
              const File file = *OpenFile(victim.path(), false);
              mmap(reserved, 4 * kPage, PROT_READ, MAP_SHARED | MAP_FIXED, file.fd(), 0);
              victim.Truncate(0);
              ReadByte(static_cast<std::byte*>(reserved));
              return 1;
            }),
            -SIGBUS);
}

TEST(BusGuardChain, AnUnguardedMappingInstallsNoHandler) {
  EXPECT_EQ(InFreshChild([] {
              DefaultSigbus();
              const Victim victim;
              const Mapping mapping = victim.Map(false, BusErrors::kDeadly);
              struct sigaction now;
              sigaction(SIGBUS, nullptr, &now);
              if (now.sa_handler != SIG_DFL || mapping.poisoned()) return 1;
              victim.Truncate(0);
              ReadByte(mapping.data());
              return 2;
            }),
            -SIGBUS);
}

// A host that came later and passes on what it does not know.
struct sigaction found_by_host;
TEST(BusGuardChain, ALaterHandlerThatPassesOnKeepsTheGuard) {
  EXPECT_EQ(InFreshChild([] {
              const Victim ours;
              const Mapping mapping = ours.Map(false);
              struct sigaction action = {};
              action.sa_flags = SA_SIGINFO;
              action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
                ++seen.calls;
                found_by_host.sa_sigaction(signal, info, context);
              };
              sigaction(SIGBUS, &action, &found_by_host);
              const Mapping later = ours.Map(false);  // does not install ours over it
              ours.Truncate(0);
              return ReadByte(later.data()) == '\0' && later.poisoned() && seen.calls == 1 ? 0 : 1;
            }),
            0);
}

// --- what is ours --------------------------------------------------------------------------------------------------

TEST(BusGuard, ALostPageReadsAsZerosAndPoisons) {
  const Victim victim;
  const Mapping mapping = victim.Map(false);
  victim.Truncate(2);
  EXPECT_EQ(ReadByte(mapping.data() + kPage), 'x');
  EXPECT_FALSE(mapping.poisoned());
  EXPECT_EQ(ReadByte(mapping.data() + 2 * kPage + 100), '\0');
  EXPECT_TRUE(mapping.poisoned());
  // The others are still the file's.
  EXPECT_EQ(ReadByte(mapping.data()), 'x');
  EXPECT_EQ(ReadByte(mapping.data() + 3 * kPage), '\0');
}

TEST(BusGuard, ALostPageTakesWritesThatGoNowhere) {
  const Victim victim;
  const Mapping mapping = victim.Map(true);
  victim.Truncate(1);
  WriteByte(mapping.data() + kPage, 'y');
  EXPECT_TRUE(mapping.poisoned());
  EXPECT_EQ(ReadByte(mapping.data() + kPage), 'y');
  WriteByte(mapping.data() + 5, 'z');
  EXPECT_EQ(victim.Content(), "xxxxxz" + std::string(kPage - 6, 'x'));
}

// A copy over many pages goes on behind each of them.
TEST(BusGuard, ACopyOverLostPagesEnds) {
  const Victim victim(64);
  const Mapping mapping = victim.Map(false);
  victim.Truncate(0);
  std::string copy(64 * kPage, '?');
  std::memcpy(copy.data(), mapping.data(), copy.size());
  EXPECT_EQ(copy, std::string(64 * kPage, '\0'));
}

TEST(BusGuard, AReadOnlyPageStaysReadOnly) {
  const Victim victim;
  const Mapping mapping = victim.Map(false);
  victim.Truncate(0);
  EXPECT_EQ(ReadByte(mapping.data()), '\0');
#ifndef LIBBUS_TEST_SHARED_MAPPING
  EXPECT_EQ(test::Child([&] {
              std::signal(SIGSEGV, SIG_DFL);
              WriteByte(mapping.data(), 'y');
              return 0;
            }).Join(),
            -SIGSEGV);
#endif
}

TEST(BusGuard, EachMappingIsPoisonedForItself) {
  const Victim one;
  const Victim other;
  const Mapping mapped = one.Map(false);
  const Mapping again = one.Map(false);
  const Mapping another = other.Map(false);
  const Mapping copy = mapped;
  one.Truncate(0);
  ReadByte(mapped.data());
  EXPECT_TRUE(mapped.poisoned());
  EXPECT_TRUE(copy.poisoned());
  EXPECT_FALSE(again.poisoned());
  EXPECT_FALSE(another.poisoned());
}

TEST(BusGuard, OverlappingRangesAreAllPoisoned) {
  const Victim victim;
  const Mapping mapping = victim.Map(false);
  const GuardedRange same(mapping.data(), mapping.size(), false);
  const GuardedRange beside(mapping.data() + kPage, kPage, false);
  victim.Truncate(0);
  ReadByte(mapping.data());
  EXPECT_TRUE(mapping.poisoned());
  EXPECT_TRUE(same.poisoned().Read());
  EXPECT_FALSE(beside.poisoned().Read());
}

TEST(BusGuard, ErrnoStaysAsItWas) {
  const Victim victim;
  const Mapping mapping = victim.Map(false);
  victim.Truncate(0);
  errno = 4711;
  ReadByte(mapping.data());
  EXPECT_EQ(errno, 4711);
}

TEST(BusGuard, ManyRangesComeAndGo) {
  const Victim victim(2);
  std::vector<Mapping> kept;
  for (int i = 0; i < 300; ++i) {
    Mapping mapping = victim.Map(i % 2 == 0);
    if (i % 3 == 0) kept.push_back(mapping);
  }
  victim.Truncate(1);
  for (size_t i = 0; i < kept.size(); ++i) {
    EXPECT_FALSE(kept[i].poisoned()) << i;
    EXPECT_EQ(ReadByte(kept[i].data()), 'x') << i;
    EXPECT_EQ(ReadByte(kept[i].data() + kPage), '\0') << i;
    EXPECT_TRUE(kept[i].poisoned()) << i;
  }
  // A node that is used again begins anew.
  kept.clear();
  const Victim fresh;
  for (int i = 0; i < 100; ++i) kept.push_back(fresh.Map(false));
  for (const Mapping& mapping : kept) EXPECT_FALSE(mapping.poisoned());
}

// All at the same pages of the same mapping, while others map and unmap.
TEST(BusGuard, ThreadsMeetLostPagesAtOnce) {
  const Victim victim(64);
  const Mapping mapping = victim.Map(false);
  victim.Truncate(0);
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (uint64_t page = 0; page < 64; ++page) {
        if (ReadByte(mapping.data() + page * kPage) != '\0') ++wrong;
        if (!mapping.poisoned()) ++wrong;
      }
    });
    threads.emplace_back([&] {
      const Victim other(2);
      for (int round = 0; round < 50; ++round) {
        const Mapping own = other.Map(true);
        if (own.poisoned() || ReadByte(own.data()) != 'x') ++wrong;
      }
      const Mapping own = other.Map(true);
      other.Truncate(1);
      WriteByte(own.data() + kPage, 'y');
      if (!own.poisoned()) ++wrong;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
}

TEST(BusGuard, WorksInAChildAndTellsOnlyIt) {
  const Victim victim;
  const Mapping mapping = victim.Map(false);
  EXPECT_EQ(test::Child([&] {
              victim.Truncate(0);
              return ReadByte(mapping.data()) == '\0' && mapping.poisoned() ? 0 : 1;
            }).Join(),
            0);
  EXPECT_FALSE(mapping.poisoned());
  EXPECT_EQ(ReadByte(mapping.data()), '\0');
  EXPECT_TRUE(mapping.poisoned());
}

}  // namespace
}  // namespace libbus::platform
