#include <fmt/format.h>
#include <libbus/bus.h>
#include <libbus/inspect.h>

#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

using libbus::SyncPolicy;
using libbus::TopicOptions;

// As topic create takes it.
std::string SyncFlag(const SyncPolicy& sync) {
  return sync.kind() == SyncPolicy::Kind::kEveryBytes ? fmt::format("{}", sync.bytes()) : sync.ToString();
}

// REQUIRES: every optional is set, as Topic::options() has them.
std::string OptionsText(const TopicOptions& options) {
  std::string out;
  const auto add = [&out](std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(out), "{} {}\n", name, value);
  };
  add("mode", ModeText(options));
  add("segment-size", fmt::format("{}", *options.segment_size));
  add("timestamps", TimestampsText(*options.timestamps));
  add("claim-timeout", absl::FormatDuration(*options.claim_timeout));
  add("sync", SyncFlag(*options.sync));
  add("retain-bytes", fmt::format("{}", *options.retain_bytes));
  add("retain-age", absl::FormatDuration(*options.retain_age));
  return out;
}

std::string OptionsJson(std::string_view topic, const TopicOptions& options) {
  return JsonObject()
      .Add("topic", topic)
      .Add("mode", ModeText(options))
      .Add("segment_size", *options.segment_size)
      .Add("timestamps", TimestampsText(*options.timestamps))
      .Add("claim_timeout_ns", absl::ToInt64Nanoseconds(*options.claim_timeout))
      .Add("sync", options.sync->ToString())
      .Add("retain_bytes", *options.retain_bytes)
      .Add("retain_age_ns", absl::ToInt64Nanoseconds(*options.retain_age))
      .Line();
}

int Config(const Tool& tool, const std::string& name) {
  const auto topic = tool.OpenTopic(name);
  BUS_FAIL_IF_ERROR(topic.status());
  Stdout().Write(tool.json ? OptionsJson(name, topic->options()) : OptionsText(topic->options()));
  return kOk;
}

}  // namespace

void AddConfigCommand(CLI::App& app, Tool& tool, const std::string& example) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = Tool::AddCommand(
      app,
      {.name = "config",
       .what = "show the options that a topic was made with",
       .details = "Each line is an option of topic create and its value. None can be changed: every process that has "
                  "the topic open relies on them. A topic with others is a new one.",
       .examples = {example}});
  command->add_option("T", *name, "the topic")->required();
  tool.OnRun(command, [&tool, name] { return Config(tool, *name); });
}

}  // namespace bustool
