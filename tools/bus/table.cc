#include "tools/bus/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bustool {
namespace {

std::string Short(std::optional<double> value, double step) {
  if (!value) return "-";
  constexpr std::string_view kUnits = " KMGTPE";
  size_t unit = 0;
  // What would be written as 1000.0 is 1.0 of the next.
  while (*value >= step - 0.05 && unit + 1 < kUnits.size()) {
    *value /= step;
    ++unit;
  }
  if (unit > 0) return fmt::format("{:.1f}{}", *value, kUnits[unit]);
  return *value == static_cast<double>(static_cast<uint64_t>(*value)) ? fmt::format("{:.0f}", *value)
                                                                      : fmt::format("{:.1f}", *value);
}

}  // namespace

std::string ShortBytes(std::optional<double> bytes) { return Short(bytes, 1024); }
std::string ShortCount(std::optional<double> count) { return Short(count, 1000); }

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    left_.push_back(heading.ends_with('<'));
    if (left_.back()) heading.pop_back();
  }
  rows_.push_back(std::move(headings));
}

void Table::Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string Table::Line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += "  ";
    line += left_[i] ? fmt::format("{:<{}}", cells[i], widths[i]) : fmt::format("{:>{}}", cells[i], widths[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string Table::Text() const {
  std::vector<size_t> widths(left_.size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) text += Line(row, widths);
  return text;
}

}  // namespace bustool
