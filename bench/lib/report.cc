#include "bench/lib/report.h"

#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <vector>

#include "bench/lib/figures.h"

namespace libbus::bench {
namespace {

constexpr std::string_view kSubject = "libbus";
constexpr size_t kHistogramLines = 24;
constexpr size_t kHistogramWidth = 60;

std::string_view WaitName(Wait wait) { return wait == Wait::kPark ? "park" : "spin"; }

std::string_view ModeName(const CaseOptions& options) { return options.exclusive ? "exclusive" : "shared"; }

std::string Count(uint64_t n, std::string_view what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

uint32_t Spinning(const CaseOptions& options) {
  return options.producers + (options.wait == Wait::kSpin ? options.consumers : 0);
}

bool Crowded(const CaseOptions& options) { return Spinning(options) > Cores(); }

void AddTitle(const CaseResult& result, std::string& out) {
  const CaseOptions& options = result.options;
  const auto back = std::back_inserter(out);
  fmt::format_to(back, "{} B, {}, {}, {}, {}: {} of ", options.size, Count(options.producers, "producer"),
                 Count(options.consumers, "consumer"), ModeName(options), WaitName(options.wait),
                 Count(result.rounds, "round"));
  if (options.unpaced) {
    fmt::format_to(back, "{} records unpaced{}", result.records, result.shrunk ? " (what fits the disk)" : "");
  }
  if (options.paced) {
    fmt::format_to(back, "{}{} one every {:.1f} us", options.unpaced ? ", " : "", result.samples,
                   static_cast<double>(result.interval_ns) / 1000);
  }
  if (Crowded(options)) {
    fmt::format_to(back, "; {} busy processes on {}", Spinning(options), Count(Cores(), "core"));
  }
  out += '\n';
}

// What had to be done to get there, if anything.
void AddTrouble(const CaseResult& result, std::string& out) {
  const auto back = std::back_inserter(out);
  if (result.dropped > 0) fmt::format_to(back, "  {} dropped and made again\n", Count(result.dropped, "run"));
  if (result.disturbed > 0) {
    fmt::format_to(back, "  {} counted although others took the cores, or the cores moved\n",
                   Count(result.disturbed, "run"));
  }
}

std::string RatioText(const CaseResult& result, const ContenderResult& contender, Distance distance,
                      double Ratio::*field) {
  if (contender.name == kSubject) return "-";
  const auto ratio = RatioTo(result, contender.name, distance);
  return ratio ? fmt::format("{:.2f}", *ratio.*field) : "";
}

void AddRates(const CaseResult& result, const ContenderResult& contender, Distance distance, std::string& out) {
  const Figures figures = FiguresOf(contender, distance);
  if (!figures.has_rates()) {
    fmt::format_to(std::back_inserter(out), "{:>76}", "");
    return;
  }
  fmt::format_to(std::back_inserter(out), "{:>12.0f}{:>10}{:>12.0f}{:>12.0f}{:>12.0f}{:>10}  {:<6}",
                 figures.undisturbed, RatioText(result, contender, distance, &Ratio::undisturbed), figures.rate,
                 figures.lowest, figures.highest, RatioText(result, contender, distance, &Ratio::end_to_end),
                 fmt::format("n={}", figures.rounds));
}

void AddLatency(const ContenderResult& contender, Distance distance, std::string& out) {
  const auto latency = FiguresOf(contender, distance).latency;
  if (!latency) return;
  fmt::format_to(std::back_inserter(out), "{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}", latency->p50_ns, latency->p90_ns,
                 latency->p99_ns, latency->p999_ns, latency->p9999_ns, latency->max_ns);
}

void AddLine(const CaseResult& result, const ContenderResult& contender, Distance distance, std::string& out) {
  std::string line = fmt::format("  {:<16}", contender.name);
  if (!contender.refusal.empty()) {
    out += fmt::format("{}skipped: {}\n", line, contender.refusal);
    return;
  }
  if (result.options.unpaced) AddRates(result, contender, distance, line);
  if (result.options.paced) AddLatency(contender, distance, line);
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + '\n';
}

void AddHead(const CaseResult& result, Distance distance, std::string& out) {
  const uint64_t travel = TravelOf(result, distance);
  std::string line = fmt::format("  {:<16}", travel > 0 ? fmt::format("{}, {} ns", DistanceName(distance), travel)
                                                        : std::string(DistanceName(distance)));
  if (result.options.unpaced) {
    line += fmt::format("{:>12}{:>10}{:>12}{:>12}{:>12}{:>10}{:>8}", "undisturbed", "libbus/it", "end to end", "lowest",
                        "highest", "libbus/it", "");
  }
  if (result.options.paced) {
    line += fmt::format("{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}", "p50 ns", "p90 ns", "p99 ns", "p99.9", "p99.99", "max");
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + '\n';
}

// "libbus: 5.10 times pipe, the best peer (3.00 end to end); ..." for one kind.
void AddBeside(const CaseResult& result, Kind kind, std::string_view what, Distance distance, std::string& out) {
  const auto back = std::back_inserter(out);
  if (const auto* best = BestOf(result, kind, distance); best != nullptr) {
    if (const auto ratio = RatioTo(result, best->name, distance); ratio) {
      fmt::format_to(back, "  rate: {:.2f} of the {}, {} ({:.2f} end to end)\n", ratio->undisturbed, what, best->name,
                     ratio->end_to_end);
    }
  }
  const auto own = FiguresOf(result.Of(kSubject), distance).latency;
  if (const auto* quickest = QuickestOf(result, kind, distance); quickest != nullptr && own) {
    const auto theirs = FiguresOf(*quickest, distance).latency;
    fmt::format_to(back, "  p50: {:.2f} of the {}, {}\n",
                   static_cast<double>(own->p50_ns) / static_cast<double>(theirs->p50_ns), what, quickest->name);
  }
}

void AddTable(const CaseResult& result, Distance distance, std::string& out) {
  AddHead(result, distance, out);
  for (const ContenderResult& contender : result.contenders) AddLine(result, contender, distance, out);
  AddBeside(result, Kind::kPeer, "best peer", distance, out);
  AddBeside(result, Kind::kReference, "limit", distance, out);
  const Histogram& delays = result.Of(kSubject).delays[static_cast<size_t>(distance)];
  if (delays.count() > 0) {
    fmt::format_to(std::back_inserter(out), "  libbus, delays from (all up to the line's end):\n{}",
                   delays.Draw(kHistogramLines, kHistogramWidth));
  }
}

void AddLatencyKeys(const Figures& figures, const std::string& prefix, std::string& out) {
  if (!figures.latency) return;
  const Latency& latency = *figures.latency;
  fmt::format_to(
      std::back_inserter(out),
      R"(,"{0}p50_ns":{1},"{0}p90_ns":{2},"{0}p99_ns":{3},"{0}p999_ns":{4},"{0}p9999_ns":{5},"{0}max_ns":{6})", prefix,
      latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.p999_ns, latency.p9999_ns, latency.max_ns);
}

// The keys of one contender, with a prefix for all but libbus.
void AddKeys(const Figures& figures, const std::string& prefix, std::string& out) {
  const auto back = std::back_inserter(out);
  if (figures.has_rates()) {
    fmt::format_to(back, R"(,"{0}msgs_per_s":{1:.0f},"{0}msgs_per_s_lowest":{2:.0f},"{0}msgs_per_s_highest":{3:.0f})",
                   prefix, figures.rate, figures.lowest, figures.highest);
    fmt::format_to(back,
                   R"(,"{0}undisturbed_msgs_per_s":{1:.0f},"{0}undisturbed_msgs_per_s_lowest":{2:.0f})"
                   R"(,"{0}undisturbed_msgs_per_s_highest":{3:.0f})",
                   prefix, figures.undisturbed, figures.undisturbed_lowest, figures.undisturbed_highest);
  }
  AddLatencyKeys(figures, prefix, out);
}

std::string_view KindName(Kind kind) {
  return kind == Kind::kPeer ? "peer" : kind == Kind::kReference ? "reference" : "libbus";
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

// Whether there is all that the case asks for at that distance.
bool IsWhole(const CaseResult& result, const ContenderResult& contender, Distance distance) {
  if (!contender.refusal.empty()) return true;
  const Figures figures = FiguresOf(contender, distance);
  return (!result.options.unpaced || figures.has_rates()) && (!result.options.paced || figures.latency.has_value());
}

// The distance with most rounds; none where the cores moved so much that a contender has nothing there.
std::optional<Distance> CommonDistance(const CaseResult& result) {
  const Distance distance = DistancesOf(result).front();
  for (const ContenderResult& contender : result.contenders) {
    if (!IsWhole(result, contender, distance)) return std::nullopt;
  }
  return distance;
}

void AddOther(const CaseResult& result, const ContenderResult& contender, std::optional<Distance> distance,
              std::string& out) {
  const auto back = std::back_inserter(out);
  const std::string prefix = contender.name + "_";
  fmt::format_to(back, R"(,"kind_of_{}":"{}")", contender.name, KindName(contender.kind));
  if (!contender.refusal.empty()) {
    fmt::format_to(back, R"(,"skipped_{}":{})", contender.name, Quoted(contender.refusal));
    return;
  }
  if (const auto ratio = RatioTo(result, contender.name, distance); ratio) {
    fmt::format_to(back, R"(,"ratio_to_{0}":{1:.3f},"undisturbed_ratio_to_{0}":{2:.3f})", contender.name,
                   ratio->end_to_end, ratio->undisturbed);
  }
  AddKeys(FiguresOf(contender, distance), prefix, out);
}

}  // namespace

std::string TextReport(const CaseResult& result) {
  std::string out;
  AddTitle(result, out);
  AddTrouble(result, out);
  for (const Distance distance : DistancesOf(result)) AddTable(result, distance, out);
  return out;
}

std::string JsonReport(const CaseResult& result) {
  const CaseOptions& options = result.options;
  const auto distance = CommonDistance(result);
  const Distance frequent = DistancesOf(result).front();
  const Figures figures = FiguresOf(result.Of(kSubject), distance);
  std::string out =
      fmt::format(R"({{"mode":"{}","size":{},"producers":{},"consumers":{},"wait":"{}","rounds":{},"records":{})",
                  ModeName(options), options.size, options.producers, options.consumers, WaitName(options.wait),
                  result.rounds, result.records);
  const auto back = std::back_inserter(out);
  if (options.paced) fmt::format_to(back, R"(,"samples":{},"interval_ns":{})", result.samples, result.interval_ns);
  fmt::format_to(back, R"(,"class":"{}","travel_ns":{},"class_rounds":{},"dropped":{},"disturbed":{},"crowded":{})",
                 distance ? DistanceName(*distance) : "mixed", TravelOf(result, distance.value_or(frequent)),
                 figures.rounds, result.dropped, result.disturbed, Crowded(options));
  AddKeys(figures, "", out);
  for (const ContenderResult& contender : result.contenders) {
    if (contender.name != kSubject) AddOther(result, contender, distance, out);
  }
  return out + "}\n";
}

}  // namespace libbus::bench
