#include <fmt/format.h>
#include <libbus/bus.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/progress.h"
#include "tools/bus/publisher.h"
#include "tools/bus/terminal.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct PubOptions {
  std::string topic;
  std::vector<std::string> files;
  bool lines = false;
  bool ndjson = false;
  bool records = false;
  bool frames = false;
  bool file = false;
  std::string key;
  std::string type;
  std::vector<std::string> headers;
  std::string rate;
  std::string batch;
  std::string max_record = "256M";
  bool create = false;
  bool sync = false;
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

// How many bytes there are to be read; none where nobody knows, of stdin or a pipe say.
std::optional<uint64_t> TotalSize(const std::vector<std::string>& files) {
  uint64_t total = 0;
  for (const std::string& file : files) {
    std::error_code error;
    if (file == "-" || !std::filesystem::is_regular_file(file, error)) return std::nullopt;
    total += std::filesystem::file_size(file, error);
    if (error) return std::nullopt;
  }
  return total;
}

absl::Status PublishInputs(const Tool& tool, const PubOptions& options, uint64_t longest, Publisher& publisher) {
  const std::vector<std::string> files = options.files.empty() ? std::vector<std::string>{"-"} : options.files;
  uint64_t before = 0;
  std::optional<Progress> progress;
  if (const auto total = TotalSize(files); total && StderrIsTerminal()) {
    progress.emplace(tool, "pub", *total);
    publisher.AfterEach([&](const Input& input) { progress->At(before + input.taken()); });
  }
  for (const std::string& file : files) {
    auto input = Input::Open(file, longest);
    if (!input.ok()) return input.status();
    if (auto status = publisher.PublishAll(*input); !status.ok()) return status;
    before += input->taken();
  }
  return absl::OkStatus();
}

absl::StatusOr<libbus::Topic> OpenTopic(const Tool& tool, const PubOptions& options) {
  auto bus = tool.OpenBus(false);
  if (!bus.ok()) return bus.status();
  auto topic = bus->OpenTopic(options.topic, {.create = options.create});
  if (!topic.ok()) return tool.DidYouMean(options.topic, topic.status());
  return topic;
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
  if (published.gaps > 0) {
    tool.Note(fmt::format("{}: {} in the input: records may be missing there, and nothing was published for them",
                          options.topic, Count(published.gaps, "gap")));
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

// A record can be 4 GiB long; what nobody expects shall not take the memory for that.
absl::StatusOr<uint64_t> ParseMaxRecord(const std::string& text) {
  constexpr uint64_t kHighest = uint64_t{4} << 30;
  auto size = ParseSize(text);
  if (size.ok() && (*size == 0 || *size > kHighest)) {
    return UsageError(fmt::format("--max-record {}: out of range: use 1 to 4G", text));
  }
  return size;
}

Form FormOf(const PubOptions& options) {
  if (options.ndjson) return Form::kNdjson;
  if (options.records) return Form::kRecords;
  if (options.frames) return Form::kFrames;
  return options.file ? Form::kFile : Form::kLines;
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
  const auto longest = ParseMaxRecord(options.max_record);
  BUS_FAIL_IF_ERROR(longest.status());
  auto topic = OpenTopic(tool, options);
  BUS_FAIL_IF_ERROR(topic.status());
  auto syncs = MakeSyncs(options, *topic);
  BUS_FAIL_IF_ERROR(syncs.status());
  auto producer = topic->NewProducer({.name = "bus pub"});
  BUS_FAIL_IF_ERROR(producer.status());
  const libbus::RecordOptions record{.key = options.key, .headers = *headers, .type = static_cast<uint32_t>(*type)};
  Publisher publisher(FormOf(options), *std::move(producer), record, *rate, *std::move(syncs), *batch);
  absl::Status status = PublishInputs(tool, options, *longest, publisher);
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
  std::vector<CLI::Option*> forms = {
      command->add_flag("--lines", options.lines, "each line is a record (the default)"),
      command->add_flag("--ndjson", options.ndjson, "each line is a record, and checked to be JSON"),
      command->add_flag("--records", options.records,
                        "each line is a record with its key, headers, ... as cat --json prints it"),
      command->add_flag("--frames", options.frames, "u32 little-endian length, then the bytes of a record"),
      command->add_flag("--file", options.file, "each file is a record")};
  for (CLI::Option* form : forms) {
    for (CLI::Option* other : forms) {
      if (form != other) form->excludes(other);
    }
  }
  command->add_option("--max-record", options.max_record, "no line, frame or file is longer than this [256M]")
      ->type_name("SIZE");
}

}  // namespace

void AddPubCommand(CLI::App& app, Tool& tool) {
  auto options = std::make_shared<PubOptions>();
  CLI::App* command = Tool::AddCommand(
      app, {.name = "pub",
            .what = "publish what stands in files, or comes from stdin",
            .details = "Each piece is published as soon as it is read. When something is wrong the pieces before it "
                       "stay published.",
            .examples = {"seq 1000 | bus pub numbers --create --key seq", "tail -f app.log | bus pub logs --sync",
                         "bus pub orders --ndjson orders.json --batch 100",
                         "bus cat orders --json | bus pub copy --records --create"}});
  command->add_option("T", options->topic, "the topic")->required();
  command->add_option("FILE", options->files, "files to read; none, or \"-\": stdin");
  AddInputOptions(command, *options);
  command->add_option("--key", options->key, "key of each record")->type_name("K")->excludes("--records");
  command->add_option("--type", options->type, "type of each record, a number")->type_name("N")->excludes("--records");
  command->add_option("--header", options->headers, "a header of each record; may be repeated")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all()
      ->excludes("--records");
  command->add_option("--rate", options->rate, "at most so many records a second")->type_name("N/s");
  command->add_option("--batch", options->batch, "publish up to so many records at once, all or none")->type_name("N");
  command->add_flag("--sync", options->sync, "make it durable: before waiting for more, and before it ends");
  command->add_flag("--create", options->create, "make the topic if there is none");
  tool.OnRun(command, [&tool, options] { return Pub(tool, *options); });
}

}  // namespace bustool
