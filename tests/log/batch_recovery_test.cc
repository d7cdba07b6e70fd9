// What recovery makes of a batch of which not everything is there: all or none at the tail, each record for itself
// where it was durable or no power was lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "libbus/recovery.h"
#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using platform::seam_control;
using Texts = std::vector<std::string>;

constexpr uint64_t kStart = 64 + 40;                  // a record of ten bytes stands before the batch
constexpr uint64_t kFirst = kStart + 24 + 8 + 3 * 8;  // of its three records; each takes 40 bytes
constexpr uint64_t kRecord = 40;
constexpr uint64_t kEnd = kFirst + 3 * kRecord;

class BatchRecovery : public TopicTest {
 protected:
  BatchRecovery() { seam_control.pretend_durable = true; }
  ~BatchRecovery() override {
    seam_control.pretend_durable = false;
    seam_control.boot_id = 0;
  }

  // "record1000", a batch of 1001 to 1003, "record1004"; then all are killed.
  void Publish(bool synced) const {
    const int code = Child([&] {
                       auto topic = Make();
                       auto producer = topic->NewProducer();
                       if (!producer->Publish("record1000").ok()) return 1;
                       Batch batch = producer->NewBatch();
                       for (int i = 1; i <= 3; ++i) {
                         if (!batch.Add("record" + std::to_string(1000 + i)).ok()) return 2;
                       }
                       const auto position = batch.Commit();
                       if (!position.ok() || position->offset != kFirst) return 3;
                       if (!producer->Publish("record1004").ok()) return 4;
                       if (synced && !topic->Sync().ok()) return 5;
                       raise(SIGKILL);
                       return 0;
                     }).Join();
    ASSERT_EQ(code, -SIGKILL);
  }
  // Both copies of the control record, so that nothing tells how far the log was durable.
  void RotControl() const {
    for (const uint64_t offset : format::kControlCopyOffset) Flip(Path("control"), offset + 40, 0x20);
  }
  // The bus becomes a copy of itself.
  void Copy() const {
    std::filesystem::copy(bus_, scratch_ / "copy", std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(bus_);
    std::filesystem::rename(scratch_ / "copy", bus_);
    std::filesystem::permissions(bus_, std::filesystem::perms::owner_all);
  }
  void Rot(uint64_t position) const { Flip(Path(SegmentName(0)), position, 0x20); }

  struct Content {
    Texts texts;
    std::vector<Gap> gaps;
  };
  Content ReadAll() const {
    Content content;
    auto topic = Make();
    EXPECT_TRUE(Succeeds(topic));
    if (!topic.ok()) return content;
    auto consumer = topic->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
      content.texts.push_back(TextOf(record));
      if (record.kind() == RecordKind::kGap) content.gaps.push_back(record.gap());
    }
    return content;
  }

  // What a reader gets who is there before any writer: it ends with an error that asks for one.
  Texts ReadBefore() const {
    Texts texts;
    auto topic = OpenReadOnly();
    EXPECT_TRUE(Succeeds(topic));
    if (!topic.ok()) return texts;
    auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
    absl::StatusOr<RecordView> record = consumer->Next(absl::Seconds(20));
    for (; record.ok(); record = consumer->Next(absl::Seconds(20))) texts.push_back(TextOf(*record));
    EXPECT_TRUE(Fails(record.status(), absl::StatusCode::kFailedPrecondition, "bus recover t --apply"));
    return texts;
  }

  // The steps that a dry run tells.
  std::vector<std::string> Rows(RecoveryReport* report) const {
    std::vector<std::string> rows;
    auto found = RecoverTopic(bus_, "t", {}, [&](const RecoveryStep& step) {
      rows.push_back(std::string(step.row) + " " + std::to_string(step.from.offset) + " " +
                     std::to_string(step.to.offset));
    });
    EXPECT_TRUE(Succeeds(found));
    if (found.ok()) *report = *found;
    return rows;
  }
};

TEST_F(BatchRecovery, AfterAKillARottenRecordLosesItselfAlone) {
  Publish(false);
  Rot(kFirst + kRecord + 24);
  RecoveryReport report;
  const auto rows = Rows(&report);
  ASSERT_FALSE(rows.empty());
  EXPECT_EQ(rows[0],
            "rotten in a batch " + std::to_string(kFirst + kRecord) + " " + std::to_string(kFirst + 2 * kRecord));
  EXPECT_EQ(report.records.count, 4u);
  EXPECT_EQ(report.rotten.count, 1u);
  EXPECT_EQ(report.rotten.bytes, kRecord);
  EXPECT_EQ(report.bytes() % 4096, 0u) << "every byte is counted once";
  const Content content = ReadAll();
  EXPECT_EQ(content.texts, (Texts{"record1000", "record1001", "<damage>", "record1003", "record1004"}));
}

TEST_F(BatchRecovery, AfterAPowerLossNothingOfATornBatchIsThere) {
  Publish(false);
  Rot(kFirst + kRecord + 24);
  seam_control.boot_id = 1;
  RecoveryReport report;
  const auto rows = Rows(&report);
  ASSERT_FALSE(rows.empty());
  EXPECT_EQ(rows[0], "torn batch " + std::to_string(kStart) + " " + std::to_string(kEnd));
  EXPECT_EQ(report.torn.count, 1u);
  EXPECT_EQ(report.torn.bytes, kEnd - kStart);
  EXPECT_EQ(report.records.count, 2u);
  EXPECT_EQ(report.bytes() % 4096, 0u);
  for (int round = 0; round < 2; ++round) {
    const Content content = ReadAll();
    ASSERT_EQ(content.texts, (Texts{"record1000", "<torn>", "record1004", "<power loss>"}));
    EXPECT_EQ(content.gaps[0].from.offset, kStart);
    EXPECT_EQ(content.gaps[0].to.offset, kEnd);
    EXPECT_TRUE(content.gaps[0].loss());
  }
}

TEST_F(BatchRecovery, AWholeBatchIsKeptAfterAPowerLoss) {
  Publish(false);
  seam_control.boot_id = 1;
  EXPECT_EQ(ReadAll().texts,
            (Texts{"record1000", "record1001", "record1002", "record1003", "record1004", "<power loss>"}));
}

TEST_F(BatchRecovery, WhatWasDurableLosesTheRottenRecordAloneAfterAPowerLoss) {
  Publish(true);
  Rot(kFirst + 24);
  seam_control.boot_id = 1;
  EXPECT_EQ(ReadAll().texts,
            (Texts{"record1000", "<damage>", "record1002", "record1003", "record1004", "<power loss>"}));
}

TEST_F(BatchRecovery, ARottenTableIsOneGapOfDamage) {
  for (const uint32_t boot : {0, 1}) {
    Publish(false);
    Rot(kStart + 40);
    seam_control.boot_id = boot;
    const Content content = ReadAll();
    ASSERT_GE(content.texts.size(), 3u);
    EXPECT_EQ(content.texts[1], "<damage>");
    EXPECT_EQ(content.gaps[0].to.offset, kEnd);
    std::filesystem::remove_all(bus_);
  }
}

// A copy of a topic that was closed in order: D is not believed, and yet nothing can have torn it.
TEST_F(BatchRecovery, AClosedCopyLosesTheRottenRecordAlone) {
  Publish(false);
  ASSERT_TRUE(Succeeds(Make()));  // and closed again
  Copy();
  Rot(kFirst + kRecord + 24);
  const auto report = RecoverTopic(bus_, "t", {.apply = true});
  ASSERT_TRUE(Succeeds(report));
  EXPECT_TRUE(report->adopts);
  EXPECT_EQ(report->torn.count, 0u);
  EXPECT_EQ(report->rotten.count, 1u);
  EXPECT_EQ(ReadAll().texts, (Texts{"record1000", "record1001", "<damage>", "record1003", "record1004", "<copied>"}));
}

// Before a writer has been there a reader gets nothing of it.
TEST_F(BatchRecovery, AReaderBeforeTheRecoveryGetsNothingOfIt) {
  Publish(false);
  Rot(kFirst + 2 * kRecord + 24);
  seam_control.boot_id = 1;
  auto topic = OpenReadOnly();
  ASSERT_TRUE(Succeeds(topic));
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  while (true) {
    const auto record = consumer->Next(absl::ZeroDuration());
    if (!record.ok()) break;
    EXPECT_LT(record->position().offset, kStart) << TextOf(record);
  }
}

// Its first records verify, and a recovery takes them back all the same: nobody was to see them meanwhile.
TEST_F(BatchRecovery, AReaderGetsNothingOfItWhereNoControlCopyIsReadable) {
  Publish(false);
  Rot(kFirst + 2 * kRecord + 24);
  RotControl();
  EXPECT_EQ(ReadBefore(), (Texts{"record1000"}));
  EXPECT_EQ(ReadAll().texts, (Texts{"record1000", "<torn>", "record1004", "<damage>"}));
}

TEST_F(BatchRecovery, AReaderOfACopyGetsNothingOfIt) {
  Publish(false);
  Rot(kFirst + 2 * kRecord + 24);
  Copy();
  EXPECT_EQ(ReadBefore(), (Texts{"record1000"}));
  ASSERT_TRUE(Succeeds(RecoverTopic(bus_, "t", {.apply = true})));
  EXPECT_EQ(ReadAll().texts, (Texts{"record1000", "<torn>", "record1004", "<copied>"}));
}

// A whole one is kept by every recovery, and read before it.
TEST_F(BatchRecovery, AReaderGetsAWholeOneWhereNoControlCopyIsReadable) {
  Publish(false);
  RotControl();
  EXPECT_EQ(ReadBefore(), (Texts{"record1000", "record1001", "record1002", "record1003", "record1004"}));
}

TEST_F(BatchRecovery, KilledAtEachPointOfTearingItStaysWhole) {
  uint64_t point = 1;
  for (;; ++point) {
    SCOPED_TRACE("killed before point " + std::to_string(point));
    std::filesystem::remove_all(bus_);
    seam_control.boot_id = 0;
    Publish(false);
    Rot(kFirst + kRecord + 24);
    seam_control.boot_id = 1;
    const int code = Child([&] {
                       seam_control.points = 0;
                       seam_control.kill_at = point;
                       return Make().ok() ? 0 : 1;
                     }).Join();
    const Content content = ReadAll();
    ASSERT_GE(content.texts.size(), 3u);
    ASSERT_EQ(Texts(content.texts.begin(), content.texts.begin() + 3), (Texts{"record1000", "<torn>", "record1004"}));
    if (code == 0) break;
    ASSERT_EQ(code, -SIGKILL);
  }
  EXPECT_GT(point, 20u);
}

// The first sync through a young descriptor looks at every record: what was dropped from memory unwritten reads old.
TEST_F(BatchRecovery, ASyncWantsItWhole) {
  Publish(false);
  {
    auto topic = Make();
    ASSERT_TRUE(Succeeds(topic));
    EXPECT_TRUE(Succeeds(topic->Sync())) << "a whole one is fine";
  }
  std::filesystem::remove_all(bus_);
  Publish(false);
  Rot(kFirst + kRecord + 24);
  auto topic = Make();
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_TRUE(Fails(topic->Sync(), absl::StatusCode::kUnavailable, "could not be written"));
}

}  // namespace
}  // namespace libbus::test
