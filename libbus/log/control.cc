#include "libbus/log/control.h"

#include <fmt/format.h>

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

// Records of the first days do not tell.
uint64_t StateCounter(const ControlRecord& record) {
  return record.state_counter != 0 ? record.state_counter : record.counter;
}

// What is used of it: most of a record is room for epochs. More of them than there is room for: it is not valid anyway.
void ReadCopy(const uint64_t* from, ControlRecord& record) {
  constexpr uint64_t kHead = offsetof(ControlRecord, epochs);
  platform::SharedBlock::Read(&record, from, kHead);
  if (record.epoch_entries > format::kMaxEpochEntries) return;
  platform::SharedBlock::Read(record.epochs, from + kHead / 8, UsedSize(record) - kHead);
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

absl::StatusOr<Control> Control::Open(const platform::File& directory, const std::string& path, bool writable,
                                      platform::BusErrors bus_errors) {
  Control control;
  control.path_ = path + "/control";
  LIBBUS_ASSIGN_OR_RETURN(control.file_, platform::OpenFileAt(directory, path, "control", writable));
  LIBBUS_ASSIGN_OR_RETURN(control.header_, ReadFileHeader<format::ControlHeader>(
                                               control.file_, control.path_, format::kControlMagic, "control file"));
  if (const std::string_view setting = format::UnknownSetting(control.header_); !setting.empty()) {
    return absl::UnimplementedError(
        fmt::format("{}: this topic was made with {}, which this libbus does not know: use a "
                    "newer version",
                    control.path_, setting));
  }
  LIBBUS_ASSIGN_OR_RETURN(control.identity_, platform::Identify(control.file_, control.path_));
  LIBBUS_ASSIGN_OR_RETURN(control.mapping_, platform::Mapping::Map(control.file_, control.path_, format::kControlSize,
                                                                   writable, bus_errors));
  return control;
}

std::optional<ControlRecord> Control::ReadRecord() const {
  // One copy at a time is written, and only after the other is on disk: of two copies read one after the other at least
  // one is whole, unless two writes passed in between; then look again.
  for (int tries = 0; tries < 100; ++tries) {
    ControlRecord copies[2] = {};
    for (int i = 0; i < 2; ++i) ReadCopy(mapping_.word(format::kControlCopyOffset[i]), copies[i]);
    const bool valid[2] = {Valid(copies[0]), Valid(copies[1])};
    if (valid[0] && valid[1]) return copies[copies[1].counter > copies[0].counter ? 1 : 0];
    if (valid[0]) return copies[0];
    if (valid[1]) return copies[1];
  }
  return std::nullopt;
}

void Control::WriteCopy(ControlRecord& record) {
  record.checksum = *format::ControlRecordChecksum(record);
  platform::SharedBlock::Write(mapping_.word(format::kControlCopyOffset[record.counter % 2]), &record,
                               UsedSize(record));
}

absl::Status Control::WriteRecord(const ControlRecord& record) {
  const auto current = ReadRecord();
  auto next = std::make_unique<ControlRecord>(record);
  next->counter = current ? current->counter + 1 : 1;
  next->state_counter = next->counter;
  // The copy that stays is on disk before the other one is touched.
  if (current && current->counter != StateCounter(*current)) LIBBUS_RETURN_IF_ERROR(Sync());
  WriteCopy(*next);
  return Sync();
}

void Control::WriteDurable(uint64_t durable) {
  const auto current = ReadRecord();
  if (!current || current->durable >= durable) return;
  auto next = std::make_unique<ControlRecord>(*current);
  const bool beside = current->counter % 2 != StateCounter(*current) % 2;
  next->state_counter = StateCounter(*current);
  next->counter += beside ? 2 : 1;
  next->durable = durable;
  WriteCopy(*next);
}

absl::Status Control::Sync() const {
  LIBBUS_RETURN_IF_ERROR(platform::SyncData(file_, path_));
  // What was written through a page that could not be had is not in the file.
  return CheckIntact();
}

absl::Status Control::NotIntact() const {
  return absl::DataLossError(
      fmt::format("{}: a page of it could not be had (the file was truncated, the disk is full, or a sector is bad): "
                  "close the topic, see `bus verify`, and open it anew",
                  path_));
}

std::optional<uint64_t> Control::LowestFloor() const {
  std::optional<uint64_t> lowest;
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) {
    const uint64_t floor = slot(owner).floor().Read();
    if (floor != 0 && (!lowest || floor < *lowest)) lowest = floor;
  }
  return lowest;
}

}  // namespace libbus::log
