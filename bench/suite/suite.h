// Runs a plan and says what came out, as text and as lines of JSON. A case that cannot be run here (no room, say) is
// one line, and the rest goes on.
#ifndef LIBBUS_BENCH_SUITE_SUITE_H_
#define LIBBUS_BENCH_SUITE_SUITE_H_

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

#include "bench/suite/plan.h"

namespace libbus::bench {

struct SuiteOptions {
  std::string directory = ".";
  uint32_t rounds = 5;
  uint32_t attempts = 3;
  uint64_t records = 0;  // of each run; 0: as many as make sense
  uint64_t minutes = 0;  // after which rounds get fewer; 0: no limit
  std::FILE* text;       // where the tables go
  std::FILE* json;       // where the lines go: "table" and the keys of its report. Null: nowhere
  std::function<bool()> stopped;
};

// How many cases failed; -1: stopped.
int RunSuite(const Plan& plan, const SuiteOptions& options);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SUITE_SUITE_H_
