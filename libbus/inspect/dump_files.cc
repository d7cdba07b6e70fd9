// The pictures of the files that hold no records, but for the control file, and of foreign ones.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "libbus/format/cursor.h"
#include "libbus/format/layout.h"
#include "libbus/inspect/dump_bytes.h"
#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/file_header.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

constexpr uint64_t kLine = 16;

void CursorRecordFields(Picture& picture) {
  picture.Number<uint64_t>("counter");
  picture.Number<uint64_t>("position");
  picture.Number<uint64_t>("sequence", [](uint64_t sequence) {
    return sequence == format::kUnknownSequence ? std::string("not known") : fmt::format("{}", sequence);
  });
  picture.Time("time");
  picture.Number<uint32_t>("epoch");
}

// What its holder may be writing is read again.
std::string ReadCursorCopy(const File& file, const format::Uuid& topic, int which) {
  const auto right = [&](const std::string& bytes) {
    return AllZero(bytes) || format::IsValid(topic, Padded<format::CursorRecord>(bytes));
  };
  return ReadUntil(file, format::kCursorCopyOffset[which], sizeof(format::CursorRecord), right);
}

DumpItem CursorCopyItem(const File& file, const format::Uuid& topic, const std::string (&copies)[2], int which) {
  const std::string& bytes = copies[which];
  DumpItem item = MakeItem(DumpKind::kCursorRecord, file.path(), format::kCursorCopyOffset[which], bytes.size());
  Picture picture(item, AsSpan(bytes));
  const char name = which == 0 ? 'A' : 'B';
  if (AllZero(bytes)) {
    picture.Zeros("zeros", picture.left());
    item.summary = fmt::format("cursor, copy {}: never written", name);
    return item;
  }
  const format::CursorRecord records[2] = {Padded<format::CursorRecord>(copies[0]),
                                           Padded<format::CursorRecord>(copies[1])};
  CursorRecordFields(picture);
  picture.Checksum("checksum", format::CursorChecksum(topic, records[which]));
  const bool valid = format::IsValid(topic, records[which]);
  if (!valid && !item.damaged) picture.Wrong("the counter is none that is written");
  const bool holds = format::HoldingCopy(topic, records) == which;
  item.summary = fmt::format("cursor, copy {}: {}", name, holds ? "holds" : valid ? "older" : "does not verify");
  return item;
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

// A consumer's entry, if one is, or was, in use.
void Entry(Picture& picture) {
  const auto pid = picture.Peek<uint64_t>();
  if (pid == 0) {
    picture.Unread("no consumer", sizeof(format::ConsumerEntry), DumpRole::kZeros);
    return;
  }
  picture.Number<uint64_t>("consumer", [](uint64_t value) { return fmt::format("process {}", value); });
  picture.Time("since");
  picture.Number<uint64_t>("position");
  picture.Time("idle");
  picture.Number<uint64_t>("waits for", [](uint64_t value) {
    constexpr std::string_view kNames[] = {"nothing", "a record", "a sync"};
    return std::string(value < std::size(kNames) ? kNames[value] : "unknown");
  });
  picture.Number<uint64_t>("cursor", [](uint64_t value) {
    return value == 0 ? std::string("none") : fmt::format("a name of {} bytes", value >> 32);
  });
  picture.Bytes("name", sizeof(format::ConsumerEntry::name));
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
                                       picture.Zeros("not used", 56);
                                       picture.Number<uint64_t>("sleeps");
                                       picture.Number<uint64_t>("unlisted");
                                       picture.Zeros("not used", 48);
                                       for (size_t n = 0; n < format::kConsumerEntries; ++n) Entry(picture);
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
  (void)format::MendOneBit(*header, format::kCursorMagic);
  const format::Uuid& topic = header->header.uuid;
  const std::string copies[2] = {ReadCursorCopy(file, topic, 0), ReadCursorCopy(file, topic, 1)};
  for (const int i : {0, 1}) {
    if (!copies[i].empty()) output.Emit(CursorCopyItem(file, topic, copies, i));
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

namespace {

// So many lines, the one that holds `around`, and so many behind it.
absl::Status ForeignAround(const File& file, uint64_t around, uint64_t lines, DumpOutput& output) {
  const uint64_t line = around / kLine * kLine;
  const uint64_t most = std::min(lines, file.size() / kLine + 1) * kLine;
  const uint64_t behind = std::min(line + kLine, file.size());
  LIBBUS_RETURN_IF_ERROR(output.EmitBytes(file, "plain bytes", line - std::min(line, most), line));
  LIBBUS_RETURN_IF_ERROR(output.EmitBytes(file, "plain bytes", line, behind, true));
  return output.EmitBytes(file, "plain bytes", behind, std::min(behind + most, file.size()));
}

}  // namespace

absl::Status DumpForeign(const File& file, std::string_view what, bool damaged, DumpOutput& output) {
  const DumpOptions& options = output.options();
  const uint64_t from = options.around.value_or(options.from.value_or(Position{0})).offset;
  if (from > file.size() || (options.around && from == file.size())) {
    return absl::OutOfRangeError(
        fmt::format("{}: offset {} is beyond the end at {}: use a lower one", file.path(), from, file.size()));
  }
  DumpItem item = FileItem(file, what);
  item.damaged = damaged;
  // The number is one of lines here, not of records.
  const std::optional<uint64_t> count = output.TakeCount();
  output.Emit(item);
  if (options.around) return ForeignAround(file, from, count.value_or(kDefaultAround), output);
  const uint64_t all = file.size() - from;
  const uint64_t lines = count.value_or(all);
  const uint64_t size = lines <= all / kLine ? lines * kLine : all;
  return output.EmitBytes(file, "plain bytes", from, from + size);
}

}  // namespace libbus::inspect
