// Measures this machine: libbus beside a ring and two journals. The work is in bench/lib.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

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

struct BenchOptions {
  std::string size;
  std::string wait;
  std::string mode = "shared";
  bench::CaseOptions common;
};

absl::StatusOr<std::vector<uint64_t>> SizesOf(const BenchOptions& options) {
  if (options.size.empty()) return std::vector<uint64_t>(std::begin(kSizes), std::end(kSizes));
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
  if (options.mode != "shared") return UsageError(fmt::format("--mode {}: use shared", options.mode));
  const auto sizes = SizesOf(options);
  if (!sizes.ok()) return sizes.status();
  const auto waits = WaitsOf(options);
  if (!waits.ok()) return waits.status();
  std::vector<bench::CaseOptions> cases;
  for (const uint64_t size : *sizes) {
    for (const libbus::Wait wait : *waits) {
      bench::CaseOptions one = options.common;
      one.size = size;
      one.wait = wait;
      one.stopped = Interrupted;
      if (const auto checked = bench::CheckOptions(one); !checked.ok()) {
        return UsageError(std::string(checked.message()));
      }
      cases.push_back(std::move(one));
    }
  }
  return cases;
}

int Bench(const Tool& tool, const BenchOptions& options) {
  const auto cases = CasesOf(options);
  BUS_FAIL_IF_ERROR(cases.status());
  bool first = true;
  for (const bench::CaseOptions& one : *cases) {
    const auto result = bench::RunCase(one, bench::AllContenders());
    BUS_FAIL_IF_ERROR(result.status());
    if (!std::exchange(first, false) && !tool.json) Stdout().Write("\n");
    Stdout().Write(tool.json ? bench::JsonReport(*result) : bench::TextReport(*result));
    if (!Stdout().Flush()) break;
  }
  return kOk;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Tool& tool) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* bench = Tool::AddCommand(app, "bench",
                                     "measure this machine: libbus beside a ring in memory and two journals, every "
                                     "record verified",
                                     "bus bench --size 64 --wait spin");
  bench->add_option("--size", options->size, "bytes of a record [64, 1K and 64K]")->type_name("SIZE");
  bench->add_option("--producers", options->common.producers, "processes that publish [1]")->type_name("N");
  bench->add_option("--consumers", options->common.consumers, "processes that read, each every record [1]")
      ->type_name("N");
  bench->add_option("--mode", options->mode, "of the topic: shared [shared]")->type_name("MODE");
  bench->add_option("--wait", options->wait, "what a consumer does that caught up: spin or park [both]")
      ->type_name("HOW");
  bench->add_option("--rounds", options->common.rounds, "how often all take their turn [5]")->type_name("N");
  bench->add_option("--records", options->common.records, "in an unpaced run [what fits 256 MiB]")->type_name("N");
  bench->add_option("--dir", options->common.directory, "where the files lie while it runs [.]")->type_name("PATH");
  tool.OnRun(bench, [&tool, options] { return Bench(tool, *options); });
}

}  // namespace bustool
