// No room, at every place where the library asks the disk for some: the bus, the topic and each of its files, the next
// segment, that of an oversized record, the index, a cursor, its lock, the sleep page that was spoiled.
//
// A process does all of that step by step while the disk has k KiB left, for k = 0, 4, 8 ... until all of it fits: so
// each allocation in turn is the one that does not. On the real full disk (ext4, xfs, btrfs, tmpfs), with a limit of a
// file's size (RLIMIT_FSIZE), and by the seam with the n-th allocation refused. What is looked at: the error is
// RESOURCE_EXHAUSTED in one line and nobody dies; however often it is tried again, the room that is left does not
// shrink; what was published is read, the cursor goes on; with room again the very same step succeeds, everything
// follows, and all records are read, in order and once.
//
// With a copy that shares its blocks (FICLONE) or a snapshot of the live segment what was allocated is allocated no
// more: a store can need a block that is not there. Then an error, never a death, and nothing acknowledged is missing
// or different for the processes that come later.
//
// Not shown: a file system that is full of inodes, quotas, a full disk below a thin volume or a loop device.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/recovery.h"
#include "tests/crash/small_disk.h"
#include "tests/seam/seam.h"
#include "tests/support/disk.h"
#include "tests/support/processes.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

namespace fs = std::filesystem;
using platform::seam_control;

constexpr uint64_t kSegment = 65536;
constexpr int kRecords = 80;  // in steps of one: two rolls
constexpr uint64_t kKiB = 1024;

// Shared with the children.
struct Account {
  uint64_t refused = 0;  // steps that found no room
  uint64_t records = 0;  // published, by their numbers
  Figures figures;
  std::array<char, 600> wrong = {};
};

std::string PayloadOf(uint64_t number, size_t size) {
  return fmt::format("{:08}", number) + std::string(size, static_cast<char>('a' + number % 26));
}

// How a process is kept short of room.
struct Shortage {
  std::function<void()> begin = [] {};       // in the process
  std::function<void()> end = [] {};         // there is room again
  std::function<uint64_t()> left = nullptr;  // bytes; null: not known
};

// A process that uses a bus and meets the shortage somewhere.
class Tenant {
 public:
  Tenant(Account& account, std::string bus, Shortage shortage)
      : account_(account), bus_path_(std::move(bus)), shortage_(std::move(shortage)) {}

  // True: all was as it has to be.
  bool Live() {
    shortage_.begin();
    for (const Step& step : Steps()) {
      if (!Do(step)) return false;
    }
    return ReadsAll();
  }

 private:
  struct Step {
    const char* name;
    std::function<absl::Status()> body;
    bool once = false;  // what found no room is left for later
  };

  bool Wrong(uint64_t& count, const std::string& what) {
    ++count;
    std::snprintf(account_.wrong.data(), account_.wrong.size(), "%s", what.c_str());
    return false;
  }

  std::vector<Step> Steps() {
    std::vector<Step> steps = {
        {"bus", [this] { return Set(bus_, Bus::Open(bus_path_, {.create = true, .background = false})); }},
        {"topic", [this] { return Set(topic_, bus_->OpenTopic("t", {.create = true, .segment_size = kSegment})); }},
        {"producer", [this] { return Set(producer_, topic_->NewProducer()); }},
        {"cursor", [this] { return Set(consumer_, topic_->NewConsumer({.cursor = "first"})); }},
    };
    const Step publish = {"publish", [this] { return Publish(1500); }};
    const Step oversized = {"oversized", [this] { return Publish(3 * kSegment); }};
    for (int i = 0; i < kRecords; ++i) steps.push_back(publish);
    steps.push_back(oversized);
    steps.push_back(publish);
    steps.push_back({"maintain", [this] { return topic_->Maintain(); }, true});
    steps.push_back({"sync", [this] { return Sync(); }});
    steps.push_back({"index", [this] { return topic_->Maintain(); }, true});
    steps.push_back({"second cursor", [this] { return topic_->NewConsumer({.cursor = "second"}).status(); }});
    steps.push_back({"seek", [this] { return topic_->SeekCursor("second", From::End()); }});
    steps.push_back({"sleep page", [this] { return MendSleepPage(); }});
    steps.push_back({"again", [this] { return OpenAgain(); }});
    for (int i = 0; i < kRecords; ++i) steps.push_back(publish);
    return steps;
  }

  template <typename T>
  static absl::Status Set(std::optional<T>& to, absl::StatusOr<T> made) {
    if (made.ok()) to = *std::move(made);
    return made.status();
  }

  absl::Status Publish(size_t size) {
    const auto position = producer_->Publish(PayloadOf(account_.records, size));
    if (position.ok()) ++account_.records;
    return position.status();
  }

  // In memory nothing is kept, and it says so.
  absl::Status Sync() {
    const absl::Status status = topic_->Sync();
    return absl::IsFailedPrecondition(status) ? absl::OkStatus() : status;
  }

  // A consumer has truncated it: the next writer makes it whole.
  absl::Status MendSleepPage() {
    (void)truncate((bus_path_ + "/t/sleep").c_str(), 0);
    return bus_->OpenTopic("t").status();
  }

  absl::Status OpenAgain() {
    producer_.reset();
    consumer_.reset();
    topic_.reset();
    if (auto status = Set(topic_, bus_->OpenTopic("t")); !status.ok()) return status;
    if (auto status = Set(producer_, topic_->NewProducer()); !status.ok()) return status;
    return Set(consumer_, topic_->NewConsumer({.cursor = "first"}));
  }

  bool Do(const Step& step) {
    absl::Status status = step.body();
    if (status.ok()) return true;
    ++account_.refused;
    // Should it eat a page each time, that is seen.
    const uint64_t before = shortage_.left ? shortage_.left() : 0;
    for (int tries = 0; tries < 20 && IsRefusal(status); ++tries) status = step.body();
    if (status.ok() && !step.once)
      return Wrong(account_.figures.silent, fmt::format("{}: refused, then not", step.name));
    if (!status.ok() && !IsRefusal(status)) {
      return Wrong(account_.figures.stuck, fmt::format("{}: {}", step.name, status.ToString()));
    }
    const uint64_t after = shortage_.left ? shortage_.left() : 0;
    if (after + 48 * kKiB < before) {
      return Wrong(account_.figures.stuck, fmt::format("{}: {} bytes were left, then {}", step.name, before, after));
    }
    if (!GoesOn(step.name)) return false;
    shortage_.end();
    status = step.body();
    return status.ok() || Wrong(account_.figures.stuck, fmt::format("{}, with room: {}", step.name, status.ToString()));
  }

  static bool IsRefusal(const absl::Status& status) {
    return absl::IsResourceExhausted(status) && status.message().find('\n') == absl::string_view::npos;
  }

  // Consumers and cursors, while there is no room.
  bool GoesOn(const char* step) {
    if (!consumer_) return true;
    while (next_ < account_.records) {
      if (!ReadsNext()) return false;
    }
    const absl::Status committed = consumer_->Commit();
    return committed.ok() ||
           Wrong(account_.figures.stuck, fmt::format("{}: the cursor: {}", step, committed.ToString()));
  }

  bool ReadsNext() {
    const auto record = consumer_->Next(absl::Seconds(10));
    if (!record.ok())
      return Wrong(account_.figures.lost, fmt::format("record {}: {}", next_, record.status().ToString()));
    if (record->kind() != RecordKind::kData) return Wrong(account_.figures.lost, "a gap");
    const std::string_view text = record->text();
    if (text != PayloadOf(next_, text.size() - std::min<size_t>(text.size(), 8))) {
      return Wrong(account_.figures.phantom, fmt::format("not record {}: {}", next_, std::string(text.substr(0, 20))));
    }
    ++next_;
    ++account_.figures.records;
    return true;
  }

  bool ReadsAll() {
    shortage_.end();
    consumer_.reset();
    if (const absl::Status status = Set(consumer_, topic_->NewConsumer({.to = From::End(), .gaps = Gaps::kAll}));
        !status.ok()) {
      return Wrong(account_.figures.stuck, status.ToString());
    }
    next_ = 0;
    while (next_ < account_.records) {
      if (!ReadsNext()) return false;
    }
    return absl::IsOutOfRange(consumer_->Next().status()) || Wrong(account_.figures.phantom, "more than was published");
  }

  Account& account_;
  const std::string bus_path_;
  const Shortage shortage_;
  std::optional<Bus> bus_;
  std::optional<Topic> topic_;
  std::optional<Producer> producer_;
  std::optional<Consumer> consumer_;
  uint64_t next_ = 0;  // the record that consumer_ comes to
};

class NoSpaceTest : public testing::Test {
 protected:
  ~NoSpaceTest() override {
    if (figures_.executions > 0) Report("no-space", figures_);
  }

  // One life on a bus of its own. True: nothing was refused, and nothing was wrong.
  bool Fits(const std::string& bus, const std::string& what, const Shortage& shortage) {
    const Shared<Account> account;
    std::fflush(stdout);
    const int code = Child([&] { return Tenant(*account, bus, shortage).Live() ? 0 : 1; }).Join();
    EXPECT_EQ(code, 0) << what << ": " << account->wrong.data() << (code == -SIGBUS ? "SIGBUS" : "");
    figures_.executions += 1;
    figures_.points += account->refused > 0 ? 1 : 0;
    figures_.records += account->figures.records;
    figures_.lost += account->figures.lost;
    figures_.phantom += account->figures.phantom;
    figures_.stuck += account->figures.stuck + (code < 0 ? 1 : 0);
    figures_.silent += account->figures.silent;
    fs::remove_all(bus);
    return account->refused == 0 && code == 0;
  }

  void FillUp(const std::string& kind);

  const Budget budget_{0.25};  // four of the cases go on until it is over
  Figures figures_ = {.seed = Seed("no-space")};
  std::mt19937_64 random_{figures_.seed};
};

// --- refused by the seam ---------------------------------------------------------------------------------------------

TEST_F(NoSpaceTest, WhicheverAllocationIsRefused) {
  const Scratch scratch(DiskParent());
  bool fits = false;
  uint64_t n = 0;
  while (!fits && n < 200 && figures_.wrong() == 0) {
    ++n;
    Shortage shortage;
    // That one, and all that are tried behind it.
    shortage.begin = [n] { seam_control.fail_allocations_from = n; };
    shortage.end = [] { seam_control.fail_allocations_from = 0; };
    fits = Fits(scratch / "bus", fmt::format("allocation {}", n), shortage);
  }
  EXPECT_TRUE(fits);
  EXPECT_GT(n, 10u);
}

TEST_F(NoSpaceTest, WhateverTheLimitOfAFilesSize) {
  const Scratch scratch(DiskParent());
  // Around each size that a file of a bus has; the long form takes all.
  std::vector<uint64_t> limits = {0, 4, 8, 12, 16, 60, 64, 124, 128, 256, 320};
  for (uint64_t limit = 20; budget_.long_form() && limit < 320; limit += 4) limits.push_back(limit);
  bool fits = false;
  for (const uint64_t in_kib : limits) {
    const uint64_t limit = in_kib * kKiB;
    Shortage shortage;
    shortage.begin = [limit] {
      const rlimit both = {limit, RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &both);
    };
    shortage.end = [] {
      const rlimit both = {RLIM_INFINITY, RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &both);
    };
    fits |= Fits(scratch / "bus", fmt::format("limit {}", limit), shortage);
  }
  EXPECT_TRUE(fits);
  EXPECT_GE(figures_.points, 9u);
}

// --- a disk that is full ---------------------------------------------------------------------------------------------

void NoSpaceTest::FillUp(const std::string& kind) {
  if (const std::string missing = SmallDisk::WhyNot(kind); !missing.empty()) GTEST_SKIP() << missing;
  const SmallDisk disk(kind, true);
  // KiB: more than all of it; btrfs keeps much of what is left for itself.
  const uint64_t all = kind == "btrfs" ? 8192 : 1600;
  Shortage shortage;
  shortage.end = [&] { disk.MakeRoom(); };
  shortage.left = [&] { return disk.Free(); };
  // The short form: somewhere in each eighth.
  const uint64_t samples = !budget_.long_form() ? 8 : kind == "btrfs" ? all / 16 : all / 4;
  const uint64_t apart = all / samples;
  for (uint64_t i = 0; budget_.More(i, 8, samples) && i < samples && figures_.wrong() == 0; ++i) {
    // In the long form spread out, so that any budget sees all of it.
    const uint64_t turn = budget_.long_form() ? i * 7919 % samples : i;
    const uint64_t k = (turn * apart + random_() % apart) / 4 * 4;
    disk.Fill(k * kKiB);
    Fits(disk.path() + "/bus", fmt::format("{} with {} KiB left", kind, k), shortage);
    disk.MakeRoom();
  }
  EXPECT_GE(figures_.points, 2u);
}

TEST_F(NoSpaceTest, OnExt4) { FillUp("ext4"); }
TEST_F(NoSpaceTest, OnXfs) { FillUp("xfs"); }
TEST_F(NoSpaceTest, OnBtrfs) { FillUp("btrfs"); }
TEST_F(NoSpaceTest, InMemory) { FillUp("tmpfs"); }

// --- blocks that are shared ------------------------------------------------------------------------------------------

// A copy of every file of the topic that shares its blocks. False: errno says why not.
bool CloneAll(const std::string& topic, const std::string& to) {
  fs::create_directory(to);
  for (const auto& entry : fs::recursive_directory_iterator(topic)) {
    if (!entry.is_regular_file()) continue;
    const int from = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    const int copy = open((to + "/" + entry.path().filename().string()).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int flags = 0;
    // Only files that are alike in this may share.
    if (ioctl(from, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL) != 0) ioctl(copy, FS_IOC_SETFLAGS, &flags);
    const bool cloned = ioctl(copy, FICLONE, from) == 0;
    close(copy);
    close(from);
    if (!cloned) return false;
  }
  return true;
}

class SharedBlocksTest : public NoSpaceTest {
 protected:
  // Publishes durably, shares all blocks by `share`, fills the disk, goes on until something is refused, makes room.
  void MeetSharing(const SmallDisk& disk, const std::string& bus, const std::function<bool()>& share);

  struct Log {
    std::array<uint64_t, 2000> acknowledged = {};  // positions, by number; 0: not
    uint64_t tried = 0;
    uint64_t refused = 0;
    std::array<char, 300> said = {};
  };

  static bool Try(Producer& producer, Log& log) {
    const uint64_t number = log.tried++;
    const auto position =
        producer.Publish(PayloadOf(number, number % 3 == 0 ? 100 : 2500), {.durable = number % 4 == 0});
    if (position.ok()) {
      log.acknowledged.at(number) = position->offset;
      return true;
    }
    ++log.refused;
    std::snprintf(log.said.data(), log.said.size(), "%s", position.status().ToString().c_str());
    return false;
  }
  static bool IsAnError(std::string_view said) {
    return said.starts_with("RESOURCE_EXHAUSTED") || said.starts_with("DATA_LOSS") || said.starts_with("UNAVAILABLE");
  }

  void LookForAll(const std::string& bus, const Log& log);
};

void SharedBlocksTest::MeetSharing(const SmallDisk& disk, const std::string& bus, const std::function<bool()>& share) {
  const Shared<Log> log;
  std::fflush(stdout);
  const int code = Child([&] {
                     auto opened = Bus::Open(bus, {.create = true, .background = false});
                     auto topic = opened->OpenTopic("t", {.create = true, .segment_size = kSegment});
                     auto producer = topic->NewProducer();
                     auto reader = topic->NewConsumer();
                     for (int i = 0; i < 30; ++i) {
                       if (!Try(*producer, *log)) return 1;
                     }
                     if (!share()) return 2;
                     disk.Fill(0);
                     for (int i = 0; i < 300 && log->refused < 5; ++i) Try(*producer, *log);
                     // Who only reads needs no block.
                     for (int i = 0; i < 30; ++i) {
                       if (!reader->Next(absl::ZeroDuration()).ok()) return 3;
                     }
                     return 0;
                   }).Join();
  EXPECT_EQ(code, 0) << log->said.data();
  figures_.stuck += code < 0 ? 1 : 0;
  EXPECT_GT(log->refused, 0u) << "the disk was not full";
  EXPECT_TRUE(IsAnError(log->said.data())) << log->said.data();
  std::printf("%u records, then: %s\n", static_cast<unsigned>(log->tried), log->said.data());
  disk.MakeRoom();
  LookForAll(bus, *log);
  disk.Remount();
  LookForAll(bus, *log);
  ++figures_.points;
  ++figures_.executions;
}

void SharedBlocksTest::LookForAll(const std::string& bus, const Log& log) {
  std::fflush(stdout);
  Child([&] {
    // What a sync could not write is written anew.
    if (const auto report = RecoverTopic(bus, "t", {.apply = true}); !report.ok()) {
      std::printf("%s\n", report.status().ToString().c_str());
    }
    return 0;
  }).Join();
  auto opened = Bus::Open(bus, {.background = false});
  ASSERT_TRUE(opened.ok()) << opened.status();
  auto topic = opened->OpenTopic("t");
  ASSERT_TRUE(topic.ok()) << topic.status();
  std::map<uint64_t, std::string> read;
  auto consumer = topic->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
  for (const RecordView& record : consumer->Records(absl::Seconds(10))) {
    if (record.kind() == RecordKind::kData) read[record.position().offset] = record.text();
  }
  EXPECT_TRUE(absl::IsOutOfRange(consumer->status())) << consumer->status();
  for (uint64_t number = 0; number < log.tried; ++number) {
    const uint64_t position = log.acknowledged.at(number);
    if (position == 0) continue;
    ++figures_.records;
    const bool there = read.count(position) != 0 && read[position] == PayloadOf(number, number % 3 == 0 ? 100 : 2500);
    figures_.lost += there ? 0 : 1;
    EXPECT_TRUE(there) << "record " << number << " was acknowledged";
  }
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  const auto durable = producer->Publish("there is room again", {.durable = true});
  EXPECT_TRUE(durable.ok()) << durable.status();
}

TEST_F(SharedBlocksTest, WithACopyOnXfs) {
  if (const std::string missing = SmallDisk::WhyNot("xfs"); !missing.empty()) GTEST_SKIP() << missing;
  const SmallDisk disk("xfs");
  MeetSharing(disk, disk.path() + "/bus", [&] { return CloneAll(disk.path() + "/bus/t", disk.path() + "/copy"); });
}

TEST_F(SharedBlocksTest, WithACopyOnBtrfs) {
  if (const std::string missing = SmallDisk::WhyNot("btrfs"); !missing.empty()) GTEST_SKIP() << missing;
  const SmallDisk disk("btrfs");
  MeetSharing(disk, disk.path() + "/bus", [&] { return CloneAll(disk.path() + "/bus/t", disk.path() + "/copy"); });
}

// Each page that was written before is written elsewhere, whether anybody shares it or not.
TEST_F(SharedBlocksTest, WithNobodyOnBtrfs) {
  if (const std::string missing = SmallDisk::WhyNot("btrfs"); !missing.empty()) GTEST_SKIP() << missing;
  const SmallDisk disk("btrfs");
  MeetSharing(disk, disk.path() + "/bus", [] { return true; });
}

TEST_F(SharedBlocksTest, WithASnapshotOnBtrfs) {
  if (const std::string missing = SmallDisk::WhyNot("btrfs"); !missing.empty()) GTEST_SKIP() << missing;
  const SmallDisk disk("btrfs");
  const auto open_root = [&] { return open(disk.path().c_str(), O_RDONLY | O_CLOEXEC); };
  const int root = open_root();
  btrfs_ioctl_vol_args volume = {};
  std::snprintf(volume.name, sizeof(volume.name), "volume");
  ASSERT_EQ(ioctl(root, BTRFS_IOC_SUBVOL_CREATE, &volume), 0);
  close(root);
  MeetSharing(disk, disk.path() + "/volume/bus", [&] {
    const int from = open((disk.path() + "/volume").c_str(), O_RDONLY | O_CLOEXEC);
    btrfs_ioctl_vol_args_v2 snapshot = {};
    snapshot.fd = from;
    std::snprintf(snapshot.name, sizeof(snapshot.name), "snapshot");
    const int to = open_root();
    const bool made = ioctl(to, BTRFS_IOC_SNAP_CREATE_V2, &snapshot) == 0;
    close(to);
    close(from);
    return made;
  });
}

}  // namespace
}  // namespace libbus::test
