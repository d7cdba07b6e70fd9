// Power cuts, thousands of them, at the sync seam: see power_store.h for what a cut leaves. After each, whatever was
// acknowledged as durable is there, once, in order and byte for byte; nothing is there that was never published; what
// was committed and is gone lies in a gap; recovering twice gives what recovering once gave, and so it goes on.
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
#include "tests/crash/power_ledger.h"
#include "tests/crash/power_store.h"
#include "tests/crash/power_workload.h"
#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr int kSteps = 80;
constexpr uint64_t kImagesEach = 100;

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
    seam_control.realtime = 1;  // a slot taken again is the same bytes: a seed tells all
  }
  void TearDown() override {
    seam_control.pretend_durable = false;
    seam_control.skip_sleeps = false;
    seam_control.realtime = 0;
    seam_control.clock_offset = 0;
    seam_control.boot_id = 0;
  }

  static absl::Status MakeTopic(const std::string& bus_path, bool each, bool exclusive) {
    LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path, {.create = true, .background = false}));
    return bus
        .OpenTopic("t", {.create = true,
                         .segment_size = 4096,
                         .sync = each ? SyncPolicy::Each() : SyncPolicy::None(),
                         .exclusive = exclusive})
        .status();
  }

  // Records one workload and cuts it many times.
  void RunWorkload(uint64_t seed, Tally& tally) {
    SCOPED_TRACE(fmt::format("workload {}", seed));
    const Scratch scratch(ScratchParent());
    const std::string bus_path = scratch / "bus";
    const bool each = seed % 5 == 0;
    ASSERT_TRUE(MakeTopic(bus_path, each, seed % 4 == 3).ok());
    ASSERT_TRUE(std::filesystem::create_directory(scratch / "stash"));
    Random random(seed);
    PowerStore store(bus_path + "/t", scratch / "stash");
    const absl::Status aged = seed % 6 == 1 ? Age(bus_path, store) : absl::OkStatus();
    ASSERT_TRUE(aged.ok()) << aged;
    store.Start();
    Workload workload(bus_path, store, random, each);
    const absl::Status status = workload.Run(kSteps);
    ASSERT_TRUE(status.ok()) << status;
    const History history = store.Stop();
    Cuts(fmt::format("workload {}:", seed), bus_path, store, history, workload.ledger(), random, tally);
  }

  // So many power cuts that the control record with its list of epochs no longer fits into one sector, and can be torn.
  static absl::Status Age(const std::string& bus_path, PowerStore& store) {
    for (int i = 0; i < 16; ++i) {
      LIBBUS_ASSIGN_OR_RETURN(std::unique_ptr<Writer> writer, Writer::Open(bus_path, 0));
      store.Kill([&] { writer.reset(); });
      ++seam_control.boot_id;
    }
    return absl::OkStatus();
  }

  static void Cuts(const std::string& where, const std::string& bus_path, PowerStore& store, const History& history,
                   const Ledger& ledger, Random& random, Tally& tally) {
    const uint64_t until = tally.images + kImagesEach;
    for (uint64_t tries = 0; tally.images < until && tries < 10 * kImagesEach; ++tries) {
      const Moment moment = DrawMoment(history, ledger, random);
      Facts facts;
      ledger.AddTo(facts, moment);
      CutCheck check(bus_path, store, random, tally);
      check.Check({.history = history,
                   .moment = moment,
                   .mix = static_cast<Mix>(random() % kMixes),
                   .facts = facts,
                   .where = where});
    }
  }

  // Any moment, or just when something was acknowledged, or just behind a sync.
  static Moment DrawMoment(const History& history, const Ledger& ledger, Random& random) {
    const uint64_t kind = random() % 3;
    const Published& record = ledger.all()[random() % ledger.all().size()];
    if (kind == 0 && record.durable != kNever) return record.durable;
    const auto& ends = history.sync_ends();
    if (kind == 1) return ends[random() % ends.size()] - random() % 2;
    return random() % (history.now() + 1);
  }

  // Workload after workload until there were so many images.
  void Run(uint64_t seed, uint64_t images) {
    Tally tally;
    for (uint64_t n = 0; tally.images < images; ++n) {
      ASSERT_NO_FATAL_FAILURE(RunWorkload(seed + n, tally));
    }
    Report(tally, seed);
    EXPECT_EQ(tally.not_loss, 0u);
    EXPECT_EQ(tally.wrong(), 0u) << fmt::format("{}", fmt::join(tally.messages, "\n"));
    // The cuts did cut.
    EXPECT_GT(tally.missing, images / 10);
    EXPECT_GT(tally.durable, images);
    EXPECT_GT(tally.recut, images / 10);
    EXPECT_GT(tally.no_batches, images / 10);
    EXPECT_GT(tally.batches, 2 * tally.no_batches);
  }

 private:
  static void Report(const Tally& tally, uint64_t seed) {
    fmt::print(
        "power: cuts of a recovery {}, read before it {}, committed and gone {} (of these told as no loss {}), changed "
        "{}, reused {}, refused {}\n",
        tally.recut, tally.read_only, tally.missing, tally.not_loss, tally.changed, tally.reused, tally.refused);
    fmt::print("power: batches {}, none of it there {}, a part of it {}\n", tally.batches, tally.no_batches,
               tally.parted);
    fmt::print(
        "power: images {} (differing {}), records checked {}, durable acknowledged {}, lost {}, phantom {}, silent {}, "
        "seed {}\n",
        tally.drawn, tally.images, tally.records, tally.durable, tally.lost, tally.phantom, tally.silent, seed);
  }
};

TEST_F(PowerTest, NothingAcknowledgedIsLost) { Run(1, 5000); }

TEST_F(PowerTest, NothingAcknowledgedIsLostWithAnySeed) {
  Run(Number("LIBBUS_SEED", std::random_device()()), Number("LIBBUS_IMAGES", 5000));
}

}  // namespace
}  // namespace libbus::test
