#include "bench/lib/runner.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

#include "bench/lib/content.h"
#include "bench/lib/one_run.h"
#include "bench/lib/others.h"

namespace libbus::bench {
namespace {

constexpr uint64_t kRunBytes = 256 << 20;
constexpr size_t kHeaderBytes = 24;
// A peer is an order of magnitude slower, and its rate does not depend on how many there are.
constexpr uint64_t kPeerPart = 4;
constexpr uint64_t kSpinRate = 100'000;
constexpr uint64_t kParkRate = 10'000;
// More than that is a test of memory, not of latency.
constexpr uint64_t kMaxPacedBytes = 1'000'000'000;

uint64_t DivideUp(uint64_t value, uint64_t parts) { return (value + parts - 1) / parts; }

// A quarter of what is free: a contender may hold several files at once.
uint64_t BytesThatFit(const std::string& directory) {
  struct statvfs stat {};
  if (statvfs(directory.c_str(), &stat) != 0) return kRunBytes;
  return std::min<uint64_t>(kRunBytes, stat.f_bavail * stat.f_frsize / 4);
}

Run UnpacedRun(const CaseOptions& options, uint64_t bytes) {
  const uint64_t fits = std::max<uint64_t>(bytes / (options.size + kHeaderBytes), 1);
  Run run;
  run.size = options.size;
  run.producers = options.producers;
  run.consumers = options.consumers;
  run.wait = options.wait;
  run.exclusive = options.exclusive;
  run.records = DivideUp(options.records > 0 ? options.records : fits, options.producers);
  return run;
}

Run PacedRun(const CaseOptions& options, uint64_t bytes) {
  Run run = UnpacedRun(options, bytes);
  uint64_t rate = options.rate > 0 ? options.rate : options.wait == Wait::kPark ? kParkRate : kSpinRate;
  rate = std::max<uint64_t>(std::min(rate, kMaxPacedBytes / options.size), 1);
  run.interval_ns = 1'000'000'000 / rate;
  run.records =
      std::min(run.records, DivideUp(std::max<uint64_t>(options.paced_ns / run.interval_ns, 1), run.producers));
  return run;
}

// The run as a contender is given it.
Run RunFor(Run run, const Contender& contender) {
  if (contender.kind() == Kind::kPeer && !run.paced()) run.records = DivideUp(run.records, kPeerPart);
  return run;
}

class CaseRunner {
 public:
  CaseRunner(const CaseOptions& options, const std::vector<std::unique_ptr<Contender>>& contenders)
      : options_(options), contenders_(contenders), random_(options.seed), order_(contenders.size()) {
    std::iota(order_.begin(), order_.end(), size_t{0});
    const uint64_t bytes = BytesThatFit(options.directory);
    unpaced_ = UnpacedRun(options, bytes);
    paced_ = PacedRun(options, bytes);
    result_ = {.options = options,
               .records = unpaced_.total(),
               .samples = paced_.total(),
               .interval_ns = paced_.interval_ns,
               .shrunk = options.records == 0 && bytes < kRunBytes,
               .contenders = {}};
    for (const auto& one : contenders) {
      result_.contenders.push_back({.name = std::string(one->name()), .kind = one->kind(), .refusal = RefusalOf(*one)});
    }
  }

  absl::StatusOr<CaseResult> Run() {
    const uint64_t start = NowNs();
    while (result_.rounds < options_.rounds) {
      if (auto ran = RunRound(); !ran.ok()) return ran;
      ++result_.rounds;
      if (options_.limit_ns > 0 && NowNs() - start >= options_.limit_ns) break;
    }
    return std::move(result_);
  }

 private:
  std::string RefusalOf(const Contender& contender) const {
    const auto refusal = options_.unpaced ? contender.Refusal(unpaced_) : std::string();
    return refusal.empty() && options_.paced ? contender.Refusal(paced_) : refusal;
  }

  absl::Status RunRound() {
    std::shuffle(order_.begin(), order_.end(), random_);
    for (const bool paced : {false, true}) {
      if (!(paced ? options_.paced : options_.unpaced)) continue;
      for (const size_t i : order_) {
        if (!result_.contenders[i].refusal.empty()) continue;
        if (auto ran = RunContender(paced, i); !ran.ok()) return ran;
      }
    }
    return absl::OkStatus();
  }

  // A peer that fails is no reason to show nothing of the others.
  absl::Status RunContender(bool paced, size_t index) {
    ContenderResult& result = result_.contenders[index];
    auto status = RunUntilQuiet(RunFor(paced ? paced_ : unpaced_, *contenders_[index]), index);
    if (status.ok() || absl::IsCancelled(status) || result.kind != Kind::kPeer) return status;
    result = {.name = result.name, .kind = result.kind, .refusal = std::string(status.message())};
    return absl::OkStatus();
  }

  absl::Status RunUntilQuiet(const bench::Run& run, size_t index) {
    for (uint32_t attempt = 1;; ++attempt) {
      const auto before = MeasureTravel();
      if (!before.ok()) return before.status();
      const OthersWatch others;
      const auto measured = RunOnce(run, options_.directory, options_.stopped, *contenders_[index]);
      if (!measured.ok()) return measured.status();
      const bool disturbed = others.Look().disturbs();
      const auto after = MeasureTravel();
      if (!after.ok()) return after.status();
      const bool moved = before->distance != after->distance;
      if ((moved || disturbed) && attempt < options_.attempts) {
        ++result_.dropped;
        continue;
      }
      result_.disturbed += moved || disturbed ? 1 : 0;
      Add(run, *measured, *after, moved || disturbed, result_.contenders[index]);
      return absl::OkStatus();
    }
  }

  void Add(const bench::Run& run, const Measured& measured, const Travel& travel, bool disturbed,
           ContenderResult& result) {
    auto& samples = run.paced() ? result.paced : result.unpaced;
    samples.push_back({.round = result_.rounds,
                       .travel = travel,
                       .disturbed = disturbed,
                       .rate = measured.rate,
                       .undisturbed = measured.undisturbed,
                       .latency = measured.latency});
    result.delays[static_cast<size_t>(travel.distance)].Add(measured.delays);
  }

  const CaseOptions& options_;
  const std::vector<std::unique_ptr<Contender>>& contenders_;
  std::mt19937_64 random_;
  std::vector<size_t> order_;
  bench::Run unpaced_;
  bench::Run paced_;
  CaseResult result_;
};

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
  if (options.rate <= kMaxRate) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("{} records a second: give at most {}", options.rate, kMaxRate));
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
  if (!within(options.attempts, kMaxRounds)) {
    return absl::InvalidArgumentError(fmt::format("{} attempts: give 1 to {}", options.attempts, kMaxRounds));
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
  return CaseRunner(options, contenders).Run();
}

}  // namespace libbus::bench
