// RecoverTopic is killed before each of its points in turn: on a copy that becomes a log of its own, on segments whose
// sync failed, after a power loss, with no locks file, with a damaged control file. Whatever is left, doing it again
// gives every record once, counts every byte once, and leaves nothing behind. A segment whose sync failed is another
// file then: the old one reads well, and the kernel calls its lost pages written.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/recovery.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

namespace fs = std::filesystem;
using platform::seam_control;
using test::Child;
using test::Scratch;

constexpr uint64_t kSegmentSize = 4096;
constexpr uint64_t kRecords = 120;  // over two segments

std::string Text(uint64_t n) { return "record" + std::to_string(1000 + n); }

// tmpfs where there is one: hundreds of topics are made and synced.
std::string ScratchParent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

// A bus in a directory of its own. Its file system passes for a disk, so that every sync is made.
class RecoverKillTest : public testing::Test {
 public:
  RecoverKillTest() : scratch_(ScratchParent()), bus_(scratch_ / "bus"), failed_(scratch_ / "failed") {
    seam_control.pretend_durable = true;
  }
  ~RecoverKillTest() override {
    seam_control.pretend_durable = false;
    seam_control.boot_id = 0;
  }

  // How a topic is left; each makes it anew in bus_.
  using Leave = void (RecoverKillTest::*)();

  std::string Path(const std::string& name) const { return bus_ + "/t/" + name; }

  absl::StatusOr<Topic> Open() const {
    auto bus = Bus::Open(bus_, {.create = true, .background = false});
    if (!bus.ok()) return bus.status();
    return bus->OpenTopic("t", {.create = true, .segment_size = kSegmentSize});
  }

  // Publishes in a process of its own, which then closes or is killed with a claim open.
  void Publish(bool killed) const {
    const int code = Child([&] {
                       auto topic = Open();
                       if (!topic.ok()) return 1;
                       auto producer = topic->NewProducer();
                       auto dead = topic->NewProducer();
                       for (uint64_t n = 0; n < kRecords - 1; ++n) {
                         if (!producer->Publish(Text(n)).ok()) return 2;
                       }
                       auto claim = dead->Claim(10);
                       if (!claim.ok() || !producer->Publish(Text(kRecords - 1)).ok()) return 3;
                       if (killed) raise(SIGKILL);
                       return std::move(*claim).Abandon().ok() ? 0 : 4;
                     }).Join();
    ASSERT_EQ(code, killed ? -SIGKILL : 0);
  }
  void Copy() const {
    fs::copy(bus_, scratch_ / "copy", fs::copy_options::recursive);
    fs::remove_all(bus_);
    fs::rename(scratch_ / "copy", bus_);
    fs::permissions(bus_, fs::perms::owner_all);
  }

  void LeaveKilled() { Publish(true); }
  void LeaveAfterPowerLoss() {
    seam_control.boot_id = 0;
    Publish(true);
    seam_control.boot_id = 1;
  }
  void LeaveCopy() {
    Publish(true);
    Copy();
  }
  void LeaveCleanCopy() {
    Publish(false);
    Copy();
  }
  void LeaveWithoutLocks() {
    Publish(true);
    fs::remove(Path("locks"));
  }
  void LeaveWithDamagedControl() {
    Publish(false);
    std::fstream file(Path("control"), std::ios::in | std::ios::out | std::ios::binary);
    for (const std::streamoff offset : {16384, 32768}) {
      file.seekp(offset + 40);
      file.write("damage", 6);
    }
  }
  void FailSyncs() const {
    for (const char* mark : {"00000000000000000000.failed", "00000000000000004096.failed"}) {
      std::ofstream(Path(mark)).flush();
    }
  }
  void LeaveFailed() {
    Publish(false);
    FailSyncs();
  }
  void LeaveFailedCopy() {
    Publish(true);
    FailSyncs();
    Copy();
  }

  // Applies in a process of its own that is killed before the point with this number (0: never). 0: it came to its end.
  int ApplyKilledAt(uint64_t point) const {
    return Child([&] {
             seam_control.points = 0;
             seam_control.kill_at = point;
             const auto report = RecoverTopic(bus_, "t", {.apply = true});
             if (!report.ok()) std::fprintf(stderr, "%s\n", report.status().ToString().c_str());
             return report.ok() ? 0 : 1;
           })
        .Join();
  }

  uint64_t EndOfSegments() const {
    uint64_t end = 0;
    for (const auto& entry : fs::directory_iterator(bus_ + "/t")) {
      const std::string name = entry.path().filename();
      if (name.starts_with(".") || !name.ends_with(".seg")) continue;
      end = std::max<uint64_t>(end, std::stoull(name) + entry.file_size());
    }
    return end;
  }

  // Nothing half made is left, and no mark.
  void ExpectTidy() const {
    for (const auto& entry : fs::directory_iterator(bus_ + "/t")) {
      const std::string name = entry.path().filename();
      const bool known =
          name == "control" || name == "locks" || name == "sleep" || name == "cursors" || name.ends_with(".seg");
      EXPECT_TRUE(known) << name;
    }
  }

  // What a dry run says beforehand changes nothing, and it is what is done.
  void ExpectMends() const {
    const auto look = RecoverTopic(bus_, "t");
    ASSERT_TRUE(look.ok()) << look.status();
    EXPECT_FALSE(look->in_use);
    const uint64_t end = EndOfSegments();
    const auto done = RecoverTopic(bus_, "t", {.apply = true});
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->clean, look->clean);
    EXPECT_EQ(done->tail, look->tail);
    EXPECT_EQ(done->records.count, look->records.count);
    EXPECT_TRUE(done->clean || done->from.offset + done->bytes() == end) << done->bytes();
    const auto again = RecoverTopic(bus_, "t", {.apply = true});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(again->clean && !again->applied) << again->why;
    EXPECT_EQ(again->tail, done->tail);
    ExpectTidy();
    ExpectWrittenAnew();
    uint64_t damages = 0;
    const auto verified = VerifyTopic(bus_, "t", [&](const Finding& finding) {
      damages += finding.damage ? 1 : 0;
      EXPECT_FALSE(finding.damage) << finding.what;
      return true;
    });
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->records, kRecords);
    EXPECT_EQ(damages, 0u);
  }

  // Every record once and in order, then the one that is published now.
  void ExpectGoesOn() const {
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    auto producer = topic->NewProducer();
    ASSERT_TRUE(producer.ok()) << producer.status();
    const auto more = producer->Publish(Text(kRecords), {.durable = true});
    ASSERT_TRUE(more.ok()) << more.status();
    auto consumer = topic->NewConsumer({.to = From::End()});
    ASSERT_TRUE(consumer.ok()) << consumer.status();
    uint64_t read = 0;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
      if (record.kind() == RecordKind::kGap) continue;
      ASSERT_EQ(record.text(), Text(read));
      ++read;
    }
    EXPECT_EQ(consumer->status().code(), absl::StatusCode::kOutOfRange) << consumer->status();
    EXPECT_EQ(read, kRecords + 1);
  }

  // Every segment with the mark of a failed sync stays at hand under another name, so that no new file passes for it.
  void KeepFailed() {
    fs::remove_all(failed_);
    fs::create_directory(failed_);
    for (const auto& entry : fs::directory_iterator(bus_ + "/t")) {
      if (entry.path().extension() != ".failed") continue;
      const std::string segment = entry.path().stem().string() + ".seg";
      fs::create_hard_link(Path(segment), failed_ + "/" + segment);
    }
  }
  void ExpectWrittenAnew() const {
    for (const auto& entry : fs::directory_iterator(failed_)) {
      const std::string segment = entry.path().filename();
      EXPECT_FALSE(fs::equivalent(entry.path(), Path(segment)))
          << segment << " has no mark any more, and is the file whose sync failed";
    }
  }

  void Renew(Leave leave) {
    fs::remove_all(bus_);
    (this->*leave)();
    KeepFailed();
  }

  void KillEverywhere(const char* what, Leave leave, uint64_t least) {
    uint64_t point = 0;
    test::Figures figures;
    const test::ReportAtEnd report("recovery-kill-points", figures);
    for (int code = -SIGKILL; code == -SIGKILL;) {
      SCOPED_TRACE("killed before point " + std::to_string(++point));
      Renew(leave);
      ASSERT_FALSE(HasFatalFailure());
      code = ApplyKilledAt(point);
      ExpectMends();
      ExpectGoesOn();
      figures.points = point - 1;
      // Each time everything is read twice: by who verifies, and by who goes on.
      figures.records = point * (2 * kRecords + 1);
      figures.lost += HasFailure() ? 1 : 0;
      ASSERT_FALSE(HasFailure());
      ASSERT_TRUE(code == 0 || code == -SIGKILL) << code;
    }
    std::printf("%s:\n", what);
    EXPECT_GE(point - 1, least);
  }

  Scratch scratch_;
  const std::string bus_;
  const std::string failed_;
};

TEST_F(RecoverKillTest, AtEachPointAfterAKill) { KillEverywhere("killed", &RecoverKillTest::LeaveKilled, 20); }

TEST_F(RecoverKillTest, AtEachPointAfterAPowerLoss) {
  KillEverywhere("power loss", &RecoverKillTest::LeaveAfterPowerLoss, 30);
}

TEST_F(RecoverKillTest, AtEachPointOfAdoptingACopy) { KillEverywhere("copy", &RecoverKillTest::LeaveCopy, 40); }

TEST_F(RecoverKillTest, AtEachPointOfAdoptingACleanCopy) {
  KillEverywhere("clean copy", &RecoverKillTest::LeaveCleanCopy, 100);
}

TEST_F(RecoverKillTest, AtEachPointOfReplacingTheLocksFile) {
  KillEverywhere("no locks file", &RecoverKillTest::LeaveWithoutLocks, 40);
}

TEST_F(RecoverKillTest, AtEachPointWithADamagedControlFile) {
  KillEverywhere("damaged control", &RecoverKillTest::LeaveWithDamagedControl, 30);
}

TEST_F(RecoverKillTest, AtEachPointOfWritingSegmentsAnew) {
  KillEverywhere("failed sync", &RecoverKillTest::LeaveFailed, 40);
}

TEST_F(RecoverKillTest, AtEachPointOfAdoptingACopyWhoseSyncFailed) {
  KillEverywhere("failed sync, copied", &RecoverKillTest::LeaveFailedCopy, 60);
}

// Killed again while it does what the one before had left, several times.
TEST_F(RecoverKillTest, AgainAndAgain) {
  constexpr Leave kLeaves[] = {&RecoverKillTest::LeaveCopy, &RecoverKillTest::LeaveFailedCopy,
                               &RecoverKillTest::LeaveWithoutLocks, &RecoverKillTest::LeaveAfterPowerLoss,
                               &RecoverKillTest::LeaveWithDamagedControl};
  std::mt19937_64 random(test::Seed("AgainAndAgain"));
  std::fflush(stdout);
  for (size_t round = 0; round < 60; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Renew(kLeaves[round % std::size(kLeaves)]);
    for (int kill = 0; kill < 4; ++kill) {
      const int code = ApplyKilledAt(1 + random() % 80);
      ASSERT_TRUE(code == 0 || code == -SIGKILL) << code;
    }
    ExpectMends();
    ExpectGoesOn();
    seam_control.boot_id = 0;
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace libbus
