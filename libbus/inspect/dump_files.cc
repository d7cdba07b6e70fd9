// The pictures of the files that hold no records, and of foreign ones.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "libbus/format/cursor.h"
#include "libbus/format/layout.h"
#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/file_header.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

constexpr uint64_t kLine = 16;

std::string ReadText(const File& file, uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  bytes.resize(file.Read(offset, std::as_writable_bytes(std::span(bytes))).value_or(0));
  return bytes;
}

std::span<const std::byte> AsSpan(const std::string& bytes) { return std::as_bytes(std::span(bytes)); }

// A header as it stands there, zeros where the file is too short.
template <typename T>
T Padded(const std::string& bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(T)));
  return value;
}

// What stands between two known places: zeros, or bytes that somebody should look at.
absl::Status Between(const File& file, uint64_t from, uint64_t to, DumpOutput& output) {
  const uint64_t end = std::min(to, file.size());
  for (uint64_t at = from; at < end; at += DumpOutput::kChunk) {
    const auto bytes = ReadText(file, at, std::min(DumpOutput::kChunk, end - at));
    if (bytes.find_first_not_of('\0') == std::string::npos) continue;
    LIBBUS_RETURN_IF_ERROR(output.EmitBytes(file, "not used", at, at + bytes.size()));
  }
  return absl::OkStatus();
}

std::string NanosText(int64_t nanos) { return absl::FormatDuration(absl::Nanoseconds(nanos)); }

std::string AccessText(uint8_t access) { return std::string(AccessName(static_cast<Access>(access))); }

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

DumpItem ControlCopyItem(const File& file, const Control& control, int which) {
  DumpItem item =
      MakeItem(DumpKind::kControlRecord, file.path(), format::kControlCopyOffset[which], format::kControlCopySize);
  const std::string bytes = ReadText(file, item.offset, item.size);
  Picture picture(item, AsSpan(bytes));
  const char name = which == 0 ? 'A' : 'B';
  if (!control.written[which]) {
    picture.Zeros("zeros", picture.left());
    item.summary = fmt::format("control record, copy {}: never written", name);
    return item;
  }
  const uint32_t entries = ControlRecordFields(picture);
  const bool valid = control.valid[which];
  picture.Number<uint32_t>("checksum",
                           [&](uint32_t crc) { return fmt::format("{:08x}{}", crc, valid ? " right" : ""); });
  if (!valid) picture.Wrong("wrong");
  EpochFields(picture, entries);
  picture.Zeros("not used", picture.left());
  const bool holds = control.record.has_value() && control.copy == which;
  item.summary = fmt::format("control record, copy {}: {}", name,
                             holds   ? "holds"
                             : valid ? "older"
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
  picture.Zeros("not used", 40);
  for (const auto* name : {"sync event", "owner generation", "name durable", "attach pid", "sync failed"}) line(name);
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

void CursorRecordFields(Picture& picture) {
  picture.Number<uint64_t>("counter");
  picture.Number<uint64_t>("position");
  picture.Number<uint64_t>("sequence", [](uint64_t sequence) {
    return sequence == format::kUnknownSequence ? std::string("not known") : fmt::format("{}", sequence);
  });
  picture.Time("time");
  picture.Number<uint32_t>("epoch");
}

DumpItem CursorCopyItem(const File& file, const format::Uuid& topic, const format::CursorRecord (&copies)[2],
                        int which) {
  const format::CursorRecord& copy = copies[which];
  DumpItem item = MakeItem(DumpKind::kCursorRecord, file.path(), format::kCursorCopyOffset[which], sizeof(copy));
  const std::string bytes = ReadText(file, item.offset, item.size);
  Picture picture(item, AsSpan(bytes));
  const char name = which == 0 ? 'A' : 'B';
  if (bytes.find_first_not_of('\0') == std::string::npos) {
    picture.Zeros("zeros", picture.left());
    item.summary = fmt::format("cursor, copy {}: never written", name);
    return item;
  }
  CursorRecordFields(picture);
  const bool valid = format::IsValid(topic, copy);
  picture.Number<uint32_t>("checksum",
                           [&](uint32_t crc) { return fmt::format("{:08x}{}", crc, valid ? " right" : ""); });
  if (!valid) picture.Wrong("wrong");
  const bool holds = format::HoldingCopy(topic, copies) == which;
  item.summary = fmt::format("cursor, copy {}: {}", name, holds ? "holds" : valid ? "older" : "does not verify");
  return item;
}

absl::Status RefuseOptions(const File& file, const DumpOutput& output) {
  if (!output.options().from && !output.options().count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: holds no records: leave out the position and the number of records", file.path()));
}

// A file that is one header and zeros.
template <typename T, typename F>
absl::Status DumpPage(const File& file, std::string_view what, uint64_t magic, DumpOutput& output, F rest) {
  LIBBUS_RETURN_IF_ERROR(RefuseOptions(file, output));
  output.Emit(FileItem(file, what));
  DumpItem item = MakeItem(DumpKind::kHeader, file.path(), 0, std::min<uint64_t>(sizeof(T), file.size()));
  const std::string bytes = ReadText(file, 0, sizeof(T));
  Picture picture(item, AsSpan(bytes));
  FileHeaderFields(picture, magic);
  rest(picture, Padded<T>(bytes));
  item.summary = fmt::format("{} header", what);
  output.Emit(item);
  return Between(file, sizeof(T), file.size(), output);
}

}  // namespace

absl::Status DumpBusFile(const File& file, DumpOutput& output) {
  return DumpPage<format::BusFile>(file, "identity of a bus", format::kBusMagic, output,
                                   [](Picture& picture, const format::BusFile& header) {
                                     picture.Time("created");
                                     picture.Number<uint8_t>("access", AccessText);
                                     picture.Zeros("reserved", sizeof(header.reserved));
                                     ChecksumField(picture, header);
                                   });
}

absl::Status DumpLocks(const File& file, DumpOutput& output) {
  return DumpPage<format::LocksFile>(file, "locks file", format::kLocksMagic, output,
                                     [](Picture& picture, const format::LocksFile& header) {
                                       picture.Zeros("reserved", sizeof(header.reserved));
                                       ChecksumField(picture, header);
                                     });
}

absl::Status DumpSleep(const File& file, DumpOutput& output) {
  return DumpPage<format::SleepFile>(file, "sleep page", format::kSleepMagic, output,
                                     [](Picture& picture, const format::SleepFile& header) {
                                       picture.Zeros("reserved", sizeof(header.reserved0));
                                       ChecksumField(picture, header);
                                       picture.Number<uint64_t>("mark");
                                       picture.Zeros("not used", 56);
                                       picture.Number<uint64_t>("help");
                                       picture.Zeros("reserved", picture.left());
                                     });
}

absl::Status DumpSyncFailed(const File& file, DumpOutput& output) {
  return DumpPage<format::SyncFailedFile>(file, "mark of a failed sync", format::kSyncFailedMagic, output,
                                          [](Picture& picture, const format::SyncFailedFile& mark) {
                                            picture.Number<uint64_t>("base");
                                            picture.Time("time");
                                            picture.Number<uint32_t>("error", SyncErrorText);
                                            picture.Zeros("reserved", sizeof(mark.reserved));
                                            ChecksumField(picture, mark);
                                          });
}

absl::Status DumpCursor(const File& file, DumpOutput& output) {
  LIBBUS_RETURN_IF_ERROR(RefuseOptions(file, output));
  output.Emit(FileItem(file, "cursor of a topic"));
  DumpItem item = MakeItem(DumpKind::kHeader, file.path(), 0, std::min<uint64_t>(format::kPageSize, file.size()));
  const std::string bytes = ReadText(file, 0, item.size);
  const auto header = std::make_unique<format::CursorHeader>(Padded<format::CursorHeader>(bytes));
  Picture picture(item, AsSpan(bytes));
  FileHeaderFields(picture, format::kCursorMagic);
  picture.Time("created");
  picture.Zeros("reserved", sizeof(header->reserved));
  ChecksumField(picture, *header);
  item.summary = "cursor header";
  output.Emit(item);
  format::CursorRecord copies[2] = {};
  for (const int i : {0, 1}) {
    copies[i] = Padded<format::CursorRecord>(ReadText(file, format::kCursorCopyOffset[i], sizeof(copies[i])));
  }
  for (const int i : {0, 1}) {
    if (file.size() > format::kCursorCopyOffset[i]) output.Emit(CursorCopyItem(file, header->header.uuid, copies, i));
    const uint64_t behind = format::kCursorCopyOffset[i] + sizeof(format::CursorRecord);
    LIBBUS_RETURN_IF_ERROR(Between(file, behind, i == 0 ? format::kCursorCopyOffset[1] : file.size(), output));
  }
  return absl::OkStatus();
}

absl::Status DumpCursorLock(const File& file, DumpOutput& output) {
  return DumpPage<format::CursorLockFile>(file, "lock of a cursor", format::kCursorLockMagic, output,
                                          [](Picture& picture, const format::CursorLockFile& lock) {
                                            picture.Number<uint64_t>("pid");
                                            picture.Time("since");
                                            picture.Zeros("reserved", sizeof(lock.reserved));
                                            ChecksumField(picture, lock);
                                          });
}

absl::Status DumpControl(const File& file, DumpOutput& output) {
  LIBBUS_RETURN_IF_ERROR(RefuseOptions(file, output));
  const Control control = ReadControl(file);
  output.Emit(FileItem(file, "control file of a topic"));
  output.Emit(ControlHeaderItem(file));
  LIBBUS_RETURN_IF_ERROR(Between(file, sizeof(format::ControlHeader), format::kControlCopyOffset[0], output));
  for (const int copy : {0, 1}) output.Emit(ControlCopyItem(file, control, copy));
  output.Emit(LiveItem(file));
  LIBBUS_RETURN_IF_ERROR(Between(file, format::kLiveOffset + sizeof(format::LiveWords), format::kSlotsOffset, output));
  for (uint32_t slot = 0; slot < format::kSlots && !output.done(); ++slot) {
    const auto bytes = ReadText(file, format::kSlotsOffset + slot * sizeof(format::Slot), sizeof(format::Slot));
    if (bytes.find_first_not_of('\0') != std::string::npos) output.Emit(SlotItem(file, slot, bytes));
  }
  return Between(file, format::kControlSize, file.size(), output);
}

absl::Status DumpForeign(const File& file, std::string_view what, bool damaged, DumpOutput& output) {
  const uint64_t from = output.options().from.value_or(Position{0}).offset;
  if (from > file.size()) {
    return absl::OutOfRangeError(
        fmt::format("{}: offset {} is beyond the end at {}: use a lower one", file.path(), from, file.size()));
  }
  DumpItem item = FileItem(file, what);
  item.damaged = damaged;
  output.Emit(item);
  const uint64_t all = file.size() - from;
  const uint64_t lines = output.options().count.value_or(all);
  const uint64_t size = lines <= all / kLine ? lines * kLine : all;
  return output.EmitBytes(file, "plain bytes", from, from + size);
}

}  // namespace libbus::inspect
