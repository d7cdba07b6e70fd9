// A case's figures, for people and as JSON.
#ifndef LIBBUS_BENCH_REPORT_H_
#define LIBBUS_BENCH_REPORT_H_

#include <string>
#include <string_view>

#include "bench/lib/runner.h"

namespace libbus::bench {

// The median of the rounds' ratios of libbus's rate to a reference's.
double RatioTo(const CaseResult& result, std::string_view reference);

// A table with a line for each contender. Ends with a newline.
std::string TextReport(const CaseResult& result);

// One object on one line. Ends with a newline.
std::string JsonReport(const CaseResult& result);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_REPORT_H_
