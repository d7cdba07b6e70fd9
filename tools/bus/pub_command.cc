#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/bus.h>
#include <simdjson.h>

#include <algorithm>
#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/input.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/signals.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct PubOptions {
  std::string topic;
  std::vector<std::string> files;
  bool lines = false;
  bool ndjson = false;
  bool frames = false;
  bool file = false;
  std::string key;
  std::string type;
  std::vector<std::string> headers;
  std::string rate;
  bool create = false;
  bool sync = false;
};

// What was published so far.
struct Published {
  uint64_t records = 0;
  std::optional<libbus::Position> first;
  libbus::Position last;
  bool durable = true;  // all of them; with --sync
};

absl::StatusOr<std::vector<libbus::Header>> ParseHeaders(const std::vector<std::string>& texts) {
  std::vector<libbus::Header> headers;
  for (const std::string_view text : texts) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string_view::npos) {
      return UsageError(fmt::format("--header {}: not a header: use NAME=VALUE", text));
    }
    headers.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  return headers;
}

// Keeps to so many records a second by waiting before each.
class Pace {
 public:
  explicit Pace(double per_second) : gap_(per_second > 0 ? absl::Seconds(1) / per_second : absl::ZeroDuration()) {}

  void Wait() {
    if (gap_ == absl::ZeroDuration()) return;
    // Who was late does not catch up: that would be faster than what was asked for.
    next_ = std::max(next_ + gap_, absl::Now());
    // A signal ends the sleep: whoever called looks for it.
    const timespec left = absl::ToTimespec(std::max(next_ - absl::Now(), absl::ZeroDuration()));
    ::nanosleep(&left, nullptr);
  }

 private:
  absl::Duration gap_;
  absl::Time next_ = absl::InfinitePast();
};

// Makes durable what was published: together, not one by one. That is before every wait for more, at the end, and
// now and then in between.
class Syncs {
 public:
  Syncs(libbus::Topic* topic, absl::Duration interval) : topic_(topic), interval_(interval), last_(absl::Now()) {}

  absl::Status IfDue() { return absl::Now() - last_ < interval_ ? absl::OkStatus() : Now(); }
  absl::Status Now() {
    absl::Status status = topic_->Sync();
    last_ = absl::Now();
    return status;
  }

 private:
  libbus::Topic* topic_;
  absl::Duration interval_;
  absl::Time last_;
};

class Publisher {
 public:
  // `syncs`: none unless asked for.
  Publisher(const PubOptions& options, libbus::Producer producer, libbus::RecordOptions record, double rate,
            std::optional<Syncs> syncs)
      : options_(options), producer_(std::move(producer)), record_(record), pace_(rate), syncs_(syncs) {}

  absl::Status PublishAll(Input& input);
  // REQUIRES: syncs were given.
  absl::Status SyncNow() {
    absl::Status status = syncs_->Now();
    published_.durable = status.ok();
    return status;
  }
  const Published& published() const { return published_; }

 private:
  absl::StatusOr<bool> Next(Input& input, std::string& piece);
  absl::Status Check(const Input& input, const std::string& piece);
  absl::Status PublishOne(const Input& input, const std::string& piece);

  const PubOptions& options_;
  libbus::Producer producer_;
  libbus::RecordOptions record_;
  Pace pace_;
  std::optional<Syncs> syncs_;
  simdjson::dom::parser parser_;
  Published published_;
};

absl::StatusOr<bool> Publisher::Next(Input& input, std::string& piece) {
  if (options_.frames) return input.Frame(piece);
  if (options_.file) return input.All(piece);
  return input.Line(piece);
}

absl::Status Publisher::Check(const Input& input, const std::string& piece) {
  if (!options_.ndjson) return absl::OkStatus();
  const auto error = parser_.parse(piece).error();
  if (error == simdjson::SUCCESS) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("{}: line {}: not JSON: {} The lines before it were published",
                                                input.name(), input.count(), simdjson::error_message(error)));
}

// Whose piece it was, where the library cannot know.
absl::Status Publisher::PublishOne(const Input& input, const std::string& piece) {
  const auto position = producer_.Publish(piece, record_);
  if (!position.ok()) {
    return absl::Status(position.status().code(), fmt::format("{}: record {}: {}", input.name(), input.count(),
                                                              std::string(position.status().message())));
  }
  ++published_.records;
  if (!published_.first) published_.first = *position;
  published_.last = *position;
  return absl::OkStatus();
}

absl::Status Publisher::PublishAll(Input& input) {
  std::string piece;
  if (syncs_) input.BeforeWaits([this] { return syncs_->Now(); });
  while (true) {
    const auto more = Next(input, piece);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    if (auto status = Check(input, piece); !status.ok()) return status;
    if (auto status = syncs_ ? syncs_->IfDue() : absl::OkStatus(); !status.ok()) return status;
    pace_.Wait();
    if (Interrupted()) return absl::CancelledError(fmt::format("{}: interrupted", input.name()));
    if (auto status = PublishOne(input, piece); !status.ok()) return status;
  }
}

absl::Status PublishInputs(const PubOptions& options, Publisher& publisher) {
  const std::vector<std::string> stdin_alone = {"-"};
  for (const std::string& file : options.files.empty() ? stdin_alone : options.files) {
    auto input = Input::Open(file);
    if (!input.ok()) return input.status();
    if (auto status = publisher.PublishAll(*input); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<libbus::Topic> OpenTopic(const Tool& tool, const PubOptions& options) {
  auto bus = tool.OpenBus(false);
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(options.topic, {.create = options.create});
}

// Who reads or paces what comes slowly wants each piece soon.
absl::StatusOr<std::optional<Syncs>> MakeSyncs(const PubOptions& options, libbus::Topic& topic) {
  if (!options.sync) return std::optional<Syncs>();
  Syncs syncs(&topic, options.rate.empty() ? absl::Milliseconds(100) : absl::Milliseconds(10));
  // Where nothing can be made durable, nothing is published either.
  if (const auto status = syncs.Now(); !status.ok()) return status;
  return std::optional(syncs);
}

// Also after an error or a SIGINT: what was published stays published.
void Tell(const Tool& tool, const PubOptions& options, const Published& published) {
  if (tool.json) {
    JsonObject object;
    object.Add("topic", options.topic).Add("published", published.records);
    if (published.first) {
      object.Add("first_position", published.first->offset).Add("last_position", published.last.offset);
    }
    if (options.sync) object.Add("durable", published.durable);
    Stdout().Write(object.Line());
  }
  tool.Detail(fmt::format("{}: published {}{}", options.topic, Count(published.records, "record"),
                          options.sync && published.durable ? ", durable" : ""));
}

int Pub(const Tool& tool, const PubOptions& options) {
  const auto headers = ParseHeaders(options.headers);
  BUS_FAIL_IF_ERROR(headers.status());
  const auto rate = options.rate.empty() ? absl::StatusOr<double>(0.0) : ParseRate(options.rate);
  BUS_FAIL_IF_ERROR(rate.status());
  const auto type = options.type.empty() ? absl::StatusOr<uint64_t>(0) : ParseNumber(options.type, UINT32_MAX);
  BUS_FAIL_IF_ERROR(type.status());
  auto topic = OpenTopic(tool, options);
  BUS_FAIL_IF_ERROR(topic.status());
  auto syncs = MakeSyncs(options, *topic);
  BUS_FAIL_IF_ERROR(syncs.status());
  auto producer = topic->NewProducer({.name = "bus pub"});
  BUS_FAIL_IF_ERROR(producer.status());
  const libbus::RecordOptions record{.key = options.key, .headers = *headers, .type = static_cast<uint32_t>(*type)};
  Publisher publisher(options, *std::move(producer), record, *rate, *std::move(syncs));
  absl::Status status = PublishInputs(options, publisher);
  // Also after an error: what stays published is durable then.
  if (options.sync) status.Update(publisher.SyncNow());
  Tell(tool, options, publisher.published());
  BUS_FAIL_IF_ERROR(status);
  return kOk;
}

void AddInputOptions(CLI::App* command, PubOptions& options) {
  auto* lines = command->add_flag("--lines", options.lines, "each line is a record (the default)");
  auto* ndjson = command->add_flag("--ndjson", options.ndjson, "each line is a record, and checked to be JSON");
  auto* frames = command->add_flag("--frames", options.frames, "u32 little-endian length, then the bytes of a record");
  auto* file = command->add_flag("--file", options.file, "each file is a record");
  lines->excludes(ndjson)->excludes(frames)->excludes(file);
  ndjson->excludes(frames)->excludes(file);
  frames->excludes(file);
}

}  // namespace

void AddPubCommand(CLI::App& app, Tool& tool) {
  auto options = std::make_shared<PubOptions>();
  CLI::App* command = Tool::AddCommand(app, "pub", "publish what stands in files, or comes from stdin",
                                       "seq 1000 | bus pub numbers --create --key seq");
  command->add_option("T", options->topic, "the topic")->required();
  command->add_option("FILE", options->files, "files to read; none, or \"-\": stdin");
  AddInputOptions(command, *options);
  command->add_option("--key", options->key, "key of each record");
  command->add_option("--type", options->type, "type of each record, a number")->type_name("N");
  command->add_option("--header", options->headers, "a header of each record; may be repeated")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all();
  command->add_option("--rate", options->rate, "at most so many records a second")->type_name("N/s");
  command->add_flag("--sync", options->sync, "make it durable: before waiting for more, and before it ends");
  command->add_flag("--create", options->create, "make the topic if there is none");
  tool.OnRun(command, [&tool, options] { return Pub(tool, *options); });
}

}  // namespace bustool
