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
  std::string batch;
  bool create = false;
  bool sync = false;
};

// What was published so far.
struct Published {
  uint64_t records = 0;
  std::optional<libbus::Position> first;
  libbus::Position last;    // of the last record; with --batch of the first one of the last batch
  uint64_t last_batch = 0;  // how many that batch holds
  bool durable = true;      // all of them; with --sync
};

// A record is not held back for longer than this to fill a batch.
constexpr absl::Duration kHold = absl::Milliseconds(100);

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

  // How long Wait() would wait now.
  absl::Duration Left() const {
    return gap_ == absl::ZeroDuration() ? gap_ : std::max(next_ + gap_ - absl::Now(), absl::ZeroDuration());
  }

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
  // `batch`: how many records go together; 0: each alone.
  Publisher(const PubOptions& options, libbus::Producer producer, libbus::RecordOptions record, double rate,
            std::optional<Syncs> syncs, uint64_t batch)
      : options_(options),
        producer_(std::move(producer)),
        record_(record),
        pace_(rate),
        syncs_(syncs),
        batch_limit_(batch),
        batch_(producer_.NewBatch()) {}

  absl::Status PublishAll(Input& input);
  // REQUIRES: syncs were given.
  absl::Status SyncNow() {
    absl::Status status = syncs_->Now();
    published_.durable = status.ok();
    return status;
  }
  // Publishes what waits in the batch. On error it is dropped.
  absl::Status Flush();
  const Published& published() const { return published_; }

 private:
  absl::StatusOr<bool> Next(Input& input, std::string& piece);
  absl::Status Check(const Input& input, const std::string& piece);
  absl::Status PublishOne(const Input& input, const std::string& piece);
  absl::Status AddToBatch(const Input& input, const std::string& piece);
  absl::Status BeforeWait();
  void Count(libbus::Position position, uint64_t records);

  const PubOptions& options_;
  libbus::Producer producer_;
  libbus::RecordOptions record_;
  Pace pace_;
  std::optional<Syncs> syncs_;
  const uint64_t batch_limit_;
  libbus::Batch batch_;
  absl::Time held_since_;  // of the first record in the batch
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
  Count(*position, 1);
  return absl::OkStatus();
}

void Publisher::Count(libbus::Position position, uint64_t records) {
  published_.records += records;
  if (!published_.first) published_.first = position;
  published_.last = position;
  published_.last_batch = records;
}

absl::Status Publisher::Flush() {
  if (batch_.empty()) return absl::OkStatus();
  const uint64_t records = batch_.size();
  const auto position = batch_.Commit();
  batch_.Clear();
  if (!position.ok()) {
    return absl::Status(position.status().code(), fmt::format("a batch of {}: {}", bustool::Count(records, "record"),
                                                              std::string(position.status().message())));
  }
  Count(*position, records);
  return absl::OkStatus();
}

absl::Status Publisher::AddToBatch(const Input& input, const std::string& piece) {
  absl::Status status = batch_.Add(piece, record_);
  // What is too long for what is left of this one may fit the next.
  if (status.code() == absl::StatusCode::kInvalidArgument && !batch_.empty()) {
    if (auto flushed = Flush(); !flushed.ok()) return flushed;
    status = batch_.Add(piece, record_);
  }
  if (!status.ok()) {
    return absl::Status(status.code(),
                        fmt::format("{}: record {}: {}", input.name(), input.count(), std::string(status.message())));
  }
  if (batch_.size() == 1) held_since_ = absl::Now();
  return batch_.size() >= batch_limit_ ? Flush() : absl::OkStatus();
}

// Before a wait for slow input: nobody knows how long it takes.
absl::Status Publisher::BeforeWait() {
  if (auto status = Flush(); !status.ok()) return status;
  return syncs_ ? syncs_->Now() : absl::OkStatus();
}

absl::Status Publisher::PublishAll(Input& input) {
  std::string piece;
  if (syncs_ || batch_limit_ != 0) input.BeforeWaits([this] { return BeforeWait(); });
  while (true) {
    const auto more = Next(input, piece);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    if (auto status = Check(input, piece); !status.ok()) return status;
    if (auto status = syncs_ ? syncs_->IfDue() : absl::OkStatus(); !status.ok()) return status;
    const bool held = !batch_.empty() && absl::Now() + pace_.Left() - held_since_ >= kHold;
    if (auto status = held ? Flush() : absl::OkStatus(); !status.ok()) return status;
    pace_.Wait();
    if (Interrupted()) return absl::CancelledError(fmt::format("{}: interrupted", input.name()));
    absl::Status status = batch_limit_ == 0 ? PublishOne(input, piece) : AddToBatch(input, piece);
    if (!status.ok()) return status;
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

// Where the last record of the last batch stands: the batch itself only says where its first one does.
libbus::Position LastOf(libbus::Topic& topic, const Published& published) {
  if (published.last_batch <= 1) return published.last;
  auto consumer = topic.NewConsumer({.from = libbus::From::At(published.last)});
  const auto records = consumer.ok() ? consumer->Poll(published.last_batch) : consumer.status();
  return records.ok() && !records->empty() ? records->back().position() : published.last;
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

absl::StatusOr<uint64_t> ParseBatch(const std::string& text) {
  if (text.empty()) return uint64_t{0};
  auto records = ParseNumber(text, UINT32_MAX);
  if (records.ok() && *records == 0) return UsageError("--batch 0: no batch: use at least 1, or leave it out");
  return records;
}

int Pub(const Tool& tool, const PubOptions& options) {
  const auto headers = ParseHeaders(options.headers);
  BUS_FAIL_IF_ERROR(headers.status());
  const auto rate = options.rate.empty() ? absl::StatusOr<double>(0.0) : ParseRate(options.rate);
  BUS_FAIL_IF_ERROR(rate.status());
  const auto type = options.type.empty() ? absl::StatusOr<uint64_t>(0) : ParseNumber(options.type, UINT32_MAX);
  BUS_FAIL_IF_ERROR(type.status());
  const auto batch = ParseBatch(options.batch);
  BUS_FAIL_IF_ERROR(batch.status());
  auto topic = OpenTopic(tool, options);
  BUS_FAIL_IF_ERROR(topic.status());
  auto syncs = MakeSyncs(options, *topic);
  BUS_FAIL_IF_ERROR(syncs.status());
  auto producer = topic->NewProducer({.name = "bus pub"});
  BUS_FAIL_IF_ERROR(producer.status());
  const libbus::RecordOptions record{.key = options.key, .headers = *headers, .type = static_cast<uint32_t>(*type)};
  Publisher publisher(options, *std::move(producer), record, *rate, *std::move(syncs), *batch);
  absl::Status status = PublishInputs(options, publisher);
  // What was read is published, also where the next piece was wrong.
  status.Update(publisher.Flush());
  // Also after an error: what stays published is durable then.
  if (options.sync) status.Update(publisher.SyncNow());
  Published published = publisher.published();
  if (tool.json) published.last = LastOf(*topic, published);
  Tell(tool, options, published);
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
  command->add_option("--batch", options->batch, "publish up to so many records at once, all or none")->type_name("N");
  command->add_flag("--sync", options->sync, "make it durable: before waiting for more, and before it ends");
  command->add_flag("--create", options->create, "make the topic if there is none");
  tool.OnRun(command, [&tool, options] { return Pub(tool, *options); });
}

}  // namespace bustool
