// A sync fails: the first, the second, the third ... of whatever kind (a segment's, a name's, the control file's, a
// cursor's), over a workload of several processes with rolls, batches, an oversized record, durable publishes, cursors,
// trim, a death with an open claim, a clean close, recovery in place and after a power cut.
//
// The disk is page_disk.h: after an error the kernel calls the lost pages clean, and later syncs succeed without them.
// So what anybody was told is durable can be held against what the disk has: the power is cut, twice, and everything
// that was told durable in any process, before the error or after it, by a publish, Sync, WaitDurable, D, a consumer of
// what is durable or a cursor, must be there byte for byte. Each failure once with a process that goes on, and once
// with one that is killed between the error and the mark, so that nobody knows of it; alone and beside a process that
// lives; and each of these once with a page cache that gives up at once what it takes for clean. Afterwards `recover`
// makes durable all that could be read before, or says that the disk fails.
//
// While a segment is marked, nothing is told durable at all: that is looked at as well.
//
// Not modelled here: an older descriptor that the kernel tells as well, the making of a topic, and, on a file system
// without a journal, a death between the error of a directory's sync and the mark. sync_error_test.cc and its likes
// have the kernel's own page cache below them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "tests/crash/page_disk.h"
#include "tests/crash/sync_error_actor.h"
#include "tests/seam/seam.h"
#include "tests/support/disk.h"
#include "tests/support/processes.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr uint64_t kSegment = 8192;

// --- one run ---------------------------------------------------------------------------------------------------------

struct Variant {
  SyncFault fault;
  bool beside = false;  // a process that was there before the first record lives on until the failure is over
  uint64_t seed = 0;
};

class Run {
 public:
  explicit Run(const Variant& variant)
      : variant_(variant), random_(variant.seed), scratch_(MemoryParent().empty() ? DiskParent() : MemoryParent()) {
    seam_control.pretend_durable = true;
    std::filesystem::create_directory(scratch_ / "stash");
    InChild([&] {
      auto bus = Bus::Open(bus_, {.create = true, .background = false});
      return bus.ok() && bus->OpenTopic("t", {.create = true, .segment_size = kSegment}).ok() ? 0 : 1;
    });
    disk_.emplace(std::vector<std::string>{bus_ + "/t", bus_ + "/t/cursors"}, scratch_ / "stash");
  }
  ~Run() { seam_control.pretend_durable = false; }

  void Do();

  const Account& account() const { return *account_; }
  uint64_t syncs() const { return disk_->syncs(); }
  std::string failed_file() const { return disk_->failed_file(); }

 private:
  static int InChild(const std::function<int()>& body) {
    std::fflush(stdout);
    return Child(body).Join();
  }

  // `body` with the topic open, in a process of its own.
  void Stage(const std::string& name, const std::function<void(Actor&)>& body, bool dies = false) {
    const int code = InChild([&] {
      disk_->Watch(variant_.fault);
      seam_control.boot_id = boot_;
      Actor actor(*account_, *disk_, bus_);
      if (!actor.Open(name)) return 0;
      body(actor);
      if (dies) raise(SIGKILL);
      actor.Close();
      return 0;
    });
    const bool killed = code == -SIGKILL && (dies || variant_.fault.kill);
    if (code != 0 && !killed) {
      ++account_->figures.stuck;
      ADD_FAILURE() << name << " ended with " << code;
    }
  }

  void CutPower() {
    disk_->CutPower(random_);
    account_->refused = false;
    account_->cut = true;
    ++boot_;
    ++account_->figures.images;
  }

  bool MayLose() const { return variant_.fault.evict && disk_->failed(); }
  void FirstLife();
  void Recover();

  const Variant variant_;
  std::mt19937_64 random_;
  const Scratch scratch_;
  const std::string bus_ = scratch_ / "bus";
  uint32_t boot_ = 0;
  const Shared<Account> account_;
  std::optional<PageDisk> disk_;
};

// Two processes, the first of which dies with a claim open, and perhaps a third beside them that does nothing.
void Run::FirstLife() {
  std::optional<Child> beside;
  const Shared<std::atomic<bool>> there;
  if (variant_.beside) {
    beside.emplace([&] {
      disk_->WatchOnly();
      seam_control.boot_id = boot_;
      auto bus = Bus::Open(bus_, {.background = false});
      const auto topic = bus.ok() ? bus->OpenTopic("t") : absl::StatusOr<Topic>(bus.status());
      if (!topic.ok()) return 1;
      *there = true;
      for (;;) pause();
      return 0;
    });
    while (!*there) usleep(200);
  }
  Stage(
      "first",
      [](Actor& actor) {
        actor.Durable();
        actor.Plain(2);
        actor.Durable();
        actor.Maintain();
        actor.MoveCursor();
        actor.DurableBatch(3);
        actor.Plain(4);
        actor.WaitFor(4);
        actor.Maintain();
        actor.Claimed(true);
        actor.Plain(6);
        actor.Sync();
        actor.MoveCursor();
        actor.Plain();
        actor.AskWhatIsDurable();
        actor.Claimed(false);
      },
      true);
  if (variant_.fault.evict && disk_->failed()) disk_->Evict();
  Stage("second", [&](Actor& actor) {
    // First what is gone, which a gap says; what is there then must be kept, if Sync says so.
    actor.Judge(MayLose());
    actor.Sync();
    actor.AskWhatIsDurable();
    actor.Durable();
    actor.MoveCursor();
    actor.Trim();
    actor.Plain(7);
    actor.Sync();
    actor.Durable();
  });
}

void Run::Recover() {
  const int code = InChild([&] {
    disk_->Watch(variant_.fault);
    seam_control.boot_id = boot_;
    absl::Status status;
    for (int tries = 0; tries < 3; ++tries) {
      status = RecoverTopic(bus_, "t", {.apply = true}).status();
      if (status.ok()) break;
    }
    if (status.ok()) return 0;
    if (disk_->aborted() && absl::IsUnavailable(status)) return 2;
    std::printf("recover: %s\n", status.ToString().c_str());
    return 1;
  });
  if (code == -SIGKILL && variant_.fault.kill) return Recover();
  if (code == 2) return;
  if (code != 0) {
    ++account_->figures.stuck;
    ADD_FAILURE() << "recover ended with " << code;
  }
  account_->refused = false;
  disk_->ForgetFailure();
}

void Run::Do() {
  FirstLife();
  const bool recover_first = random_() % 2 == 0;
  if (recover_first) {
    // All that the page cache has is durable afterwards.
    Stage("before recover", [&](Actor& actor) { actor.Judge(MayLose(), true); });
    if (variant_.fault.evict && disk_->failed()) disk_->Evict();
    Recover();
    Stage("after recover", [&](Actor& actor) {
      actor.Judge(MayLose());
      actor.Sync();
    });
  }
  CutPower();
  Stage(
      "after a cut",
      [&](Actor& actor) {
        actor.Judge(MayLose());
        actor.Durable();
        actor.Plain(3);
        actor.MoveCursor();
        actor.AskWhatIsDurable();
      },
      true);
  CutPower();
  Stage("after another", [&](Actor& actor) {
    actor.Judge(MayLose());
    actor.Durable();
    actor.Plain(2);
    actor.Sync();
  });
  Recover();
  Stage("after the last recover", [&](Actor& actor) {
    actor.Judge(MayLose());
    actor.Durable();
    actor.Sync();
    actor.AskWhatIsDurable();
  });
  CutPower();
  Stage("at the end", [&](Actor& actor) { actor.Judge(MayLose()); });
}

// --- the proof -------------------------------------------------------------------------------------------------------

void Add(Figures& sum, const Figures& figures) {
  sum.images += figures.images;
  sum.records += figures.records;
  sum.lost += figures.lost;
  sum.phantom += figures.phantom;
  sum.stuck += figures.stuck;
  sum.silent += figures.silent;
}

// One run. How many syncs there were.
uint64_t Prove(const Variant& variant, Figures& figures, uint64_t& told) {
  Run run(variant);
  run.Do();
  const Account& account = run.account();
  EXPECT_EQ(account.figures.wrong(), 0u) << fmt::format(
      "sync {} ({}) fails, {}, {}, {}, seed {}: {}", variant.fault.at, run.failed_file(),
      variant.fault.kill ? "and kills" : "and is told", variant.fault.evict ? "evicted" : "kept",
      variant.beside ? "beside" : "alone", variant.seed, account.wrong.data());
  Add(figures, account.figures);
  ++figures.executions;
  if (variant.fault.at != 0 && run.syncs() >= variant.fault.at) ++figures.points;
  told += account.unavailable;
  return run.syncs();
}

TEST(SyncErrorEveryTest, WhatIsToldDurableIsOnTheDisk) {
  const Budget budget;
  Figures figures;
  figures.seed = Seed("sync-error");
  std::mt19937_64 random(figures.seed);
  uint64_t told = 0;
  // Nothing fails: nothing is refused, and there are syncs of all kinds.
  const uint64_t syncs = Prove({.seed = figures.seed}, figures, told);
  EXPECT_EQ(told, 0u);
  EXPECT_GT(syncs, 60u);
  // The short form: each sync once, told or killed, by turns. The long form: each in all ways, with many seeds.
  const uint64_t all = (syncs + 8) * 16;
  for (uint64_t i = 0; budget.More(i, syncs, 10 * all) && figures.wrong() < 5; ++i) {
    const uint64_t way = i < syncs ? random() : i / (syncs + 8);
    const uint64_t at = i < syncs ? i + 1 : i % (syncs + 8) + 1;
    // Without a journal a lost name is told to one process only: were that killed, nobody could know.
    const bool kill = (way & 1) != 0;
    const SyncFault fault = {.at = at, .kill = kill, .evict = (way & 2) != 0, .abort = kill || (way & 8) != 0};
    Prove({.fault = fault, .beside = (way & 4) != 0, .seed = random()}, figures, told);
  }
  EXPECT_GT(told, 10u);
  EXPECT_EQ(figures.wrong(), 0u);
  Report("sync-error", figures);
}

}  // namespace
}  // namespace libbus::test
