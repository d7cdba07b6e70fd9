#include "libbus/format/layout.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <type_traits>

namespace libbus::format {
namespace {

// No byte of a file is left to the compiler: every struct is plain memory, and where the fields are not spread over
// cache lines on purpose there is no padding between them.
template <typename T>
constexpr bool kPlain = std::is_trivially_copyable_v<T>&& std::is_standard_layout_v<T>;
template <typename T>
constexpr bool kDense = kPlain<T>&& std::has_unique_object_representations_v<T>;

static_assert(kDense<Uuid> && kDense<FileHeader> && kDense<BusFile> && kDense<SegmentHeader> && kDense<RecordHeader>);
static_assert(kDense<AttributesHeader> && kDense<ControlHeader> && kDense<EpochEntry> && kDense<ControlRecord>);
static_assert(kDense<Slot> && kDense<LocksFile>);
static_assert(kPlain<LiveWords> && kPlain<SleepFile>);

std::string Text(uint64_t magic) {
  std::string text(8, '\0');
  std::memcpy(text.data(), &magic, 8);
  return text;
}

TEST(LayoutTest, MagicsReadAsText) {
  EXPECT_EQ(Text(kBusMagic), "libbusID");
  EXPECT_EQ(Text(kControlMagic), "libbusCT");
  EXPECT_EQ(Text(kLocksMagic), "libbusLK");
  EXPECT_EQ(Text(kSleepMagic), "libbusSP");
  EXPECT_EQ(Text(kSegmentMagic), "libbusSG");
  EXPECT_EQ(Text(kIndexMagic), "libbusIX");
  EXPECT_EQ(Text(kCursorMagic), "libbusCU");
  EXPECT_EQ(Text(kSyncFailedMagic), "libbusSF");
}

TEST(LayoutTest, EveryFileBeginsWithTheSameHeader) {
  EXPECT_EQ(offsetof(BusFile, header), 0u);
  EXPECT_EQ(offsetof(SegmentHeader, header), 0u);
  EXPECT_EQ(offsetof(ControlHeader, header), 0u);
  EXPECT_EQ(offsetof(LocksFile, header), 0u);
  EXPECT_EQ(offsetof(SleepFile, header), 0u);
}

// Bytes of this version never move again: these numbers are on people's disks.
TEST(LayoutTest, SizesOfVersionOne) {
  EXPECT_EQ(kFormatVersion, 1);
  EXPECT_EQ(sizeof(FileHeader), 32u);
  EXPECT_EQ(sizeof(BusFile), 256u);
  EXPECT_EQ(sizeof(SegmentHeader), 64u);
  EXPECT_EQ(sizeof(RecordHeader), 24u);
  EXPECT_EQ(sizeof(AttributesHeader), 8u);
  EXPECT_EQ(sizeof(ControlHeader), 4096u);
  EXPECT_EQ(sizeof(EpochEntry), 24u);
  EXPECT_EQ(sizeof(ControlRecord), 16384u);
  EXPECT_EQ(sizeof(LiveWords), 512u);
  EXPECT_EQ(sizeof(Slot), 64u);
  EXPECT_EQ(sizeof(LocksFile), 64u);
  EXPECT_EQ(sizeof(SleepFile), 4096u);
  EXPECT_EQ(kControlSize, 131072u);
  EXPECT_EQ(kLocksSize, 4096u);
}

TEST(LayoutTest, PartsOfTheControlFileDoNotOverlap) {
  EXPECT_GE(kControlCopyOffset[0], sizeof(ControlHeader));
  EXPECT_GE(kControlCopyOffset[1], kControlCopyOffset[0] + kControlCopySize);
  EXPECT_GE(kLiveOffset, kControlCopyOffset[1] + kControlCopySize);
  EXPECT_GE(kSlotsOffset, kLiveOffset + sizeof(LiveWords));
  EXPECT_EQ(kControlSize, kSlotsOffset + kSlots * sizeof(Slot));
  for (uint64_t copy : kControlCopyOffset) EXPECT_EQ(copy % kPageSize, 0u);
  EXPECT_EQ(kLiveOffset % kPageSize, 0u);
  EXPECT_EQ(kSlotsOffset % kPageSize, 0u);
}

TEST(LayoutTest, AControlRecordFillsItsCopy) {
  EXPECT_EQ(sizeof(ControlRecord), kControlCopySize);
  EXPECT_EQ(offsetof(ControlRecord, epochs) + kMaxEpochEntries * sizeof(EpochEntry), 16360u);
}

TEST(LayoutTest, BytesOfTheLocksFile) {
  EXPECT_EQ(kAttachByte, 0);
  EXPECT_EQ(kSyncByte, 1024) << "bytes 1 to 1023 belong to the slots";
  EXPECT_EQ(kOpenByte, 1025);
}

// Words of different writers never share a cache line.
TEST(LayoutTest, HotWordsHaveACacheLineEach) {
  EXPECT_EQ(offsetof(LiveWords, tail_hint) / 64, 0u);
  EXPECT_EQ(offsetof(LiveWords, durable) / 64, 1u);
  EXPECT_EQ(offsetof(LiveWords, sync_event) / 64, 2u);
  EXPECT_EQ(offsetof(LiveWords, owner_generation) / 64, 3u);
  EXPECT_EQ(offsetof(LiveWords, name_durable) / 64, 4u);
  EXPECT_EQ(offsetof(LiveWords, attach_pid) / 64, 5u);
  EXPECT_EQ(offsetof(SleepFile, mark) / 64, 1u);
  EXPECT_EQ(offsetof(SleepFile, help) / 64, 2u);
  EXPECT_EQ(alignof(LiveWords), 64u);
}

TEST(LayoutTest, AlignUp) {
  EXPECT_EQ(AlignUp(0, 8), 0u);
  EXPECT_EQ(AlignUp(1, 8), 8u);
  EXPECT_EQ(AlignUp(8, 8), 8u);
  EXPECT_EQ(AlignUp(4097, kPageSize), 8192u);
  EXPECT_EQ(AlignUp(0xFFFFFFFFull + 24, 8), 0x100000018ull) << "no 32-bit arithmetic";
}

}  // namespace
}  // namespace libbus::format
