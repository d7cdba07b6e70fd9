#include "bench/lib/run_area.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace libbus::bench {

absl::StatusOr<RunArea> RunArea::Make(uint32_t producers, uint32_t consumers, uint64_t times) {
  const uint64_t reports = (producers + consumers) * sizeof(ProcessReport);
  auto memory = Mapping::Shareable(kReportsAt + reports + times * sizeof(uint64_t));
  if (!memory.ok()) return memory.status();
  if (auto ready = memory->PopulateForWriting(); !ready.ok()) return ready;
  return RunArea(*std::move(memory), producers, consumers, times);
}

RunArea::RunArea(Mapping memory, uint32_t producers, uint32_t consumers, uint64_t times)
    : memory_(std::move(memory)), producers_(producers), consumers_(consumers), times_(times) {
  new (memory_.data()) Barrier(producers_ + consumers_);
  new (memory_.data() + kDoneAt) Barrier(producers_ + consumers_);
  new (memory_.data() + kWarmAt) Barrier(producers_ + consumers_);
  for (uint32_t i = 0; i < producers_ + consumers_; ++i) new (report(i)) ProcessReport;
}

int RunArea::Report(const absl::Status& status, ProcessReport& report) {
  if (status.ok()) return 0;
  const std::string text(status.message());
  std::memcpy(report.error, text.data(), std::min(text.size(), sizeof(report.error) - 1));
  return 1;
}

absl::Status RunArea::Explain(const absl::Status& status) {
  for (uint32_t i = 0; i < producers_ + consumers_; ++i) {
    const std::string_view error = report(i)->error;
    if (error.empty()) continue;
    const bool producer = i < producers_;
    return absl::InternalError(
        fmt::format("{} {}: {}", producer ? "producer" : "consumer", producer ? i : i - producers_, error));
  }
  return status;
}

}  // namespace libbus::bench
