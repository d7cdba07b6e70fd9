#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "libbus/inspect.h"
#include "libbus/inspect/dump_around.h"
#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/picture.h"
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

absl::Status CheckOptions(const DumpOptions& options) {
  if (!options.from || !options.around) return absl::OkStatus();
  return absl::InvalidArgumentError("a dump begins at a position or shows what is around one: name one of the two");
}

// Begins the dump of records around a position.
absl::Status StartAround(const std::vector<SegmentName>& segments, const Control& control, DumpOutput& output) {
  LIBBUS_ASSIGN_OR_RETURN(const DumpAround around, FindAround(segments, control, *output.options().around,
                                                              output.options().count.value_or(kDefaultAround)));
  output.StartAt(around.start, around.count);
  return absl::OkStatus();
}

// One segment on its own, which may have another name than it had. What cannot be read as one is shown as it is.
absl::Status StartAroundInFile(const File& file, DumpOutput& output) {
  const auto control_file = File::Open(Directory(file.path()) + "/control");
  const Control control = control_file.ok() ? ReadControl(*control_file) : Control();
  const auto identity = IdentifySegment(file, &control);
  if (!identity.ok() || !identity->usable) return absl::OkStatus();
  return StartAround({{file.path(), identity->base}}, control, output);
}

absl::Status DumpOneSegment(const File& file, DumpOutput& output) {
  if (output.options().around) LIBBUS_RETURN_IF_ERROR(StartAroundInFile(file, output));
  return DumpSegment(file, output);
}

absl::Status DumpUnknown(const File& file, uint64_t magic, DumpOutput& output) {
  const std::string name = file.path().substr(file.path().find_last_of('/') + 1);
  if (ParseSegmentName(name)) return DumpOneSegment(file, output);
  const bool damaged = NamedLikeTopicFile(file.path(), name);
  std::string begins(reinterpret_cast<const char*>(&magic), sizeof(magic));
  begins.resize(std::min<uint64_t>(begins.size(), file.size()));
  const std::string what = file.size() == 0 ? "it is empty" : fmt::format("it begins with {}", Quoted(begins));
  return DumpForeign(file, fmt::format("{}: {}", damaged ? "a damaged file of a topic" : "not a file of a bus", what),
                     damaged, output);
}

template <typename T>
bool Newer(const File& file, uint64_t magic) {
  const auto header = GetHeader<T>(file, magic);
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

template <typename T>
bool IsFlipped(const File& file, uint64_t magic) {
  std::optional<format::FlippedBit> flipped;
  (void)GetHeader<T>(file, magic, &flipped);
  return flipped.has_value();
}

// With what the file begins, or would if no bit of its header were flipped: it may be one of the magic.
uint64_t MagicOf(const File& file) {
  if (IsFlipped<format::BusFile>(file, format::kBusMagic)) return format::kBusMagic;
  if (IsFlipped<format::ControlHeader>(file, format::kControlMagic)) return format::kControlMagic;
  if (IsFlipped<format::LocksFile>(file, format::kLocksMagic)) return format::kLocksMagic;
  if (IsFlipped<format::SleepFile>(file, format::kSleepMagic)) return format::kSleepMagic;
  if (IsFlipped<format::SyncFailedFile>(file, format::kSyncFailedMagic)) return format::kSyncFailedMagic;
  if (IsFlipped<format::CursorHeader>(file, format::kCursorMagic)) return format::kCursorMagic;
  if (IsFlipped<format::CursorLockFile>(file, format::kCursorLockMagic)) return format::kCursorLockMagic;
  if (IsFlipped<format::IndexHeader>(file, format::kIndexMagic)) return format::kIndexMagic;
  if (IsFlipped<format::SegmentHeader>(file, format::kSegmentMagic)) return format::kSegmentMagic;
  uint64_t magic = 0;
  (void)file.Read(0, std::as_writable_bytes(std::span(&magic, 1)));
  return magic;
}

absl::Status DumpAny(const File& file, DumpOutput& output) {
  const uint64_t magic = MagicOf(file);
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
      return DumpOneSegment(file, output);
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
  const Position first{files.segments.empty() ? 0 : files.segments[0].base};
  Position from = output.options().from.value_or(output.options().around.value_or(first));
  LIBBUS_RETURN_IF_ERROR(CheckInTopic(files.segments, files.path, from));
  if (output.options().around) {
    LIBBUS_RETURN_IF_ERROR(StartAround(files.segments, files.control, output));
    from.offset = output.start()->base;
  }
  for (const SegmentName& segment : From(files.segments, from)) {
    if (output.done()) break;
    LIBBUS_ASSIGN_OR_RETURN(const File file, File::Open(segment.path));
    LIBBUS_RETURN_IF_ERROR(DumpSegment(file, output));
  }
  return absl::OkStatus();
}

// What to name instead of a directory; nothing if it is none.
absl::Status CheckNoDirectory(const std::string& path) {
  const auto names = platform::ListDirectory(path);
  if (!names.ok()) return absl::OkStatus();
  const std::string_view what = path;
  const std::string_view trimmed = what.substr(0, what.find_last_not_of('/') + 1);
  const std::string name(trimmed.substr(trimmed.find_last_of('/') + 1));
  std::string use = fmt::format("name a file, such as one of its {}", names->size());
  if (std::find(names->begin(), names->end(), "control") != names->end()) {
    use = fmt::format("name the topic (\"bus --bus {} dump {}\") or one of its files, such as {}/control",
                      Directory(std::string(trimmed)), name, trimmed);
  } else if (std::find(names->begin(), names->end(), "bus") != names->end()) {
    use = fmt::format("name a topic (\"bus --bus {} dump TOPIC\") or a file, such as {}/bus", trimmed, trimmed);
  }
  return absl::InvalidArgumentError(fmt::format("{}: a directory: {}", path, use));
}

}  // namespace
}  // namespace inspect

std::string_view DumpRoleName(DumpRole role) {
  constexpr std::string_view kNames[] = {"headline", "mark",  "number",   "identity",  "word",  "checksum",
                                         "type",     "time",  "position", "attribute", "table", "payload",
                                         "slack",    "zeros", "unread",   "bytes",     "damage"};
  return kNames[static_cast<size_t>(role)];
}

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
  LIBBUS_RETURN_IF_ERROR(inspect::CheckOptions(options));
  inspect::DumpOutput output(options, sink);
  LIBBUS_RETURN_IF_ERROR(inspect::DumpSegments(files, output));
  return output.summary();
}

absl::StatusOr<DumpSummary> DumpFile(const std::string& path, const DumpOptions& options, const DumpSink& sink) {
  LIBBUS_RETURN_IF_ERROR(inspect::CheckOptions(options));
  LIBBUS_RETURN_IF_ERROR(inspect::CheckNoDirectory(path));
  LIBBUS_ASSIGN_OR_RETURN(const auto file, inspect::File::Open(path));
  inspect::DumpOutput output(options, sink);
  LIBBUS_RETURN_IF_ERROR(inspect::DumpAny(file, output));
  return output.summary();
}

}  // namespace libbus
