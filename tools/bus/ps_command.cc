#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/processes.h>

#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/table.h"
#include "tools/bus/text.h"

namespace bustool {
namespace {

using libbus::ClaimInfo;
using libbus::ProcessId;
using libbus::ProcessInfo;
using libbus::ProcessRole;
using libbus::TopicProcesses;
using libbus::WaitsFor;

struct PsArguments {
  std::string topic;
  bool all = false;
};

// Gone, with nothing left that anybody waits for.
bool IsOver(const ProcessInfo& info) { return info.process.alive == false && !info.claim; }

std::string StateText(const ProcessId& process) {
  if (process.stopped) return "stopped";
  if (!process.alive) return "unknown";
  return *process.alive ? "alive" : "gone";
}

// One that is not identified is called as it calls itself.
std::string PidText(const ProcessId& process) {
  if (process.pid == 0) return "?";
  return fmt::format("{}{}", process.pid, process.identified ? "" : "?");
}

std::string ProcessText(const ProcessId& process) {
  const std::string command = process.command.empty() ? "" : fmt::format(" ({})", Plain(process.command));
  return fmt::format("process {}{}, {}", PidText(process), command, StateText(process));
}

std::string Ago(absl::Time since) {
  const absl::Duration ago = absl::Now() - since;
  if (ago < absl::ZeroDuration()) return "a time to come";
  return absl::FormatDuration(absl::Trunc(ago, ago < absl::Seconds(10) ? absl::Milliseconds(1) : absl::Seconds(1)));
}

std::string WaitsText(const ProcessInfo& info) {
  if (info.claim) return fmt::format("has an open claim at {}", info.claim->offset);
  const std::string since = info.waits_since ? fmt::format(" for {}", Ago(*info.waits_since)) : "";
  switch (info.waits_for) {
    case WaitsFor::kRecord:
      return "for a record," + since;
    case WaitsFor::kCommit:
      return "for the claim there to be committed," + since;
    case WaitsFor::kSync:
      return "for a sync," + since;
    case WaitsFor::kNothing:
      break;
  }
  return info.waits_since ? "nothing to read" + since : "";
}

std::string LagText(const ProcessInfo& info) {
  if (!info.lag) return "-";
  return info.lag->records ? fmt::format("{} ({})", info.lag->bytes, Count(*info.lag->records, "record"))
                           : fmt::format("{}", info.lag->bytes);
}

std::string NameText(const ProcessInfo& info) {
  if (info.role == ProcessRole::kProducer) return fmt::format("{}:{}", info.slot, Plain(info.name));
  return info.cursor;
}

std::string ClaimText(const TopicProcesses& topic, const ClaimInfo& claim) {
  const std::string name = claim.name.empty() ? "" : fmt::format(" \"{}\"", Plain(claim.name));
  const std::string before = claim.before ? fmt::format(", for at least {}", Ago(*claim.before)) : "";
  const bool first = claim.position == topic.claims.front().position;
  return fmt::format("  {} at {} ({}) by slot {}{}: {}{}\n", first ? "readers stop at the claim" : "claim",
                     claim.position.offset, Count(claim.size, "byte"), claim.slot, name, ProcessText(claim.process),
                     before);
}

std::string TopicText(const TopicProcesses& topic, const PsArguments& arguments) {
  std::string text = fmt::format("{}: end {}, tail {}, durable {}\n", topic.topic, topic.end.offset, topic.tail.offset,
                                 topic.durable.offset);
  for (const ClaimInfo& claim : topic.claims) text += ClaimText(topic, claim);
  if (topic.recovering) text += fmt::format("  recovered by {}\n", ProcessText(*topic.recovering));
  if (topic.syncing) text += fmt::format("  synced by {}\n", ProcessText(*topic.syncing));
  if (topic.consumers_full)
    text += "  60 consumers are noted down, which is all there is room for: there may be more\n";
  Table table({"  PID", "COMMAND<", "ROLE<", "NAME<", "STATE<", "POSITION", "LAG<", "WAITS<"});
  bool any = false;
  for (const ProcessInfo& info : topic.processes) {
    if (IsOver(info) && !arguments.all) continue;
    any = true;
    table.Row({PidText(info.process), info.process.command.empty() ? "-" : Plain(info.process.command),
               std::string(libbus::ProcessRoleName(info.role)), NameText(info), StateText(info.process),
               info.position ? fmt::format("{}", info.position->offset) : "-", LagText(info), WaitsText(info)});
  }
  return text + (any ? table.Text() : "  nobody\n");
}

void AddProcess(const ProcessId& process, JsonObject& object) {
  if (process.pid != 0) object.Add("pid", process.pid);
  object.Add("identified", process.identified);
  if (!process.command.empty()) object.AddBytes("command", process.command);
  if (process.alive) object.Add("alive", *process.alive);
  object.Add("stopped", process.stopped);
}

std::string ProcessJson(const ProcessId& process) {
  JsonObject object;
  AddProcess(process, object);
  return object.Object();
}

std::string ClaimJson(const ClaimInfo& claim) {
  JsonObject object;
  object.Add("position", claim.position.offset).Add("size", claim.size).Add("slot", claim.slot);
  object.AddBytes("name", claim.name);
  AddProcess(claim.process, object);
  if (claim.before) object.Add("before", *claim.before);
  return object.Object();
}

std::string TopicLine(const TopicProcesses& topic) {
  std::vector<std::string> claims;
  for (const ClaimInfo& claim : topic.claims) claims.push_back(ClaimJson(claim));
  JsonObject object;
  object.Add("kind", "topic").Add("topic", topic.topic).Add("end", topic.end.offset).Add("tail", topic.tail.offset);
  object.Add("durable", topic.durable.offset).AddArray("claims", claims);
  if (topic.syncing) object.AddRaw("syncing", ProcessJson(*topic.syncing));
  if (topic.recovering) object.AddRaw("recovering", ProcessJson(*topic.recovering));
  return object.Add("consumers_full", topic.consumers_full).Add("hidden_processes", topic.hidden).Line();
}

std::string ProcessLine(const TopicProcesses& topic, const ProcessInfo& info) {
  JsonObject object;
  object.Add("kind", "process").Add("topic", topic.topic).Add("role", libbus::ProcessRoleName(info.role));
  AddProcess(info.process, object);
  if (info.role == ProcessRole::kProducer) object.Add("slot", info.slot).AddBytes("name", info.name);
  if (!info.cursor.empty()) object.Add("cursor", info.cursor);
  if (info.since) object.Add("since", *info.since);
  if (info.position) object.Add("position", info.position->offset);
  if (info.lag) object.Add("lag_bytes", info.lag->bytes);
  if (info.lag && info.lag->records) object.Add("lag_records", *info.lag->records);
  if (info.waits_for != WaitsFor::kNothing) object.Add("waits_for", libbus::WaitsForName(info.waits_for));
  if (info.waits_since) object.Add("waits_since", *info.waits_since);
  if (info.claim) object.Add("claim", info.claim->offset);
  return object.Line();
}

int Ps(const Tool& tool, const PsArguments& arguments) {
  const auto bus = tool.BusPath();
  BUS_FAIL_IF_ERROR(bus.status());
  const auto topics = libbus::InspectProcesses(*bus, arguments.topic);
  BUS_FAIL_IF_ERROR(topics.status());
  for (const TopicProcesses& topic : *topics) {
    if (!tool.json) {
      Stdout().Write(TopicText(topic, arguments));
      continue;
    }
    Stdout().Write(TopicLine(topic));
    for (const ProcessInfo& info : topic.processes) {
      if (!IsOver(info) || arguments.all) Stdout().Write(ProcessLine(topic, info));
    }
  }
  const uint64_t hidden = topics->empty() ? 0 : topics->front().hidden;
  if (hidden > 0 && !tool.json) {
    Stdout().Write(
        fmt::format("{} may not be looked into: who has a topic open to read, and is not noted down, may be "
                    "missing\n",
                    hidden == 1 ? "1 process" : fmt::format("{} processes", hidden)));
  }
  return kOk;
}

}  // namespace

void AddPsCommand(CLI::App& app, Tool& tool) {
  auto arguments = std::make_shared<PsArguments>();
  auto* command = Tool::AddCommand(
      app,
      {.name = "ps",
       .what = "who has a topic open, what each does and waits for",
       .details = "One line a producer, a consumer, or a process of which no more is known; and above them who holds "
                  "the tail: the claim at which readers stop. A pid with a question mark is what the process noted "
                  "down: it may be its number in another pid namespace.",
       .examples = {"bus ps", "bus ps orders --all", "bus ps --json | jq 'select(.stopped)'"}});
  command->add_option("T", arguments->topic, "the topic; none: all of them");
  command->add_flag("-a,--all", arguments->all, "also those who are gone, as far as they left a trace");
  tool.OnRun(command, [&tool, arguments] { return Ps(tool, *arguments); });
}

}  // namespace bustool
