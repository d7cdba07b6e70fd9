// A case's figures, for people and as JSON.
#ifndef LIBBUS_BENCH_REPORT_H_
#define LIBBUS_BENCH_REPORT_H_

#include <string>

#include "bench/lib/runner.h"

namespace libbus::bench {

// A table with a line for each contender, one table for each distance of the cores at which libbus was measured; below
// it libbus beside the best peer and the limit, and how its delays are spread. Ends with a newline.
std::string TextReport(const CaseResult& result);

// One object on one line, of the distance with most rounds; where a contender has nothing there, for the cores moved
// too often, of all rounds, and its class is "mixed". Ends with a newline.
std::string JsonReport(const CaseResult& result);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_REPORT_H_
