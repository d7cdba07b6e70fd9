#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "libbus/inspect.h"
#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace inspect {
namespace {

std::string Directory(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// True for a name that a file of a topic has, in a directory that holds segments.
bool NamedLikeTopicFile(const std::string& path, std::string_view name) {
  if (ParseSegmentName(name)) return true;
  if (name != "control" && name != "locks" && name != "sleep") return false;
  const auto segments = ListSegments(Directory(path));
  return segments.ok() && !segments->empty();
}

absl::Status DumpUnknown(const File& file, uint64_t magic, DumpOutput& output) {
  const std::string name = file.path().substr(file.path().find_last_of('/') + 1);
  if (ParseSegmentName(name)) return DumpSegment(file, output);
  const bool damaged = NamedLikeTopicFile(file.path(), name);
  std::string begins(reinterpret_cast<const char*>(&magic), sizeof(magic));
  begins.resize(std::min<uint64_t>(begins.size(), file.size()));
  const std::string what = file.size() == 0 ? "it is empty" : fmt::format("it begins with {:?}", begins);
  return DumpForeign(file, fmt::format("{}: {}", damaged ? "a damaged file of a topic" : "not a file of a bus", what),
                     damaged, output);
}

template <typename T>
bool Newer(const File& file, uint64_t magic) {
  const auto header = file.Get<T>(0);
  return header && absl::IsUnimplemented(HeaderProblem(file.path(), *header, magic).status());
}

bool IsNewer(const File& file, uint64_t magic) {
  return Newer<format::BusFile>(file, format::kBusMagic) || Newer<format::ControlHeader>(file, format::kControlMagic) ||
         Newer<format::LocksFile>(file, format::kLocksMagic) || Newer<format::SleepFile>(file, format::kSleepMagic) ||
         Newer<format::SyncFailedFile>(file, format::kSyncFailedMagic) ||
         Newer<format::CursorHeader>(file, format::kCursorMagic) ||
         Newer<format::CursorLockFile>(file, format::kCursorLockMagic) ||
         Newer<format::IndexHeader>(file, format::kIndexMagic) ||
         (magic == format::kSegmentMagic && Newer<format::SegmentHeader>(file, magic));
}

absl::Status DumpAny(const File& file, DumpOutput& output) {
  uint64_t magic = 0;
  (void)file.Read(0, std::as_writable_bytes(std::span(&magic, 1)));
  if (IsNewer(file, magic)) {
    return DumpForeign(file, "a file of a bus of a newer version, which this program does not know", false, output);
  }
  switch (magic) {
    case format::kBusMagic:
      return DumpBusFile(file, output);
    case format::kControlMagic:
      return DumpControl(file, output);
    case format::kLocksMagic:
      return DumpLocks(file, output);
    case format::kSleepMagic:
      return DumpSleep(file, output);
    case format::kSyncFailedMagic:
      return DumpSyncFailed(file, output);
    case format::kCursorMagic:
      return DumpCursor(file, output);
    case format::kCursorLockMagic:
      return DumpCursorLock(file, output);
    case format::kIndexMagic:
      return DumpIndex(file, output);
    case format::kSegmentMagic:
      return DumpSegment(file, output);
    default:
      return DumpUnknown(file, magic, output);
  }
}

// Only for segments of a topic: a position in none of them is out of range.
absl::Status CheckInTopic(const std::vector<SegmentName>& segments, const std::string& path, Position from) {
  if (segments.empty()) return absl::NotFoundError(fmt::format("{}: has no segments: nothing to dump", path));
  if (from.offset < segments.front().base) {
    return absl::OutOfRangeError(fmt::format("{}: position {} is before the oldest at {}: use a higher one", path,
                                             from.offset, segments.front().base));
  }
  return absl::OkStatus();
}

// The segments from the one that holds `from` on.
std::vector<SegmentName> From(std::vector<SegmentName> segments, Position from) {
  const auto next = std::find_if(segments.begin(), segments.end(), [&](const auto& s) { return s.base > from.offset; });
  segments.erase(segments.begin(), next == segments.begin() ? next : next - 1);
  return segments;
}

absl::Status DumpSegments(const TopicFiles& files, DumpOutput& output) {
  const Position from = output.options().from.value_or(Position{files.segments.empty() ? 0 : files.segments[0].base});
  LIBBUS_RETURN_IF_ERROR(CheckInTopic(files.segments, files.path, from));
  for (const SegmentName& segment : From(files.segments, from)) {
    if (output.done()) break;
    LIBBUS_ASSIGN_OR_RETURN(const File file, File::Open(segment.path));
    LIBBUS_RETURN_IF_ERROR(DumpSegment(file, output));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace inspect

std::string_view DumpKindName(DumpKind kind) {
  constexpr std::string_view kNames[] = {
      "file", "header", "control record", "live",  "slot",  "data",          "reserved",   "gap",
      "end",  "free",   "damage",         "bytes", "inner", "cursor record", "index entry"};
  return kNames[static_cast<size_t>(kind)];
}

absl::StatusOr<DumpSummary> DumpTopic(const std::string& bus, std::string_view topic, const DumpOptions& options,
                                      const DumpSink& sink) {
  LIBBUS_RETURN_IF_ERROR(inspect::CheckTopicName(topic));
  LIBBUS_RETURN_IF_ERROR(inspect::ReadBusFile(bus).status());
  LIBBUS_ASSIGN_OR_RETURN(const auto files, inspect::OpenTopicFiles(bus, topic));
  inspect::DumpOutput output(options, sink);
  LIBBUS_RETURN_IF_ERROR(inspect::DumpSegments(files, output));
  return output.summary();
}

absl::StatusOr<DumpSummary> DumpFile(const std::string& path, const DumpOptions& options, const DumpSink& sink) {
  LIBBUS_ASSIGN_OR_RETURN(const auto file, inspect::File::Open(path));
  inspect::DumpOutput output(options, sink);
  LIBBUS_RETURN_IF_ERROR(inspect::DumpAny(file, output));
  return output.summary();
}

}  // namespace libbus
