#include "bench/system/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "bench/lib/statistics.h"

namespace libbus::bench {
namespace {

std::string Number(double value) { return value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value); }

std::string Spread(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{} to {}", Number(*low), Number(*high));
}

}  // namespace

std::string RowsText(const std::vector<Row>& rows) {
  std::string out;
  const auto back = std::back_inserter(out);
  fmt::format_to(back, "  {:<58}{:>12} {:<12}{:>22}{:>10}  {}\n", "", "median", "", "rounds", "ratio", "to");
  for (const Row& row : rows) {
    const double median = Median(row.values);
    const double limit = row.limits.empty() ? 0 : Median(row.limits);
    const std::string ratio = limit > 0 ? fmt::format("{:.3g}", median / limit) : "";
    const std::string beside = limit > 0 ? fmt::format("{}: {}", row.beside, Number(limit)) : "";
    const std::string remark = row.remark.empty() ? "" : fmt::format(" ({})", row.remark);
    fmt::format_to(back, "  {:<58}{:>12} {:<12}{:>22}{:>10}  {}{}\n", row.what, Number(median), row.unit,
                   Spread(row.values), ratio, beside, remark);
  }
  return out;
}

std::string RowJson(const Row& row) {
  const auto [low, high] = std::minmax_element(row.values.begin(), row.values.end());
  std::string out = fmt::format(
      "{{\"what\":\"{}\",\"unit\":\"{}\",\"median\":{:.6g},\"lowest\":{:.6g},\"highest\":{:.6g},\"rounds\":{}",
      row.what, row.unit, Median(row.values), *low, *high, row.values.size());
  if (!row.limits.empty()) {
    const double limit = Median(row.limits);
    fmt::format_to(std::back_inserter(out), ",\"beside\":\"{}\",\"limit\":{:.6g},\"ratio\":{:.4g}", row.beside, limit,
                   limit > 0 ? Median(row.values) / limit : 0);
  }
  if (!row.remark.empty()) fmt::format_to(std::back_inserter(out), ",\"remark\":\"{}\"", row.remark);
  return out + "}\n";
}

}  // namespace libbus::bench
