#include <absl/status/status.h>
#include <gtest/gtest.h>

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

TEST_F(VerifyTest, StateOpenAloneIsOneLine) {
  Put(SegmentBytes(uuid_, 0), 0);
  PutControl(format::ControlState::kOpen, 64);
  const auto findings = Verify();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].what, "state open: normal while a writer is attached, or after a kill");
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
  EXPECT_EQ(damages[0].reader, "a gap (damage) from 64 to " + std::to_string(kept));
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
  EXPECT_EQ(damages[0].reader, "a gap (damage) from 4096 to 8192");
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
  EXPECT_EQ(damages[0].reader, "a gap (damage) from 1000 to 4096");
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

}  // namespace
}  // namespace libbus::testing
