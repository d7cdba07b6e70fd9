#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/bus.h>

#include <algorithm>
#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/terminal.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

using libbus::CursorInfo;

struct CursorOptions {
  std::string topic;
  std::string cursor;
  std::string place;
};

std::string CursorJson(const CursorInfo& info) {
  JsonObject object;
  object.Add("cursor", info.name).Add("uid", info.uid);
  if (info.holder) object.Add("held_by", info.holder->pid).Add("held_since", info.holder->since);
  if (!info.problem.ok()) object.Add("problem", std::string(info.problem.message()));
  if (info.committed_at == absl::Time()) return object.Line();
  object.Add("position", info.position.offset);
  if (info.sequence) object.Add("sequence", *info.sequence);
  object.Add("lag_bytes", info.lag.bytes);
  if (info.lag.records) object.Add("lag_records", *info.lag.records);
  return object.Add("committed_at", info.committed_at).Line();
}

std::string LagText(const libbus::Lag& lag) {
  if (lag.bytes == 0) return "at the end";
  const std::string bytes = Count(lag.bytes, "byte");
  return lag.records ? fmt::format("{}, {} behind", Count(*lag.records, "record"), bytes) : bytes + " behind";
}

std::string HolderText(const CursorInfo& info) {
  if (!info.holder) return "";
  return fmt::format(", held by process {} since {}", info.holder->pid, TimeText(info.holder->since));
}

std::string CursorText(const CursorInfo& info) {
  const std::string name = Paint(Colour::kBold, info.name);
  if (!info.problem.ok()) {
    return fmt::format("{}: {}{}\n", name, Paint(Colour::kRed, std::string(info.problem.message())), HolderText(info));
  }
  return fmt::format("{}: at {}{}, {}, committed {}{}\n", name, info.position.offset,
                     info.sequence ? fmt::format(" (record {})", *info.sequence) : "", LagText(info.lag),
                     TimeText(info.committed_at), HolderText(info));
}

std::string Shown(const Tool& tool, const CursorInfo& info) { return tool.json ? CursorJson(info) : CursorText(info); }

int List(const Tool& tool, const CursorOptions& options) {
  const auto topic = tool.OpenTopic(options.topic);
  BUS_FAIL_IF_ERROR(topic.status());
  const auto cursors = topic->ListCursors();
  BUS_FAIL_IF_ERROR(cursors.status());
  Stdout().Page();
  for (const CursorInfo& cursor : *cursors) Stdout().Write(Shown(tool, cursor));
  tool.Detail(fmt::format("{}: {}", options.topic, Count(cursors->size(), "cursor")));
  return kOk;
}

int Show(const Tool& tool, const CursorOptions& options) {
  const auto topic = tool.OpenTopic(options.topic);
  BUS_FAIL_IF_ERROR(topic.status());
  const auto cursor = FindCursor(*topic, options.cursor);
  BUS_FAIL_IF_ERROR(cursor.status());
  if (tool.json || cursor->problem.ok()) Stdout().Write(Shown(tool, *cursor));
  BUS_FAIL_IF_ERROR(cursor->problem);
  return kOk;
}

int Seek(const Tool& tool, const CursorOptions& options) {
  const auto place = ParsePlace(options.place, absl::Now());
  BUS_FAIL_IF_ERROR(place.status());
  auto topic = tool.OpenTopic(options.topic);
  BUS_FAIL_IF_ERROR(topic.status());
  BUS_FAIL_IF_ERROR(FindCursor(*topic, options.cursor).status());
  BUS_FAIL_IF_ERROR(topic->SeekCursor(options.cursor, *place));
  const auto cursor = FindCursor(*topic, options.cursor);
  BUS_FAIL_IF_ERROR(cursor.status());
  if (tool.json) Stdout().Write(CursorJson(*cursor));
  tool.Detail(fmt::format("{}: cursor {} moved to {}", options.topic, options.cursor, cursor->position.offset));
  return kOk;
}

int Remove(const Tool& tool, const CursorOptions& options) {
  auto topic = tool.OpenTopic(options.topic);
  BUS_FAIL_IF_ERROR(topic.status());
  BUS_FAIL_IF_ERROR(FindCursor(*topic, options.cursor).status());
  BUS_FAIL_IF_ERROR(topic->RemoveCursor(options.cursor));
  tool.Detail(fmt::format("{}: cursor {} removed", options.topic, options.cursor));
  return kOk;
}

// A command of `cursor`; it names a topic and, but for `ls`, a cursor.
CLI::App* Add(CLI::App& cursor, Tool& tool, CommandText text, int (*run)(const Tool&, const CursorOptions&)) {
  auto options = std::make_shared<CursorOptions>();
  const std::string name = text.name;
  CLI::App* command = Tool::AddCommand(cursor, std::move(text));
  command->add_option("T", options->topic, "the topic")->required();
  if (name != "ls") command->add_option("C", options->cursor, "the cursor")->required();
  if (name == "seek") {
    command->add_option("PLACE", options->place, "start, end, N (position), +N, -N or @TIME: see bus help ranges")
        ->required();
  }
  tool.OnRun(command, [&tool, options, run] { return run(tool, *options); });
  return command;
}

}  // namespace

absl::StatusOr<CursorInfo> FindCursor(const libbus::Topic& topic, std::string_view name) {
  const auto cursors = topic.ListCursors();
  if (!cursors.ok()) return cursors.status();
  const auto found =
      std::find_if(cursors->begin(), cursors->end(), [&](const CursorInfo& cursor) { return cursor.name == name; });
  if (found != cursors->end()) return *found;
  std::vector<std::string> names;
  for (const CursorInfo& cursor : *cursors) names.push_back(cursor.name);
  const std::string near = Nearest(name, names);
  const std::string cure =
      near.empty() ? fmt::format("see `bus cursor ls {}`", topic.name()) : "did you mean " + near + "?";
  return absl::NotFoundError(fmt::format("{}: no cursor {}: {}", topic.name(), JsonText(name), cure));
}

void AddCursorCommand(CLI::App& app, Tool& tool) {
  CLI::App* cursor = Tool::AddCommand(app, {.name = "cursor",
                                            .what = "named read positions of a topic",
                                            .details = "A cursor is made by who reads with it: a program, or bus cat "
                                                       "--cursor C --commit. seek and rm refuse one that "
                                                       "a living process holds, and name it.",
                                            .examples = {"bus cursor ls orders"}});
  Add(*cursor, tool,
      {.name = "ls", .what = "list the cursors, with how far they are behind", .examples = {"bus cursor ls orders"}},
      List);
  Add(*cursor, tool, {.name = "show", .what = "show one cursor", .examples = {"bus cursor show orders load"}}, Show);
  Add(*cursor, tool,
      {.name = "seek",
       .what = "put a cursor elsewhere, or set a damaged one anew",
       .examples = {"bus cursor seek orders load @-2h", "bus cursor seek orders load start"}},
      Seek);
  Add(*cursor, tool, {.name = "rm", .what = "remove a cursor", .examples = {"bus cursor rm orders load"}}, Remove);
}

}  // namespace bustool
