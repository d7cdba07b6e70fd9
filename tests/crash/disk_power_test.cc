// Power cuts on real file systems: ext4, xfs and btrfs, each on a loop device over a file whose every write and flush
// is logged (faulty_disk.h, write_log.h). Processes publish, read, commit cursors and delete, and a database inserts
// beside them (disk_workload.h); then image after image of what a cut at some moment may have left is put in place,
// mounted, so that the file system recovers itself, and a fresh process opens the bus, which recovers, and looks at
// everything (disk_check.h):
//
//   what was acknowledged as durable before the cut is there once, in order, byte for byte; nothing is there that was
//   not published, or not yet; what was committed and is gone lies in a gap; batches are whole or gone; a durably
//   committed cursor stands no earlier; publishing goes on, at positions never used; opening again reads the same.
//
// One time in four the power fails again, while that process recovers or goes on: then all that it read after its
// recovery must be there too, and what it did not find must stay away.
//
// The acknowledgements are tied to the disk's log: whoever was told "durable" reads the number of the log after it, and
// a cut at that number or later must have it. SQLite with synchronous=FULL is asked the same, and so is a control that
// takes an unsynced publish for durable: where that loses nothing, the harness would see no loss of others.
//
// The machine does not go down: the page cache is dropped with the mount, and what says "another boot" to the library,
// the boot id, is told another one at the seam, for that is all of a power cut that it can see. One image in four keeps
// the boot id: a disk that was pulled out and put back, where only the mount's id is another. Not modelled: a disk that
// lies about flushes; a write that is in flight while a flush is asked for is taken for one before it, where the loop
// device handles it first (it handles one after the other); discards.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/disk_check.h"
#include "tests/crash/disk_ledger.h"
#include "tests/crash/disk_workload.h"
#include "tests/crash/faulty_disk.h"
#include "tests/support/processes.h"
#include "tests/support/proof.h"
#include "tests/support/sqlite.h"

namespace libbus::test {
namespace {

constexpr uint64_t kFixedSeed = 1;  // of the first workload
constexpr uint64_t kShortImages = 10;
constexpr uint64_t kShortImagesEach = 5;  // of one workload
constexpr uint64_t kImagesEach = 50;
constexpr unsigned kWatchdog = 100;  // seconds, for one image: it takes less than one

class DiskPowerTest : public testing::Test {
 protected:
  // Workload after workload until there are so many images. (Processes race: a seed draws the same again, and its
  // images are those of another run.)
  void Run(FileSystem file_system, uint64_t long_form) {
    const uint64_t seed = Seed(("disk-" + FileSystemName(file_system)).c_str()) % 1000000007;
    if (const std::string missing = FaultyDisk::WhyNot(file_system); !missing.empty()) GTEST_SKIP() << missing;
    file_system_ = file_system;
    long_form_ = long_form;
    figures_.seed = seed;
    for (uint64_t n = 0; More(); ++n) {
      const uint64_t drawn = n == 0 ? kFixedSeed : seed + n;
      SCOPED_TRACE(fmt::format("workload with seed {}", drawn));
      ASSERT_NO_FATAL_FAILURE(RunWorkload(drawn));
    }
    Judge();
  }

 private:
  bool More() const { return budget_.More(figures_.images, kShortImages, long_form_); }

  void RunWorkload(uint64_t seed) {
    auto disk = FaultyDisk::Make({.file_system = file_system_});
    ASSERT_TRUE(disk.ok()) << disk.status();
    ASSERT_EQ(Process([&] { return MakeDiskTopics(**disk); }).Join(), 0);
    ASSERT_TRUE((*disk)->WriteAll().ok());
    ASSERT_TRUE((*disk)->Record().ok());
    const Shared<DiskLedger> ledger;
    const absl::Status status = RunDiskWorkload(**disk, *ledger, budget_.long_form() ? 6000 : 1500, seed);
    ASSERT_TRUE(status.ok()) << status;
    const uint64_t end = (*disk)->LogNumber();
    ASSERT_TRUE((*disk)->Unmount().ok());
    std::mt19937_64 random(seed);
    const uint64_t until = figures_.images + (budget_.long_form() ? kImagesEach : kShortImagesEach);
    for (uint64_t drawn = 0; figures_.images < until && More() && drawn < 4 * kImagesEach; ++drawn) {
      ASSERT_NO_FATAL_FAILURE(CheckImage(**disk, *ledger, DrawCut(*ledger, end, random), random));
    }
  }

  // Any moment, or just when something was acknowledged.
  static uint64_t DrawCut(const DiskLedger& ledger, uint64_t end, std::mt19937_64& random) {
    const DiskPages& pages = ledger.records[random() % DiskLedger::kWriters];
    if (random() % 2 == 0 || pages.count == 0) return random() % (end + 1);
    const uint64_t cut = pages.entries[random() % pages.count].durable;
    return cut == kUnknown ? random() % (end + 1) : std::min(cut + random() % 3, end);
  }

  // Most often what loses something.
  static Leaves DrawLeaves(std::mt19937_64& random) {
    constexpr std::array kAll = {Leaves::kNothing, Leaves::kBlocks,  Leaves::kSectors,  Leaves::kNothing,
                                 Leaves::kBlocks,  Leaves::kSectors, Leaves::kBoundary, Leaves::kEverything};
    return kAll[random() % kAll.size()];
  }

  // What is drawn for an image.
  struct Drawn {
    uint64_t cut = 0;
    Leaves leaves = Leaves::kNothing;
    uint64_t seed = 0;
  };
  static absl::StatusOr<DiskStats> CutAt(const FaultyDisk& disk, const Drawn& drawn) {
    return disk.Cut(drawn.cut, drawn.leaves, drawn.seed);
  }

  // One image; one time in four with a second power cut while it is recovered from the first, or soon after.
  void CheckImage(FaultyDisk& disk, const DiskLedger& ledger, uint64_t cut, std::mt19937_64& random) {
    const Drawn drawn = {cut, DrawLeaves(random), random()};
    const auto image = CutAt(disk, drawn);
    ASSERT_TRUE(image.ok()) << image.status();
    const uint32_t boot = random() % 4 == 0 ? 0 : ++boots_;
    const Shared<DiskRecovery> first;
    if (random() % 4 != 0) {
      Recover(disk, ledger, *image, boot, random(), *first, nullptr, *image);
      return Keep(disk, drawn);
    }
    ASSERT_TRUE(disk.Record().ok());
    ASSERT_NO_FATAL_FAILURE(Recover(disk, ledger, *image, boot, random(), *first, nullptr, *image));
    if (HasFailure() && !kept_) {
      ASSERT_TRUE(disk.Drop().ok());
      return Keep(disk, drawn);
    }
    const Drawn drawn_again = {DrawSecondCut(*first, disk.LogNumber(), random), DrawLeaves(random), random()};
    const auto again = CutAt(disk, drawn_again);
    ASSERT_TRUE(again.ok()) << again.status();
    ++second_;
    const Shared<DiskRecovery> second;
    // No boot comes back.
    const uint32_t next_boot = boot == 0 && random() % 2 == 0 ? 0 : ++boots_;
    ASSERT_NO_FATAL_FAILURE(Recover(disk, ledger, *image, next_boot, random(), *second, &*first, *again));
    Keep(disk, drawn_again);
    ASSERT_TRUE(disk.Drop().ok());
  }

  // The image that was drawn, as it was before anybody mounted it, if something was wrong with it: no seed brings it
  // back. The first one only, and where $LIBBUS_KEEP says.
  void Keep(const FaultyDisk& disk, const Drawn& drawn) {
    const char* const folder = std::getenv("LIBBUS_KEEP");
    if (!HasFailure() || folder == nullptr || std::exchange(kept_, true)) return;
    const std::string path = fmt::format("{}/{}.image", folder, FileSystemName(file_system_));
    ASSERT_TRUE(CutAt(disk, drawn).ok());
    const absl::Status status = disk.Save(path);
    fmt::print("the image: {}\n", status.ok() ? path : status.ToString());
  }

  // Any moment, just when the recovery was over, or when something was acknowledged after that.
  static uint64_t DrawSecondCut(const DiskRecovery& first, uint64_t end, std::mt19937_64& random) {
    uint64_t cut = kUnknown;
    if (random() % 3 == 0) cut = first.recovered;
    if (random() % 3 == 0 && first.added.count > 0) cut = first.added.entries[random() % first.added.count].durable;
    return cut < end ? cut : random() % (end + 1);
  }

  // Mounts the image that is in place, after the cut `image` of the workload, or (`before`) after the cut `again` of
  // what was done after that one; lets a fresh process look, and unmounts.
  void Recover(FaultyDisk& disk, const DiskLedger& ledger, const DiskStats& image, uint32_t boot, uint64_t seed,
               DiskRecovery& recovery, const DiskRecovery* before, const DiskStats& again) {
    const std::string which = fmt::format("cut {}, flushed {}; {} {}, flushed {}; boot {}", image.cut, image.flush,
                                          before == nullptr ? "only" : "then", again.cut, again.flush, boot);
    ++drawn_;
    if (const absl::Status status = disk.Mount(); !status.ok()) {
      ++unmountable_;
      fmt::print("{}: {}: {}\n", FileSystemName(file_system_), which, status.ToString());
      return;
    }
    const Shared<DiskFindings> findings;
    const int code = Process([&] {
                       alarm(kWatchdog);
                       DiskCheck check(disk, ledger, image.cut, recovery, *findings);
                       if (before != nullptr) check.Second(*before, again.cut);
                       check.Run(boot, seed);
                       return absl::OkStatus();
                     }).Join();
    figures_.stuck += code == -SIGALRM ? 1 : 0;
    EXPECT_EQ(code, 0) << "the process that recovers ended; " << which;
    EXPECT_STREQ(findings->messages.data(), "") << which;
    Count(again, *findings);
    ASSERT_TRUE(disk.Unmount().ok());
  }

  void Count(const DiskStats& image, const DiskFindings& findings) {
    // What was not written when the power failed: by the disk, or not even by the kernel.
    if (image.stale > 0 || findings.bus.missing > 0 || findings.control.lost > 0) ++figures_.images;
    at_flush_ += image.cut == image.flush ? 1 : 0;
    stale_ += image.stale > 0 ? 1 : 0;
    control_images_ += findings.control.lost > 0 ? 1 : 0;
    bus_.Add(findings.bus);
    database_.Add(findings.database);
    control_.Add(findings.control);
    changed_ += findings.changed + findings.reused;
    refused_ += findings.refused;
    figures_.Slow(findings.recovery_ms);
  }

  void Judge() {
    const std::string name = "disk-" + FileSystemName(file_system_);
    const auto line = [&](const char* of, const DiskColumn& column) {
      fmt::print("{:<10} {:<12} {:>12} {:>12} {:>8} {:>8} {:>8} {:>8}\n", name, of, column.records, column.acknowledged,
                 column.lost, column.phantom, column.parted, column.silent);
    };
    fmt::print("{:<10} {:<12} {:>12} {:>12} {:>8} {:>8} {:>8} {:>8}\n", name, "", "records read", "acknowledged",
               "lost", "phantom", "parted", "silent");
    line("libbus", bus_);
    line("SQLite FULL", database_);
    line("control", control_);
    fmt::print(
        "{}: images drawn {}, of a second cut {}, at a flush {}, with sectors older than the last write {}, not "
        "mountable {}; not durable "
        "and "
        "gone {}; control lost {} in {} images\n",
        name, drawn_, second_, at_flush_, stale_, unmountable_, bus_.missing, control_.lost, control_images_);
    figures_.records = bus_.records + database_.records;
    figures_.lost = bus_.lost;
    figures_.phantom = bus_.phantom + bus_.parted + control_.phantom + changed_;
    figures_.silent = bus_.silent + control_.silent;
    Report(name, figures_);
    EXPECT_EQ(figures_.wrong() + refused_, 0u);
    // The file system's own loss: there is no bus to look at, nor a database.
    EXPECT_LE(unmountable_, 1 + drawn_ / 50);
    EXPECT_EQ(database_.lost + database_.phantom + database_.parted, 0u) << "SQLite, or the harness, is wrong";
    EXPECT_GT(control_.lost, 0u) << "a harness that finds no loss proves nothing";
    EXPECT_GT(bus_.acknowledged, figures_.images);
    EXPECT_GT(bus_.missing, 0u);
  }

  const Budget budget_ = Budget(1.0 / 3);
  FileSystem file_system_ = FileSystem::kExt4;
  uint64_t long_form_ = 0;
  Figures figures_;
  DiskColumn bus_;
  DiskColumn database_;
  DiskColumn control_;
  bool kept_ = false;
  uint32_t boots_ = 0;
  uint64_t drawn_ = 0;
  uint64_t second_ = 0;
  uint64_t at_flush_ = 0;
  uint64_t stale_ = 0;
  uint64_t unmountable_ = 0;
  uint64_t control_images_ = 0;
  uint64_t changed_ = 0;
  uint64_t refused_ = 0;
};

TEST_F(DiskPowerTest, Ext4) { Run(FileSystem::kExt4, 300); }
TEST_F(DiskPowerTest, Xfs) { Run(FileSystem::kXfs, 100); }
TEST_F(DiskPowerTest, Btrfs) { Run(FileSystem::kBtrfs, 100); }

}  // namespace
}  // namespace libbus::test
