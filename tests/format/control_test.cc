#include "libbus/format/control.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "tests/format/reference.h"

namespace libbus::format {
namespace {

ControlRecord RandomRecord(Random& random, uint32_t entries) {
  ControlRecord record;
  auto* bytes = reinterpret_cast<uint8_t*>(&record);
  for (size_t i = 0; i < sizeof(record); ++i) bytes[i] = static_cast<uint8_t>(random());
  record.epoch_entries = entries;
  return record;
}

TEST(ControlRecordTest, ChecksumCoversTheHeadAndTheEntriesInUse) {
  Random random;
  for (uint32_t entries : {0u, 1u, 2u, 100u, kMaxEpochEntries}) {
    const ControlRecord record = RandomRecord(random, entries);
    const uint32_t head = ReferenceCrc(~0u, &record, 180);
    const auto* list = reinterpret_cast<const uint8_t*>(&record) + 184;
    EXPECT_EQ(ControlRecordChecksum(record), ReferenceCrc(head, list, entries * size_t{24})) << entries;
  }
}

TEST(ControlRecordTest, OneBitIsSeenWhereItCountsAndNowhereElse) {
  Random random;
  const ControlRecord record = RandomRecord(random, 3);
  const auto sum = ControlRecordChecksum(record);
  for (size_t byte = 0; byte < sizeof(record); ++byte) {
    if (byte >= 176 && byte < 180) continue;  // the number of entries: tried above
    ControlRecord changed = record;
    reinterpret_cast<uint8_t*>(&changed)[byte] ^= 0x10;
    const bool covered = byte < 180 || (byte >= 184 && byte < 184 + 3 * 24);
    ASSERT_EQ(ControlRecordChecksum(changed) == sum, !covered) << "byte " << byte;
  }
}

TEST(ControlRecordTest, MoreEntriesThanFitAreRefused) {
  Random random;
  for (uint32_t entries : {kMaxEpochEntries + 1, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    EXPECT_EQ(ControlRecordChecksum(RandomRecord(random, entries)), std::nullopt);
  }
}

TEST(ControlRecordTest, ZerosDoNotVerify) { EXPECT_NE(ControlRecordChecksum(ControlRecord{}), 0u); }

TEST(UnknownSettingTest, WhatThisVersionWritesIsKnown) {
  ControlHeader header{};
  header.mode = kModeExclusive;
  EXPECT_EQ(UnknownSetting(header), "");
  for (auto timestamps : {uint8_t{0}, uint8_t{1}, uint8_t{2}}) {
    header.timestamps = timestamps;
    EXPECT_EQ(UnknownSetting(header), "");
  }
}

TEST(UnknownSettingTest, WhatLaterVersionsWriteIsNamed) {
  const std::vector<std::pair<const char*, std::function<void(ControlHeader&)>>> settings = {
      {"producers", [](ControlHeader& h) { h.mode = 2; }},
      {"timestamps", [](ControlHeader& h) { h.timestamps = 3; }},
      {"checksums", [](ControlHeader& h) { h.checksums = 1; }},
      {"sync", [](ControlHeader& h) { h.sync_policy = 4; }},
      {"access", [](ControlHeader& h) { h.access = 3; }},
  };
  for (const auto& [name, set] : settings) {
    ControlHeader header{};
    set(header);
    EXPECT_NE(UnknownSetting(header).find(name), std::string_view::npos) << name << ": " << UnknownSetting(header);
  }
}

}  // namespace
}  // namespace libbus::format
