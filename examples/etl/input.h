// The input of the pipeline: files, whole in memory, cut into records. Read by etl_extract, and by etl_demo for its
// answer.
#ifndef EXAMPLES_ETL_INPUT_H_
#define EXAMPLES_ETL_INPUT_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "examples/etl/split.h"

namespace etl {

inline constexpr std::string_view kDpkgStatus = "/var/lib/dpkg/status";
inline constexpr std::string_view kAptLists = "/var/lib/apt/lists";

struct Input {
  Form form = Form::kText;
  std::string columns;                    // CSV: the line that names the columns
  std::vector<std::string_view> records;  // into texts
  std::vector<std::unique_ptr<std::string>> texts;
  size_t bytes = 0;
};

// What every Debian machine has: the status file and the package lists, in a fixed order. A list that is compressed is
// left out where apt's own reader for it is missing. NOT_FOUND: there is no status file.
absl::StatusOr<std::vector<std::string>> DefaultFiles(const std::string& status, const std::string& lists);

// OK: all records of the files, in order; at least one. All files have the form of the first.
absl::StatusOr<Input> ReadInput(const std::vector<std::string>& files);

}  // namespace etl

#endif  // EXAMPLES_ETL_INPUT_H_
