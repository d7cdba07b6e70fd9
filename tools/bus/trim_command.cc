// bus trim: deletes what is oldest.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/bus.h>

#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct TrimArguments {
  std::string topic;
  std::string before;
  bool dry_run = false;
};

std::string TrimJson(const TrimArguments& arguments, const libbus::TrimReport& report) {
  JsonObject object;
  object.Add("topic", arguments.topic).Add("dry_run", arguments.dry_run);
  object.Add("segments", report.segments).Add("bytes", report.bytes).Add("first", report.first.offset);
  if (report.held) object.Add("held_by", report.held->cursor).Add("held_at", report.held->position.offset);
  return object.Line();
}

std::string TrimText(const TrimArguments& arguments, const libbus::TrimReport& report) {
  const std::string_view verb = arguments.dry_run ? "would delete" : "deleted";
  if (report.segments == 0) {
    return fmt::format("{}: nothing to delete: the log begins at {}\n", arguments.topic, report.first.offset);
  }
  return fmt::format("{}: {} {}, {}: the log {} at {}\n", arguments.topic, verb, Count(report.segments, "segment"),
                     Count(report.bytes, "byte"), arguments.dry_run ? "would begin" : "begins", report.first.offset);
}

int Trim(const Tool& tool, const TrimArguments& arguments) {
  const auto place = ParsePlace(arguments.before, absl::Now());
  BUS_FAIL_IF_ERROR(place.status());
  auto bus = tool.OpenBus(false);
  BUS_FAIL_IF_ERROR(bus.status());
  auto topic = bus->OpenTopic(arguments.topic);
  BUS_FAIL_IF_ERROR(tool.DidYouMean(arguments.topic, topic.status()));
  const auto report = topic->Trim(*place, {.dry_run = arguments.dry_run});
  BUS_FAIL_IF_ERROR(report.status());
  Stdout().Write(tool.json ? TrimJson(arguments, *report) : TrimText(arguments, *report));
  if (!report->held) return kOk;
  return Tool::Fail(absl::FailedPreconditionError(fmt::format(
      "{}/{}: kept what cursor {} needs, which stands at {}: let it read on, move it with `bus cursor seek`, "
      "or remove it with `bus cursor rm`",
      bus->path(), arguments.topic, report->held->cursor, report->held->position.offset)));
}

}  // namespace

void AddTrimCommand(CLI::App& app, Tool& tool) {
  auto* command = Tool::AddCommand(
      app, {.name = "trim",
            .what = "delete what is oldest, by whole segments",
            .details = "Nothing is deleted that is not durable, or that a cursor or an open claim needs.",
            .examples = {"bus trim orders --before @-7d --dry-run", "bus trim orders --before end"}});
  auto arguments = std::make_shared<TrimArguments>();
  command->add_option("T", arguments->topic, "the topic")->required();
  command->add_option("--before", arguments->before, "start, end, N (position), +N, -N or @TIME: see bus help ranges")
      ->required()
      ->type_name("PLACE");
  command->add_flag("--dry-run", arguments->dry_run, "only say what would be deleted");
  tool.OnRun(command, [&tool, arguments] { return Trim(tool, *arguments); });
}

}  // namespace bustool
