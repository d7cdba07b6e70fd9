// The answer: what has to come out of the pipeline, computed from the input alone, without a bus; and what came out.
#ifndef EXAMPLES_ETL_ANSWER_H_
#define EXAMPLES_ETL_ANSWER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "examples/etl/check.h"
#include "examples/etl/common.h"
#include "examples/etl/input.h"

namespace etl {

// Records, and how often each reason was given, with the first one as an example.
struct Stream {
  struct Reason {
    uint64_t count = 0;
    std::string example;
    libbus::Position position;  // of the example; of use in streams that were read from a topic
  };
  std::vector<Item> items;
  std::map<std::string, Reason> reasons;
  uint64_t unfinished = 0;  // records that a producer had begun when it was killed; nobody ever saw them
};

struct Answer {
  Stream in, out, dead;
  std::map<std::string, uint64_t> filtered_reasons;
  uint64_t filtered = 0;
};

// The answer for the input read `generations` times.
Answer ComputeAnswer(const Input& input, uint64_t generations);

// What stands in a topic.
Stream ReadTopic(libbus::Bus& bus, std::string_view name);

// What stands in the database, in the order in which it was loaded.
Stream ReadDatabase(const std::string& path);

}  // namespace etl

#endif  // EXAMPLES_ETL_ANSWER_H_
