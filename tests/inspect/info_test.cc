#include <absl/status/status.h>
#include <gtest/gtest.h>

#include "libbus/platform/ofd_lock.h"
#include "tests/inspect/fixture.h"

namespace libbus::testing {
namespace {

using InfoTest = BusFixture;

TEST_F(InfoTest, ABusAndItsTopics) {
  const auto info = InspectBus(directory_);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->uuid, "01020304-0506-0708-090a-0b0c0d0e0f10");
  EXPECT_EQ(info->version, 1);
  EXPECT_EQ(info->topics, std::vector<std::string>{"t"});
}

TEST_F(InfoTest, WhatIsNoBusIsSaid) {
  EXPECT_TRUE(absl::IsNotFound(InspectBus(Path("none")).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(InspectBus(Path("t")).status()));
  Patch(Path("bus"), 40, "x");
  EXPECT_TRUE(absl::IsDataLoss(InspectBus(directory_).status()));
  PutFile(Path("bus"), "");
  EXPECT_TRUE(absl::IsDataLoss(InspectBus(directory_).status()));
}

TEST_F(InfoTest, ATopicItsSegmentsAndSlots) {
  SegmentBytes first(uuid_, 0);
  first.Data("one");
  const uint64_t used = first.End();
  SegmentBytes second(uuid_, kTestSegmentSize);
  second.Data("two");
  Put(first, 0);
  Put(second, kTestSegmentSize);
  Put(SegmentBytes(uuid_, 2 * kTestSegmentSize), 2 * kTestSegmentSize);
  PutControl(format::ControlState::kOpen, 64);
  format::Slot slot = {.floor = 64, .keep_alive = 0, .pid = 4711, .since = 1, .name = {}, .fences = 0};
  memcpy(slot.name, "loader", 6);
  Patch(TopicPath("control"), format::kSlotsOffset + 3 * sizeof(slot),
        std::string_view(reinterpret_cast<const char*>(&slot), sizeof(slot)));
  const auto info = InspectTopic(directory_, "t");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->state, "open");
  EXPECT_EQ(info->epoch, 1u);
  EXPECT_EQ(info->first.offset, 64u);
  EXPECT_EQ(info->end.offset, second.position());
  EXPECT_EQ(*info->options.segment_size, kTestSegmentSize);
  EXPECT_EQ(*info->options.claim_timeout, absl::Seconds(10));
  ASSERT_EQ(info->segments.size(), 3u);
  EXPECT_TRUE(info->segments[0].sealed);
  EXPECT_EQ(info->segments[0].used, used);
  EXPECT_FALSE(info->segments[1].sealed);
  ASSERT_EQ(info->slots.size(), 1u);
  EXPECT_EQ(info->slots[0].slot, 3u);
  EXPECT_EQ(info->slots[0].pid, 4711u);
  EXPECT_EQ(info->slots[0].name, "loader");
  EXPECT_EQ(info->slots[0].alive, false);
}

TEST_F(InfoTest, WhoHoldsTheLockOfASlotIsAlive) {
  Put(SegmentBytes(uuid_, 0), 0);
  format::Slot slot = {.floor = 0, .keep_alive = 0, .pid = 1, .since = 1, .name = {}, .fences = 0};
  Patch(TopicPath("control"), format::kSlotsOffset + sizeof(slot),
        std::string_view(reinterpret_cast<const char*>(&slot), sizeof(slot)));
  const auto holder = platform::LockFile::Open(TopicPath("locks"));
  ASSERT_TRUE(holder.ok() && *holder->TryExclusive(1));
  EXPECT_EQ(InspectTopic(directory_, "t")->slots[0].alive, true);
  holder->Unlock(1);
  EXPECT_EQ(InspectTopic(directory_, "t")->slots[0].alive, false);
}

TEST_F(InfoTest, ADamagedControlFileIsLeftOut) {
  SegmentBytes segment(uuid_, 0);
  segment.Data("one");
  Put(segment, 0);
  PutFile(TopicPath("control"), std::string(format::kControlSize, '\0'));
  const auto info = InspectTopic(directory_, "t");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->state, "none");
  EXPECT_FALSE(info->options.segment_size.has_value());
  EXPECT_EQ(info->end.offset, segment.position());
}

TEST_F(InfoTest, WhatRecoverySealedOff) {
  Put(SegmentBytes(uuid_, 0), 0);
  EXPECT_TRUE(InspectTopic(directory_, "t")->epochs.empty());
  PutControlWithEpoch(96, 4096, format::kEndCopied);
  const auto info = InspectTopic(directory_, "t");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->epoch, 2u);
  ASSERT_EQ(info->epochs.size(), 1u);
  EXPECT_EQ(info->epochs[0].number, 2u);
  EXPECT_EQ(info->epochs[0].cause, "copied");
  EXPECT_EQ(info->epochs[0].from.offset, 96u);
  EXPECT_EQ(info->epochs[0].to.offset, 4096u);
}

// A record that was sealed off is not where the log ends.
TEST_F(InfoTest, TheEndIsNotWhereItWasSealedOff) {
  PutSealedOff();
  EXPECT_EQ(InspectTopic(directory_, "t")->segments[0].used, kTestSegmentSize);
}

}  // namespace
}  // namespace libbus::testing
