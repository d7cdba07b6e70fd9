#include "bench/lib/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bench/lib/content.h"
#include "bench/lib/processes.h"
#include "bench/lib/run_area.h"
#include "bench/lib/scratch.h"
#include "bench/lib/sides.h"

namespace libbus::bench {
namespace {

constexpr uint64_t kRunBytes = 256 << 20;
constexpr size_t kHeaderBytes = 24;
constexpr uint64_t kSpinSamples = 10'000;
constexpr uint64_t kParkSamples = 3'000;

// Of all consumers, one after the other, where the run is paced.
uint64_t Delays(const Run& run) { return run.paced() ? run.total() * run.consumers : 0; }

ProducerSide ProducerSideOf(RunArea& area, uint32_t index) { return {index, area.start(), area.done()}; }

ConsumerSide ConsumerSideOf(const Run& run, RunArea& area, uint32_t index) {
  const uint64_t own = run.paced() ? run.total() : 0;
  return {index, area.start(), area.done(), area.consumer_report(index), area.delays().subspan(index * own, own)};
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

// One run with files of its own; the result goes to its contender.
absl::Status RunOnce(Run run, const CaseOptions& options, Contender& contender, ContenderResult& result) {
  auto scratch = ScratchDirectory::Make(options.directory);
  if (!scratch.ok()) return scratch.status();
  run.directory = scratch->path();
  auto area = RunArea::Make(run.producers, run.consumers, Delays(run));
  if (!area.ok()) return area.status();
  const auto status = RunProcesses(run, contender, *area, options.stopped);
  contender.Discard();
  if (!status.ok()) {
    return absl::Status(status.code(), fmt::format("{}: {}", contender.name(), std::string(status.message())));
  }
  if (run.paced()) {
    result.latencies.push_back(Summarise(area->delays()));
  } else {
    result.rates.push_back(RateOf(run, *area));
  }
  return absl::OkStatus();
}

uint64_t DivideUp(uint64_t value, uint64_t parts) { return (value + parts - 1) / parts; }

Run FastRun(const CaseOptions& options) {
  const uint64_t fits = std::max<uint64_t>(kRunBytes / (options.size + kHeaderBytes), 1);
  Run run;
  run.size = options.size;
  run.producers = options.producers;
  run.consumers = options.consumers;
  run.wait = options.wait;
  run.exclusive = options.exclusive;
  run.records = DivideUp(options.records > 0 ? options.records : fits, options.producers);
  return run;
}

// Far enough apart that a consumer has caught up before the next one is due, and in the parked case sleeps.
Run PacedRun(const CaseOptions& options) {
  Run run = FastRun(options);
  const bool park = options.wait == Wait::kPark;
  run.records = std::min(run.records, DivideUp(park ? kParkSamples : kSpinSamples, options.producers));
  run.interval_ns = (park ? 100'000 : 20'000) + options.size;
  return run;
}

absl::Status CheckSize(const CaseOptions& options) {
  if (options.size < kMinRecordSize || options.size > kMaxRecordSize) {
    return absl::InvalidArgumentError(
        fmt::format("size {}: give {} to {} bytes", options.size, kMinRecordSize, kMaxRecordSize));
  }
  const uint64_t most = kMaxRunBytes / (options.size + kHeaderBytes);
  if (options.records > most) {
    return absl::InvalidArgumentError(
        fmt::format("{} records of {} bytes: give at most {}", options.records, options.size, most));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOptions(const CaseOptions& options) {
  const auto within = [](uint32_t value, uint32_t most) { return value >= 1 && value <= most; };
  if (!within(options.producers, kMaxProcesses) || !within(options.consumers, kMaxProcesses)) {
    return absl::InvalidArgumentError(fmt::format("{} producers, {} consumers: give 1 to {} of each", options.producers,
                                                  options.consumers, kMaxProcesses));
  }
  if (options.exclusive && options.producers != 1) {
    return absl::InvalidArgumentError(
        fmt::format("{} producers: an exclusive topic has one at a time", options.producers));
  }
  if (!within(options.rounds, kMaxRounds)) {
    return absl::InvalidArgumentError(fmt::format("{} rounds: give 1 to {}", options.rounds, kMaxRounds));
  }
  if (options.wait != Wait::kSpin && options.wait != Wait::kPark) {
    return absl::InvalidArgumentError("wait: give spin or park");
  }
  return CheckSize(options);
}

const ContenderResult& CaseResult::Of(std::string_view name) const {
  return *std::find_if(contenders.begin(), contenders.end(), [&](const auto& one) { return one.name == name; });
}

absl::StatusOr<CaseResult> RunCase(const CaseOptions& options,
                                   const std::vector<std::unique_ptr<Contender>>& contenders) {
  if (auto checked = CheckOptions(options); !checked.ok()) return checked;
  const Run fast = FastRun(options);
  const Run paced = PacedRun(options);
  CaseResult result{options, fast.total(), paced.total(), paced.interval_ns, {}};
  for (const auto& contender : contenders) result.contenders.push_back({std::string(contender->name()), {}, {}});
  for (uint32_t round = 0; round < options.rounds; ++round) {
    for (const Run& run : {fast, paced}) {
      for (size_t i = 0; i < contenders.size(); ++i) {
        auto ran = RunOnce(run, options, *contenders[i], result.contenders[i]);
        if (!ran.ok()) return ran;
      }
    }
  }
  return result;
}

}  // namespace libbus::bench
