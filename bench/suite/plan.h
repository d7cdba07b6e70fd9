// What the suite measures: tables of cases.
#ifndef LIBBUS_BENCH_SUITE_PLAN_H_
#define LIBBUS_BENCH_SUITE_PLAN_H_

#include <string>
#include <vector>

#include "bench/lib/durable.h"
#include "bench/lib/runner.h"
#include "bench/system/cases.h"

namespace libbus::bench {

struct Plan {
  // A table has a name, and cases of one of four kinds.
  struct Table {
    std::string name;
    std::string title;
    std::vector<CaseOptions> cases;
    std::vector<DurableOptions> durable;  // each is measured record by record, and by interval
    std::vector<size_t> copies;           // sizes
    SystemCase system = nullptr;          // measures all of it
  };
  std::vector<Table> tables;

  size_t steps() const;
};

// The headline: what one wants to know first, in a few minutes. Full: every size, topology, wait
// and rate, and what surrounds the hot path.
Plan Headline();
Plan Full();

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SUITE_PLAN_H_
