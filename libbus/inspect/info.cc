#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "libbus/inspect.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/segment_reader.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace inspect {
namespace {

using format::Verdict;

// Where the words of a segment lead: to a free one, to an END, or past damage to the end.
SegmentInfo Measure(const File& file, const SegmentIdentity& identity) {
  SegmentInfo info{.file = file.path(), .base = identity.base, .size = file.size()};
  info.header_right = identity.problem.empty();
  SegmentReader reader(file, identity.seed, identity.base, identity.size);
  info.used = format::kSegmentHeaderSize;
  while (info.used < reader.size()) {
    const Look look = reader.WordAt(info.used);
    info.sealed = look.verdict == Verdict::kEnd;
    if (info.sealed || look.verdict == Verdict::kFree) break;
    info.used = look.verdict == Verdict::kBad ? reader.Resync(info.used) : info.used + look.size;
  }
  return info;
}

absl::Status AddSegments(const TopicFiles& files, TopicInfo& info) {
  for (const SegmentName& segment : files.segments) {
    LIBBUS_ASSIGN_OR_RETURN(const File file, File::Open(segment.path));
    LIBBUS_ASSIGN_OR_RETURN(auto identity, IdentifySegment(file, &files.control));
    if (!identity.usable) identity.base = segment.base;
    info.segments.push_back(Measure(file, identity));
  }
  return absl::OkStatus();
}

void SetEnds(TopicInfo& info) {
  if (info.segments.empty()) return;
  info.first = Position{info.segments.front().base + format::kSegmentHeaderSize};
  auto last = std::find_if(info.segments.begin(), info.segments.end(), [](const auto& s) { return !s.sealed; });
  if (last == info.segments.end()) --last;
  info.end = Position{last->base + last->used};
}

void AddSlots(const File& control, const absl::StatusOr<File>& locks, TopicInfo& info) {
  for (uint32_t i = 1; i < format::kSlots; ++i) {
    const auto slot = control.Get<format::Slot>(format::kSlotsOffset + i * sizeof(format::Slot));
    if (!slot || slot->pid == 0) continue;
    char name[sizeof(slot->name) + 1] = {};
    std::memcpy(name, slot->name, sizeof(slot->name));
    info.slots.push_back({.slot = i,
                          .pid = slot->pid,
                          .alive = locks.ok() ? locks->Locked(i) : std::nullopt,
                          .name = name,
                          .since = absl::FromUnixNanos(static_cast<int64_t>(slot->since)),
                          .floor = Position{slot->floor}});
  }
}

void AddControl(const Control& control, TopicInfo& info) {
  if (control.header) {
    info.uuid = log::UuidText(control.header->header.uuid);
    info.version = control.header->header.version;
    info.created = absl::FromUnixNanos(control.header->created);
    info.options.segment_size = control.header->segment_size;
    info.options.timestamps = static_cast<Timestamps>(control.header->timestamps);
    info.options.claim_timeout = absl::Nanoseconds(control.header->claim_timeout);
  }
  const bool written = control.written[0] || control.written[1];
  info.state = written ? "unknown" : "none";
  if (!control.record) return;
  info.state = ControlStateName(control.record->state);
  info.epoch = control.record->epoch;
}

}  // namespace
}  // namespace inspect

absl::StatusOr<BusInfo> InspectBus(const std::string& bus) {
  LIBBUS_ASSIGN_OR_RETURN(const auto identity, inspect::ReadBusFile(bus));
  LIBBUS_ASSIGN_OR_RETURN(auto topics, inspect::ListTopicNames(bus));
  return BusInfo{.path = bus,
                 .uuid = log::UuidText(identity.header.uuid),
                 .version = identity.header.version,
                 .created = absl::FromUnixNanos(identity.created),
                 .topics = std::move(topics)};
}

absl::StatusOr<TopicInfo> InspectTopic(const std::string& bus, std::string_view topic) {
  LIBBUS_RETURN_IF_ERROR(inspect::CheckTopicName(topic));
  LIBBUS_RETURN_IF_ERROR(inspect::ReadBusFile(bus).status());
  LIBBUS_ASSIGN_OR_RETURN(const auto files, inspect::OpenTopicFiles(bus, topic));
  TopicInfo info;
  info.name = topic;
  inspect::AddControl(files.control, info);
  LIBBUS_RETURN_IF_ERROR(inspect::AddSegments(files, info));
  inspect::SetEnds(info);
  if (files.control_file) inspect::AddSlots(*files.control_file, inspect::File::Open(files.path + "/locks"), info);
  return info;
}

}  // namespace libbus
