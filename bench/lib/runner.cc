#include "bench/lib/runner.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <system_error>
#include <utility>

#include "bench/lib/content.h"
#include "bench/lib/processes.h"
#include "bench/lib/shared.h"
#include "bench/lib/sides.h"

namespace libbus::bench {
namespace {

constexpr uint64_t kRunBytes = 256 << 20;
constexpr size_t kHeaderBytes = 24;
constexpr uint64_t kSpinSamples = 10'000;
constexpr uint64_t kParkSamples = 3'000;

// A directory in `parent`, empty; gone when this goes.
class ScratchDirectory {
 public:
  static absl::StatusOr<ScratchDirectory> Make(const std::string& parent) {
    std::string path = parent + "/bus-bench-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) {
      const auto text = fmt::format("{}: cannot make a directory: {}", parent, std::strerror(errno));
      return errno == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
    }
    return ScratchDirectory(std::move(path));
  }
  ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

// What the processes of a run and their parent share: barriers, reports, delays.
class RunArea {
 public:
  static absl::StatusOr<RunArea> Make(const Run& run) {
    const uint64_t delays = run.paced() ? run.total() * run.consumers : 0;
    const uint64_t processes = run.producers + run.consumers;
    auto memory = Mapping::Anonymous(kReportsAt + processes * sizeof(ProcessReport) + delays * sizeof(uint64_t));
    if (!memory.ok()) return memory.status();
    if (auto ready = memory->PopulateForWriting(); !ready.ok()) return ready;
    return RunArea(*std::move(memory), run);
  }

  ProcessReport* report(uint32_t process) {
    return reinterpret_cast<ProcessReport*>(memory_.data() + kReportsAt) + process;
  }
  ProcessReport* consumer_report(uint32_t consumer) { return report(producers_ + consumer); }

  ProducerSide producer_side(uint32_t index) { return {index, start(), done()}; }
  ConsumerSide consumer_side(uint32_t index) {
    return {index, start(), done(), consumer_report(index), delays().subspan(index * total_, paced_ ? total_ : 0)};
  }

  // Of all consumers, one after the other.
  std::span<uint64_t> delays() {
    auto* first = reinterpret_cast<uint64_t*>(report(producers_ + consumers_));
    return {first, paced_ ? total_ * consumers_ : 0};
  }

  void CatchUp() { static_cast<void>(memory_.PopulateForWriting()); }

 private:
  static constexpr size_t kReportsAt = 256;

  RunArea(Mapping memory, const Run& run)
      : memory_(std::move(memory)),
        producers_(run.producers),
        consumers_(run.consumers),
        total_(run.paced() ? run.total() : 0),
        paced_(run.paced()) {
    new (memory_.data()) Barrier(producers_ + consumers_);
    new (memory_.data() + 128) Barrier(producers_ + consumers_);
    for (uint32_t i = 0; i < producers_ + consumers_; ++i) new (report(i)) ProcessReport;
  }

  Barrier* start() { return reinterpret_cast<Barrier*>(memory_.data()); }
  Barrier* done() { return reinterpret_cast<Barrier*>(memory_.data() + 128); }

  Mapping memory_;
  uint32_t producers_;
  uint32_t consumers_;
  uint64_t total_;
  bool paced_;
};

int Report(const absl::Status& status, ProcessReport& report) {
  if (status.ok()) return 0;
  const std::string text(status.message());
  std::memcpy(report.error, text.data(), std::min(text.size(), sizeof(report.error) - 1));
  return 1;
}

absl::Status StartAll(const Run& run, Contender& contender, RunArea& area, ProcessGroup& group) {
  for (uint32_t i = 0; i < run.consumers; ++i) {
    auto started = group.Start(fmt::format("consumer {}", i), [&] {
      area.CatchUp();
      auto side = area.consumer_side(i);
      return Report(contender.Consume(run, side), *side.report);
    });
    if (!started.ok()) return started;
  }
  for (uint32_t i = 0; i < run.producers; ++i) {
    auto started = group.Start(fmt::format("producer {}", i), [&] {
      auto side = area.producer_side(i);
      return Report(contender.Produce(run, side), *area.report(i));
    });
    if (!started.ok()) return started;
  }
  return absl::OkStatus();
}

// The children's own words where they left any.
absl::Status Explain(const absl::Status& status, const Run& run, RunArea& area) {
  for (uint32_t i = 0; i < run.producers + run.consumers; ++i) {
    const std::string_view error = area.report(i)->error;
    if (error.empty()) continue;
    const bool producer = i < run.producers;
    return absl::InternalError(
        fmt::format("{} {}: {}", producer ? "producer" : "consumer", producer ? i : i - run.producers, error));
  }
  return status;
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
  return absl::IsCancelled(status) ? status : Explain(status, run, area);
}

// One run with files of its own; the result goes to its contender.
absl::Status RunOnce(Run run, const CaseOptions& options, Contender& contender, ContenderResult& result) {
  auto scratch = ScratchDirectory::Make(options.directory);
  if (!scratch.ok()) return scratch.status();
  run.directory = scratch->path();
  auto area = RunArea::Make(run);
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
