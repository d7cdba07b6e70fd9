#include "libbus/log/control.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "libbus/format/control.h"
#include "libbus/format/word.h"
#include "libbus/log/file_header.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::ControlRecord;

uint64_t UsedSize(const ControlRecord& record) {
  return offsetof(ControlRecord, epochs) + record.epoch_entries * sizeof(format::EpochEntry);
}

bool Valid(const ControlRecord& record) {
  return record.counter != 0 && format::ControlRecordChecksum(record) == record.checksum;
}

}  // namespace

void SlotWords::SetName(const std::string& name) const {
  uint64_t words[3] = {};
  std::memcpy(words, name.data(), std::min(name.size(), sizeof(words) - 1));
  for (size_t i = 0; i < 3; ++i) platform::InfoWord(At(offsetof(format::Slot, name)) + i).Set(words[i]);
}

std::string SlotWords::Name() const {
  char text[3 * 8 + 1] = {};
  for (size_t i = 0; i < 3; ++i) {
    const uint64_t word = platform::InfoWord(At(offsetof(format::Slot, name)) + i).Read();
    std::memcpy(text + i * 8, &word, 8);
  }
  return text;
}

absl::StatusOr<Control> Control::Open(const std::string& directory, bool writable) {
  Control control;
  control.path_ = directory + "/control";
  LIBBUS_ASSIGN_OR_RETURN(control.file_, platform::OpenFile(control.path_, writable));
  LIBBUS_ASSIGN_OR_RETURN(control.header_, ReadFileHeader<format::ControlHeader>(
                                               control.file_, control.path_, format::kControlMagic, "control file"));
  if (const std::string_view setting = format::UnknownSetting(control.header_); !setting.empty()) {
    return absl::UnimplementedError(
        fmt::format("{}: this topic was made with {}, which this libbus does not know: use a "
                    "newer version",
                    control.path_, setting));
  }
  LIBBUS_ASSIGN_OR_RETURN(control.identity_, platform::Identify(control.file_, control.path_));
  LIBBUS_ASSIGN_OR_RETURN(control.mapping_,
                          platform::Mapping::Map(control.file_, control.path_, format::kControlSize, writable));
  return control;
}

std::optional<ControlRecord> Control::ReadRecord() const {
  // One copy at a time is written, and only after the other is on disk: of two copies read one after the other at least
  // one is whole, unless two writes passed in between; then look again.
  for (int tries = 0; tries < 100; ++tries) {
    ControlRecord copies[2];
    for (int i = 0; i < 2; ++i) {
      platform::SharedBlock::Read(&copies[i], mapping_.word(format::kControlCopyOffset[i]), sizeof(ControlRecord));
    }
    const bool valid[2] = {Valid(copies[0]), Valid(copies[1])};
    if (valid[0] && valid[1]) return copies[copies[1].counter > copies[0].counter ? 1 : 0];
    if (valid[0]) return copies[0];
    if (valid[1]) return copies[1];
  }
  return std::nullopt;
}

absl::Status Control::WriteRecord(const ControlRecord& record) {
  const auto current = ReadRecord();
  auto next = std::make_unique<ControlRecord>(record);
  next->counter = current ? current->counter + 1 : 1;
  next->checksum = *format::ControlRecordChecksum(*next);
  platform::SharedBlock::Write(mapping_.word(format::kControlCopyOffset[next->counter % 2]), next.get(),
                               UsedSize(*next));
  return Sync();
}

absl::Status Control::Sync() const { return platform::SyncData(file_, path_); }

std::optional<uint64_t> Control::LowestFloor() const {
  std::optional<uint64_t> lowest;
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) {
    const uint64_t floor = slot(owner).floor().Read();
    if (floor != 0 && (!lowest || floor < *lowest)) lowest = floor;
  }
  return lowest;
}

}  // namespace libbus::log
