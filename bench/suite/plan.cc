#include "bench/suite/plan.h"

#include <utility>

namespace libbus::bench {
namespace {

constexpr size_t kSizes[] = {64, 256, 1024, 64 << 10, 1 << 20};
constexpr std::pair<uint32_t, uint32_t> kTopologies[] = {{1, 1}, {2, 1}, {4, 1}, {1, 2}, {1, 4}};
constexpr uint64_t kRates[] = {10'000, 100'000, 1'000'000};
constexpr uint64_t kSecondNs = 1'000'000'000;

CaseOptions Unpaced(size_t size, uint32_t producers, uint32_t consumers, Wait wait) {
  CaseOptions one;
  one.size = size;
  one.producers = producers;
  one.consumers = consumers;
  one.wait = wait;
  one.paced = false;
  return one;
}

CaseOptions Exclusive(CaseOptions one) {
  one.exclusive = true;
  return one;
}

// Long enough that a tenth of a thousandth of the records are several: p99.99.
CaseOptions Paced(size_t size, uint64_t rate, Wait wait) {
  CaseOptions one = Unpaced(size, 1, 1, wait);
  one.unpaced = false;
  one.paced = true;
  one.rate = rate;
  one.paced_ns = kSecondNs;
  return one;
}

DurableOptions Durable(size_t size, uint32_t producers) {
  DurableOptions one;
  one.size = size;
  one.producers = producers;
  return one;
}

Plan::Table Rates(Wait wait) {
  const bool spin = wait == Wait::kSpin;
  Plan::Table table = {spin ? "rates-spin" : "rates-park",
                       spin ? "Records a second, consumers that spin" : "Records a second, consumers that park"};
  for (const size_t size : kSizes) {
    table.cases.push_back(Exclusive(Unpaced(size, 1, 1, wait)));
    for (const auto& [producers, consumers] : kTopologies) {
      table.cases.push_back(Unpaced(size, producers, consumers, wait));
    }
  }
  return table;
}

Plan::Table Delays(Wait wait) {
  const bool spin = wait == Wait::kSpin;
  Plan::Table table = {spin ? "delays-spin" : "delays-park",
                       spin ? "From due to read, consumers that spin" : "From due to read, consumers that park"};
  for (const size_t size : kSizes) {
    for (const uint64_t rate : kRates) table.cases.push_back(Exclusive(Paced(size, rate, wait)));
  }
  return table;
}

}  // namespace

size_t Plan::steps() const {
  size_t steps = 0;
  for (const Table& table : tables) steps += table.cases.size() + 2 * table.durable.size();
  return steps;
}

Plan Headline() {
  Plan plan;
  plan.tables.push_back({.name = "memory", .title = "What memory gives", .copies = {64, 1024, 64 << 10}});
  plan.tables.push_back({.name = "rates",
                         .title = "Records a second",
                         .cases = {Exclusive(Unpaced(64, 1, 1, Wait::kSpin)), Unpaced(1024, 1, 1, Wait::kSpin),
                                   Unpaced(64 << 10, 1, 1, Wait::kSpin), Unpaced(64, 2, 1, Wait::kSpin),
                                   Unpaced(64, 1, 2, Wait::kSpin)}});
  plan.tables.push_back({.name = "delays",
                         .title = "From due to read",
                         .cases = {Exclusive(Paced(64, 100'000, Wait::kSpin)), Paced(64, 10'000, Wait::kPark)}});
  plan.tables.push_back({.name = "durable", .title = "Durable", .durable = {Durable(64, 1), Durable(64, 16)}});
  return plan;
}

Plan Full() {
  Plan plan;
  plan.tables.push_back(
      {.name = "memory", .title = "What memory gives", .copies = {std::begin(kSizes), std::end(kSizes)}});
  plan.tables.push_back(Rates(Wait::kSpin));
  plan.tables.push_back(Rates(Wait::kPark));
  plan.tables.push_back(Delays(Wait::kSpin));
  plan.tables.push_back(Delays(Wait::kPark));
  Plan::Table durable = {.name = "durable", .title = "Durable"};
  for (const size_t size : {size_t{64}, size_t{1024}}) {
    for (const uint32_t producers : {1u, 4u, 16u}) durable.durable.push_back(Durable(size, producers));
  }
  plan.tables.push_back(std::move(durable));
  for (const SystemTable& table : SystemTables()) {
    plan.tables.push_back(
        {.name = std::string(table.name), .title = std::string(table.title), .system = table.measure});
  }
  return plan;
}

}  // namespace libbus::bench
