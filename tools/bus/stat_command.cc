#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/inspect.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/signals.h"
#include "tools/bus/table.h"
#include "tools/bus/terminal.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

using libbus::TopicStats;

// How soon a signal is seen at the latest.
constexpr absl::Duration kLook = absl::Milliseconds(50);
constexpr absl::Duration kShortestInterval = absl::Milliseconds(10);

struct StatArguments {
  std::string topic;
  std::string watch;
  std::string lines;
};

struct Sample {
  absl::Time time;
  TopicStats stats;
};
using Samples = std::map<std::string, Sample>;

std::optional<double> AsNumber(const std::optional<uint64_t>& value) {
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

// What happened between two samples, or, without an earlier one, since the topic was made.
class Change {
 public:
  Change(const Sample& now, const Sample* before) : now_(now), before_(before) {}

  bool has_rates() const { return before_ != nullptr; }
  absl::Duration interval() const { return now_.time - before_->time; }

  // How much a count grew. Nothing: it is not known, or it went back (somebody wrote there, or the power failed).
  std::optional<double> Of(std::optional<uint64_t> now, std::optional<uint64_t> before) const {
    if (!now || (before_ != nullptr && !before)) return std::nullopt;
    if (before_ == nullptr) return AsNumber(now);
    return *now >= *before ? std::optional(static_cast<double>(*now - *before)) : std::nullopt;
  }
  template <typename T>
  std::optional<double> Of(T TopicStats::*count) const {
    return Of(now_.stats.*count, before_ != nullptr ? std::optional(before_->stats.*count) : std::nullopt);
  }

  std::optional<double> PerSecond(std::optional<double> change) const {
    if (!has_rates() || !change || interval() <= absl::ZeroDuration()) return std::nullopt;
    return *change / absl::ToDoubleSeconds(interval());
  }
  template <typename T>
  std::optional<double> Rate(T TopicStats::*count) const {
    return PerSecond(Of(count));
  }
  std::optional<double> RecordRate() const { return PerSecond(Records()); }
  std::optional<double> ByteRate() const {
    return PerSecond(
        Of(now_.stats.end.offset, before_ != nullptr ? std::optional(before_->stats.end.offset) : std::nullopt));
  }

  // What the syncs wrote of the segments, for each record that became durable by them.
  std::optional<double> BytesPerDurable() const {
    const auto measured = Of(&TopicStats::measured_syncs);
    const auto bytes = Of(&TopicStats::measured_bytes);
    const auto syncs = Of(&TopicStats::syncs);
    const auto records =
        Of(now_.stats.durable_records, before_ != nullptr ? before_->stats.durable_records : std::nullopt);
    if (!measured || !bytes || !syncs || !records || *measured <= 0 || *records <= 0) return std::nullopt;
    return *bytes / *measured * *syncs / *records;
  }

 private:
  std::optional<double> Records() const {
    return Of(now_.stats.records, before_ != nullptr ? before_->stats.records : std::nullopt);
  }

  const Sample& now_;
  const Sample* before_;
};

// D behind the end; nothing where nothing is durable.
std::optional<uint64_t> Behind(const TopicStats& stats) {
  if (stats.durable.offset == 0) return std::nullopt;
  return stats.end.offset - std::min(stats.end.offset, stats.durable.offset);
}

std::optional<double> AsNumber(std::optional<uint32_t> value) {
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

// --- text ------------------------------------------------------------------------------------------------------------

struct Column {
  std::string_view heading;
  int width;
};
constexpr Column kColumns[] = {{"REC/S", 7},   {"BYTES/S", 7}, {"SEGS", 5},    {"DISK", 7},  {"PROD", 4},
                               {"CONS", 4},    {"WAKE/S", 6},  {"SLEEP/S", 7}, {"GAPS", 6},  {"GAP/S", 6},
                               {"REPAIRS", 7}, {"SYNC/S", 6},  {"B/DUR", 7},   {"BEHIND", 7}};

std::string WatchHeadings(size_t name_width) {
  std::string line = fmt::format("{:<{}}", "TOPIC", name_width);
  for (const Column& column : kColumns) line += fmt::format(" {:>{}}", column.heading, column.width);
  return line + "\n";
}

std::string WatchLine(const std::string& name, size_t name_width, const TopicStats& stats, const Change& change) {
  const std::string cells[] = {ShortCount(change.RecordRate()),
                               ShortBytes(change.ByteRate()),
                               ShortCount(static_cast<double>(stats.segments)),
                               ShortBytes(static_cast<double>(stats.disk_bytes)),
                               ShortCount(AsNumber(stats.producers)),
                               ShortCount(AsNumber(stats.consumers)),
                               ShortCount(change.Rate(&TopicStats::wakes)),
                               ShortCount(change.Rate(&TopicStats::sleeps)),
                               ShortCount(static_cast<double>(stats.gaps)),
                               ShortCount(change.Rate(&TopicStats::gaps)),
                               ShortCount(static_cast<double>(stats.repairs)),
                               ShortCount(change.Rate(&TopicStats::syncs)),
                               ShortBytes(change.BytesPerDurable()),
                               ShortBytes(AsNumber(Behind(stats)))};
  static_assert(std::size(cells) == std::size(kColumns));
  std::string line = fmt::format("{:<{}}", name, name_width);
  for (size_t i = 0; i < std::size(cells); ++i) line += fmt::format(" {:>{}}", cells[i], kColumns[i].width);
  return line + "\n";
}

std::string OrDash(const std::optional<uint64_t>& value) { return value ? fmt::format("{}", *value) : "-"; }

std::string SnapshotText(const std::string& name, const Sample& sample) {
  const TopicStats& stats = sample.stats;
  std::string out;
  const auto line = [&](std::string_view what, const std::string& value) {
    fmt::format_to(std::back_inserter(out), "{:<20} {}\n", what, value);
  };
  line("topic", name);
  line("records", OrDash(stats.records));
  line("positions", fmt::format("{} to {}", stats.first.offset, stats.end.offset));
  line("segments", fmt::format("{}, {} bytes, {} on the disk", stats.segments, stats.bytes, stats.disk_bytes));
  line("producers", OrDash(stats.producers));
  line("consumers", OrDash(stats.consumers));
  line("durable", stats.durable.offset == 0
                      ? "-"
                      : fmt::format("up to {}, {} behind", stats.durable.offset, Count(*Behind(stats), "byte")));
  line("durable records", OrDash(stats.durable_records));
  line("syncs", fmt::format("{}", stats.syncs));
  line("bytes per durable", ShortBytes(Change(sample, nullptr).BytesPerDurable()));
  line("wakes", fmt::format("{}, {} found a sleeper", stats.wakes, stats.woken));
  line("sleeps", fmt::format("{}", stats.sleeps));
  line("gaps", fmt::format("{}, {} of them repairs", stats.gaps, stats.repairs));
  return out;
}

// --- JSON ------------------------------------------------------------------------------------------------------------

void AddNumber(JsonObject& object, std::string_view key, const std::optional<double>& value) {
  if (value) object.AddRaw(key, fmt::format("{:.3f}", *value));
}

std::string JsonLine(const std::string& name, const Sample& sample, const Change& change) {
  const TopicStats& stats = sample.stats;
  JsonObject object;
  object.Add("topic", name).Add("time", sample.time);
  if (change.has_rates()) AddNumber(object, "interval_s", absl::ToDoubleSeconds(change.interval()));
  object.Add("first", stats.first.offset).Add("end", stats.end.offset).Add("durable", stats.durable.offset);
  if (const auto behind = Behind(stats)) object.Add("behind", *behind);
  if (stats.records) object.Add("records", *stats.records);
  if (stats.durable_records) object.Add("durable_records", *stats.durable_records);
  object.Add("segments", stats.segments).Add("bytes", stats.bytes).Add("disk_bytes", stats.disk_bytes);
  if (stats.producers) object.Add("producers", *stats.producers);
  if (stats.consumers) object.Add("consumers", *stats.consumers);
  object.Add("wakes", stats.wakes).Add("woken", stats.woken).Add("sleeps", stats.sleeps).Add("gaps", stats.gaps);
  object.Add("repairs", stats.repairs).Add("syncs", stats.syncs);
  object.Add("measured_syncs", stats.measured_syncs).Add("measured_bytes", stats.measured_bytes);
  AddNumber(object, "bytes_per_durable_record", change.BytesPerDurable());
  if (!change.has_rates()) return object.Line();
  AddNumber(object, "records_per_s", change.RecordRate());
  AddNumber(object, "bytes_per_s", change.ByteRate());
  AddNumber(object, "wakes_per_s", change.Rate(&TopicStats::wakes));
  AddNumber(object, "sleeps_per_s", change.Rate(&TopicStats::sleeps));
  AddNumber(object, "gaps_per_s", change.Rate(&TopicStats::gaps));
  AddNumber(object, "repairs_per_s", change.Rate(&TopicStats::repairs));
  AddNumber(object, "syncs_per_s", change.Rate(&TopicStats::syncs));
  return object.Line();
}

// --- what is done ----------------------------------------------------------------------------------------------------

// The topic that is named, or all of the bus, of which one may have gone since it was listed.
absl::StatusOr<Samples> Take(const std::string& bus, const std::string& topic, const Samples& before) {
  std::vector<std::string> names = {topic};
  if (topic.empty()) {
    const auto info = libbus::InspectBus(bus);
    if (!info.ok()) return info.status();
    names = info->topics;
  }
  Samples samples;
  for (const std::string& name : names) {
    const auto known = before.find(name);
    auto stats = libbus::InspectStats(bus, name, known == before.end() ? nullptr : &known->second.stats);
    // Another one has its name: counted anew, if it is one of many.
    if (topic.empty() && absl::IsFailedPrecondition(stats.status())) stats = libbus::InspectStats(bus, name);
    if (topic.empty() && absl::IsNotFound(stats.status())) continue;
    if (!stats.ok()) return stats.status();
    samples[name] = {absl::Now(), *std::move(stats)};
  }
  return samples;
}

// Lines until the headings are shown again, on a terminal.
int ScreenLines() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 5) return 20;
  return size.ws_row - 2;
}

class Watch {
 public:
  Watch(const Tool& tool, std::string bus, const StatArguments& arguments, absl::Duration interval, uint64_t lines)
      : tool_(tool), bus_(std::move(bus)), topic_(arguments.topic), interval_(interval), lines_(lines) {}

  int Run() {
    auto before = Take(bus_, topic_, {});
    BUS_FAIL_IF_ERROR(before.status());
    for (absl::Time due = absl::Now() + interval_; lines_ > 0; --lines_, due += interval_) {
      if (!WaitUntil(due)) break;
      auto now = Take(bus_, topic_, *before);
      BUS_FAIL_IF_ERROR(now.status());
      if (!Show(*now, *before)) break;
      before = std::move(now);
    }
    return kOk;
  }

 private:
  // False: interrupted.
  static bool WaitUntil(absl::Time due) {
    for (absl::Time now = absl::Now(); now < due && !Interrupted(); now = absl::Now()) {
      absl::SleepFor(std::min(due - now, kLook));
    }
    return !Interrupted();
  }

  bool Show(const Samples& now, const Samples& before) {
    size_t width = 5;
    for (const auto& [name, sample] : now) width = std::max(width, name.size());
    for (const auto& [name, sample] : now) {
      const auto known = before.find(name);
      const bool same = known != before.end() && known->second.stats.instance == sample.stats.instance;
      if (!same) continue;
      const Change change(sample, &known->second);
      const std::string line =
          tool_.json ? JsonLine(name, sample, change) : Headings(width) + WatchLine(name, width, sample.stats, change);
      if (!Stdout().Write(line)) return false;
    }
    return Stdout().Flush();
  }

  std::string Headings(size_t width) {
    if (shown_ > 0 && --shown_ > 0) return "";
    if (headed_ && !StdoutIsTerminal()) return "";
    headed_ = true;
    shown_ = ScreenLines();
    return Paint(Colour::kBold, WatchHeadings(width));
  }

  const Tool& tool_;
  const std::string bus_;
  const std::string topic_;
  const absl::Duration interval_;
  uint64_t lines_;
  int shown_ = 0;
  bool headed_ = false;
};

int Stat(const Tool& tool, const StatArguments& arguments) {
  const auto bus = tool.BusPath();
  BUS_FAIL_IF_ERROR(bus.status());
  if (!arguments.watch.empty()) {
    const auto interval = ParseDuration(arguments.watch);
    BUS_FAIL_IF_ERROR(interval.status());
    if (*interval < kShortestInterval) {
      return Tool::Fail(UsageError(fmt::format("{}: too short an interval: at least 10ms", arguments.watch)));
    }
    const auto lines = arguments.lines.empty() ? UINT64_MAX : ParseNumber(arguments.lines);
    BUS_FAIL_IF_ERROR(lines.status());
    return Watch(tool, *bus, arguments, *interval, *lines).Run();
  }
  if (!arguments.lines.empty()) return Tool::Fail(UsageError("-n counts the lines of -w: name an interval, -w 1s"));
  const auto samples = Take(*bus, arguments.topic, {});
  BUS_FAIL_IF_ERROR(samples.status());
  for (const auto& [name, sample] : *samples) {
    const bool first = name == samples->begin()->first;
    const std::string text =
        tool.json ? JsonLine(name, sample, Change(sample, nullptr)) : (first ? "" : "\n") + SnapshotText(name, sample);
    if (!Stdout().Write(text)) break;
  }
  return kOk;
}

}  // namespace

void AddStatCommand(CLI::App& app, Tool& tool) {
  auto arguments = std::make_shared<StatArguments>();
  auto* command = Tool::AddCommand(
      app,
      {.name = "stat",
       .what = "how much flows through a topic, and what that costs",
       .details = "Without -w the numbers of now, counted since the topic was made. With -w a line an interval until "
                  "SIGINT: rates, how much a sync writes for each record that became durable (B/DUR), and how far "
                  "the durable watermark is behind the end (BEHIND).",
       .examples = {"bus stat orders", "bus stat orders -w 1s", "bus stat -w 10s -n 6 --json"}});
  command->add_option("T", arguments->topic, "the topic; none: all of them");
  command->add_option("-w,--watch", arguments->watch, "a line at each interval: 1s, 500ms, ...")->type_name("DURATION");
  command->add_option("-n,--count", arguments->lines, "so many lines of -w, then the end")->type_name("N");
  tool.OnRun(command, [&tool, arguments] { return Stat(tool, *arguments); });
}

}  // namespace bustool
