#include "libbus/log/recovery.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "tests/seam/seam.h"
#include "tests/support/asleep.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

using platform::seam_control;
using test::Child;
using test::Scratch;
using test::Shared;

// A topic with segments of one page, left OPEN by a process that was killed. Its records are ten letters each, so that
// each takes 40 bytes: 24 of header, 10 of payload, padded.
class Recovery : public testing::Test {
 protected:
  static constexpr uint64_t kRecordSize = 40;
  static constexpr uint64_t kFirst = format::kSegmentHeaderSize;

  Recovery() : bus_(scratch_ / "bus") {}
  ~Recovery() override {
    seam_control.boot_id = 0;
    seam_control.mount_id = 0;
  }

  static std::string Text(uint64_t n) { return "record" + std::to_string(1000 + n); }
  static uint64_t PositionOf(uint64_t n) { return kFirst + n * kRecordSize; }
  std::string Path(const std::string& name) const { return bus_ + "/t/" + name; }
  std::string Segment(uint64_t base) const {
    char name[32];
    std::snprintf(name, sizeof(name), "%020llu.seg", static_cast<unsigned long long>(base));
    return Path(name);
  }

  absl::StatusOr<Topic> Open(bool read_only = false) const {
    auto bus = Bus::Open(bus_, {.create = !read_only, .read_only = read_only, .background = false});
    if (!bus.ok()) return bus.status();
    return bus->OpenTopic("t", read_only ? TopicOptions{} : TopicOptions{.create = true, .segment_size = 4096});
  }

  // Publishes `count` records and is killed, or closes.
  void Publish(uint64_t count, bool killed = true, bool claim = false) const {
    const int code = Child([&] {
                       auto topic = Open();
                       auto producer = topic->NewProducer();
                       for (uint64_t n = 0; n < count; ++n) {
                         if (!producer->Publish(Text(n)).ok()) return 1;
                       }
                       if (claim && !producer->Claim(10).ok()) return 2;
                       if (claim) {
                         auto other = topic->NewProducer();
                         auto open = producer->Claim(10);
                         if (!other->Publish(Text(count)).ok()) return 3;
                         raise(SIGKILL);
                       }
                       if (killed) raise(SIGKILL);
                       return 0;
                     }).Join();
    ASSERT_EQ(code, killed ? -SIGKILL : 0);
  }

  // Overwrites bytes of a segment file.
  void Write(uint64_t base, uint64_t offset, const std::vector<char>& bytes) const {
    std::fstream file(Segment(base), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.good());
  }
  void Flip(uint64_t base, uint64_t offset, char bits) const {
    std::fstream file(Segment(base), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(file.get() ^ bits);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
    ASSERT_TRUE(file.good());
  }

  // The bytes of every file of the topic.
  std::map<std::string, std::string> Snapshot() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(bus_ + "/t")) {
      if (entry.is_directory()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      files[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
    return files;
  }

  struct Content {
    std::vector<std::string> records;
    std::vector<Gap> gaps;
  };
  static Content ReadAll(Topic& topic) {
    Content content;
    auto consumer = topic.NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    if (!consumer.ok()) return content;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
      if (record.kind() == RecordKind::kGap) {
        content.gaps.push_back(record.gap());
      } else {
        content.records.emplace_back(record.text());
      }
    }
    EXPECT_EQ(consumer->status().code(), absl::StatusCode::kOutOfRange) << consumer->status();
    return content;
  }

  // Attaches, expects records 0 .. count-1 but for those in `missing`, publishes one more and finds it.
  void ExpectGoesOn(uint64_t count, const std::vector<uint64_t>& missing, const std::vector<Gap>& gaps) const {
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    std::vector<std::string> wanted;
    for (uint64_t n = 0; n < count; ++n) {
      if (std::find(missing.begin(), missing.end(), n) == missing.end()) wanted.push_back(Text(n));
    }
    Content content = ReadAll(*topic);
    EXPECT_EQ(content.records, wanted);
    ASSERT_EQ(content.gaps.size(), gaps.size());
    for (size_t i = 0; i < gaps.size(); ++i) {
      EXPECT_EQ(content.gaps[i].cause, gaps[i].cause);
      EXPECT_EQ(content.gaps[i].from, gaps[i].from);
      EXPECT_EQ(content.gaps[i].to, gaps[i].to);
    }
    auto producer = topic->NewProducer();
    ASSERT_TRUE(producer.ok()) << producer.status();
    ASSERT_TRUE(producer->Publish("one more").ok());
    wanted.push_back("one more");
    EXPECT_EQ(ReadAll(*topic).records, wanted);
  }

  // Nobody gets in, with this code and a message that has this in it, and not a byte changes.
  void ExpectRefused(absl::StatusCode code, const std::string& why) const {
    const auto before = Snapshot();
    auto topic = Open();
    EXPECT_EQ(topic.status().code(), code) << topic.status();
    EXPECT_NE(std::string(topic.status().message()).find(why), std::string::npos) << topic.status();
    auto reader = Open(true);
    EXPECT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(Snapshot(), before);
  }

  Scratch scratch_;
  const std::string bus_;
};

TEST_F(Recovery, TailRecordAndGoesOnInPlace) {
  Publish(3);
  ExpectGoesOn(3, {}, {});
  EXPECT_FALSE(std::filesystem::exists(Segment(8192)));
}

TEST_F(Recovery, EndLeadsOn) {
  Publish(150);  // a segment holds (4096 - 64 - 8) / 40 = 100
  ExpectGoesOn(150, {}, {});
}

TEST_F(Recovery, DeadClaimBecomesAGap) {
  Publish(2, true, true);
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Content content = ReadAll(*topic);
  EXPECT_EQ(content.records, (std::vector<std::string>{Text(0), Text(1), Text(2)}));
  ASSERT_EQ(content.gaps.size(), 2u);
  EXPECT_EQ(content.gaps[0].cause, GapCause::kAborted);
  EXPECT_EQ(content.gaps[1].cause, GapCause::kDead);
  EXPECT_EQ(content.gaps[1].owner, 1u);
  EXPECT_FALSE(content.gaps[1].loss());
}

TEST_F(Recovery, RottenRecordIsAGapOfItsOwnSize) {
  Publish(5);
  Flip(0, PositionOf(2) + 24 + 3, 0x10);
  ExpectGoesOn(5, {2}, {{GapCause::kDamage, {PositionOf(2)}, {PositionOf(3)}, 1}});
}

TEST_F(Recovery, HoleIsAGapUpToTheNextRecord) {
  Publish(5);
  Flip(0, PositionOf(1) + 4, 0x01);  // the length
  ExpectGoesOn(5, {1}, {{GapCause::kDamage, {PositionOf(1)}, {PositionOf(2)}, {}}});
}

TEST_F(Recovery, ZeroedRecordIsAHoleNotTheEnd) {
  Publish(5);
  Write(0, PositionOf(1), std::vector<char>(kRecordSize, 0));
  ExpectGoesOn(5, {1}, {{GapCause::kDamage, {PositionOf(1)}, {PositionOf(2)}, {}}});
}

TEST_F(Recovery, HoleAtTheEndOfASegmentGoesOnInTheNext) {
  Publish(105);
  Flip(0, PositionOf(99) + 5, 0x40);
  ExpectGoesOn(105, {99}, {{GapCause::kDamage, {PositionOf(99)}, {4096 + kFirst}, {}}});
}

TEST_F(Recovery, EndWithoutNextIsTheTail) {
  Publish(100);
  // One more record made the END and stands in the next segment, which somebody removes.
  Publish(101);
  Publish(0);
  std::filesystem::remove(Segment(4096));
  std::filesystem::remove(Segment(8192));
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  const auto position = producer->Publish("one more");
  ASSERT_TRUE(position.ok()) << position.status();
  // Not where the record stood that went with its segment: no position is used twice.
  EXPECT_GE(position->offset, 4096 + PositionOf(1));
  const Content content = ReadAll(*topic);
  ASSERT_EQ(content.records.size(), 101u);
  EXPECT_EQ(content.records.back(), "one more");
}

TEST_F(Recovery, DamagedTailIsSealed) {
  Publish(3);
  Write(0, PositionOf(3), {0x33, 0x00, 0x40, 0x11});
  ExpectGoesOn(3, {}, {{GapCause::kDamage, {PositionOf(3)}, {4096 + kFirst}, {}}});
}

TEST_F(Recovery, DebrisBehindTheTailIsSealed) {
  Publish(3);
  Write(0, PositionOf(3) + 16, {1, 2, 3, 4});
  ExpectGoesOn(3, {}, {{GapCause::kDamage, {PositionOf(3)}, {4096 + kFirst}, {}}});
}

TEST_F(Recovery, AfterAPowerLossTheTailIsSealedThoughNothingIsMissing) {
  Publish(3);
  seam_control.boot_id = 1;
  ExpectGoesOn(3, {}, {{GapCause::kPowerLoss, {PositionOf(3)}, {4096 + kFirst}, {}}});
  // Closed in order since then: nothing more happens in the next boot.
  seam_control.boot_id = 2;
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  EXPECT_EQ(ReadAll(*topic).gaps.size(), 1u);
}

TEST_F(Recovery, AfterAPowerLossNothingBehindAHoleInItsSegmentComesBack) {
  Publish(150);  // 100 in the first segment
  Write(0, PositionOf(50), std::vector<char>(kRecordSize, 0));
  seam_control.boot_id = 1;
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Content content = ReadAll(*topic);
  ASSERT_EQ(content.records.size(), 100u);  // 0 to 49, and 100 to 149 in the second segment
  EXPECT_EQ(content.records[49], Text(49));
  EXPECT_EQ(content.records[50], Text(100));
  ASSERT_EQ(content.gaps.size(), 2u);
  EXPECT_EQ(content.gaps[0], (Gap{GapCause::kPowerLoss, {PositionOf(50)}, {4096 + kFirst}, {}}));
  EXPECT_EQ(content.gaps[1].from.offset, 4096 + PositionOf(50));
  EXPECT_TRUE(content.gaps[1].loss());
}

TEST_F(Recovery, WhatWasCutOffStaysCutOffWhenTheEndRots) {
  Publish(100);
  Write(0, PositionOf(50), std::vector<char>(kRecordSize, 0));
  seam_control.boot_id = 1;
  { ASSERT_TRUE(Open().ok()); }
  Write(0, PositionOf(50), std::vector<char>(8, 0x66));
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Content content = ReadAll(*topic);
  EXPECT_EQ(content.records.size(), 50u);
  ASSERT_EQ(content.gaps.size(), 1u);
  EXPECT_EQ(content.gaps[0].from.offset, PositionOf(50));
}

TEST_F(Recovery, APreparedSegmentIsSealedWithTheTail) {
  Publish(3);
  ASSERT_EQ(Child([&] {
              auto topic = Open();
              if (!topic->Maintain().ok()) return 1;  // makes the next segment
              raise(SIGKILL);
              return 0;
            }).Join(),
            -SIGKILL);
  ASSERT_TRUE(std::filesystem::exists(Segment(4096)));
  seam_control.boot_id = 1;
  ExpectGoesOn(3, {}, {{GapCause::kPowerLoss, {PositionOf(3)}, {8192 + kFirst}, {}}});
}

TEST_F(Recovery, EndWithoutNextAfterAPowerLossRolls) {
  Publish(101);
  Publish(0);
  for (const uint64_t base : {4096, 8192}) std::filesystem::remove(Segment(base));
  seam_control.boot_id = 1;
  ExpectGoesOn(100, {}, {});
}

TEST_F(Recovery, WhatWasDurableAndIsGoneIsDamage) {
  Publish(3, false);  // closed: all of it is durable
  Publish(0);
  Write(0, PositionOf(1), std::vector<char>(2 * kRecordSize, 0));
  ExpectGoesOn(1, {}, {{GapCause::kDamage, {PositionOf(1)}, {4096 + kFirst}, {}}});
}

TEST_F(Recovery, AnotherMountIsSealedAndNoLoss) {
  Publish(3);
  seam_control.mount_id = 1;
  ExpectGoesOn(3, {}, {{GapCause::kOtherMount, {PositionOf(3)}, {4096 + kFirst}, {}}});
  auto topic = Open();
  EXPECT_FALSE(ReadAll(*topic).gaps[0].loss());
  // Handed out as a gap, but no error.
  auto consumer = topic->NewConsumer({.to = From::End(), .gaps = Gaps::kError});
  int records = 0;
  for ([[maybe_unused]] const RecordView& record : consumer->Records(absl::Seconds(20))) ++records;
  EXPECT_EQ(consumer->status().code(), absl::StatusCode::kOutOfRange) << consumer->status();
  EXPECT_EQ(records, 4);
}

// A claim that is as far behind as the hint does not lead back to it: CLEAN must not stand behind it.
TEST_F(Recovery, TheLastOneOutEndsDeadClaimsFarBehind) {
  {
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    auto producer = topic->NewProducer();
    ASSERT_EQ(Child([&] {
                auto beside = Open();
                auto dead = beside->NewProducer();
                auto claim = dead->Claim(10);
                raise(SIGKILL);
                return 0;
              }).Join(),
              -SIGKILL);
    for (uint64_t n = 0; n < 70; ++n) ASSERT_TRUE(producer->Publish(Text(n)).ok());
  }
  auto reader = Open(true);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const Content content = ReadAll(*reader);
  EXPECT_EQ(content.records.size(), 70u);
  ASSERT_EQ(content.gaps.size(), 1u);
  EXPECT_EQ(content.gaps[0].cause, GapCause::kDead);
}

// With the bounds off: the END that a recovery writes is final like any other.
TEST_F(Recovery, SealingWakesWhoSleepsAtTheTail) {
  Publish(3);
  Shared<std::atomic<bool>> waiting;
  Child reader([&] {
    alarm(60);
    seam_control.no_bounds = true;
    auto topic = Open(true);
    auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
    for (uint64_t n = 0; n < 3; ++n) {
      if (consumer->Next()->text() != Text(n)) return 1;
    }
    *waiting = true;
    const auto gap = consumer->Next();
    return gap.ok() && gap->kind() == RecordKind::kGap && gap->gap().cause == GapCause::kOtherMount ? 0 : 2;
  });
  while (!*waiting || !test::SleepsInKernel(reader)) sched_yield();
  seam_control.mount_id = 1;
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(reader.Join(), 0);
}

// Begun on another mount and killed anywhere, it is finished on the mount of before: what it was begun for stands in
// the control record before anything else is changed. If it did not, a segment that it left would look like damage.
TEST_F(Recovery, WhatWasBegunOnAnotherMountIsNoDamage) {
  for (uint64_t point = 1;; ++point) {
    SCOPED_TRACE("killed before point " + std::to_string(point));
    std::filesystem::remove_all(bus_);
    Publish(3);
    seam_control.mount_id = 1;
    const int code = Child([&] {
                       seam_control.points = 0;
                       seam_control.kill_at = point;
                       return Open().ok() ? 0 : 1;
                     }).Join();
    seam_control.mount_id = 0;
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    const Content content = ReadAll(*topic);
    ASSERT_EQ(content.records.size(), 3u);
    for (const Gap& gap : content.gaps) ASSERT_EQ(gap.cause, GapCause::kOtherMount);
    if (code == 0) break;
    ASSERT_EQ(code, -SIGKILL);
  }
}

TEST_F(Recovery, AnotherMountPlaysNoPartBesideAWriter) {
  Publish(3);
  auto writer = Open();
  ASSERT_TRUE(writer.ok()) << writer.status();
  seam_control.mount_id = 1;
  auto beside = Open();
  EXPECT_TRUE(beside.ok()) << beside.status();
  auto reader = Open(true);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(ReadAll(*reader).records.size(), 3u);
}

TEST_F(Recovery, AReaderAfterAPowerLossGoesAsFarAsWasDurable) {
  Publish(2, false);
  Publish(3);  // the records 0 to 2 again, not closed
  seam_control.boot_id = 1;
  auto reader = Open(true);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->durable().offset, PositionOf(2));
  auto consumer = reader->NewConsumer();
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  for (uint64_t n = 0; n < 2; ++n) EXPECT_EQ(consumer->Next(absl::Seconds(20))->text(), Text(n));
  const auto limited = consumer->Next(absl::Seconds(20));
  EXPECT_EQ(limited.status().code(), absl::StatusCode::kFailedPrecondition) << limited.status();
  EXPECT_NE(std::string(limited.status().message()).find("bus recover t --apply"), std::string::npos);
  // A writer decides; then the same consumer goes on.
  { ASSERT_TRUE(Open().ok()); }
  for (uint64_t n = 0; n < 3; ++n) {
    const auto record = consumer->Next(absl::Seconds(20));
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->text(), Text(n));
  }
  EXPECT_EQ(consumer->Next(absl::Seconds(20))->gap().cause, GapCause::kPowerLoss);
}

TEST_F(Recovery, AClaimAfterAPowerLossMayHaveBeenCommitted) {
  Publish(2, true, true);
  seam_control.boot_id = 1;
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Content content = ReadAll(*topic);
  EXPECT_EQ(content.records, (std::vector<std::string>{Text(0), Text(1), Text(2)}));
  ASSERT_EQ(content.gaps.size(), 3u);
  EXPECT_EQ(content.gaps[0].cause, GapCause::kAborted);
  EXPECT_EQ(content.gaps[1].cause, GapCause::kTorn);
  EXPECT_TRUE(content.gaps[1].loss());
  EXPECT_EQ(content.gaps[2].cause, GapCause::kPowerLoss);
}

// A sync has met the records, and then the page is gone: nobody takes it for the end of the log.
TEST_F(Recovery, AFreeWordWhereASyncMetARecordIsDamage) {
  seam_control.pretend_durable = true;
  ASSERT_EQ(Child([&] {
              auto topic = Open();
              auto producer = topic->NewProducer();
              for (uint64_t n = 0; n < 3; ++n) {
                if (!producer->Publish(Text(n)).ok()) return 1;
              }
              seam_control.kill_at_data_sync = true;
              (void)topic->Sync();
              return 2;
            }).Join(),
            -SIGKILL);
  Write(0, PositionOf(1), std::vector<char>(2 * kRecordSize, 0));
  ExpectGoesOn(1, {}, {{GapCause::kDamage, {PositionOf(1)}, {4096 + kFirst}, {}}});
  seam_control.pretend_durable = false;
}

// What a kill leaves is recovered as that, also by the second attempt: the cause that is stored is the one that was
// given.
TEST_F(Recovery, AKilledRecoveryFromDamageLosesNoMoreThanOneThatWasNot) {
  const auto damage = [&] {
    Publish(5);
    Flip(0, PositionOf(1) + 4, 0x01);
    Write(0, PositionOf(5), {0x33, 0x00, 0x40, 0x11});
  };
  uint64_t points = 0;
  for (uint64_t point = 1;; ++point) {
    std::filesystem::remove_all(bus_);
    damage();
    const int code = Child([&] {
                       seam_control.points = 0;
                       seam_control.kill_at = point;
                       return Open().ok() ? 0 : 1;
                     }).Join();
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    const Content content = ReadAll(*topic);
    ASSERT_EQ(content.records, (std::vector<std::string>{Text(0), Text(2), Text(3), Text(4)})) << "point " << point;
    if (code == 0) break;
    ++points;
  }
  EXPECT_GT(points, 10u);
}

// What the walk passes over is passed over by the second look too, and is no sign of a failing disk.
TEST_F(Recovery, ASealedLogWithAHoleCanBeSynced) {
  seam_control.pretend_durable = true;
  for (const bool power_loss : {false, true}) {
    std::filesystem::remove_all(bus_);
    Publish(5, !power_loss);  // closed: the hole is below D
    if (power_loss) Publish(0);
    Flip(0, PositionOf(1) + 4, 0x01);
    Flip(0, PositionOf(3) + 30, 0x01);
    if (!power_loss) Write(0, PositionOf(5), {0x33, 0x00, 0x40, 0x11});
    seam_control.boot_id += power_loss ? 1 : 0;
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    EXPECT_EQ(ReadAll(*topic).records, (std::vector<std::string>{Text(0), Text(2), Text(4)}));
    EXPECT_TRUE(topic->Sync().ok()) << topic->Sync();
    EXPECT_FALSE(std::filesystem::exists(Path("00000000000000000000.failed")));
  }
  seam_control.pretend_durable = false;
}

// Nobody who only reads is told durable by counters of another boot, or of the original of a copy.
TEST_F(Recovery, NoReaderIsToldDurableByOldCounters) {
  Publish(3, false);
  ASSERT_EQ(Child([&] {
              auto topic = Open();
              auto producer = topic->NewProducer();
              if (!producer->Publish(Text(3), {.durable = true}).ok()) return 1;
              raise(SIGKILL);
              return 0;
            }).Join(),
            -SIGKILL);
  std::filesystem::copy(bus_, scratch_ / "copy", std::filesystem::copy_options::recursive);
  std::filesystem::permissions(scratch_ / "copy", std::filesystem::perms::owner_all);
  auto bus = Bus::Open(scratch_ / "copy", {.read_only = true});
  auto copy = bus->OpenTopic("t");
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(copy->durable().offset, 0u);
  EXPECT_EQ(copy->WaitDurable({PositionOf(3)}, absl::Seconds(20)).code(), absl::StatusCode::kFailedPrecondition);
  seam_control.boot_id = 1;
  auto reader = Open(true);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->durable().offset, PositionOf(4));
  EXPECT_TRUE(reader->WaitDurable({PositionOf(3)}, absl::ZeroDuration()).ok());
}

TEST_F(Recovery, AClosedLogWithoutItsEndIsSealed) {
  Publish(150, false);
  std::filesystem::remove(Segment(4096));
  const auto look = RecoverTopic(bus_, "t");
  ASSERT_TRUE(look.ok()) << look.status();
  EXPECT_FALSE(look->clean);
  EXPECT_EQ(look->cause, "damage");
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  const auto position = producer->Publish("one more");
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_EQ(position->offset, look->tail.offset);
  EXPECT_GE(position->offset, 4096 + PositionOf(50));
  const Content content = ReadAll(*topic);
  EXPECT_EQ(content.records.size(), 101u);
  ASSERT_EQ(content.gaps.size(), 1u);
  EXPECT_TRUE(content.gaps[0].loss());
}

// The control file may have been copied before the segment: then its CLEAN is of another time.
TEST_F(Recovery, ACopysCleanIsNotBelievedUnlooked) {
  Publish(3, false);
  std::filesystem::copy_file(Path("control"), scratch_ / "control");
  Publish(3);
  std::filesystem::copy(bus_, scratch_ / "copy", std::filesystem::copy_options::recursive);
  std::filesystem::permissions(scratch_ / "copy", std::filesystem::perms::owner_all);
  const std::string copied = scratch_ / "copy/t/control";
  std::filesystem::copy_file(scratch_ / "control", copied, std::filesystem::copy_options::overwrite_existing);
  const auto report = RecoverTopic(scratch_ / "copy", "t", {.apply = true});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->cause, "copied");
  EXPECT_EQ(report->records.count, 6u);
  auto bus = Bus::Open(scratch_ / "copy", {.background = false});
  auto topic = bus->OpenTopic("t");
  ASSERT_TRUE(topic.ok()) << topic.status();
  const auto position = topic->NewProducer()->Publish("in the copy");
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_GE(position->offset, 4096u);
}

TEST_F(Recovery, APowerLossDuringARecoveryFromAnotherMountIsAPowerLoss) {
  Publish(3);
  seam_control.mount_id = 1;
  const int code = Child([&] {
                     seam_control.points = 0;
                     seam_control.at_point = [](uint64_t) {
                       if (std::filesystem::exists(std::string(getenv("LIBBUS_TEST_NEXT")))) raise(SIGKILL);
                     };
                     setenv("LIBBUS_TEST_NEXT", Segment(4096).c_str(), 1);
                     return Open().ok() ? 0 : 1;
                   }).Join();
  ASSERT_EQ(code, -SIGKILL);
  seam_control.boot_id = 1;
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Content content = ReadAll(*topic);
  ASSERT_FALSE(content.gaps.empty());
  EXPECT_EQ(content.gaps[0].cause, GapCause::kPowerLoss);
}

TEST_F(Recovery, EachEpochIsNoted) {
  for (uint8_t boot = 0; boot < 3; ++boot) {
    seam_control.boot_id = boot;
    Publish(2);
  }
  const auto info = InspectTopic(bus_, "t");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->epoch, 3u);
  auto topic = Open();
  const Content content = ReadAll(*topic);
  EXPECT_EQ(content.records.size(), 6u);
  EXPECT_EQ(content.gaps.size(), 2u);
}

TEST_F(Recovery, CleanIsTrustedAcrossBootsAndMounts) {
  Publish(3, false);
  seam_control.boot_id = 1;
  seam_control.mount_id = 1;
  auto reader = Open(true);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(ReadAll(*reader).records.size(), 3u);
  ExpectGoesOn(3, {}, {});
}

TEST_F(Recovery, CopiedSegmentIsRefused) {
  Publish(3);
  std::filesystem::copy_file(Segment(0), Path("copy"));
  std::filesystem::rename(Path("copy"), Segment(0));
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "is a copy");
}

TEST_F(Recovery, CopiedCleanTopicIsReadAndNotWritten) {
  Publish(3, false);
  std::filesystem::copy(bus_, scratch_ / "copy", std::filesystem::copy_options::recursive);
  std::filesystem::permissions(scratch_ / "copy", std::filesystem::perms::owner_all);
  auto bus = Bus::Open(scratch_ / "copy", {.read_only = true});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto reader = bus->OpenTopic("t");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(ReadAll(*reader).records.size(), 3u);
  auto writing = Bus::Open(scratch_ / "copy");
  ASSERT_TRUE(writing.ok()) << writing.status();
  EXPECT_EQ(writing->OpenTopic("t").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(Recovery, ReplacedLocksFileIsRefused) {
  Publish(3);
  std::filesystem::copy_file(Path("locks"), Path("copy"));
  std::filesystem::rename(Path("copy"), Path("locks"));
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "locks file");
}

TEST_F(Recovery, MissingLocksFileIsRefused) {
  Publish(3);
  std::filesystem::remove(Path("locks"));
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "locks file is gone");
}

TEST_F(Recovery, BothControlCopiesDamagedMeansEverythingIsReadAndSealed) {
  Publish(3);
  std::fstream file(Path("control"), std::ios::in | std::ios::out | std::ios::binary);
  for (const uint64_t offset : format::kControlCopyOffset) {
    file.seekp(static_cast<std::streamoff>(offset) + 40);
    file.write("damage", 6);
  }
  file.close();
  ExpectGoesOn(3, {}, {{GapCause::kDamage, {PositionOf(3)}, {4096 + kFirst}, {}}});
}

TEST_F(Recovery, OneDamagedControlCopyIsNotMissed) {
  Publish(3, false);
  auto read = [&] {
    auto topic = Open();
    return topic.ok() ? ReadAll(*topic).records.size() : 0;
  };
  // Whichever copy holds now, the other one is a write older: its loss does not matter, and a torn newer one is
  // ignored.
  for (const uint64_t offset : format::kControlCopyOffset) {
    std::fstream file(Path("control"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset) + 16);
    file.write("damage", 6);
    file.close();
    EXPECT_EQ(read(), 3u) << offset;
  }
}

}  // namespace
}  // namespace libbus
