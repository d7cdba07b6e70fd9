// bus replay: hands the records of a topic out once more, into another topic or to stdout, at the pace of their
// timestamps if asked.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/bus.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/progress.h"
#include "tools/bus/record_format.h"
#include "tools/bus/signals.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct ReplayArguments {
  std::string topic;
  std::string range;
  std::string to;
  std::string speed = "max";
  std::string count;
  std::string limit = "committed";
  std::string format;
  bool create = false;
  bool resume = false;
};

absl::StatusOr<double> ParseSpeed(const std::string& text) {
  if (text == "max") return libbus::kReplayMax;
  const auto speed = ParseRate(text);
  // What is so fast is no pace any more; what is so slow never ends.
  if (speed.ok() && !text.ends_with("/s") && *speed >= 1e-9 && *speed <= 1e9) return *speed;
  return UsageError(fmt::format("--speed {}: not a speed: use max, 1 (as recorded), or a multiple: 10, 0.5", text));
}

class ReplayRun {
 public:
  ReplayRun(const Tool& tool, const ReplayArguments& arguments) : tool_(tool), arguments_(arguments) {}

  int Run();

 private:
  bool to_stdout() const { return arguments_.to == "-"; }
  absl::Status CheckArguments() const;
  absl::Status Parse();
  // The consumer of the range, at its beginning; with --resume behind what the target has.
  absl::StatusOr<libbus::Consumer> Open(libbus::Topic& from, libbus::Topic* to);
  absl::StatusOr<libbus::Topic> OpenTarget(const libbus::Topic& from);
  int IntoTopic(libbus::Topic& from);
  int ToStdout(libbus::Topic& from);
  absl::Status Print(const libbus::RecordView& record);
  void TellGap(const libbus::Gap& gap);
  // What was done, whatever ended it.
  void TellReport() const;
  int ExitCode(const absl::Status& status) const;

  const Tool& tool_;
  const ReplayArguments& arguments_;
  Range range_;
  libbus::Limit limit_ = libbus::Limit::kCommitted;
  libbus::ReplayOptions options_;
  libbus::ReplayReport report_;
  RecordFormat format_;
  std::optional<std::string_view> after_;  // AfterPayload of the format
  std::string line_;
};

absl::Status ReplayRun::CheckArguments() const {
  if (arguments_.to == arguments_.topic) {
    return UsageError(fmt::format("--to {}: a topic is not replayed into itself: name another", arguments_.to));
  }
  if (!to_stdout() && !arguments_.format.empty())
    return UsageError("--format: only what goes to stdout (--to -) has one");
  if (to_stdout() && arguments_.create) return UsageError("--create: stdout is no topic: use it with --to TOPIC");
  if (to_stdout() && arguments_.resume) {
    return UsageError("--resume: nobody knows what stdout has had: use -o, or --to TOPIC");
  }
  return absl::OkStatus();
}

absl::Status ReplayRun::Parse() {
  if (absl::Status status = CheckArguments(); !status.ok()) return status;
  const auto speed = ParseSpeed(arguments_.speed);
  if (!speed.ok()) return speed.status();
  options_.speed = *speed;
  const auto limit = ParseLimit(arguments_.limit);
  if (!limit.ok()) return limit.status();
  limit_ = *limit;
  if (!arguments_.count.empty()) {
    const auto count = ParseNumber(arguments_.count);
    if (!count.ok()) return count.status();
    options_.count = *count;
  }
  const auto name = FormatName(tool_.json, arguments_.format);
  if (!name.ok()) return name.status();
  auto format = ParseFormat(*name);
  if (!format.ok()) return format.status();
  after_ = AfterPayload(*name);
  format_ = *std::move(format);
  const auto range =
      arguments_.range.empty() ? absl::StatusOr<Range>(Range()) : ParseRange(arguments_.range, absl::Now());
  if (!range.ok()) return range.status();
  range_ = *range;
  if (!range_.to) range_.to = libbus::From::End();
  return absl::OkStatus();
}

absl::StatusOr<libbus::Consumer> ReplayRun::Open(libbus::Topic& from, libbus::Topic* to) {
  auto consumer = from.NewConsumer({.from = range_.from, .to = range_.to, .limit = limit_});
  if (!consumer.ok() || to == nullptr || !arguments_.resume) return consumer;
  const auto resume = libbus::FindResume(from, *to);
  if (!resume.ok()) return resume.status();
  if (!*resume || **resume <= consumer->position()) return consumer;
  if (absl::Status status = consumer->Seek(libbus::From::At(**resume)); !status.ok()) return status;
  tool_.Detail(fmt::format("{}: goes on at {}", arguments_.topic, (*resume)->offset));
  return consumer;
}

absl::StatusOr<libbus::Topic> ReplayRun::OpenTarget(const libbus::Topic& from) {
  auto bus = tool_.OpenBus(false);
  if (!bus.ok()) return bus.status();
  auto topic = bus->OpenTopic(arguments_.to);
  if (!topic.ok() && !arguments_.create) return tool_.DidYouMean(arguments_.to, topic.status());
  if (!absl::IsNotFound(topic.status())) return topic;
  libbus::TopicOptions options = from.options();
  options.create = true;
  return bus->OpenTopic(arguments_.to, options);
}

void ReplayRun::TellGap(const libbus::Gap& gap) {
  if (to_stdout() && tool_.json) Stdout().Write(GapJson(gap));
  Progress::Hide();
  tool_.Note(fmt::format("{}: gap from {} to {} ({}): {}", arguments_.topic, gap.from.offset, gap.to.offset,
                         libbus::GapCauseName(gap.cause),
                         gap.loss() ? "records may be lost: see bus verify" : "nothing is lost"));
}

void ReplayRun::TellReport() const {
  if (tool_.json) {
    JsonObject object;
    object.Add("topic", arguments_.topic).Add("to", arguments_.to).Add("records", report_.records);
    object.Add("bytes", report_.bytes).Add("losses", report_.losses).Add("next_position", report_.next.offset);
    if (report_.last.offset != 0) object.Add("last_position", report_.last.offset);
    Stdout().Write(object.Line());
  } else if (!tool_.quiet) {
    Stdout().Write(fmt::format("{}: {} ({}) into {}, up to {}\n", arguments_.topic, Count(report_.records, "record"),
                               BytesText(static_cast<double>(report_.bytes)), arguments_.to, report_.next.offset));
  }
}

// A SIGINT, a full disk and the end leave the same: what was published stays.
int ReplayRun::ExitCode(const absl::Status& status) const {
  if (Interrupted()) {
    const std::string_view or_resume = to_stdout() ? "" : ", or with --resume";
    tool_.Note(fmt::format("{}: interrupted: go on with -o {}{}", arguments_.topic, report_.next.offset, or_resume));
    return kInterrupted;
  }
  // A reader that went away is a good end.
  BUS_FAIL_IF_ERROR(absl::IsCancelled(status) ? absl::OkStatus() : status);
  return report_.losses == 0 ? kOk : kLoss;
}

int ReplayRun::IntoTopic(libbus::Topic& from) {
  auto to = OpenTarget(from);
  BUS_FAIL_IF_ERROR(to.status());
  auto consumer = Open(from, &*to);
  BUS_FAIL_IF_ERROR(consumer.status());
  auto producer = to->NewProducer({.name = "bus replay"});
  BUS_FAIL_IF_ERROR(producer.status());
  absl::Status status;
  {
    Progress progress(tool_, "replay", 0);
    options_.progress = [&](uint64_t done, uint64_t total) {
      progress.At(done, total);
      return !Interrupted();
    };
    const InterruptsConsumer interrupts(*consumer);
    status = libbus::Replay(*consumer, *producer, options_, report_);
  }
  TellReport();
  return ExitCode(status);
}

absl::Status ReplayRun::Print(const libbus::RecordView& record) {
  if (Interrupted()) return absl::CancelledError("interrupted");
  line_.clear();
  if (after_) {
    Stdout().Write(record.text());
    line_ = *after_;
  } else {
    format_(record, line_);
  }
  if (Stdout().Write(line_)) return absl::OkStatus();
  return absl::CancelledError("stdout: nobody reads it");
}

int ReplayRun::ToStdout(libbus::Topic& from) {
  auto consumer = Open(from, nullptr);
  BUS_FAIL_IF_ERROR(consumer.status());
  // What is at hand is written before there is a wait.
  const bool paced = options_.speed != libbus::kReplayMax;
  options_.progress = [&](uint64_t, uint64_t) { return (!paced || Stdout().Flush()) && !Interrupted(); };
  const InterruptsConsumer interrupts(*consumer);
  const libbus::ReplaySink print = [this](const libbus::RecordView& record) { return Print(record); };
  const absl::Status status = libbus::Replay(*consumer, print, options_, report_);
  tool_.Detail(fmt::format("{}: {}", arguments_.topic, Count(report_.records, "record")));
  return ExitCode(status);
}

int ReplayRun::Run() {
  BUS_FAIL_IF_ERROR(Parse());
  options_.on_gap = [this](const libbus::Gap& gap) { TellGap(gap); };
  auto from = tool_.OpenTopic(arguments_.topic);
  BUS_FAIL_IF_ERROR(from.status());
  return to_stdout() ? ToStdout(*from) : IntoTopic(*from);
}

}  // namespace

void AddReplayCommand(CLI::App& app, Tool& tool) {
  auto arguments = std::make_shared<ReplayArguments>();
  CLI::App* command =
      Tool::AddCommand(app, {.name = "replay",
                             .what = "publish records once more into another topic, or print them",
                             .examples = {"bus replay orders -o @-2h --to rehearsal --create --speed 10"}});
  command->add_option("T", arguments->topic, "the topic whose records are replayed")->required();
  command->add_option("-o,--offset", arguments->range, "which records: see bus help ranges [all]")->type_name("RANGE");
  command->add_option("--to", arguments->to, "the topic that they go into, or -: stdout")
      ->required()
      ->type_name("T2|-");
  command->add_option("--speed", arguments->speed, "1: as recorded, 10: ten times as fast, max: without waiting [max]")
      ->type_name("N|max");
  command->add_option("-n,--count", arguments->count, "stop after so many records")->type_name("N");
  command
      ->add_option("--limit", arguments->limit,
                   "how far is read: committed, or durable: what no power loss takes back [committed]")
      ->type_name("committed|durable");
  command->add_flag("--create", arguments->create, "make T2 if there is none, with the options of T");
  command->add_flag("--resume", arguments->resume, "go on behind the last record in T2 that came from T");
  command->add_option("--format", arguments->format, "with --to -: see bus help formats [text]")
      ->type_name("text|ndjson|hex|raw|PATTERN");
  tool.OnRun(command, [&tool, arguments] { return ReplayRun(tool, *arguments).Run(); });
}

}  // namespace bustool
