#include "tools/bus/progress.h"

#include <absl/time/clock.h>
#include <fmt/format.h>

#include <algorithm>

#include "tools/bus/output.h"
#include "tools/bus/pager.h"
#include "tools/bus/terminal.h"

namespace bustool {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(100);

bool drawn = false;

std::string LeftText(absl::Duration left) {
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(left, absl::Seconds(1)));
  return seconds < 60 ? fmt::format("{} s left", seconds)
                      : fmt::format("{}:{:02} min left", seconds / 60, seconds % 60);
}

std::string LineText(std::string_view what, uint64_t done, uint64_t total, absl::Duration passed) {
  const double rate = static_cast<double>(done) / std::max(absl::ToDoubleSeconds(passed), 1e-3);
  const std::string rate_text = BytesText(rate) + "/s";
  if (total == 0) return fmt::format("{} {}  {}", what, BytesText(static_cast<double>(done)), rate_text);
  const uint64_t left = total - std::min(done, total);
  const std::string end = rate < 1 ? "" : "  " + LeftText(absl::Seconds(static_cast<double>(left) / rate));
  return fmt::format("{} {} of {}  {} %  {}{}", what, BytesText(static_cast<double>(done)),
                     BytesText(static_cast<double>(total)), std::min(done, total) * 100 / total, rate_text, end);
}

}  // namespace

Progress::Progress(const Tool& tool, std::string_view what, uint64_t total)
    : shown_(StderrIsTerminal() && !tool.quiet),
      what_(what),
      total_(total),
      begun_(absl::Now()),
      drawn_(absl::InfinitePast()) {}

Progress::~Progress() { Hide(); }

void Progress::At(uint64_t done, uint64_t total) {
  total_ = total;
  if (!shown_ || PagerRuns() || done == 0) return;
  const absl::Time now = absl::Now();
  if (now - drawn_ < kPause) return;
  drawn_ = now;
  drawn = true;
  ToStderr(fmt::format("\r\x1b[K{}", LineText(what_, done, total_, now - begun_)));
}

void Progress::Hide() {
  if (drawn) ToStderr("\r\x1b[K");
  drawn = false;
}

std::string BytesText(double bytes) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} {}", bytes, kUnits[unit]) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

}  // namespace bustool
