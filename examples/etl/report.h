// The demo's report: plain text for a person.
#ifndef EXAMPLES_ETL_REPORT_H_
#define EXAMPLES_ETL_REPORT_H_

#include <cstdint>
#include <string>

#include "examples/etl/answer.h"
#include "examples/etl/pipeline.h"

namespace etl {

// "1,234,567".
std::string Grouped(uint64_t number);

// A line of a table, without the spaces that its empty last columns leave.
void PrintLine(std::string_view line);

// What was loaded: queries on the database, shown as small tables.
void PrintData(const std::string& database, Form form);

// Why records were put aside or left out.
void PrintReasons(const Answer& answer, const Stream& dead);

// What each stage did, and each kill. `unfinished`: records that were half written when their producer was killed.
void PrintPipeline(const Pipeline& pipeline, const Answer& answer, uint64_t unfinished);

// Each stream beside its answer.
void PrintCheck(const Answer& answer, const Stream& in, const Stream& out, const Stream& dead);

// What it cost to acknowledge only what is durable: seconds beside those of the plain run, and syncs.
void PrintDurability(const std::string& bus, const Answer& answer, absl::Duration plain, absl::Duration durable,
                     absl::Duration interval);

// Where everything lies and what to try on it.
void PrintWhereNext(const std::string& programs, const std::string& bus, const std::string& database, Form form,
                    const Stream& dead);

}  // namespace etl

#endif  // EXAMPLES_ETL_REPORT_H_
