#include "bench/lib/one_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/lib/processes.h"
#include "bench/lib/run_area.h"
#include "bench/lib/scratch.h"
#include "bench/lib/sides.h"

namespace libbus::bench {
namespace {

// Of all consumers, one after the other.
uint64_t Times(const Run& run) { return run.stamped() * run.consumers; }

std::span<uint64_t> TimesOf(const Run& run, RunArea& area, uint32_t consumer) {
  return area.times().subspan(consumer * run.stamped(), run.stamped());
}

ProducerSide ProducerSideOf(RunArea& area, uint32_t index) {
  return {index, area.start(), area.done(), area.producer_report(index), area.area()};
}

ConsumerSide ConsumerSideOf(const Run& run, RunArea& area, uint32_t index) {
  return {index, area.start(), area.done(), area.consumer_report(index), TimesOf(run, area, index), area.area()};
}

absl::Status StartAll(const Run& run, Contender& contender, RunArea& area, ProcessGroup& group) {
  for (uint32_t i = 0; i < run.consumers; ++i) {
    auto started = group.Start(fmt::format("consumer {}", i), [&] {
      area.CatchUp();
      auto side = ConsumerSideOf(run, area, i);
      return RunArea::Report(contender.Consume(run, side), *side.report);
    });
    if (!started.ok()) return started;
  }
  for (uint32_t i = 0; i < run.producers; ++i) {
    auto started = group.Start(fmt::format("producer {}", i), [&] {
      auto side = ProducerSideOf(area, i);
      return RunArea::Report(contender.Produce(run, side), *area.producer_report(i));
    });
    if (!started.ok()) return started;
  }
  return absl::OkStatus();
}

absl::Status CheckCounts(const Run& run, RunArea& area) {
  for (uint32_t i = 0; i < run.consumers; ++i) {
    const uint64_t verified = area.consumer_report(i)->verified;
    if (verified == run.total()) continue;
    return absl::InternalError(fmt::format("consumer {} verified {} of {} records", i, verified, run.total()));
  }
  return absl::OkStatus();
}

double RateOf(const Run& run, RunArea& area) {
  uint64_t finished = 0;
  for (uint32_t i = 0; i < run.consumers; ++i) finished = std::max(finished, area.consumer_report(i)->finished_ns);
  const uint64_t started = area.consumer_report(0)->started_ns;
  return static_cast<double>(run.total()) * 1e9 / static_cast<double>(std::max<uint64_t>(finished - started, 1));
}

absl::Status RunProcesses(const Run& run, Contender& contender, RunArea& area, const std::function<bool()>& stopped) {
  ProcessGroup group;
  auto status = contender.Prepare(run);
  if (!status.ok()) return status;
  status = StartAll(run, contender, area, group);
  if (status.ok()) status = group.Wait(stopped);
  if (status.ok()) return CheckCounts(run, area);
  return absl::IsCancelled(status) ? status : area.Explain(status);
}

// Of the consumer that was slowest.
double UndisturbedOf(const Run& run, RunArea& area) {
  double slowest = 0;
  for (uint32_t i = 0; i < run.consumers; ++i) {
    const double rate = MedianRate(TimesOf(run, area, i), run.stamp_every());
    slowest = i == 0 ? rate : std::min(slowest, rate);
  }
  return slowest > 0 ? slowest : RateOf(run, area);
}

}  // namespace

absl::StatusOr<Measured> RunOnce(Run run, const std::string& directory, const std::function<bool()>& stopped,
                                 Contender& contender) {
  auto scratch = ScratchDirectory::Make(directory);
  if (!scratch.ok()) return scratch.status();
  run.directory = scratch->path();
  auto area = RunArea::Make(run.producers, run.consumers, Times(run));
  if (!area.ok()) return area.status();
  const auto status = RunProcesses(run, contender, *area, stopped);
  contender.Discard();
  if (!status.ok()) {
    return absl::Status(status.code(), fmt::format("{}: {}", contender.name(), std::string(status.message())));
  }
  Measured measured;
  if (run.paced()) {
    measured.delays.Add(area->times());
    measured.latency = Summarise(area->times());
  } else {
    measured.rate = RateOf(run, *area);
    measured.undisturbed = UndisturbedOf(run, *area);
  }
  return measured;
}

}  // namespace libbus::bench
