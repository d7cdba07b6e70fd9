// bus copy: a consistent copy of a bus that is in use.
#include <fmt/format.h>
#include <libbus/copy.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/progress.h"
#include "tools/bus/signals.h"

namespace bustool {
namespace {

struct CopyArguments {
  std::string to;
  std::vector<std::string> topics;
};

std::string TopicJson(const libbus::CopiedTopic& topic) {
  JsonObject object;
  object.Add("topic", topic.name).Add("first", topic.first.offset).Add("end", topic.end.offset);
  object.Add("segments", topic.segments).Add("bytes", topic.bytes).Add("records", topic.records);
  object.Add("losses", topic.losses).Add("cursors", topic.cursors).Add("lost_cursors", topic.lost_cursors.size());
  if (topic.open_claim) object.Add("open_claim", topic.open_claim->offset);
  return object.Line();
}

std::string TopicText(const libbus::CopiedTopic& topic) {
  return fmt::format("{}: {} up to {}, {}{}\n", topic.name, Count(topic.records, "record"), topic.end.offset,
                     Count(topic.cursors, "cursor"),
                     topic.losses == 0 ? "" : fmt::format(", {} of loss", Count(topic.losses, "gap")));
}

// False: the copy has less than the original had.
bool Tell(const Tool& tool, const libbus::CopiedTopic& topic) {
  if (tool.json || !tool.quiet) Stdout().Write(tool.json ? TopicJson(topic) : TopicText(topic));
  for (const std::string& why : topic.lost_cursors) tool.Note(fmt::format("{}: not copied", why));
  if (topic.open_claim) {
    tool.Note(fmt::format("{}: a claim is open at {}: what was committed behind it is not in the copy", topic.name,
                          topic.open_claim->offset));
  }
  return topic.losses == 0 && topic.lost_cursors.empty();
}

absl::StatusOr<libbus::CopyReport> Copy(const Tool& tool, const CopyArguments& arguments, const std::string& from) {
  libbus::CopyOptions options;
  options.topics = arguments.topics;
  Progress progress(tool, "copy", 0);
  options.progress = [&](uint64_t done, uint64_t total) {
    progress.At(done, total);
    return !Interrupted();
  };
  options.on_loss = [&](const std::string& topic, const libbus::Gap& gap) {
    Progress::Hide();
    tool.Note(fmt::format("{}: gap from {} to {} ({}): records may be lost: see bus verify", topic, gap.from.offset,
                          gap.to.offset, libbus::GapCauseName(gap.cause)));
  };
  return libbus::CopyBus(from, arguments.to, options);
}

int Run(const Tool& tool, const CopyArguments& arguments) {
  const auto from = tool.BusPath();
  BUS_FAIL_IF_ERROR(from.status());
  const auto report = Copy(tool, arguments, *from);
  BUS_FAIL_IF_ERROR(report.status());
  bool whole = true;
  for (const libbus::CopiedTopic& topic : report->topics) whole &= Tell(tool, topic);
  tool.Detail(fmt::format("{}: {} in {} copied to {}", *from, BytesText(static_cast<double>(report->bytes())),
                          Count(report->topics.size(), "topic"), arguments.to));
  return whole ? kOk : kLoss;
}

}  // namespace

void AddCopyCommand(CLI::App& app, Tool& tool) {
  auto arguments = std::make_shared<CopyArguments>();
  CLI::App* command = Tool::AddCommand(
      app,
      {.name = "copy",
       .what = "make a consistent copy of a bus that is in use",
       .details = "The copy is a bus of its own with the same positions, sequences and cursors. It appears under its "
                  "name when all of it is on disk; nothing is there before, whatever happens.",
       .examples = {"bus copy /backup/bus-today", "bus copy /backup/orders-only --topic orders"}});
  command->add_option("TO_PATH", arguments->to, "where the copy will be; nothing is there yet")
      ->required()
      ->type_name("PATH");
  command->add_option("--topic", arguments->topics, "only this topic; may be repeated")
      ->type_name("T")
      ->expected(1)
      ->take_all();
  tool.OnRun(command, [&tool, arguments] { return Run(tool, *arguments); });
}

}  // namespace bustool
