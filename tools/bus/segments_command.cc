#include <fmt/format.h>
#include <libbus/inspect.h>

#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/table.h"

namespace bustool {
namespace {

using libbus::SegmentInfo;

std::string_view StateText(const SegmentInfo& segment) {
  return segment.sealed ? "sealed" : segment.prepared ? "prepared" : "live";
}

std::string DurableText(const SegmentInfo& segment) {
  if (!segment.durable || segment.prepared) return "-";
  return *segment.durable ? "yes" : "no";
}

std::string TimeCell(const std::optional<absl::Time>& time) {
  if (!time) return "-";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", *time, absl::UTCTimeZone());
}

std::string SegmentsText(const libbus::TopicInfo& info) {
  Table table(
      {"BASE", "END", "SIZE", "DISK", "USED", "STATE<", "FIRST", "RECORDS", "FROM<", "TO<", "DURABLE<", "HEADER<"});
  for (const SegmentInfo& segment : info.segments) {
    table.Row({fmt::format("{}", segment.base), fmt::format("{}", segment.base + segment.size),
               fmt::format("{}", segment.size), fmt::format("{}", segment.disk_bytes), fmt::format("{}", segment.used),
               std::string(StateText(segment)),
               segment.first_sequence ? fmt::format("{}", *segment.first_sequence) : "-",
               fmt::format("{}", segment.records), TimeCell(segment.first_time), TimeCell(segment.last_time),
               DurableText(segment), segment.header_right ? "right" : "damaged"});
  }
  return table.Text();
}

std::string SegmentLine(const libbus::TopicInfo& info, const SegmentInfo& segment) {
  JsonObject object;
  object.Add("topic", info.name).Add("file", segment.file).Add("base", segment.base);
  object.Add("end", segment.base + segment.size).Add("size", segment.size).Add("disk_bytes", segment.disk_bytes);
  object.Add("used", segment.used).Add("state", StateText(segment));
  if (segment.first_sequence) object.Add("first_sequence", *segment.first_sequence);
  object.Add("records", segment.records);
  if (segment.first_time) object.Add("first_time", *segment.first_time);
  if (segment.last_time) object.Add("last_time", *segment.last_time);
  if (segment.durable && !segment.prepared) object.Add("durable", *segment.durable);
  return object.Add("header_right", segment.header_right).Line();
}

int Segments(const Tool& tool, const std::string& topic) {
  const auto bus = tool.BusPath();
  BUS_FAIL_IF_ERROR(bus.status());
  const auto info = libbus::InspectTopic(*bus, topic);
  BUS_FAIL_IF_ERROR(info.status());
  Stdout().Page();
  if (!tool.json) Stdout().Write(SegmentsText(*info));
  for (const SegmentInfo& segment : info->segments) {
    if (tool.json && !Stdout().Write(SegmentLine(*info, segment))) break;
  }
  return kOk;
}

}  // namespace

void AddSegmentsCommand(CLI::App& app, Tool& tool) {
  auto topic = std::make_shared<std::string>();
  auto* command = Tool::AddCommand(
      app,
      {.name = "segments",
       .what = "the files that a topic is made of",
       .details = "One line a segment: where it begins and ends, how much of it is used and takes place on the disk, "
                  "which records and times it holds, whether all of it is durable.",
       .examples = {"bus segments orders", "bus segments orders --json"}});
  command->add_option("T", *topic, "the topic")->required();
  tool.OnRun(command, [&tool, topic] { return Segments(tool, *topic); });
}

}  // namespace bustool
