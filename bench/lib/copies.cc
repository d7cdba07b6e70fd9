#include "bench/lib/copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "bench/lib/content.h"
#include "bench/lib/scratch.h"
#include "bench/lib/shared.h"
#include "bench/lib/statistics.h"

namespace libbus::bench {
namespace {

// Fills the area once; records a second.
double Fill(const Mapping& area, const std::vector<std::byte>& record) {
  const size_t count = area.size() / record.size();
  const uint64_t start = NowNs();
  for (size_t i = 0; i < count; ++i) std::memcpy(area.data() + i * record.size(), record.data(), record.size());
  return static_cast<double>(count) * 1e9 / static_cast<double>(std::max<uint64_t>(NowNs() - start, 1));
}

}  // namespace

absl::StatusOr<Copies> MeasureCopies(size_t size, size_t bytes, uint32_t rounds, const std::string& directory) {
  std::vector<std::byte> record(size);
  FillRecord(RecordId(0, 0), record);
  std::vector<double> warm;
  std::vector<double> fresh;
  for (uint32_t round = 0; round < rounds; ++round) {
    auto scratch = ScratchDirectory::Make(directory);
    if (!scratch.ok()) return scratch.status();
    const auto area = Mapping::NewFile(scratch->path() + "/copies", std::max(bytes, size));
    if (!area.ok()) return area.status();
    fresh.push_back(Fill(*area, record));
    warm.push_back(Fill(*area, record));
  }
  return Copies{size, std::max(bytes, size), Median(std::move(warm)), Median(std::move(fresh))};
}

std::string CopiesText(const std::vector<Copies>& all) {
  std::string out = "memcpy, one process\n";
  const auto back = std::back_inserter(out);
  fmt::format_to(back, "  {:>10}{:>16}{:>10}{:>16}{:>10}\n", "bytes", "warm, copies/s", "GB/s", "fresh, copies/s",
                 "GB/s");
  for (const Copies& one : all) {
    const auto size = static_cast<double>(one.size);
    fmt::format_to(back, "  {:>10}{:>16.0f}{:>10.2f}{:>16.0f}{:>10.2f}\n", one.size, one.warm, one.warm * size / 1e9,
                   one.fresh, one.fresh * size / 1e9);
  }
  return out;
}

std::string CopiesJson(const Copies& one) {
  return fmt::format("{{\"size\":{},\"bytes\":{},\"warm_copies_per_s\":{:.0f},\"fresh_copies_per_s\":{:.0f}}}\n",
                     one.size, one.bytes, one.warm, one.fresh);
}

}  // namespace libbus::bench
