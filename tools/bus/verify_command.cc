#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/inspect.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/progress.h"
#include "tools/bus/signals.h"
#include "tools/bus/terminal.h"
#include "tools/bus/text.h"

namespace bustool {
namespace {

std::string FindingJson(const libbus::Finding& finding) {
  JsonObject object;
  object.Add("kind", finding.damage ? "damage" : "note").Add("file", finding.file);
  if (finding.offset) object.Add("offset", *finding.offset);
  if (finding.position) object.Add("position", finding.position->offset);
  object.Add("what", finding.what);
  if (!finding.reader.empty()) object.Add("reader_sees", finding.reader);
  return object.Line();
}

std::string FindingText(const libbus::Finding& finding) {
  const std::string position = finding.position ? fmt::format(": position {}", finding.position->offset) : "";
  const std::string offset = finding.offset ? fmt::format(" (offset {})", *finding.offset) : "";
  const std::string reader = finding.reader.empty() ? "" : fmt::format("; a reader sees: {}", finding.reader);
  const std::string kind = finding.damage ? Paint(Colour::kRed, "damage") : Paint(Colour::kYellow, "note");
  return fmt::format("{}: {}{}{}: {}{}\n", kind, Plain(finding.file), position, offset, Plain(finding.what),
                     Plain(reader));
}

std::string SummaryJson(const std::string& what, const libbus::VerifyReport& report, absl::Duration took) {
  return JsonObject()
      .Add("kind", "summary")
      .Add("what", what)
      .Add("topics", report.topics)
      .Add("segments", report.segments)
      .Add("records", report.records)
      .Add("batches", report.batches)
      .Add("gaps", report.gaps)
      .Add("open", report.open)
      .Add("bytes", report.bytes)
      .Add("damages", report.damages)
      .AddRaw("seconds", fmt::format("{:.3f}", absl::ToDoubleSeconds(took)))
      .Line();
}

std::string SummaryText(const std::string& what, const libbus::VerifyReport& report) {
  return fmt::format("{}: {} in {} of {}, {}: {}\n", Plain(what), Count(report.records, "record"),
                     Count(report.segments, "segment"), Count(report.topics, "topic"), Count(report.gaps, "gap"),
                     report.damages == 0 ? Paint(Colour::kGreen, "whole")
                                         : Paint(Colour::kRed, Count(report.damages, "damaged place")));
}

// "2.0 GiB in 1.5 s, 1.3 GiB/s"
std::string SpeedText(uint64_t bytes, absl::Duration took) {
  const double seconds = std::max(absl::ToDoubleSeconds(took), 1e-3);
  const auto done = static_cast<double>(bytes);
  return fmt::format("{} in {:.1f} s, {}/s", BytesText(done), seconds, BytesText(done / seconds));
}

int Verify(const Tool& tool, const std::string& topic) {
  const auto bus = tool.BusPath();
  BUS_FAIL_IF_ERROR(bus.status());
  const auto sink = [&](const libbus::Finding& finding) {
    if (Interrupted()) return false;
    if (tool.quiet && !finding.damage) return true;
    return Stdout().Write(tool.json ? FindingJson(finding) : FindingText(finding));
  };
  std::optional<Progress> progress(std::in_place, tool, "verify", 0);
  libbus::VerifyOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    progress->At(done, total);
    return !Interrupted();
  };
  const absl::Time begun = absl::Now();
  const auto report =
      topic.empty() ? libbus::VerifyBus(*bus, sink, options) : libbus::VerifyTopic(*bus, topic, sink, options);
  progress.reset();
  BUS_FAIL_IF_ERROR(tool.DidYouMean(topic, report.status()));
  const absl::Duration took = absl::Now() - begun;
  const std::string what = topic.empty() ? *bus : fmt::format("{}/{}", *bus, topic);
  if (!tool.quiet) Stdout().Write(tool.json ? SummaryJson(what, *report, took) : SummaryText(what, *report));
  tool.Detail(fmt::format("{}: checked {}", what, SpeedText(report->bytes, took)));
  return report->damages == 0 ? kOk : kDamage;
}

}  // namespace

void AddVerifyCommand(CLI::App& app, Tool& tool) {
  auto topic = std::make_shared<std::string>();
  CLI::App* command = Tool::AddCommand(
      app, {.name = "verify",
            .what = "check every byte of a topic, or of all; never writes",
            .details = "What a killed writer left is normal, and said in one line. Damage makes the exit code 4.",
            .examples = {"bus verify orders && echo whole"}});
  command->add_option("T", *topic, "the topic; none: all of the bus");
  tool.OnRun(command, [&tool, topic] { return Verify(tool, *topic); });
}

}  // namespace bustool
