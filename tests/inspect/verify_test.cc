#include <absl/status/status.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "libbus/format/word.h"
#include "tests/inspect/fixture.h"

namespace libbus::testing {
namespace {

using VerifyTest = BusFixture;

std::string ReaderSees(const Finding& finding) { return finding.reader; }

TEST_F(VerifyTest, AWholeTopicHasNoFindings) {
  SegmentBytes first(uuid_, 0);
  first.Data("one");
  first.Data("two", WithKey("k"));
  first.End();
  SegmentBytes second(uuid_, kTestSegmentSize);
  second.Data("three");
  Put(first, 0);
  Put(second, kTestSegmentSize);
  VerifyReport report;
  EXPECT_TRUE(Verify(&report).empty());
  EXPECT_EQ(report.segments, 2u);
  EXPECT_EQ(report.records, 3u);
  EXPECT_EQ(report.end.offset, second.position());
}

TEST_F(VerifyTest, TellsHowFarItIsAndCanBeEnded) {
  SegmentBytes first(uuid_, 0, 8 << 20);
  while (first.position() < 7 << 20) first.Data(std::string(100'000, 'x'));
  first.End();
  SegmentBytes second(uuid_, 8 << 20);
  second.Data("two");
  Put(first, 0);
  Put(second, 8 << 20);
  std::vector<uint64_t> told;
  const auto ignore = [](const Finding&) { return true; };
  VerifyOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, (8u << 20) + kTestSegmentSize);
    told.push_back(done);
    return true;
  };
  ASSERT_TRUE(VerifyTopic(directory_, "t", ignore, options).ok());
  EXPECT_GE(told.size(), 7u);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back(), (8u << 20) + kTestSegmentSize);
  told.clear();
  options.progress = [&](uint64_t done, uint64_t) { return told.push_back(done), false; };
  EXPECT_TRUE(absl::IsCancelled(VerifyTopic(directory_, "t", ignore, options).status()));
  EXPECT_EQ(told.size(), 1u);
}

TEST_F(VerifyTest, WhatAKilledWriterLeavesIsOneLineAndNoDamage) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  const uint64_t open = segment.Reserved(100, 7);
  segment.Gap(5, 3, format::kGapDead);
  Put(segment, 0);
  PutControl(format::ControlState::kOpen, 64);
  VerifyReport report;
  const auto findings = Verify(&report);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_FALSE(findings[0].damage);
  EXPECT_EQ(findings[0].position->offset, open);
  EXPECT_EQ(findings[0].what,
            "1 reserved and not committed, the first by slot 7: normal while a producer fills it, or after a kill");
  EXPECT_EQ(report.open, 1u);
  EXPECT_EQ(report.gaps, 1u);
}

// What stands in the place of a file is a finding, and the check goes on behind it.
TEST_F(VerifyTest, SomethingElseInThePlaceOfAFile) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  for (const std::string name : {"bus", "t/control", "t/locks", "t/sleep", "t/index", "t/cursors/c"}) {
    std::filesystem::create_directories(TopicPath("cursors"));
    const std::string path = Path(name);
    const std::string kept = path + "-kept";
    const bool there = std::filesystem::exists(path);
    if (there) std::filesystem::rename(path, kept);
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    VerifyReport report;
    const auto findings = Verify(&report);
    const auto told = std::count_if(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.damage && finding.file == path && finding.what.starts_with("not a regular file") &&
             !finding.reader.empty();
    });
    EXPECT_EQ(told, 1) << name;
    EXPECT_EQ(report.records, 1u) << name;
    std::filesystem::remove(path);
    if (there) std::filesystem::rename(kept, path);
  }
}

TEST_F(VerifyTest, StateOpenAloneIsOneLine) {
  Put(SegmentBytes(uuid_, 0), 0);
  PutControl(format::ControlState::kOpen, 64);
  const auto findings = Verify();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what, "state open: normal while a writer is attached, or after a kill");
}

TEST_F(VerifyTest, TheRecordsOfABatchCount) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  segment.Batch({"two", "three", ""});
  segment.Data("five");
  Put(segment, 0);
  VerifyReport report;
  EXPECT_TRUE(Verify(&report).empty());
  EXPECT_EQ(report.records, 5u);
  EXPECT_EQ(report.batches, 1u);
  EXPECT_EQ(report.end.offset, segment.position());
}

// Each bit of a batch belongs to its table, to one record, or to padding.
TEST_F(VerifyTest, EveryFlippedBitOfABatchIsFoundWhereItIs) {
  SegmentBytes segment(uuid_, 0);
  std::vector<uint64_t> inner;
  const uint64_t frame = segment.Batch({"two", "three 16 bytes..", ""}, &inner);
  const uint64_t behind = segment.Data("behind");
  const std::string whole = segment.bytes();
  inner.push_back(behind);
  const std::vector<uint64_t> sizes = {24 + 3, 24 + 16, 24};
  for (uint64_t bit = (frame + 8) * 8; bit < behind * 8; ++bit) {
    segment.bytes() = whole;
    segment.bytes()[bit / 8] = static_cast<char>(segment.bytes()[bit / 8] ^ 1 << bit % 8);
    Put(segment, 0);
    VerifyReport report;
    const auto findings = Verify(&report);
    const uint64_t at = bit / 8;
    if (at < inner[0]) {
      ASSERT_EQ(findings.size(), 1u) << "bit " << bit;
      EXPECT_EQ(findings[0].position->offset, frame);
      EXPECT_EQ(findings[0].reader, fmt::format("a gap (damage) from {} to {}", frame, behind));
      EXPECT_EQ(report.records, 1u);
      continue;
    }
    size_t hit = 2;
    while (inner[hit] > at) --hit;
    if (at >= inner[hit] + sizes[hit]) {
      ASSERT_TRUE(findings.empty()) << "padding, bit " << bit;
      continue;
    }
    ASSERT_EQ(findings.size(), 1u) << "bit " << bit;
    EXPECT_TRUE(findings[0].damage);
    EXPECT_EQ(findings[0].position->offset, inner[hit]);
    EXPECT_EQ(findings[0].reader, fmt::format("a gap (damage) from {} to {}", inner[hit], inner[hit + 1]));
    EXPECT_EQ(report.records, 3u);
  }
}

// Every single bit of a record is flipped: each is found where it is, and what comes behind is still read.
TEST_F(VerifyTest, EveryFlippedBitOfARecordIsFound) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("before");
  const uint64_t hit = segment.Data("payload!", WithKey("key"));
  const uint64_t size = segment.position() - hit;
  const uint64_t after = segment.Data("after");
  Put(segment, 0);
  const std::string path = TopicPath(SegmentName(0));
  const std::string whole = GetFile(path);
  for (uint64_t bit = 0; bit < 8 * size; ++bit) {
    const uint64_t offset = hit + bit / 8;
    const char flipped = static_cast<char>(whole[offset] ^ (1 << bit % 8));
    Patch(path, offset, {&flipped, 1});
    VerifyReport report;
    const auto findings = Verify(&report);
    ASSERT_EQ(findings.size(), 1u) << "bit " << bit;
    EXPECT_TRUE(findings[0].damage);
    EXPECT_EQ(findings[0].position->offset, hit);
    EXPECT_EQ(ReaderSees(findings[0]), "a gap (damage) from " + std::to_string(hit) + " to " + std::to_string(after));
    EXPECT_EQ(report.records, 2u) << "bit " << bit;
    Patch(path, offset, whole.substr(offset, 1));
  }
}

TEST_F(VerifyTest, BytesBehindAFreeWordAreDamage) {
  SegmentBytes segment(uuid_, 0);
  const uint64_t lost = segment.Data("wiped");
  const uint64_t kept = segment.Data("kept");
  Put(segment, 0);
  Patch(TopicPath(SegmentName(0)), lost, std::string(8, '\0'));
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "free, but offset " + std::to_string(lost + 8) + " is not zero");
  EXPECT_EQ(
      damages[0].reader,
      fmt::format("the end of the log at 64; who knows that more was committed: a gap (damage) from 64 to {}", kept));
}

TEST_F(VerifyTest, AFreeWordBelowASegmentInUseIsDamage) {
  SegmentBytes first(uuid_, 0);
  const uint64_t end = (first.Data("one"), first.position());
  SegmentBytes second(uuid_, kTestSegmentSize);
  second.Data("two");
  Put(first, 0);
  Put(second, kTestSegmentSize);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "free, but the next segment is in use");
  EXPECT_EQ(damages[0].position->offset, end);
}

TEST_F(VerifyTest, APreparedSegmentIsNormal) {
  SegmentBytes first(uuid_, 0);
  first.Data("one");
  Put(first, 0);
  Put(SegmentBytes(uuid_, kTestSegmentSize), kTestSegmentSize);
  VerifyReport report;
  EXPECT_TRUE(Verify(&report).empty());
  EXPECT_EQ(report.end.offset, first.position());
}

TEST_F(VerifyTest, AMissingSegmentIsDamage) {
  SegmentBytes first(uuid_, 0);
  first.End();
  SegmentBytes third(uuid_, 2 * kTestSegmentSize);
  third.Data("three");
  Put(first, 0);
  Put(third, 2 * kTestSegmentSize);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "what stood before it is missing, from position 4096 on");
  EXPECT_EQ(damages[0].reader, "a gap (damage) from 64 to 8256");
}

TEST_F(VerifyTest, AMissingFirstSegmentIsDamage) {
  SegmentBytes second(uuid_, kTestSegmentSize);
  second.Data("two");
  Put(second, kTestSegmentSize);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "what stood before it is missing, from position 0 on");
}

TEST_F(VerifyTest, AMissingLastSegmentIsDamage) {
  SegmentBytes first(uuid_, 0);
  first.End();
  Put(first, 0);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "ends with an END, but the next segment (base 4096) is missing");
}

TEST_F(VerifyTest, ALogThatEndsBelowWhatTheControlFileSaysIsDamage) {
  Put(SegmentBytes(uuid_, 0), 0);
  PutControl(format::ControlState::kClean, 1000);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "the log ends at 64, but it had reached 1000");
}

TEST_F(VerifyTest, AnEmptySegmentIsDamage) {
  PutFile(TopicPath(SegmentName(0)), "");
  const auto damages = Damages();
  ASSERT_FALSE(damages.empty());
  EXPECT_EQ(damages[0].what, "the file is empty");
}

TEST_F(VerifyTest, ATruncatedSegmentIsDamage) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  std::filesystem::resize_file(TopicPath(SegmentName(0)), 1000);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "cut off: 1000 bytes instead of 4096");
  EXPECT_EQ(damages[0].reader, "DATA_LOSS: neither this segment nor what is behind it");
}

TEST_F(VerifyTest, AControlFileOfZerosIsDamageAndTheLogIsStillChecked) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  PutFile(TopicPath("control"), std::string(format::kControlSize, '\0'));
  VerifyReport report;
  const auto findings = Verify(&report);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_TRUE(findings[0].damage);
  EXPECT_EQ(findings[0].what, "begins with zeros");
  EXPECT_EQ(report.records, 1u);
}

TEST_F(VerifyTest, OneTornCopyOfTheControlRecordIsNormal) {
  Put(SegmentBytes(uuid_, 0), 0);
  Patch(TopicPath("control"), format::kControlCopyOffset[1], "torn");
  const auto findings = Verify();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_FALSE(findings[0].damage);
  Patch(TopicPath("control"), format::kControlCopyOffset[0], "torn");
  EXPECT_EQ(Damages().size(), 2u);
}

TEST_F(VerifyTest, ACopiedTopicIsNoDamage) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  const std::string copy = directory_ + "/copy";
  std::filesystem::copy(Path("t"), copy, std::filesystem::copy_options::recursive);
  std::vector<Finding> findings;
  const auto report = VerifyTopic(directory_, "copy", [&](const Finding& finding) {
    findings.push_back(finding);
    return true;
  });
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->records, 1u);
  EXPECT_EQ(report->damages, 0u);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_NE(findings[0].what.find("inode of control, inode of locks, inodes of segments"), std::string::npos);
}

TEST_F(VerifyTest, ASegmentOfAnotherTopicIsDamage) {
  format::Uuid other = uuid_;
  other.bytes[0] ^= 1;
  SegmentBytes segment(other, 0);
  segment.Data("one");
  Put(segment, 0);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].what, "belongs to another topic");
}

TEST_F(VerifyTest, ASegmentWithADamagedHeaderIsReadByItsName) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  Patch(TopicPath(SegmentName(0)), 32, "x");
  VerifyReport report;
  const auto findings = Verify(&report);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what, "the header's checksum is wrong");
  EXPECT_EQ(report.records, 1u);
}

TEST_F(VerifyTest, ANewerVersionIsRefusedByName) {
  SegmentBytes segment(uuid_, 0);
  segment.bytes()[8] = 2;
  Put(segment, 0);
  const auto result = VerifyTopic(directory_, "t", [](const Finding&) { return true; });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(std::string(result.status().message()).find(SegmentName(0)), std::string::npos);
}

TEST_F(VerifyTest, WhatIsNoTopicOrNoBusIsAnError) {
  const auto ignore = [](const Finding&) { return true; };
  EXPECT_TRUE(absl::IsNotFound(VerifyTopic(directory_, "missing", ignore).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(VerifyTopic(directory_, "../t", ignore).status()));
  EXPECT_TRUE(absl::IsNotFound(VerifyTopic(directory_ + "/none", "t", ignore).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(VerifyBus(Path("t"), ignore).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(VerifyBus(Path("bus"), ignore).status()));
}

TEST_F(VerifyTest, ABusIsTheSumOfItsTopics) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  std::filesystem::copy(Path("t"), Path("u"), std::filesystem::copy_options::recursive);
  const auto report = VerifyBus(directory_, [](const Finding&) { return true; });
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->topics, 2u);
  EXPECT_EQ(report->records, 2u);
}

TEST_F(VerifyTest, TheSinkCanStop) {
  SegmentBytes segment(uuid_, 0);
  for (int i = 0; i < 5; ++i) segment.Data("record");
  for (uint64_t offset = 64 + 24; offset < segment.position(); offset += 32) segment.bytes()[offset] ^= 1;
  Put(segment, 0);
  int calls = 0;
  ASSERT_TRUE(VerifyTopic(directory_, "t", [&](const Finding&) { return ++calls < 2; }).ok());
  EXPECT_EQ(calls, 2);
}

TEST_F(VerifyTest, WhatRecoverySealedOffIsANoteWithItsRange) {
  SegmentBytes first(uuid_, 0);
  first.Data("one");
  const uint64_t end = first.End(format::kEndPowerLoss);
  SegmentBytes second(uuid_, kTestSegmentSize);
  second.Data("two");
  Put(first, 0);
  Put(second, kTestSegmentSize);
  VerifyReport report;
  const auto findings = Verify(&report);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_FALSE(findings[0].damage);
  EXPECT_EQ(findings[0].position->offset, end);
  EXPECT_EQ(findings[0].what, "sealed by recovery (power loss): what was not durable from " + std::to_string(end) +
                                  " to 4096 does not count");
  EXPECT_EQ(ReaderSees(findings[0]), "a gap (power loss) from " + std::to_string(end) + " on");
  EXPECT_EQ(report.records, 2u);
}

TEST_F(VerifyTest, WhatWasSealedOffStaysSoWhenTheEndRots) {
  const uint64_t sealed = PutSealedOff();
  VerifyReport report;
  const auto findings = Verify(&report);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_TRUE(findings[0].damage);
  EXPECT_EQ(ReaderSees(findings[0]), fmt::format("DATA_LOSS at {}: nothing from there on", sealed));
  EXPECT_EQ(report.records, 1u);
}

TEST_F(VerifyTest, AMarkOfAFailedSyncNamesTheCure) {
  Put(SegmentBytes(uuid_, 0), 0);
  const std::string mark = TopicPath("00000000000000000000.failed");
  PutFile(mark, "");
  auto findings = Verify();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_TRUE(findings[0].damage);
  EXPECT_EQ(findings[0].file, mark);
  EXPECT_EQ(
      findings[0].what,
      "the segment could not be written to the disk: nothing from 0 on is durable until \"bus recover t --apply\" "
      "has written it anew");
  PutFile(mark, SyncFailedMark(5));
  findings = Verify();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_NE(findings[0].what.find(" at 2023-11-14T22:13:20.000000000Z (errno 5: Input/output error): nothing from"),
            std::string::npos)
      << findings[0].what;
}

TEST_F(VerifyTest, FilesOfNoTopicAreNotes) {
  Put(SegmentBytes(uuid_, 0), 0);
  for (const char* name : {".new-00000000000000000000.seg", ".tmp", "notes.txt", "0.failed", "0.seg"}) {
    PutFile(TopicPath(name), "x");
  }
  const auto findings = Verify();
  ASSERT_EQ(findings.size(), 5u);
  for (const Finding& finding : findings) EXPECT_FALSE(finding.damage) << finding.what;
  EXPECT_EQ(findings[0].what, "left by a recovery that was killed: nobody reads it, and the next one replaces it");
  EXPECT_EQ(findings[1].what, "in the making, or left by a process that was killed: nobody reads it");
  EXPECT_EQ(findings[4].file, TopicPath("notes.txt"));
  EXPECT_EQ(findings[4].what, "not a file of a topic: nobody reads it");
}

TEST_F(VerifyTest, ARecoveryThatWasBegunIsANoteWithItsCause) {
  Put(SegmentBytes(uuid_, 0), 0);
  PutControl(format::ControlState::kRecovering, 64,
             [](format::ControlRecord& record) { record.cause = format::kEndCopied; });
  auto findings = Verify();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_FALSE(findings[0].damage);
  EXPECT_EQ(findings[0].what,
            "state recovering, sealing (copied): a recovery is at work, or the next writer ends what one has begun");
  PutControl(format::ControlState::kRecovering, 64);
  findings = Verify();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what.find("state recovering: a recovery"), 0u) << findings[0].what;
}

TEST_F(VerifyTest, LeftOpenByAnotherBootIsANote) {
  Put(SegmentBytes(uuid_, 0), 0);
  PutControl(format::ControlState::kOpen, 64, [](format::ControlRecord& record) { record.boot_id[0] ^= 1; });
  const auto findings = Verify();
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_FALSE(findings[0].damage);
  EXPECT_EQ(
      findings[0].what,
      "not closed in order, and since then another boot: the next writer seals off what was not durable (see \"bus "
      "recover t --dry-run\")");
}

}  // namespace
}  // namespace libbus::testing
