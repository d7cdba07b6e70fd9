// The control record as it stands in a file: what recovery notes down, for tests that look whether it is right.
#ifndef LIBBUS_TESTS_CRASH_POWER_CONTROL_H_
#define LIBBUS_TESTS_CRASH_POWER_CONTROL_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "libbus/format/control.h"
#include "tests/crash/power_store.h"

namespace libbus::test {

using BootId = std::array<uint8_t, 16>;

struct ControlFacts {
  uint64_t counter = 0;
  format::ControlState state = format::ControlState::kNone;
  uint32_t epoch = 0;
  uint32_t cause = 0;
  uint64_t first = 0;
  BootId boot = {};
  std::vector<format::EpochEntry> epochs;
};

// The valid copy with the higher counter; nothing if neither is valid. `control`: all bytes of the file.
inline std::optional<ControlFacts> ControlIn(const std::byte* control) {
  std::optional<ControlFacts> facts;
  const auto copy = std::make_unique<format::ControlRecord>();
  format::ControlRecord& record = *copy;
  for (const uint64_t offset : format::kControlCopyOffset) {
    std::memcpy(&record, control + offset, sizeof(record));
    if (record.counter == 0 || format::ControlRecordChecksum(record) != record.checksum) continue;
    if (facts && facts->counter > record.counter) continue;
    facts = ControlFacts{record.counter,
                         static_cast<format::ControlState>(record.state),
                         record.epoch,
                         record.cause,
                         record.first_position,
                         {},
                         {}};
    std::memcpy(facts->boot.data(), record.boot_id, sizeof(record.boot_id));
    facts->epochs.assign(record.epochs, record.epochs + record.epoch_entries);
  }
  return facts;
}

inline bool IsSegment(std::string_view name) { return name.ends_with(".seg"); }

// The highest epoch that the header of a segment names.
inline uint32_t NewestEpoch(const Image& image) {
  uint32_t newest = 0;
  for (const auto& [name, inode] : image.names) {
    const Image::File* const file = IsSegment(name) ? image.Find(name) : nullptr;
    if (file == nullptr || file->content.size() < sizeof(format::SegmentHeader)) continue;
    uint32_t epoch;
    std::memcpy(&epoch, file->content.data() + offsetof(format::SegmentHeader, epoch), sizeof(epoch));
    newest = std::max(newest, epoch);
  }
  return newest;
}

// True if both have the same segments, and the same stands in them.
inline bool SameSegments(const Image& a, const Image& b) {
  const auto covers = [](const Image& a, const Image& b) {
    for (const auto& [name, inode] : a.names) {
      if (!IsSegment(name)) continue;
      const Image::File* const own = a.Find(name);
      const Image::File* const other = b.Find(name);
      if (own == nullptr || other == nullptr || own->file != other->file || own->content != other->content) {
        return false;
      }
    }
    return true;
  };
  return covers(a, b) && covers(b, a);
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_CONTROL_H_
