#include <fmt/format.h>
#include <libbus/bus.h>

#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct CreateOptions {
  std::string name;
  std::string segment_size;
  std::string timestamps;
  std::string claim_timeout;
  std::string sync;
  std::string retain_bytes;
  std::string retain_age;
  bool exclusive = false;
};

// Puts the parsed value of an option that was given into a field.
template <typename T, typename F>
absl::Status Set(const std::string& text, F parse, std::optional<T>& field) {
  if (text.empty()) return absl::OkStatus();
  const auto value = parse(text);
  if (value.ok()) field = *value;
  return value.status();
}

absl::StatusOr<libbus::TopicOptions> TopicOptionsOf(const CreateOptions& options) {
  libbus::TopicOptions topic;
  topic.create_new = true;
  absl::Status status = Set(options.segment_size, ParseSize, topic.segment_size);
  status.Update(Set(options.timestamps, ParseTimestamps, topic.timestamps));
  status.Update(Set(options.claim_timeout, ParseDuration, topic.claim_timeout));
  status.Update(Set(options.sync, ParseSyncPolicy, topic.sync));
  status.Update(Set(options.retain_bytes, ParseSize, topic.retain_bytes));
  status.Update(Set(options.retain_age, ParseAge, topic.retain_age));
  if (options.exclusive) topic.exclusive = true;
  if (!status.ok()) return status;
  return topic;
}

int Create(const Tool& tool, const CreateOptions& options) {
  const auto topic_options = TopicOptionsOf(options);
  BUS_FAIL_IF_ERROR(topic_options.status());
  auto bus = tool.OpenBus(false);
  BUS_FAIL_IF_ERROR(bus.status());
  const auto topic = bus->OpenTopic(options.name, *topic_options);
  BUS_FAIL_IF_ERROR(topic.status());
  const std::string sync = topic->options().sync->ToString();
  if (tool.json) {
    Stdout().Write(JsonObject()
                       .Add("topic", topic->name())
                       .Add("uuid", topic->uuid())
                       .Add("sync", sync)
                       .Add("mode", ModeText(topic->options()))
                       .Line());
  }
  tool.Detail(fmt::format("{}/{}: made topic {}, {}, sync {}", bus->path(), topic->name(), topic->uuid(),
                          ModeText(topic->options()), sync));
  return kOk;
}

// A topic that cannot be opened is there all the same.
std::string ListedJson(libbus::Bus& bus, const std::string& name) {
  JsonObject object;
  object.Add("topic", name);
  if (const auto topic = bus.OpenTopic(name); topic.ok()) {
    object.Add("sync", topic->options().sync->ToString()).Add("durable", topic->durable().offset);
    object.Add("mode", ModeText(topic->options()));
  }
  return object.Line();
}

int List(const Tool& tool) {
  auto bus = tool.OpenBus(true);
  BUS_FAIL_IF_ERROR(bus.status());
  const auto topics = bus->ListTopics();
  BUS_FAIL_IF_ERROR(topics.status());
  Stdout().Page();
  for (const std::string& topic : *topics) {
    Stdout().Write(tool.json ? ListedJson(*bus, topic) : topic + "\n");
  }
  tool.Detail(fmt::format("{}: {}", bus->path(), Count(topics->size(), "topic")));
  return kOk;
}

int Remove(const Tool& tool, const std::string& name, bool yes) {
  auto bus = tool.OpenBus(false);
  BUS_FAIL_IF_ERROR(bus.status());
  BUS_FAIL_IF_ERROR(tool.DidYouMean(name, bus->PathOf(name).status()));
  if (!yes) {
    return Tool::Fail(UsageError(fmt::format(
        "topic rm: this deletes every record of topic {} in {}: say --yes if that is meant", name, bus->path())));
  }
  BUS_FAIL_IF_ERROR(bus->RemoveTopic(name));
  tool.Detail(fmt::format("{}/{}: removed", bus->path(), name));
  return kOk;
}

void AddRemove(CLI::App& topic, Tool& tool) {
  auto name = std::make_shared<std::string>();
  auto yes = std::make_shared<bool>(false);
  CLI::App* remove = Tool::AddCommand(
      topic, {.name = "rm", .what = "remove a topic and all its records", .examples = {"bus topic rm orders --yes"}});
  remove->add_option("T", *name, "the topic")->required();
  remove->add_flag("--yes", *yes, "yes, delete every record; nothing is asked");
  tool.OnRun(remove, [&tool, name, yes] { return Remove(tool, *name, *yes); });
}

void AddCreate(CLI::App& topic, Tool& tool) {
  auto options = std::make_shared<CreateOptions>();
  CLI::App* create =
      Tool::AddCommand(topic, {.name = "create",
                               .what = "make a topic",
                               .details = "What is chosen here stays as it is for as long as the topic lives.",
                               .examples = {"bus topic create orders --segment-size 256M",
                                            "bus topic create audit --sync 10ms --retain-age 30d"}});
  create->add_option("T", options->name, "its name: letters, digits, '_' and '-'")->required();
  create->add_option("--segment-size", options->segment_size, "bytes of a segment file [64M]")->type_name("SIZE");
  create->add_option("--retain-bytes", options->retain_bytes, "delete what has so much behind it [all is kept]")
      ->type_name("SIZE");
  create->add_option("--retain-age", options->retain_age, "delete what was not written to for so long [all is kept]")
      ->type_name("DURATION");
  create->add_option("--timestamps", options->timestamps, "of its records [coarse]")->type_name("coarse|precise|none");
  create->add_option("--claim-timeout", options->claim_timeout, "when a stalled claim may be revoked, 0: never [10s]")
      ->type_name("DURATION");
  create
      ->add_option("--sync", options->sync,
                   "when records become durable: none, each, a time (10ms) or bytes (1M) [none]")
      ->type_name("none|each|TIME|SIZE");
  create->add_flag("--exclusive", options->exclusive, "one producer at a time, which stores instead of swapping");
  tool.OnRun(create, [&tool, options] { return Create(tool, *options); });
}

void AddList(CLI::App& app, Tool& tool, const std::string& example) {
  CLI::App* list = Tool::AddCommand(app, {.name = "ls", .what = "list the topics", .examples = {example}});
  tool.OnRun(list, [&tool] { return List(tool); });
}

}  // namespace

void AddTopicCommand(CLI::App& app, Tool& tool) {
  CLI::App* topic = Tool::AddCommand(
      app, {.name = "topic", .what = "make, list and remove topics", .examples = {"bus topic create orders"}});
  AddCreate(*topic, tool);
  AddList(*topic, tool, "bus topic ls");
  AddConfigCommand(*topic, tool, "bus topic config orders");
  AddRemove(*topic, tool);
  AddList(app, tool, "bus --bus orders.bus ls");
  AddConfigCommand(app, tool, "bus config orders --json");
}

}  // namespace bustool
