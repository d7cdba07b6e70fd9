// What a system case has measured: figures beside what they are compared with, as text and as lines of JSON.
#ifndef LIBBUS_BENCH_SYSTEM_ROWS_H_
#define LIBBUS_BENCH_SYSTEM_ROWS_H_

#include <string>
#include <vector>

namespace libbus::bench {

struct Row {
  std::string what;
  std::string unit;
  std::vector<double> values;  // of each round; not empty
  // What it is compared with: what the machine, or the same with less of it, gives. Empty: with nothing.
  std::string beside = {};
  std::vector<double> limits = {};  // of each round, in the same unit
  std::string remark = {};          // smaller than was wanted, say
};

// A table: medians with the lowest and the highest, and the ratio of the medians.
std::string RowsText(const std::vector<Row>& rows);

// One object on one line.
std::string RowJson(const Row& row);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SYSTEM_ROWS_H_
