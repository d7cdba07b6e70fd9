#include "libbus/inspect/topic_files.h"

#include <absl/time/time.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "libbus/format/control.h"
#include "libbus/inspect/picture.h"
#include "libbus/options.h"
#include "libbus/platform/file.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool IsZero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// A copy of the control record as it stands there; valid if its checksum is right.
struct Copy {
  format::ControlRecord record;
  bool written = false;
  bool valid = false;
};

Copy ReadCopy(const File& file, int which) {
  Copy copy;
  for (int tries = 0; tries < 3 && !copy.valid; ++tries) {
    const auto record = file.Get<format::ControlRecord>(format::kControlCopyOffset[which]);
    if (!record) return copy;
    copy.record = *record;
    copy.written = !IsZero(std::as_bytes(std::span(&copy.record, 1)));
    copy.valid = copy.written && record->counter != 0 && format::ControlRecordChecksum(*record) == record->checksum;
    if (!copy.written) break;
  }
  return copy;
}

bool LooksLikeTopic(const std::string& path) {
  const auto names = platform::ListDirectory(path);
  if (!names.ok()) return false;
  return std::any_of(names->begin(), names->end(),
                     [](const std::string& name) { return name == "control" || ParseSegmentName(name).has_value(); });
}

std::string BaseName(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

std::string FormatTime(int64_t nanos) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::FromUnixNanos(nanos), absl::UTCTimeZone());
}

absl::Status CheckTopicName(std::string_view name) {
  const bool right = !name.empty() && name.size() <= kMaxTopicName && name != "bus" &&
                     std::all_of(name.begin(), name.end(), IsNameCharacter);
  if (right) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "{}: not a topic name: use 1 to {} letters, digits, '_' and '-', and not \"bus\"", Quoted(name), kMaxTopicName));
}

std::optional<uint64_t> ParseSegmentName(std::string_view name) {
  if (name.size() != 24 || !name.ends_with(".seg")) return std::nullopt;
  uint64_t base = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 20, base);
  if (error != std::errc() || end != name.data() + 20) return std::nullopt;
  return base;
}

std::string MagicProblem(uint64_t found, uint64_t wanted) {
  if (found == 0) return "begins with zeros";
  const auto text = [](const uint64_t& magic) {
    return std::string(reinterpret_cast<const char*>(&magic), sizeof(magic));
  };
  return fmt::format("begins with {} instead of {}", Quoted(text(found)), Quoted(text(wanted)));
}

std::string FlippedText(const format::FlippedBit& flipped) {
  return fmt::format("bit {} of byte {} of the header is flipped", flipped.bit, flipped.byte);
}

absl::StatusOr<format::BusFile> ReadBusFile(const std::string& path, std::optional<format::FlippedBit>* flipped) {
  const auto names = platform::ListDirectory(path);
  if (absl::IsNotFound(names.status())) {
    return absl::NotFoundError(fmt::format("{}: no such bus (make it with `bus init {}`)", path, path));
  }
  LIBBUS_RETURN_IF_ERROR(names.status());
  if (std::find(names->begin(), names->end(), "bus") == names->end()) {
    return absl::FailedPreconditionError(fmt::format("{}: not a bus (it has no file \"bus\"): name a bus", path));
  }
  const std::string file_path = path + "/bus";
  LIBBUS_ASSIGN_OR_RETURN(const File file, File::Open(file_path));
  const auto header = GetHeader<format::BusFile>(file, format::kBusMagic, flipped);
  if (!header) {
    return absl::DataLossError(
        fmt::format("{}: {} bytes instead of {}: restore it", file_path, file.size(), sizeof(format::BusFile)));
  }
  LIBBUS_ASSIGN_OR_RETURN(const std::string problem, HeaderProblem(file_path, *header, format::kBusMagic));
  if (!problem.empty()) return absl::DataLossError(fmt::format("{}: {}: restore it", file_path, problem));
  return *header;
}

absl::StatusOr<std::vector<std::string>> ListTopicNames(const std::string& bus) {
  LIBBUS_ASSIGN_OR_RETURN(auto names, platform::ListDirectory(bus));
  std::erase_if(
      names, [&](const std::string& name) { return !CheckTopicName(name).ok() || !LooksLikeTopic(bus + "/" + name); });
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::vector<SegmentName>> ListSegments(const std::string& topic_path) {
  LIBBUS_ASSIGN_OR_RETURN(const auto names, platform::ListDirectory(topic_path));
  std::vector<SegmentName> segments;
  for (const std::string& name : names) {
    if (const auto base = ParseSegmentName(name)) segments.push_back({fmt::format("{}/{}", topic_path, name), *base});
  }
  std::sort(segments.begin(), segments.end(), [](const auto& a, const auto& b) { return a.base < b.base; });
  return segments;
}

std::optional<uint64_t> NextInUse(const std::string& topic_path, uint64_t end) {
  const auto segments = ListSegments(topic_path);
  if (!segments.ok()) return std::nullopt;
  const auto next =
      std::find_if(segments->begin(), segments->end(), [&](const SegmentName& name) { return name.base >= end; });
  if (next == segments->end()) return std::nullopt;
  const auto file = File::Open(next->path);
  if (!file.ok()) return std::nullopt;
  const auto header = GetHeader<format::SegmentHeader>(*file, format::kSegmentMagic);
  const bool led_to = header && header->header.cause != 0;
  if (!led_to && file->Get<uint64_t>(format::kSegmentHeaderSize).value_or(0) == 0) return std::nullopt;
  return next->base + format::kSegmentHeaderSize;
}

Control ReadControl(const File& file) {
  Control control;
  if (const auto header = GetHeader<format::ControlHeader>(file, format::kControlMagic, &control.flipped)) {
    const bool right =
        header->header.magic == format::kControlMagic && header->checksum == format::FileChecksum(*header);
    if (right) control.header = *header;
  }
  for (int i = 0; i < 2; ++i) {
    const auto copy = std::make_unique<Copy>(ReadCopy(file, i));
    control.written[i] = copy->written;
    control.valid[i] = copy->valid;
    if (!copy->valid || (control.record && control.record->counter > copy->record.counter)) continue;
    control.record = copy->record;
    control.copy = i;
  }
  return control;
}

std::vector<format::EpochEntry> SealedRanges(const Control& control) {
  if (!control.record) return {};
  return {control.record->epochs, control.record->epochs + control.record->epoch_entries};
}

absl::StatusOr<TopicFiles> OpenTopicFiles(const std::string& bus, std::string_view topic) {
  if (auto status = CheckTopicName(topic); !status.ok()) return status;
  TopicFiles files;
  files.path = fmt::format("{}/{}", bus, topic);
  files.name = topic;
  auto segments = ListSegments(files.path);
  if (absl::IsNotFound(segments.status())) {
    return absl::NotFoundError(
        fmt::format("{}: no such topic (make it with `bus topic create {}`)", files.path, topic));
  }
  LIBBUS_ASSIGN_OR_RETURN(files.segments, std::move(segments));
  auto control = File::Open(files.path + "/control");
  files.control_is_odd = absl::IsInvalidArgument(control.status());
  if (files.control_is_odd) return files;
  if (absl::IsNotFound(control.status()) && files.segments.empty()) {
    return absl::NotFoundError(
        fmt::format("{}: not a topic (neither control file nor segments): name a topic", files.path));
  }
  if (!control.ok() && !absl::IsNotFound(control.status())) return control.status();
  if (!control.ok()) return files;
  files.control_file = *std::move(control);
  if (const auto header = GetHeader<format::ControlHeader>(*files.control_file, format::kControlMagic)) {
    auto problem = HeaderProblem(files.control_file->path(), *header, format::kControlMagic);
    if (!problem.ok()) return problem.status();
  }
  files.control = ReadControl(*files.control_file);
  return files;
}

absl::StatusOr<SegmentIdentity> IdentifySegment(const File& file, const Control* control) {
  SegmentIdentity identity;
  const bool topic_known = control != nullptr && control->header.has_value();
  const auto name_base = ParseSegmentName(BaseName(file.path()));
  identity.header = GetHeader<format::SegmentHeader>(file, format::kSegmentMagic, &identity.flipped);
  if (identity.header) {
    LIBBUS_ASSIGN_OR_RETURN(identity.problem, HeaderProblem(file.path(), *identity.header, format::kSegmentMagic));
  } else {
    identity.problem = file.size() == 0 ? "the file is empty" : fmt::format("only {} bytes of a header", file.size());
  }
  if (identity.problem.empty()) {
    identity.usable = true;
    identity.seed = format::TopicSeed::Of(identity.header->header.uuid);
    identity.base = identity.header->base;
    identity.size = std::min(identity.header->file_size, file.size());
  } else if (topic_known && name_base) {
    identity.usable = true;
    identity.seed = format::TopicSeed::Of(control->header->header.uuid);
    identity.base = *name_base;
    identity.size = file.size();
  }
  return identity;
}

}  // namespace libbus::inspect
