#include <fmt/format.h>
#include <libbus/inspect.h>
#include <libbus/recovery.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/progress.h"
#include "tools/bus/signals.h"

namespace bustool {
namespace {

using libbus::FlippedHeaderBit;
using libbus::RecoveryReport;
using libbus::RecoveryStep;
using libbus::RecoveryTally;

struct RecoverArguments {
  std::string topic;
  bool dry_run = false;
  bool apply = false;
};

// One word, or two, for what was found.
std::string_view StateOf(const RecoveryReport& report) {
  if (report.in_use) return "in use";
  if (report.clean) return report.adopts ? "clean copy" : "clean";
  return report.cause.empty() ? "in place" : "sealed";
}

// What it loses, as far as can be known: another mount is no loss, and what was cut off before was told then.
bool LosesRecords(const RecoveryReport& report) {
  const bool seals = !report.cause.empty() && report.cause != "other mount";
  return seals || report.torn.count > 0 || report.rotten.count > 0 || report.skipped.bytes > 0;
}

struct NamedTally {
  std::string_view name;
  std::string_view key;
  RecoveryTally RecoveryReport::*tally;
};
constexpr NamedTally kTallies[] = {
    {"records", "records", &RecoveryReport::records},
    {"gaps", "gaps", &RecoveryReport::gaps},
    {"dead claims", "dead", &RecoveryReport::dead},
    {"torn claims", "torn", &RecoveryReport::torn},
    {"rotten", "rotten", &RecoveryReport::rotten},
    {"skipped", "skipped", &RecoveryReport::skipped},
    {"cut", "cut", &RecoveryReport::cut},
};

std::string StepJson(const std::string& topic, const RecoveryStep& step) {
  return JsonObject()
      .Add("kind", "step")
      .Add("topic", topic)
      .Add("row", step.row)
      .Add("from", step.from.offset)
      .Add("to", step.to.offset)
      .Add("arises", step.arises)
      .Add("done", step.done)
      .Line();
}

std::string FlippedJson(const std::string& topic, const FlippedHeaderBit& flipped) {
  return JsonObject()
      .Add("kind", "flipped")
      .Add("topic", topic)
      .Add("file", flipped.file)
      .Add("offset", flipped.offset)
      .Add("bit", uint64_t{flipped.bit})
      .Line();
}

std::string SummaryJson(const std::string& topic, const RecoveryReport& report) {
  JsonObject object;
  object.Add("kind", "summary").Add("topic", topic).Add("state", StateOf(report)).Add("applied", report.applied);
  object.Add("adopts", report.adopts).Add("failed_segments", report.failed_segments);
  if (!report.cause.empty()) object.Add("cause", report.cause);
  if (!report.why.empty()) object.Add("why", report.why);
  object.Add("loss", LosesRecords(report));
  if (report.in_use) return object.Line();
  object.Add("from", report.from.offset).Add("tail", report.tail.offset).Add("durable", report.durable.offset);
  for (const NamedTally& named : kTallies) {
    const RecoveryTally& tally = report.*named.tally;
    object.Add(named.key, tally.count).Add(fmt::format("{}_bytes", named.key), tally.bytes);
  }
  return object.Add("overhead_bytes", report.overhead).Add("bytes", report.bytes()).Line();
}

void Line(std::string& out, std::string_view name, std::string_view value) {
  fmt::format_to(std::back_inserter(out), "{:<14} {}\n", name, value);
}

std::string StateText(const RecoveryReport& report) {
  const std::string why = report.why.empty() ? "" : fmt::format(" ({})", report.why);
  if (report.in_use) return "in use: a process is attached for writing, so there is nothing to recover";
  if (report.clean) return fmt::format("clean: closed in order{}", why);
  if (report.cause.empty()) return "killed: not closed in order, and neither a power loss nor a copy has come since";
  return fmt::format("{}{}", report.cause, why);
}

// Each thing that is done beside the steps, in the future or in the past.
std::vector<std::string> DoneTexts(const RecoveryReport& report) {
  std::vector<std::string> done;
  if (report.adopts) done.push_back("make the files those of a log of its own");
  if (!report.clean && report.cause.empty()) {
    done.push_back(fmt::format("go on in place, at {}", report.tail.offset));
  } else if (!report.clean) {
    done.push_back(fmt::format("seal the log and go on in a new segment, at {}", report.tail.offset));
  }
  for (const FlippedHeaderBit& flipped : report.flipped) {
    done.push_back(fmt::format("put bit {} of byte {} of {} right", flipped.bit, flipped.offset, flipped.file));
  }
  if (report.failed_segments > 0)
    done.push_back(fmt::format("write {} anew", Count(report.failed_segments, "segment")));
  return done;
}

std::string DoneText(const RecoveryReport& report) {
  std::string out;
  for (const std::string& text : DoneTexts(report)) Line(out, report.applied ? "done" : "to do", text);
  if (out.empty()) Line(out, "to do", "nothing");
  return out;
}

std::string TallyText(const RecoveryReport& report) {
  std::string out;
  for (const NamedTally& named : kTallies) {
    const RecoveryTally& tally = report.*named.tally;
    Line(out, named.name, fmt::format("{}, {}", tally.count, Count(tally.bytes, "byte")));
  }
  Line(out, "overhead", Count(report.overhead, "byte"));
  Line(out, "sum",
       fmt::format("{}, from {} to {}", Count(report.bytes(), "byte"), report.from.offset,
                   report.from.offset + report.bytes()));
  return out;
}

std::string StepText(const RecoveryStep& step) {
  std::string out;
  Line(out, "step", fmt::format("{} to {}: {}", step.from.offset, step.to.offset, step.row));
  Line(out, "", step.arises);
  Line(out, "", step.done);
  return out;
}

std::string ReportText(const std::string& topic, const RecoveryReport& report, const std::vector<RecoveryStep>& steps) {
  std::string out;
  Line(out, "topic", topic);
  Line(out, "state", StateText(report));
  if (report.in_use) return out;
  for (const RecoveryStep& step : steps) out += StepText(step);
  out += DoneText(report);
  if (report.bytes() > 0) out += TallyText(report);
  Line(out, "durable", fmt::format("up to {}", report.durable.offset));
  return out;
}

void Tell(const Tool& tool, const std::string& topic, const RecoveryReport& report,
          const std::vector<RecoveryStep>& steps) {
  if (!tool.json) {
    if (!tool.quiet) Stdout().Write(ReportText(topic, report, steps));
    return;
  }
  for (const RecoveryStep& step : steps) Stdout().Write(StepJson(topic, step));
  for (const FlippedHeaderBit& flipped : report.flipped) Stdout().Write(FlippedJson(topic, flipped));
  Stdout().Write(SummaryJson(topic, report));
}

int RecoverOne(const Tool& tool, const std::string& bus, const std::string& topic, bool apply) {
  std::vector<RecoveryStep> steps;
  const auto report = [&] {
    Progress progress(tool, topic, 0);
    return libbus::RecoverTopic(
        bus, topic, {.apply = apply, .progress = [&](uint64_t done, uint64_t total) { progress.At(done, total); }},
        [&](const RecoveryStep& step) { steps.push_back(step); });
  }();
  BUS_FAIL_IF_ERROR(tool.DidYouMean(topic, report.status()));
  Tell(tool, topic, *report, steps);
  return LosesRecords(*report) ? kLoss : kOk;
}

// Of several topics the worst counts: damage before failure before loss.
int Worse(int a, int b) {
  constexpr int kFromBest[] = {kOk, kLoss, kFailed, kDamage};
  const auto rank = [&](int code) { return std::find(std::begin(kFromBest), std::end(kFromBest), code); };
  return rank(a) < rank(b) ? b : a;
}

int RecoverAll(const Tool& tool, const std::string& bus, bool apply) {
  const auto info = libbus::InspectBus(bus);
  BUS_FAIL_IF_ERROR(info.status());
  int code = kOk;
  for (const std::string& topic : info->topics) {
    if (Interrupted()) break;
    code = Worse(code, RecoverOne(tool, bus, topic, apply));
  }
  return code;
}

int Recover(const Tool& tool, const RecoverArguments& arguments) {
  if (arguments.dry_run == arguments.apply) {
    return Tool::Fail(UsageError("choose --dry-run (look only) or --apply (do it)"));
  }
  const auto bus = tool.BusPath();
  BUS_FAIL_IF_ERROR(bus.status());
  if (arguments.topic.empty()) return RecoverAll(tool, *bus, arguments.apply);
  return RecoverOne(tool, *bus, arguments.topic, arguments.apply);
}

}  // namespace

void AddRecoverCommand(CLI::App& app, Tool& tool) {
  auto arguments = std::make_shared<RecoverArguments>();
  CLI::App* command = Tool::AddCommand(
      app,
      {.name = "recover",
       .what = "make whole what a crash, a copy or a failing disk left; or only say how",
       .details =
           "What a killed process left needs no command: the next writer puts it right. This is for what a writer "
           "refuses: "
           "a copied or restored bus, and segments that the disk would not take. Exactly one of --dry-run and --apply.",
       .examples = {"bus recover orders --dry-run", "bus recover --apply"}});
  command->add_option("T", arguments->topic, "the topic; none: all of the bus");
  command->add_flag("--dry-run", arguments->dry_run, "say what would be done, and change nothing");
  command->add_flag("--apply", arguments->apply, "do it");
  tool.OnRun(command, [&tool, arguments] { return Recover(tool, *arguments); });
}

}  // namespace bustool
