// The picture of a control file.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "libbus/format/control.h"
#include "libbus/format/layout.h"
#include "libbus/inspect/dump_bytes.h"
#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/file_header.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

std::string NanosText(int64_t nanos) { return absl::FormatDuration(absl::Nanoseconds(nanos)); }

std::string ModeText(uint8_t mode) {
  if (mode > format::kModeExclusive) return "unknown";
  return mode == format::kModeExclusive ? "exclusive" : "shared";
}

void ControlHeaderFields(Picture& picture) {
  FileHeaderFields(picture, format::kControlMagic);
  picture.Time("created");
  picture.Number<uint64_t>("segment size");
  picture.Number<int64_t>("claim timeout", NanosText);
  picture.Number<uint64_t>("locks device");
  picture.Number<uint64_t>("locks inode");
  picture.Number<uint64_t>("control inode");
  picture.Number<uint8_t>("mode", ModeText);
  picture.Number<uint8_t>("timestamps", [](uint8_t value) { return std::string(TimestampsName(value)); });
  picture.Number<uint8_t>("checksums", [](uint8_t off) { return off == 0 ? "on" : "off"; });
  picture.Number<uint8_t>("sync policy");
  picture.Number<uint8_t>("access", AccessText);
  picture.Zeros("reserved", 3);
  picture.Number<uint64_t>("sync every");
  picture.Number<uint64_t>("retain bytes");
  picture.Number<int64_t>("retain age", NanosText);
  picture.Zeros("reserved", sizeof(format::ControlHeader::reserved));
}

DumpItem ControlHeaderItem(const File& file) {
  DumpItem item = MakeItem(DumpKind::kHeader, file.path(), 0, sizeof(format::ControlHeader));
  const std::string bytes = ReadText(file, 0, item.size);
  Picture picture(item, AsSpan(bytes));
  ControlHeaderFields(picture);
  ChecksumField(picture, Padded<format::ControlHeader>(bytes));
  item.summary = "control header";
  return item;
}

void EpochFields(Picture& picture, uint32_t entries) {
  for (uint32_t i = 0; i < entries; ++i) {
    picture.Number<uint32_t>("epoch number");
    picture.Number<uint8_t>("epoch cause", [](uint8_t cause) { return std::string(EndCauseName(cause)); });
    picture.Zeros("reserved", 3);
    picture.Number<uint64_t>("epoch from");
    picture.Number<uint64_t>("epoch to");
  }
}

// Returns how many epoch entries follow.
uint32_t ControlRecordFields(Picture& picture) {
  picture.Number<uint64_t>("counter");
  picture.Number<uint32_t>("state", [](uint32_t state) { return std::string(ControlStateName(state)); });
  picture.Number<uint32_t>("epoch");
  picture.Number<uint64_t>("tail");
  picture.Number<uint64_t>("durable");
  picture.Bytes("boot id", 16);
  picture.Number<uint64_t>("device");
  picture.Number<uint64_t>("mount");
  picture.Number<uint64_t>("first position");
  picture.Number<uint64_t>("first sequence");
  picture.Number<uint64_t>("state counter");
  picture.Number<uint32_t>("cause", [](uint32_t cause) {
    return cause == 0 ? "0: seals nothing" : fmt::format("{}: {}", cause, EndCauseName(static_cast<uint8_t>(cause)));
  });
  picture.Number<uint32_t>("was clean");
  picture.Zeros("reserved", sizeof(format::ControlRecord::reserved));
  return std::min(picture.Number<uint32_t>("epoch entries"), format::kMaxEpochEntries);
}

bool IsRight(const format::ControlRecord& record) {
  return record.counter != 0 && format::ControlRecordChecksum(record) == record.checksum;
}

// What its writer may be writing is read again.
std::string ReadControlCopy(const File& file, int which) {
  const auto right = [](const std::string& bytes) {
    return AllZero(bytes) || IsRight(*std::make_unique<format::ControlRecord>(Padded<format::ControlRecord>(bytes)));
  };
  return ReadUntil(file, format::kControlCopyOffset[which], format::kControlCopySize, right);
}

// Which of the two counts; -1: neither.
int HoldingCopy(const std::string (&copies)[2]) {
  int holds = -1;
  uint64_t highest = 0;
  for (const int i : {0, 1}) {
    const auto record = std::make_unique<format::ControlRecord>(Padded<format::ControlRecord>(copies[i]));
    if (!IsRight(*record) || record->counter < highest) continue;
    highest = record->counter;
    holds = i;
  }
  return holds;
}

DumpItem ControlCopyItem(const File& file, const std::string (&copies)[2], int which) {
  const std::string& bytes = copies[which];
  DumpItem item = MakeItem(DumpKind::kControlRecord, file.path(), format::kControlCopyOffset[which], bytes.size());
  Picture picture(item, AsSpan(bytes));
  const char name = which == 0 ? 'A' : 'B';
  if (AllZero(bytes)) {
    picture.Zeros("zeros", picture.left());
    item.summary = fmt::format("control record, copy {}: never written", name);
    return item;
  }
  const auto record = std::make_unique<format::ControlRecord>(Padded<format::ControlRecord>(bytes));
  const uint32_t entries = ControlRecordFields(picture);
  picture.Checksum("checksum", format::ControlRecordChecksum(*record));
  if (!item.damaged && record->counter == 0) picture.Wrong("the counter is none that is written");
  EpochFields(picture, entries);
  picture.Zeros("not used", picture.left());
  item.summary = fmt::format("control record, copy {}: {}", name,
                             HoldingCopy(copies) == which ? "holds"
                             : IsRight(*record)           ? "older"
                                                          : "does not verify");
  return item;
}

DumpItem LiveItem(const File& file) {
  DumpItem item = MakeItem(DumpKind::kLive, file.path(), format::kLiveOffset, sizeof(format::LiveWords));
  const std::string bytes = ReadText(file, item.offset, item.size);
  Picture picture(item, AsSpan(bytes));
  const auto line = [&](std::string_view name) {
    picture.Number<uint64_t>(name);
    picture.Zeros("not used", 56);
  };
  line("tail hint");
  picture.Number<uint64_t>("durable");
  picture.Number<uint64_t>("sync started");
  picture.Number<uint64_t>("sync done");
  picture.Number<uint64_t>("known tail");
  picture.Zeros("not used", 32);
  for (const auto* name : {"sync event", "owner generation", "name durable", "attach pid", "sync failed"}) line(name);
  for (const auto* name : {"wakes", "woken", "gaps", "repairs", "measured syncs", "measured bytes"}) {
    picture.Number<uint64_t>(name);
  }
  picture.Zeros("reserved", picture.left());
  item.summary = "live words: hints, rebuilt by who attaches alone";
  return item;
}

DumpItem SlotItem(const File& file, uint32_t slot, const std::string& bytes) {
  DumpItem item =
      MakeItem(DumpKind::kSlot, file.path(), format::kSlotsOffset + slot * sizeof(format::Slot), sizeof(format::Slot));
  Picture picture(item, AsSpan(bytes));
  picture.Number<uint64_t>("floor", [](uint64_t floor) { return floor == 0 ? "0: none" : fmt::format("{}", floor); });
  picture.Number<uint64_t>("keep alive");
  const auto pid = picture.Number<uint64_t>("pid");
  picture.Time("since");
  DumpField& name = picture.Bytes("name", sizeof(format::Slot::name));
  name.meaning = Quoted(std::string_view(name.bytes.c_str()));
  picture.Number<uint64_t>("fences");
  item.summary = fmt::format("slot {}: {}", slot, pid == 0 ? "released" : fmt::format("process {}", pid));
  return item;
}

// Slots that nobody ever took are zeros.
absl::Status Slots(const File& file, DumpOutput& output) {
  uint64_t free = format::kSlotsOffset;
  const uint64_t end = std::min(file.size(), format::kControlSize);
  const auto skip = [&](uint64_t to) { return output.EmitBytes(file, "free slots", free, to); };
  for (uint64_t at = format::kSlotsOffset; at < end && !output.done(); at += sizeof(format::Slot)) {
    const auto bytes = ReadText(file, at, std::min(end - at, sizeof(format::Slot)));
    if (AllZero(bytes)) continue;
    LIBBUS_RETURN_IF_ERROR(skip(at));
    output.Emit(SlotItem(file, static_cast<uint32_t>((at - format::kSlotsOffset) / sizeof(format::Slot)), bytes));
    free = at + bytes.size();
  }
  return free < end ? skip(end) : absl::OkStatus();
}

}  // namespace

absl::Status DumpControl(const File& file, DumpOutput& output) {
  LIBBUS_RETURN_IF_ERROR(RefuseOptions(file, output));
  output.Emit(FileItem(file, "control file of a topic"));
  output.Emit(ControlHeaderItem(file));
  LIBBUS_RETURN_IF_ERROR(Between(file, sizeof(format::ControlHeader), format::kControlCopyOffset[0], output));
  const std::string copies[2] = {ReadControlCopy(file, 0), ReadControlCopy(file, 1)};
  for (const int copy : {0, 1}) {
    if (!copies[copy].empty()) output.Emit(ControlCopyItem(file, copies, copy));
  }
  if (file.size() > format::kLiveOffset) output.Emit(LiveItem(file));
  LIBBUS_RETURN_IF_ERROR(Between(file, format::kLiveOffset + sizeof(format::LiveWords), format::kSlotsOffset, output));
  LIBBUS_RETURN_IF_ERROR(Slots(file, output));
  return Between(file, format::kControlSize, file.size(), output);
}

}  // namespace libbus::inspect
