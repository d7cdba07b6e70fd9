#include "bench/suite/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "bench/lib/copies.h"
#include "bench/lib/report.h"
#include "bench/lib/shared.h"
#include "bench/lib/travel.h"
#include "bench/peers/durable_peers.h"
#include "bench/peers/peers.h"

namespace libbus::bench {
namespace {

constexpr size_t kCopiedBytes = 64 << 20;
constexpr uint64_t kMinuteNs = 60'000'000'000;

std::vector<std::unique_ptr<Contender>> Contenders(const CaseOptions& options) {
  auto all = AllContenders(options.exclusive);
  if (options.wait == Wait::kPark && options.paced && !options.unpaced) all.push_back(MakeFutex());
  auto peers = AllPeers();
  std::move(peers.begin(), peers.end(), std::back_inserter(all));
  return all;
}

class Suite {
 public:
  Suite(const Plan& plan, const SuiteOptions& options)
      : plan_(plan), options_(options), started_(NowNs()), left_(std::max<size_t>(plan.steps(), 1)) {}

  int Run() {
    SayWhere();
    for (const Plan::Table& table : plan_.tables) {
      fmt::print(options_.text, "\n== {}\n", table.title);
      RunTable(table);
      if (Stopped()) return -1;
    }
    return failed_;
  }

 private:
  void SayWhere() {
    const auto travel = MeasureTravel();
    const uint32_t cores = Cores();
    if (travel.ok() && cores > 1) {
      fmt::print(options_.text, "{} cores, {}: a cache line takes {} ns\n", cores, DistanceName(travel->distance),
                 travel->ns);
    } else {
      fmt::print(options_.text, "one core: producers and consumers take turns, and what spins waits for its turn\n");
    }
    for (const std::string& line : MissingPeers()) fmt::print(options_.text, "{}\n", line);
    for (const std::string& line : MissingDurablePeers()) fmt::print(options_.text, "{}\n", line);
    std::fflush(options_.text);
  }

  bool Stopped() const { return options_.stopped && options_.stopped(); }

  // A step's part of the time that is left.
  uint64_t LimitNs() {
    const uint64_t all = options_.minutes * kMinuteNs;
    if (all == 0) return 0;
    const uint64_t gone = NowNs() - started_;
    return std::max<uint64_t>(gone < all ? (all - gone) / left_ : 0, 1);
  }

  void RunTable(const Plan::Table& table) {
    RunCopies(table);
    if (table.system != nullptr) RunSystem(table);
    for (const CaseOptions& one : table.cases) {
      if (!Stopped()) RunOneCase(table, one);
    }
    for (const DurableOptions& one : table.durable) {
      for (const auto run : {RunDurableEach, RunDurableByInterval}) {
        if (!Stopped()) RunOneDurable(table, one, run);
      }
    }
  }

  void RunCopies(const Plan::Table& table) {
    std::vector<Copies> all;
    for (const size_t size : table.copies) {
      const size_t bytes = options_.records > 0 ? options_.records * size : kCopiedBytes;
      const auto one = MeasureCopies(size, bytes, options_.rounds, options_.directory);
      if (!one.ok()) return Fail(fmt::format("memcpy of {} B", size), one.status());
      all.push_back(*one);
      WriteJson(table, CopiesJson(*one));
    }
    if (!all.empty()) Write(CopiesText(all));
  }

  void RunSystem(const Plan::Table& table) {
    const auto rows = table.system({options_.directory, options_.rounds, options_.records, options_.stopped});
    if (!rows.ok()) return Fail(table.title, rows.status());
    Write(RowsText(*rows));
    for (const Row& row : *rows) WriteJson(table, RowJson(row));
  }

  void RunOneCase(const Plan::Table& table, CaseOptions one) {
    one.rounds = options_.rounds;
    one.attempts = options_.attempts;
    one.directory = options_.directory;
    one.stopped = options_.stopped;
    one.records = options_.records;
    one.limit_ns = LimitNs();
    left_ = std::max<size_t>(left_ - 1, 1);
    const auto result = RunCase(one, Contenders(one));
    if (!result.ok()) {
      return Fail(fmt::format("{} B, {} to {}", one.size, one.producers, one.consumers), result.status());
    }
    Write(TextReport(*result));
    WriteJson(table, JsonReport(*result));
  }

  template <typename Run>
  void RunOneDurable(const Plan::Table& table, DurableOptions one, Run run) {
    one.rounds = options_.rounds;
    one.directory = options_.directory;
    one.stopped = options_.stopped;
    one.peers = AllDurablePeers;
    one.records = options_.records;
    one.limit_ns = LimitNs();
    left_ = std::max<size_t>(left_ - 1, 1);
    const auto result = run(one);
    if (!result.ok()) return Fail(fmt::format("durable, {} B, {} producers", one.size, one.producers), result.status());
    Write(DurableText(*result));
    WriteJson(table, DurableJson(*result));
  }

  void Write(const std::string& text) {
    fmt::print(options_.text, "\n{}", text);
    std::fflush(options_.text);
  }

  void WriteJson(const Plan::Table& table, const std::string& object) {
    if (options_.json == nullptr) return;
    fmt::print(options_.json, "{{\"table\":\"{}\",\"title\":\"{}\",{}", table.name, table.title, object.substr(1));
    std::fflush(options_.json);
  }

  void Fail(const std::string& what, const absl::Status& status) {
    if (absl::IsCancelled(status)) return;
    ++failed_;
    Write(fmt::format("{}: not measured: {}\n", what, std::string(status.message())));
  }

  const Plan& plan_;
  const SuiteOptions& options_;
  uint64_t started_;
  size_t left_;
  int failed_ = 0;
};

}  // namespace

int RunSuite(const Plan& plan, const SuiteOptions& options) { return Suite(plan, options).Run(); }

}  // namespace libbus::bench
