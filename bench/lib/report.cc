#include "bench/lib/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace libbus::bench {
namespace {

constexpr std::string_view kSubject = "libbus";

// A contender's rounds in one line: medians, but for the worst delay of all.
struct Summary {
  double rate;
  double lowest;
  double highest;
  Latency latency;
};

Summary SummaryOf(const ContenderResult& result) {
  const auto [lowest, highest] = std::minmax_element(result.rates.begin(), result.rates.end());
  return {Median(result.rates), *lowest, *highest, Combine(result.latencies)};
}

std::string_view WaitName(Wait wait) { return wait == Wait::kPark ? "park" : "spin"; }

std::string_view ModeName(const CaseOptions& options) { return options.exclusive ? "exclusive" : "shared"; }

std::string Count(uint32_t n, std::string_view what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

void AddTitle(const CaseResult& result, std::string& out) {
  const CaseOptions& options = result.options;
  fmt::format_to(std::back_inserter(out), "{} B, {}, {}, {}, {}: {} of {} records unpaced, {} one every {:.1f} us\n",
                 options.size, Count(options.producers, "producer"), Count(options.consumers, "consumer"),
                 ModeName(options), WaitName(options.wait), Count(options.rounds, "round"), result.records,
                 result.samples, static_cast<double>(result.interval_ns) / 1000);
}

void AddLine(const CaseResult& result, const ContenderResult& contender, std::string& out) {
  const Summary summary = SummaryOf(contender);
  const bool subject = contender.name == kSubject;
  fmt::format_to(std::back_inserter(out), "  {:<16}{:>12.0f}{:>12.0f}{:>12.0f}{:>10}{:>10}{:>10}{:>10}{:>12}\n",
                 contender.name, summary.rate, summary.lowest, summary.highest,
                 subject ? std::string("-") : fmt::format("{:.2f}", RatioTo(result, contender.name)),
                 summary.latency.p50_ns, summary.latency.p90_ns, summary.latency.p99_ns, summary.latency.max_ns);
}

void AddReferenceKeys(const CaseResult& result, const ContenderResult& contender, std::string& out) {
  const Summary summary = SummaryOf(contender);
  fmt::format_to(std::back_inserter(out),
                 ",\"ratio_to_{0}\":{1:.3f},\"{0}_msgs_per_s\":{2:.0f},\"{0}_p50_ns\":{3},\"{0}_p99_ns\":{4}",
                 contender.name, RatioTo(result, contender.name), summary.rate, summary.latency.p50_ns,
                 summary.latency.p99_ns);
}

}  // namespace

double RatioTo(const CaseResult& result, std::string_view reference) {
  const auto& subject = result.Of(kSubject).rates;
  const auto& other = result.Of(reference).rates;
  std::vector<double> ratios;
  for (size_t i = 0; i < subject.size(); ++i) ratios.push_back(subject[i] / other[i]);
  return Median(std::move(ratios));
}

std::string TextReport(const CaseResult& result) {
  std::string out;
  AddTitle(result, out);
  fmt::format_to(std::back_inserter(out), "  {:<16}{:>12}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}{:>12}\n", "", "records/s",
                 "lowest", "highest", "libbus/it", "p50 ns", "p90 ns", "p99 ns", "max ns");
  for (const ContenderResult& contender : result.contenders) AddLine(result, contender, out);
  return out;
}

std::string JsonReport(const CaseResult& result) {
  const CaseOptions& options = result.options;
  const Summary summary = SummaryOf(result.Of(kSubject));
  std::string out = fmt::format(
      R"({{"mode":"{}","size":{},"producers":{},"consumers":{},"wait":"{}","rounds":{},"records":{},"samples":{})",
      ModeName(options), options.size, options.producers, options.consumers, WaitName(options.wait), options.rounds,
      result.records, result.samples);
  fmt::format_to(std::back_inserter(out),
                 R"(,"msgs_per_s":{:.0f},"msgs_per_s_lowest":{:.0f},"msgs_per_s_highest":{:.0f})", summary.rate,
                 summary.lowest, summary.highest);
  fmt::format_to(std::back_inserter(out), R"(,"p50_ns":{},"p90_ns":{},"p99_ns":{},"max_ns":{})", summary.latency.p50_ns,
                 summary.latency.p90_ns, summary.latency.p99_ns, summary.latency.max_ns);
  for (const ContenderResult& contender : result.contenders) {
    if (contender.name != kSubject) AddReferenceKeys(result, contender, out);
  }
  return out + "}\n";
}

}  // namespace libbus::bench
