#include "examples/etl/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "libbus/inspect.h"

namespace etl {
namespace {

struct Line {
  std::string label;
  uint64_t count = 0;
  std::string note;
};

// A table that leaves the reader's eye on the labels and the numbers.
void PrintLines(std::string_view title, const std::vector<Line>& lines) {
  if (lines.empty()) return;
  fmt::print("\n  {}\n", title);
  for (const Line& line : lines) {
    PrintLine(fmt::format("    {:<44.44} {:>11}  {}", line.label, Grouped(line.count), line.note));
  }
}

std::vector<Line> ReasonLines(const Stream& stream) {
  std::vector<Line> lines;
  for (const auto& [reason, entry] : stream.reasons) {
    lines.push_back({reason, entry.count, fmt::format("first: {:.40}", entry.example)});
  }
  return lines;
}

std::string Seconds(absl::Duration duration) { return fmt::format("{:.3f} s", absl::ToDoubleSeconds(duration)); }

void PrintStage(const Stage& stage, uint64_t kills, const std::string& result) {
  fmt::print("    {:<10} {} run{}, {} kill{}: {}\n", stage.plan().name, stage.runs(), stage.runs() == 1 ? "" : "s",
             kills, kills == 1 ? "" : "s", result);
}

void PrintDifference(std::string_view name, uint64_t expected, const Stream& seen, const Difference& difference) {
  fmt::print("    {:<14} {:>12} {:>12} {:>6} {:>11} {:>13} {:>8}\n", name, Grouped(expected),
             Grouped(seen.items.size()), difference.lost, difference.duplicated, difference.out_of_order,
             difference.altered + difference.unexpected);
}

// As short as one may type it from here.
std::string Shortest(const std::string& path) {
  char* here = get_current_dir_name();
  const std::string prefix = std::string(here == nullptr ? "" : here) + "/";
  free(here);
  return path.starts_with(prefix) ? path.substr(prefix.size()) : path;
}

}  // namespace

std::string Grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

void PrintLine(std::string_view line) { fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1)); }

void PrintReasons(const Answer& answer, const Stream& dead) {
  std::vector<Line> filtered;
  for (const auto& [reason, count] : answer.filtered_reasons) filtered.push_back({reason, count, ""});
  PrintLines("put aside as dead letters, of all that was read", ReasonLines(dead));
  PrintLines("filtered, of all that was read", filtered);
}

void PrintPipeline(const Pipeline& pipeline, const Answer& answer, uint64_t unfinished) {
  const std::vector<Kill> kills = pipeline.kills();
  const auto count = [&](std::string_view stage) {
    return static_cast<uint64_t>(
        std::count_if(kills.begin(), kills.end(), [&](const Kill& kill) { return kill.stage == stage; }));
  };
  fmt::print("\nHow the pipeline behaved\n\n");
  PrintStage(pipeline.extract(), 0, fmt::format("{} records into raw", Grouped(answer.in.items.size())));
  PrintStage(pipeline.transform(), count("transform"),
             fmt::format("{} records into clean, {} into dead-letters, {} filtered", Grouped(answer.out.items.size()),
                         Grouped(answer.dead.items.size()), Grouped(answer.filtered)));
  PrintStage(pipeline.load(), count("load"), fmt::format("{} rows into SQLite", Grouped(answer.out.items.size())));
  fmt::print("\n    {:>8}   {:<38} {}\n", "time", "kill -9", "the next run, of itself");
  for (const Kill& kill : kills) {
    const std::string what = fmt::format("{} run {}, after {} records", kill.stage, kill.run, Grouped(kill.progress));
    fmt::print("    {:>8}   {:<38} {}\n", Seconds(kill.when), what, kill.resumed);
  }
  if (unfinished > 0) {
    fmt::print("\n    Half written when their writer died: {} record{}. They became gaps, which consumers step over.\n",
               unfinished, unfinished == 1 ? "" : "s");
  }
}

void PrintCheck(const Answer& answer, const Stream& in, const Stream& out, const Stream& dead) {
  fmt::print("\nCompared with the answer, which was computed from the input without a bus\n\n");
  fmt::print("    {:<14} {:>12} {:>12} {:>6} {:>11} {:>13} {:>8}\n", "", "expected", "found", "lost", "duplicated",
             "out of order", "altered");
  PrintDifference("in (raw)", answer.in.items.size(), in, Compare(answer.in.items, in.items));
  PrintDifference("out (SQLite)", answer.out.items.size(), out, Compare(answer.out.items, out.items));
  PrintDifference("dead-lettered", answer.dead.items.size(), dead, Compare(answer.dead.items, dead.items));
}

void PrintDurability(const std::string& bus, const Answer& answer, absl::Duration plain, absl::Duration durable,
                     absl::Duration interval) {
  const auto line = [&](std::string_view name, absl::Duration elapsed, const std::string& times) {
    const double rate = static_cast<double>(answer.in.items.size()) / absl::ToDoubleSeconds(elapsed);
    PrintLine(fmt::format("    {:<14} {:>12} {:>14} records/s  {}", name, Seconds(elapsed),
                          Grouped(static_cast<uint64_t>(rate)), times));
  };
  fmt::print("\nWhat durability cost\n\n");
  line("plain", plain, "");
  line("durable", durable, fmt::format("{:.2f} times as long", absl::FDivDuration(durable, plain)));
  fmt::print("\n    {:<14} {:>12} {:>14} {:>18} {:>16}\n", fmt::format("every {}", absl::FormatDuration(interval)),
             "syncs", "records", "records per sync", "not yet durable");
  for (const auto& [name, stream] :
       {std::pair(kRaw, &answer.in), {kClean, &answer.out}, {kDeadLetters, &answer.dead}}) {
    const libbus::TopicInfo info = Must(libbus::InspectTopic(bus, name));
    const uint64_t records = stream->items.size();
    fmt::print("    {:<14} {:>12} {:>14} {:>18} {:>10} bytes\n", name, Grouped(info.syncs), Grouped(records),
               Grouped(records / std::max<uint64_t>(info.syncs, 1)), Grouped(info.end.offset - info.durable.offset));
  }
}

void PrintWhereNext(const std::string& programs, const std::string& bus, const std::string& database, Form form,
                    const Stream& dead) {
  const std::string tool = access((programs + "/bus").c_str(), X_OK) == 0 ? Shortest(programs + "/bus") : "bus";
  const std::string command = fmt::format("{} --bus {}", tool, Shortest(bus));
  std::vector<std::pair<std::string, std::string>> commands = {
      {"info", "the topics, their sizes and ends"},
      {"cat dead-letters -n 1", "the first record that was put aside"},
      {"cat progress", "who started when, and loaded how much"},
      {"verify", "every record against its checksum"}};
  if (!dead.reasons.empty()) {
    const libbus::Position position = dead.reasons.begin()->second.position;
    commands.insert(commands.begin() + 2, {fmt::format("dump dead-letters {} -n 1", position.offset),
                                           "a record that was put aside, byte for byte"});
  }
  fmt::print("\nThe log is still there: {}\n\n", Shortest(bus));
  for (const auto& [words, meaning] : commands) fmt::print("    {} {:<30} # {}\n", command, words, meaning);
  fmt::print("    sqlite3 {} 'SELECT * FROM {} LIMIT 5'\n\n", Shortest(database),
             form == Form::kDpkg ? "packages" : "records");
}

}  // namespace etl
