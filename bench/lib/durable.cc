#include "bench/lib/durable.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "bench/lib/content.h"
#include "bench/lib/durable_writer.h"
#include "bench/lib/processes.h"
#include "bench/lib/run_area.h"
#include "bench/lib/runner.h"
#include "bench/lib/scratch.h"

namespace libbus::bench {
namespace {

constexpr uint64_t kSeed = 1;  // of the order
constexpr uint64_t kEachRecords = 4000;
constexpr uint64_t kIntervalBytes = 64 << 20;
constexpr uint64_t kIntervalSamples = 5000;
constexpr uint64_t kSampleIntervalNs = 200'000;

class TimeLimit {
 public:
  explicit TimeLimit(uint64_t ns) : ns_(ns), started_(NowNs()) {}
  bool IsOver() const { return ns_ > 0 && NowNs() - started_ >= ns_; }

 private:
  uint64_t ns_;
  uint64_t started_;
};

// The processes of one run.
class Runner {
 public:
  // `follower`: one more process reads what is durable.
  Runner(const DurableRun& run, DurableWriter& writer, RunArea& area, bool follower)
      : run_(run), writer_(writer), area_(area), follower_(follower) {}

  absl::Status Run(const std::function<bool()>& stopped) {
    if (auto ready = writer_.Prepare(run_); !ready.ok()) return ready;
    ProcessGroup group;
    auto status = StartAll(group);
    if (status.ok()) status = group.Wait(stopped);
    return status.ok() || absl::IsCancelled(status) ? status : area_.Explain(status);
  }

 private:
  absl::Status StartAll(ProcessGroup& group) {
    for (uint32_t i = 0; i < run_.producers; ++i) {
      auto started = group.Start(fmt::format("producer {}", i), [&] { return Produce(i); });
      if (!started.ok()) return started;
    }
    return follower_ ? group.Start("the follower", [&] { return Follow(); }) : absl::OkStatus();
  }

  int Produce(uint32_t index) {
    area_.CatchUp();
    ProcessReport& report = *area_.producer_report(index);
    const auto delays = follower_ ? std::span<uint64_t>() : area_.times().subspan(index * run_.records, run_.records);
    DurableSide side = {index, area_.start(), &report, delays};
    return RunArea::Report(writer_.Write(run_, side), report);
  }

  int Follow() {
    area_.CatchUp();
    ProcessReport& report = *area_.consumer_report(0);
    const ConsumerSide side = {0, area_.start(), area_.done(), &report, area_.times(), area_.area()};
    return RunArea::Report(FollowDurable(run_, side), report);
  }

  const DurableRun& run_;
  DurableWriter& writer_;
  RunArea& area_;
  bool follower_;
};

// What the reports of a run's producers say together.
struct Sum {
  uint64_t started = 0;
  uint64_t finished = 0;
  uint64_t written = 0;
  uint64_t syncs = 0;
};

Sum SumUp(const DurableRun& run, RunArea& area) {
  Sum sum;
  for (uint32_t i = 0; i < run.producers; ++i) {
    const ProcessReport& report = *area.producer_report(i);
    sum.started = report.started_ns;
    sum.finished = std::max(sum.finished, report.finished_ns);
    sum.written += report.written;
    sum.syncs = std::max(sum.syncs, report.syncs);
  }
  return sum;
}

void AddRates(const DurableRun& run, const Sum& sum, uint64_t syncs, DurableWay& way) {
  const auto records = static_cast<double>(run.total());
  way.rates.push_back(records * 1e9 / static_cast<double>(std::max<uint64_t>(sum.finished - sum.started, 1)));
  way.syncs.push_back(static_cast<double>(syncs - std::min(syncs, sum.syncs)) / records);
  way.written.push_back(static_cast<double>(sum.written) / records);
}

// What a run is for.
enum class Wants : uint8_t { kRatesAndLatencies, kRates, kFollower };

absl::Status RunInArea(const DurableRun& run, const DurableOptions& options, Wants wants, RunArea& area,
                       DurableWriter& writer, DurableWay& way) {
  Runner runner(run, writer, area, wants == Wants::kFollower);
  auto status = runner.Run(options.stopped);
  if (!status.ok()) return status;
  const auto syncs = writer.Check(run);
  if (!syncs.ok()) return syncs.status();
  if (wants != Wants::kFollower) AddRates(run, SumUp(run, area), *syncs, way);
  if (wants != Wants::kRates) way.latencies.push_back(Summarise(area.times()));
  return absl::OkStatus();
}

// One run with files of its own; the result goes to its way.
absl::Status RunOnce(DurableRun run, const DurableOptions& options, Wants wants, DurableWriter& writer,
                     DurableWay& way) {
  auto scratch = ScratchDirectory::Make(options.directory);
  if (!scratch.ok()) return scratch.status();
  run.directory = scratch->path();
  auto area = RunArea::Make(run.producers, wants == Wants::kFollower ? 1 : 0, run.total());
  if (!area.ok()) return area.status();
  absl::Status status = RunInArea(run, options, wants, *area, writer, way);
  writer.Discard();
  if (status.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}: {}", writer.name(), std::string(status.message())));
}

DurableRun RunOf(const DurableOptions& options, uint64_t records) {
  return {.size = options.size,
          .producers = options.producers,
          .records = (records + options.producers - 1) / options.producers,
          .interval_ns = 0,
          .directory = {}};
}

}  // namespace

absl::Status CheckDurableOptions(const DurableOptions& options) {
  CaseOptions same;
  same.size = options.size;
  same.producers = options.producers;
  same.rounds = options.rounds;
  same.records = options.records;
  return CheckOptions(same);
}

const DurableWay& DurableResult::Of(std::string_view name) const {
  return *std::find_if(ways.begin(), ways.end(), [&](const auto& one) { return one.name == name; });
}

absl::StatusOr<DurableResult> RunDurableEach(const DurableOptions& options) {
  if (auto checked = CheckDurableOptions(options); !checked.ok()) return checked;
  const DurableRun run = RunOf(options, options.records > 0 ? options.records : kEachRecords);
  std::vector<std::unique_ptr<DurableWriter>> writers;
  writers.push_back(MakeDurableEach());
  writers.push_back(MakeBareMapping());
  writers.push_back(MakeBareWrite());
  const size_t own = writers.size();
  if (options.peers) {
    for (auto& peer : options.peers()) writers.push_back(std::move(peer));
  }
  DurableResult result = {.options = options, .records = run.total(), .ways = {}};
  for (const auto& writer : writers) {
    result.ways.push_back({.name = std::string(writer->name()), .refusal = writer->Refusal(run)});
  }
  std::mt19937_64 random(kSeed);
  std::vector<size_t> order(writers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const TimeLimit limit(options.limit_ns);
  for (uint32_t round = 0; round < options.rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const size_t i : order) {
      DurableWay& way = result.ways[i];
      if (!way.refusal.empty()) continue;
      auto ran = RunOnce(run, options, Wants::kRatesAndLatencies, *writers[i], way);
      if (ran.ok()) continue;
      if (i < own || absl::IsCancelled(ran)) return ran;
      // A peer that fails is no reason to show nothing of the others.
      way = {.name = way.name, .refusal = std::string(ran.message())};
    }
    ++result.rounds;
    if (limit.IsOver()) break;
  }
  return result;
}

absl::StatusOr<DurableResult> RunDurableByInterval(const DurableOptions& options) {
  if (auto checked = CheckDurableOptions(options); !checked.ok()) return checked;
  const uint64_t fits = std::max<uint64_t>(kIntervalBytes / (options.size + 24), 1);
  const DurableRun fast = RunOf(options, options.records > 0 ? options.records : fits);
  DurableRun paced = RunOf(options, std::min(fast.total(), kIntervalSamples));
  paced.interval_ns = kSampleIntervalNs;
  const auto writer = MakeDurableByInterval();
  DurableResult result = {.options = options,
                          .by_interval = true,
                          .records = fast.total(),
                          .samples = paced.total(),
                          .interval_ns = paced.interval_ns,
                          .ways = {{.name = std::string(writer->name())}}};
  const TimeLimit limit(options.limit_ns);
  for (uint32_t round = 0; round < options.rounds; ++round) {
    auto ran = RunOnce(fast, options, Wants::kRates, *writer, result.ways.front());
    if (ran.ok()) ran = RunOnce(paced, options, Wants::kFollower, *writer, result.ways.front());
    if (!ran.ok()) return ran;
    ++result.rounds;
    if (limit.IsOver()) break;
  }
  return result;
}

}  // namespace libbus::bench
