#include <fmt/format.h>
#include <libbus/inspect.h>

#include <algorithm>
#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/terminal.h"
#include "tools/bus/text.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

using libbus::SegmentInfo;
using libbus::SlotInfo;
using libbus::TopicInfo;

uint64_t Bytes(const TopicInfo& info) {
  uint64_t bytes = 0;
  for (const SegmentInfo& segment : info.segments) bytes += segment.size;
  return bytes;
}

uint64_t Living(const TopicInfo& info) {
  return static_cast<uint64_t>(
      std::count_if(info.slots.begin(), info.slots.end(), [](const SlotInfo& slot) { return slot.alive == true; }));
}

std::string SegmentJson(const SegmentInfo& segment) {
  return JsonObject()
      .Add("file", segment.file)
      .Add("base", segment.base)
      .Add("size", segment.size)
      .Add("used", segment.used)
      .Add("sealed", segment.sealed)
      .Add("header_right", segment.header_right)
      .Object();
}

std::string SlotJson(const SlotInfo& slot) {
  JsonObject object;
  object.Add("slot", slot.slot).Add("pid", slot.pid).AddBytes("name", slot.name).Add("since", slot.since);
  if (slot.alive) object.Add("alive", *slot.alive);
  return object.Add("floor", slot.floor.offset).Object();
}

std::string SyncText(const libbus::TopicOptions& options) {
  return options.sync ? options.sync->ToString() : "unknown";
}

std::string EpochJson(const libbus::EpochInfo& epoch) {
  return JsonObject()
      .Add("number", epoch.number)
      .Add("cause", epoch.cause)
      .Add("from", epoch.from.offset)
      .Add("to", epoch.to.offset)
      .Object();
}

std::string EpochsText(const TopicInfo& info) {
  const libbus::EpochInfo& last = info.epochs.back();
  return fmt::format("{}, the last in epoch {} from {} to {} ({})", Count(info.epochs.size(), "range"), last.number,
                     last.from.offset, last.to.offset, last.cause);
}

void AddSyncJson(const TopicInfo& info, JsonObject& object) {
  object.Add("sync", SyncText(info.options)).Add("durable", info.durable.offset);
  object.Add("behind", info.end.offset - info.durable.offset).Add("volatile", info.is_volatile);
  object.Add("syncs", info.syncs);
  if (info.failed_sync) object.Add("failed_sync", info.failed_sync->offset);
}

// How far D is: what is before it no power loss takes back.
std::string DurableText(const TopicInfo& info) {
  if (info.is_volatile) return "nothing: the bus lies in memory (tmpfs), it is volatile";
  if (info.durable.offset == 0) return "not known: the files are a copy, or the control file is damaged";
  const uint64_t behind = info.end.offset - info.durable.offset;
  return behind == 0 ? fmt::format("up to {}: all of it", info.durable.offset)
                     : fmt::format("up to {}, {} behind the end", info.durable.offset, Count(behind, "byte"));
}

void AddOptionsJson(const libbus::TopicOptions& options, JsonObject& object) {
  if (options.segment_size) object.Add("segment_size", *options.segment_size);
  if (options.timestamps) object.Add("timestamps", TimestampsText(*options.timestamps));
  if (options.claim_timeout) {
    object.Add("claim_timeout_ns", absl::ToInt64Nanoseconds(*options.claim_timeout));
  }
  if (options.retain_bytes) object.Add("retain_bytes", *options.retain_bytes);
  if (options.retain_age) object.Add("retain_age_ns", absl::ToInt64Nanoseconds(*options.retain_age));
  if (options.exclusive) object.Add("mode", ModeText(options));
}

std::string TopicJson(const TopicInfo& info) {
  JsonObject object;
  object.Add("topic", info.name).Add("uuid", info.uuid).Add("version", info.version).Add("created", info.created);
  AddOptionsJson(info.options, object);
  if (info.access) object.Add("access", libbus::AccessName(*info.access));
  object.Add("state", info.state).Add("epoch", info.epoch).Add("first", info.first.offset).Add("end", info.end.offset);
  AddSyncJson(info, object);
  object.Add("producers", Living(info)).Add("cursors", info.cursors);
  std::vector<std::string> epochs, segments, slots;
  for (const libbus::EpochInfo& epoch : info.epochs) epochs.push_back(EpochJson(epoch));
  for (const SegmentInfo& segment : info.segments) segments.push_back(SegmentJson(segment));
  for (const SlotInfo& slot : info.slots) slots.push_back(SlotJson(slot));
  if (info.index) {
    object.Add("index_entries", info.index->entries).Add("index_end", info.index->end.offset);
  }
  return object.AddArray("epochs", epochs).AddArray("segments", segments).AddArray("slots", slots).Line();
}

void Line(std::string& out, std::string_view name, std::string_view value) {
  // Names and paths are what others chose.
  out += fmt::format("{} {}\n", Paint(Colour::kBold, fmt::format("{:<14}", name)), Plain(value));
}

std::string RetainText(const libbus::TopicOptions& options) {
  if (!options.retain_bytes || !options.retain_age) return "unknown";
  std::string text;
  if (*options.retain_bytes != 0) text = Count(*options.retain_bytes, "byte");
  if (*options.retain_age != absl::ZeroDuration()) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", absl::FormatDuration(*options.retain_age));
  }
  return text.empty() ? "all of it" : text;
}

std::string OptionsText(const libbus::TopicOptions& options) {
  std::string out;
  Line(out, "mode", options.exclusive ? ModeText(options) : "unknown");
  Line(out, "segment size", options.segment_size ? fmt::format("{} bytes", *options.segment_size) : "unknown");
  Line(out, "timestamps", options.timestamps ? TimestampsText(*options.timestamps) : "unknown");
  Line(out, "retained", RetainText(options));
  Line(out, "claim timeout", options.claim_timeout ? absl::FormatDuration(*options.claim_timeout) : "unknown");
  return out;
}

std::string SegmentsText(const TopicInfo& info) {
  std::string out;
  Line(out, "segments", fmt::format("{}, {} bytes", Count(info.segments.size(), "file"), Bytes(info)));
  for (const SegmentInfo& segment : info.segments) {
    const std::string_view state = segment.sealed ? "full" : segment.base > info.end.offset ? "prepared" : "open";
    Line(out, "",
         fmt::format("base {}, {} of {} bytes used, {}{}", segment.base, segment.used, segment.size, state,
                     segment.header_right ? "" : ", header damaged"));
  }
  return out;
}

std::string_view LifeText(const std::optional<bool>& alive) {
  if (!alive) return "perhaps alive";
  return *alive ? "alive" : "gone";
}

std::string SlotsText(const TopicInfo& info) {
  std::string out;
  Line(out, "producers", fmt::format("{} alive", Living(info)));
  for (const SlotInfo& slot : info.slots) {
    const std::string name = slot.name.empty() ? "" : fmt::format(" \"{}\"", slot.name);
    Line(out, "",
         fmt::format("slot {}: process {}{} since {}, {}", slot.slot, slot.pid, name, TimeText(slot.since),
                     LifeText(slot.alive)));
  }
  return out;
}

std::string TopicText(const TopicInfo& info) {
  std::string out;
  Line(out, "topic", info.name);
  Line(out, "uuid", info.uuid.empty() ? "unknown (the control file is damaged)" : info.uuid);
  Line(out, "version", fmt::format("{}", info.version));
  Line(out, "created", TimeText(info.created));
  out += OptionsText(info.options);
  Line(out, "access", info.access ? libbus::AccessName(*info.access) : "unknown");
  Line(out, "state", fmt::format("{}, epoch {}", info.state, info.epoch));
  if (!info.epochs.empty()) Line(out, "sealed off", EpochsText(info));
  Line(out, "positions", fmt::format("{} to {}", info.first.offset, info.end.offset));
  Line(out, "sync", SyncText(info.options));
  Line(out, "durable", DurableText(info));
  if (info.failed_sync) {
    Line(out, "failed sync",
         fmt::format("from {} on nothing is durable: see bus recover {} --apply", info.failed_sync->offset, info.name));
  }
  if (info.cursors > 0) Line(out, "cursors", fmt::format("{}: see bus cursor ls {}", info.cursors, info.name));
  if (info.index) {
    Line(out, "index",
         fmt::format("{}, up to {}",
                     info.index->entries == 1 ? "1 entry" : fmt::format("{} entries", info.index->entries),
                     info.index->end.offset));
  }
  return out + SegmentsText(info) + SlotsText(info);
}

int InfoTopic(const Tool& tool, const std::string& bus, const std::string& topic) {
  const auto info = libbus::InspectTopic(bus, topic);
  BUS_FAIL_IF_ERROR(tool.DidYouMean(topic, info.status()));
  Stdout().Page();
  Stdout().Write(tool.json ? TopicJson(*info) : TopicText(*info));
  return kOk;
}

std::string TopicLine(const TopicInfo& info) {
  return fmt::format("{}: positions {} to {}, {}, {} bytes, {}, {}, sync {}, durable {}", info.name, info.first.offset,
                     info.end.offset, Count(info.segments.size(), "segment"), Bytes(info), ModeText(info.options),
                     info.state, SyncText(info.options), DurableText(info));
}

std::string BusText(const libbus::BusInfo& info) {
  std::string out;
  Line(out, "bus", info.path);
  Line(out, "uuid", info.uuid);
  Line(out, "version", fmt::format("{}", info.version));
  Line(out, "created", TimeText(info.created));
  Line(out, "access", libbus::AccessName(info.access));
  Line(out, "topics", fmt::format("{}", info.topics.size()));
  for (const std::string& topic : info.topics) {
    const auto detail = libbus::InspectTopic(info.path, topic);
    Line(out, "",
         detail.ok() ? TopicLine(*detail) : fmt::format("{}: {}", topic, std::string(detail.status().message())));
  }
  return out;
}

std::string BusJson(const libbus::BusInfo& info) {
  std::vector<std::string> topics;
  for (const std::string& topic : info.topics) topics.push_back(JsonText(topic));
  return JsonObject()
      .Add("bus", info.path)
      .Add("uuid", info.uuid)
      .Add("version", info.version)
      .Add("created", info.created)
      .Add("access", libbus::AccessName(info.access))
      .AddArray("topics", topics)
      .Line();
}

int Info(const Tool& tool, const std::string& topic) {
  const auto bus = tool.BusPath();
  BUS_FAIL_IF_ERROR(bus.status());
  if (!topic.empty()) return InfoTopic(tool, *bus, topic);
  const auto info = libbus::InspectBus(*bus);
  BUS_FAIL_IF_ERROR(info.status());
  Stdout().Page();
  Stdout().Write(tool.json ? BusJson(*info) : BusText(*info));
  return kOk;
}

}  // namespace

void AddInfoCommand(CLI::App& app, Tool& tool) {
  auto topic = std::make_shared<std::string>();
  CLI::App* command = Tool::AddCommand(
      app, {.name = "info", .what = "what a bus or a topic is made of", .examples = {"bus info orders --json"}});
  command->add_option("T", *topic, "the topic; none: the bus");
  tool.OnRun(command, [&tool, topic] { return Info(tool, *topic); });
}

}  // namespace bustool
