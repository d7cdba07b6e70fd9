#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "bench/lib/durable.h"
#include "bench/lib/statistics.h"

namespace libbus::bench {
namespace {

constexpr std::string_view kSubject = "libbus";

// The median of the rounds' ratios of libbus's rate to a way's.
double RatioTo(const DurableResult& result, const DurableWay& way) {
  const auto& subject = result.Of(kSubject).rates;
  std::vector<double> ratios;
  for (size_t i = 0; i < subject.size(); ++i) ratios.push_back(subject[i] / way.rates[i]);
  return Median(std::move(ratios));
}

std::string Micros(uint64_t ns) { return fmt::format("{:.0f}", static_cast<double>(ns) / 1000); }

std::string PolicyName(const DurableResult& result) {
  return result.by_interval ? absl::FormatDuration(kSyncInterval) : "each";
}

// What JSON takes between quotes as it is.
std::string PlainText(std::string text) {
  for (char& c : text) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text;
}

void AddTitle(const DurableResult& result, std::string& out) {
  const DurableOptions& options = result.options;
  const auto back = std::back_inserter(out);
  fmt::format_to(back, "{} B, {} producer{}, sync {}: {} round{} of {} records", options.size, options.producers,
                 options.producers == 1 ? "" : "s", PolicyName(result), result.rounds, result.rounds == 1 ? "" : "s",
                 result.records);
  if (result.by_interval) {
    fmt::format_to(back, " unpaced, {} one every {} us", result.samples, result.interval_ns / 1000);
  }
  out += '\n';
}

// Not every way tells.
bool KnowsSyncs(const DurableWay& way) { return Median(way.syncs) > 0; }

void AddLine(const DurableResult& result, const DurableWay& way, std::string& out) {
  if (!way.refusal.empty()) {
    fmt::format_to(std::back_inserter(out), "  {:<16}skipped: {}\n", way.name, way.refusal);
    return;
  }
  const auto [lowest, highest] = std::minmax_element(way.rates.begin(), way.rates.end());
  const Latency latency = Combine(way.latencies);
  fmt::format_to(std::back_inserter(out),
                 "  {:<16}{:>12.0f}{:>12.0f}{:>12.0f}{:>11}{:>10}{:>10}{:>10}{:>13}{:>12.2f}\n", way.name,
                 Median(way.rates), *lowest, *highest,
                 way.name == kSubject ? std::string("-") : fmt::format("{:.2f}", RatioTo(result, way)),
                 Micros(latency.p50_ns), Micros(latency.p99_ns), Micros(latency.max_ns),
                 KnowsSyncs(way) ? fmt::format("{:.4f}", Median(way.syncs)) : "", Median(way.written) / 1024);
}

// The keys of one way, with a prefix for the references.
void AddKeys(const DurableWay& way, const std::string& prefix, std::string& out) {
  const Latency latency = Combine(way.latencies);
  fmt::format_to(
      std::back_inserter(out),
      R"(,"{0}msgs_per_s":{1:.0f},"{0}p50_ns":{2},"{0}p99_ns":{3},"{0}max_ns":{4},"{0}written_per_record":{5:.0f})",
      prefix, Median(way.rates), latency.p50_ns, latency.p99_ns, latency.max_ns, Median(way.written));
  if (!KnowsSyncs(way)) return;
  fmt::format_to(std::back_inserter(out), R"(,"{}syncs_per_record":{:.6f})", prefix, Median(way.syncs));
}

}  // namespace

std::string DurableText(const DurableResult& result) {
  std::string out;
  AddTitle(result, out);
  fmt::format_to(std::back_inserter(out), "  {:<16}{:>12}{:>12}{:>12}{:>11}{:>10}{:>10}{:>10}{:>13}{:>12}\n",
                 result.by_interval ? "durable after" : "", "records/s", "lowest", "highest", "libbus/it", "p50 us",
                 "p99 us", "max us", "syncs/record", "KiB/record");
  for (const DurableWay& way : result.ways) AddLine(result, way, out);
  return out;
}

std::string DurableJson(const DurableResult& result) {
  const DurableOptions& options = result.options;
  std::string out = fmt::format(R"({{"mode":"shared","sync":"{}","size":{},"producers":{},"rounds":{},"records":{})",
                                PolicyName(result), options.size, options.producers, result.rounds, result.records);
  if (result.by_interval) fmt::format_to(std::back_inserter(out), R"(,"samples":{})", result.samples);
  for (const DurableWay& way : result.ways) {
    const bool subject = way.name == kSubject;
    if (!way.refusal.empty()) {
      fmt::format_to(std::back_inserter(out), R"(,"skipped_{}":"{}")", way.name, PlainText(way.refusal));
      continue;
    }
    AddKeys(way, subject ? "" : way.name + "_", out);
    if (!subject) fmt::format_to(std::back_inserter(out), R"(,"ratio_to_{}":{:.3f})", way.name, RatioTo(result, way));
  }
  return out + "}\n";
}

}  // namespace libbus::bench
