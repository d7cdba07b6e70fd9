// Power cuts, thousands of them, at the sync seam: see power_store.h for what a cut leaves. After each, whatever was
// acknowledged as durable is there, once, in order and byte for byte; nothing is there that was never published; what
// was committed and is gone lies in a gap; batches are there whole or not at all; what a reader was told below D, gaps
// too, every later reader is told; no position is used twice; recovering twice gives what recovering once gave. The
// number of the epoch rises by one for each recovery that could not exclude a power loss, the list of epochs says what
// readers are told, and the control record is never lost as a whole. Cursors stand where somebody put them, not before
// the last durable commit, and go on with the gap, if what stood there was lost. The log begins where it was told to
// begin. And so it goes on: behind a cut all producers go on, and are cut again, and in the middle of the recovery from
// that once more.
//
// One run is a workload (power_workload.h), recorded by the store, and so many cuts of it. Not shown: what fails while
// it runs (sync errors, no space: tests/crash/sync_error_test.cc, faulty_disk_test.cc), and a disk that loses what it
// has confirmed.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "libbus/bus.h"
#include "libbus/platform/status.h"
#include "tests/crash/power_check.h"
#include "tests/crash/power_control.h"
#include "tests/crash/power_ledger.h"
#include "tests/crash/power_store.h"
#include "tests/crash/power_workers.h"
#include "tests/crash/power_workload.h"
#include "tests/seam/seam.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr int kSteps = 40;
constexpr uint64_t kImagesEach = 100;
constexpr uint64_t kEnoughWrong = 10;

std::string ScratchParent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

uint64_t Number(const char* variable, uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

class PowerTest : public testing::Test {
 protected:
  void SetUp() override {
    seam_control.pretend_durable = true;
    seam_control.skip_sleeps = true;
    seam_control.own_clock = true;
    seam_control.realtime = 1;  // a slot taken again is the same bytes: a seed tells all
  }
  void TearDown() override {
    seam_control.pretend_durable = false;
    seam_control.skip_sleeps = false;
    seam_control.own_clock = false;
    seam_control.realtime = 0;
    seam_control.clock_offset = 0;
    seam_control.boot_id = 0;
  }

  static absl::Status MakeTopic(const std::string& bus_path, uint64_t seed) {
    const bool each = IsEach(seed);
    LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path, {.create = true, .background = false}));
    return bus
        .OpenTopic("t", {.create = true,
                         .segment_size = seed % 2 == 0 ? 8192 : 4096,
                         .sync = each ? SyncPolicy::Each() : SyncPolicy::None(),
                         .retain_bytes = seed % 7 == 2 ? 20000 : 0,
                         .exclusive = seed % 4 == 3})
        .status();
  }
  static bool IsEach(uint64_t seed) { return seed % 5 == 0; }

  // Records one workload and cuts it many times.
  void RunWorkload(uint64_t seed, Tally& tally) {
    SCOPED_TRACE(fmt::format("workload {}", seed));
    ForgetBoots();
    seam_control.boot_id = 0;
    seam_control.clock_offset = 0;
    const Scratch scratch(ScratchParent());
    const std::string bus_path = scratch / "bus";
    const absl::Status made = MakeTopic(bus_path, seed);
    ASSERT_TRUE(made.ok()) << made;
    ASSERT_TRUE(std::filesystem::create_directory(scratch / "stash"));
    Random random(seed);
    seam_control.boot_id = NextBoot();
    PowerStore store(bus_path + "/t", scratch / "stash", {"cursors"});
    if (seed % 8 != 5) store.KeepMappings();  // else what is used behind its unmapping is a death
    const absl::Status aged = seed % 6 == 1 ? Age(bus_path, store) : absl::OkStatus();
    ASSERT_TRUE(aged.ok()) << aged;
    const Known start = KnownAtStart(store);
    store.Start();
    Ledger ledger;
    absl::Status status;
    {
      Workload workload(bus_path, store, random, IsEach(seed), ledger);
      status = workload.Run(kSteps);
    }
    ASSERT_TRUE(status.ok()) << status;
    const History history = store.Stop();
    Cuts(fmt::format("workload {}:", seed), bus_path, store, history, start, ledger, random, tally);
  }

  static Known KnownAtStart(PowerStore& store) {
    const ControlFacts control = *ControlIn(store.Snapshot().Find("control")->content.data());
    Known known;
    known.epoch = control.epoch;
    known.epochs = control.epochs;
    return known;
  }

  // So many power cuts that the control record with its list of epochs no longer fits into one sector, and can be torn.
  static absl::Status Age(const std::string& bus_path, PowerStore& store) {
    for (int i = 0; i < 16; ++i) {
      LIBBUS_ASSIGN_OR_RETURN(std::unique_ptr<Writer> writer, Writer::Open(bus_path, 0));
      store.Kill([&] { writer.reset(); });
      seam_control.boot_id = NextBoot();
    }
    return absl::OkStatus();
  }

  static void Cuts(const std::string& where, const std::string& bus_path, PowerStore& store, const History& history,
                   const Known& start, const Ledger& ledger, Random& random, Tally& tally) {
    const uint64_t until = tally.images + kImagesEach;
    const uint32_t boot = seam_control.boot_id;
    for (uint64_t tries = 0; tally.images < until && tries < 10 * kImagesEach; ++tries) {
      if (tally.wrong() >= kEnoughWrong) break;
      const Moment moment = DrawMoment(history, ledger, random);
      Known known = start;
      ledger.AddTo(known, moment);
      CutCheck check(bus_path, store, random, tally);
      check.Check({.history = history,
                   .boot = boot,
                   .moment = moment,
                   .mix = static_cast<Mix>(random() % kMixes),
                   .known = known,
                   .where = where});
    }
  }

  // Any moment, or just when something was acknowledged, or just behind a sync.
  static Moment DrawMoment(const History& history, const Ledger& ledger, Random& random) {
    const uint64_t kind = random() % 3;
    // Nothing was published where the only claim stayed open.
    const auto& all = ledger.all();
    const Moment told = all.empty() ? kNever : all[random() % all.size()].durable;
    if (kind == 0 && told != kNever) return told;
    const auto& ends = history.sync_ends();
    if (kind == 1 && !ends.empty()) return ends[random() % ends.size()] - random() % 2;
    return random() % (history.now() + 1);
  }

  // Workload after workload, from the one with the number `seed` on, until there were enough images. In the long form
  // by several processes.
  void Run(uint64_t seed, bool may_be_long) {
    const Budget budget;
    Tally tally;
    if (may_be_long && budget.long_form()) {
      PowerWorkers workers;
      tally = workers.Run(
          seed, [this](uint64_t number, Tally& own) { RunWorkload(number, own); },
          [&](uint64_t images, uint64_t wrong) { return wrong < kEnoughWrong && budget.More(images, kShort, kLong); });
    } else {
      for (uint64_t n = 0; tally.images < kShort && tally.wrong() < kEnoughWrong && !HasFatalFailure(); ++n) {
        RunWorkload(seed + n, tally);
      }
    }
    Tell(tally, seed);
    EXPECT_EQ(tally.not_loss, 0u);
    EXPECT_EQ(tally.wrong(), 0u) << fmt::format("{}", fmt::join(tally.messages, "\n"));
    const uint64_t images = tally.images;
    // Of a few workloads drawn by chance none may have one thing or another.
    if (HasFailure() || (may_be_long && images < kMany)) return;
    // The cuts did cut.
    EXPECT_GT(tally.missing, images / 10);
    EXPECT_GT(tally.durable, images);
    EXPECT_GT(tally.recut, images / 10);
    EXPECT_GT(tally.within, images / 50);
    EXPECT_GT(tally.third, images / 100);
    EXPECT_GT(tally.went_on, images / 50);
    EXPECT_GT(tally.no_batches, images / 10);
    EXPECT_GT(tally.batches, 2 * tally.no_batches);
    EXPECT_GT(tally.epochs, images / 2);
    EXPECT_GT(tally.trimmed, images / 100);
    EXPECT_GT(tally.cursors, images / 2);
    EXPECT_GT(tally.in_gaps, images / 300);
  }

 private:
  static constexpr uint64_t kShort = 3000;    // images
  static constexpr uint64_t kMany = 50000;    // likewise
  static constexpr uint64_t kLong = 1000000;  // likewise

  static void Tell(const Tally& t, uint64_t seed) {
    fmt::print(
        "power: images drawn {}, differing {}; of another cut's recovery {}, in the middle of it {}, third cuts {}, "
        "all "
        "went on before {}; epochs {}, the beginning deleted {}\n",
        t.drawn, t.images, t.recut, t.within, t.third, t.went_on, t.epochs, t.trimmed);
    fmt::print(
        "power: durable acknowledged {}, committed and gone {} (told as no loss {}), batches {}, none of it {}\n",
        t.durable, t.missing, t.not_loss, t.batches, t.no_batches);
    fmt::print("power: read before the recovery {}, cursors {}, in gaps {}\n", t.read_only, t.cursors, t.in_gaps);
    fmt::print(
        "power: wrong: lost {}, phantom {}, silent {}, parted {}, changed {}, reused {}, control {}, cursor {}, "
        "refused "
        "{}\n",
        t.lost, t.phantom, t.silent, t.parted, t.changed, t.reused, t.control, t.cursor, t.refused);
    Report("power", {.images = t.images,
                     .records = t.records,
                     .lost = t.lost + t.parted + t.changed + t.cursor,
                     .phantom = t.phantom + t.reused,
                     .stuck = t.refused,
                     .silent = t.silent + t.control,
                     .seed = seed});
  }
};

TEST_F(PowerTest, NothingAcknowledgedIsLost) { Run(1, false); }

TEST_F(PowerTest, NothingAcknowledgedIsLostWithAnySeed) { Run(Number("LIBBUS_SEED", std::random_device()()), true); }

}  // namespace
}  // namespace libbus::test
