// Measures this machine: libbus beside a ring and two journals. The work is in bench/lib.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/lib/durable.h"
#include "bench/lib/report.h"
#include "bench/lib/runner.h"
#include "tools/bus/commands.h"
#include "tools/bus/output.h"
#include "tools/bus/signals.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

namespace bench = libbus::bench;

constexpr uint64_t kSizes[] = {64, 1024, 65536};
constexpr uint64_t kDurableSizes[] = {64, 1024};
constexpr uint32_t kDurableProducers[] = {1, 4, 16};

struct BenchOptions {
  std::string size;
  std::string wait;
  std::string mode = "shared";
  bool durable = false;
  std::optional<uint32_t> producers;
  bench::CaseOptions common;
};

absl::StatusOr<std::vector<uint64_t>> SizesOf(const BenchOptions& options) {
  if (options.size.empty() && options.durable) return std::vector(std::begin(kDurableSizes), std::end(kDurableSizes));
  if (options.size.empty()) return std::vector(std::begin(kSizes), std::end(kSizes));
  const auto size = ParseSize(options.size);
  if (!size.ok()) return size.status();
  return std::vector<uint64_t>{*size};
}

absl::StatusOr<std::vector<libbus::Wait>> WaitsOf(const BenchOptions& options) {
  if (options.wait.empty()) return std::vector{libbus::Wait::kSpin, libbus::Wait::kPark};
  if (options.wait == "spin") return std::vector{libbus::Wait::kSpin};
  if (options.wait == "park") return std::vector{libbus::Wait::kPark};
  return UsageError(fmt::format("--wait {}: use spin or park", options.wait));
}

// One for each size and wait. All are checked before the first one runs.
absl::StatusOr<std::vector<bench::CaseOptions>> CasesOf(const BenchOptions& options) {
  const auto sizes = SizesOf(options);
  if (!sizes.ok()) return sizes.status();
  const auto waits = WaitsOf(options);
  if (!waits.ok()) return waits.status();
  std::vector<bench::CaseOptions> cases;
  for (const uint64_t size : *sizes) {
    for (const libbus::Wait wait : *waits) {
      bench::CaseOptions one = options.common;
      one.size = size;
      one.producers = options.producers.value_or(1);
      one.wait = wait;
      one.exclusive = options.mode == "exclusive";
      one.stopped = Interrupted;
      if (const auto checked = bench::CheckOptions(one); !checked.ok()) {
        return UsageError(std::string(checked.message()));
      }
      cases.push_back(std::move(one));
    }
  }
  return cases;
}

// What a case has to say, one after the other. False: nobody reads it.
class Reports {
 public:
  explicit Reports(const Tool& tool) : json_(tool.json) {}

  bool Print(const std::string& text, const std::string& json) {
    if (!std::exchange(first_, false) && !json_) Stdout().Write("\n");
    Stdout().Write(json_ ? json : text);
    return Stdout().Flush();
  }

 private:
  bool json_;
  bool first_ = true;
};

int Bench(const Tool& tool, const BenchOptions& options) {
  const auto cases = CasesOf(options);
  BUS_FAIL_IF_ERROR(cases.status());
  Reports reports(tool);
  for (const bench::CaseOptions& one : *cases) {
    const auto result = bench::RunCase(one, bench::AllContenders(one.exclusive));
    BUS_FAIL_IF_ERROR(result.status());
    if (!reports.Print(bench::TextReport(*result), bench::JsonReport(*result))) break;
  }
  return kOk;
}

absl::StatusOr<std::vector<bench::DurableOptions>> DurableCasesOf(const BenchOptions& options) {
  const auto sizes = SizesOf(options);
  if (!sizes.ok()) return sizes.status();
  std::vector<uint32_t> producers(std::begin(kDurableProducers), std::end(kDurableProducers));
  if (options.producers) producers = {*options.producers};
  std::vector<bench::DurableOptions> cases;
  for (const uint64_t size : *sizes) {
    for (const uint32_t count : producers) {
      cases.push_back({.size = size,
                       .producers = count,
                       .rounds = options.common.rounds,
                       .records = options.common.records,
                       .directory = options.common.directory,
                       .stopped = Interrupted});
      const auto checked = bench::CheckDurableOptions(cases.back());
      if (!checked.ok()) return UsageError(std::string(checked.message()));
    }
  }
  return cases;
}

int BenchDurable(const Tool& tool, const BenchOptions& options) {
  const auto cases = DurableCasesOf(options);
  BUS_FAIL_IF_ERROR(cases.status());
  Reports reports(tool);
  for (const bench::DurableOptions& one : *cases) {
    for (const auto run : {bench::RunDurableEach, bench::RunDurableByInterval}) {
      const auto result = run(one);
      BUS_FAIL_IF_ERROR(result.status());
      if (!reports.Print(bench::DurableText(*result), bench::DurableJson(*result))) return kOk;
    }
  }
  return kOk;
}

int BenchEither(const Tool& tool, const BenchOptions& options) {
  if (options.mode != "shared" && options.mode != "exclusive") {
    return Tool::Fail(UsageError(fmt::format("--mode {}: use shared or exclusive", options.mode)));
  }
  return options.durable ? BenchDurable(tool, options) : Bench(tool, options);
}

}  // namespace

void AddBenchCommand(CLI::App& app, Tool& tool) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* bench = Tool::AddCommand(
      app,
      {.name = "bench",
       .what = "measure this machine: libbus beside a ring in memory and two journals",
       .details =
           "Every record is verified by who reads it. The buses are made under --dir and removed again. All take their "
           "turn in each round, so that ratios compare what ran at the same time. Before and after each run the way of "
           "a "
           "cache line between two cores is measured: a run in which it changed, or others took the cores, is made "
           "again.",
       .examples = {"bus bench --size 64 --wait spin", "bus bench --durable --producers 16"}});
  bench->add_option("--size", options->size, "bytes of a record [64, 1K and 64K; --durable: 64 and 1K]")
      ->type_name("SIZE");
  bench->add_option("--producers", options->producers, "processes that publish [1; --durable: 1, 4 and 16]")
      ->type_name("N");
  auto* consumers =
      bench->add_option("--consumers", options->common.consumers, "processes that read, each every record [1]")
          ->type_name("N");
  auto* mode =
      bench->add_option("--mode", options->mode, "of the topic: shared, or exclusive, beside a shared one [shared]");
  mode->type_name("shared|exclusive");
  auto* wait = bench->add_option("--wait", options->wait, "what a consumer does that caught up: spin or park [both]")
                   ->type_name("spin|park");
  bench->add_flag("--durable", options->durable, "what it costs that a record survives a power loss")
      ->excludes(consumers)
      ->excludes(mode)
      ->excludes(wait);
  bench->add_option("--rate", options->common.rate, "records a second where delays are measured [100000; park: 10000]")
      ->type_name("N")
      ->excludes("--durable");
  bench->add_option("--rounds", options->common.rounds, "how often all take their turn [5]")->type_name("N");
  bench->add_option("--attempts", options->common.attempts, "at a run in which others took the cores [3]")
      ->type_name("N")
      ->excludes("--durable");
  bench->add_option("--records", options->common.records, "in an unpaced run [what fits 256 MiB; --durable: 4000]")
      ->type_name("N");
  bench->add_option("--dir", options->common.directory, "where the files lie while it runs [.]")->type_name("PATH");
  tool.OnRun(bench, [&tool, options] { return BenchEither(tool, *options); });
}

}  // namespace bustool
