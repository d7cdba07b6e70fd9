// What the programs of the pipeline agree on:
//
//   etl_extract --> [raw] --> etl_transform --> [clean] --> etl_load --> SQLite
//                                          \-> [dead-letters]
//
// and, beside it, [progress], in which the stages tell when they start and how far they are.
#ifndef EXAMPLES_ETL_COMMON_H_
#define EXAMPLES_ETL_COMMON_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "libbus/bus.h"

namespace etl {

inline constexpr std::string_view kRaw = "raw";
inline constexpr std::string_view kClean = "clean";
inline constexpr std::string_view kDeadLetters = "dead-letters";
inline constexpr std::string_view kProgress = "progress";

// RecordOptions::type.
enum RecordType : uint32_t {
  kDescription = 1,  // the first record of raw: what the input is, so that transform need not be told
  kRecord = 2,       // one record of the input; RecordOptions::producer_sequence is its number, from 0, in every topic
  kEndOfInput = 3,   // the last record of raw and of clean: whoever has handled it is done
  kStarted = 4,      // progress: a stage began, source says behind which position it resumed
  kLoaded = 5,       // progress: a transaction was committed, source says up to which position of clean
};

// Under this name the numbers of the input's records count (RecordOptions::producer).
inline constexpr std::string_view kNumberedBy = "extract";

// Headers of records: how often the input had been repeated before, and why a record was put aside.
inline constexpr std::string_view kGeneration = "generation";
inline constexpr std::string_view kReason = "reason";

// Prints "program: message" in one line and ends the process. A stage may end anywhere: its next run goes on.
[[noreturn]] void Die(std::string_view message);

inline void Must(const absl::Status& status) {
  if (!status.ok()) Die(std::string_view(status.message().data(), status.message().size()));
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}

// The topic, created when it is not there yet.
libbus::Topic OpenTopic(libbus::Bus& bus, std::string_view name);

// How far a topic is to be read: where it has a sync policy, somebody wants nothing done with what a power loss may
// take back.
libbus::Limit LimitOf(const libbus::Topic& topic);

// What a resuming stage wants to know about the last record of a topic.
struct LastRecord {
  libbus::Position position;
  std::optional<libbus::Position> source;
  uint32_t type = 0;
  uint64_t number = 0;
};

// The last record of a topic, or none. Steps over the gaps that killed producers left behind it.
std::optional<LastRecord> FindLast(libbus::Topic& topic);

// The value of a header, or empty.
std::string HeaderValue(const libbus::RecordView& record, std::string_view name);

// Tells in `progress` that a stage starts: "stage: `resumes` position N", or at the beginning.
void TellStart(libbus::Producer& progress, std::string_view stage, std::string_view resumes,
               std::optional<libbus::Position> position);

}  // namespace etl

#endif  // EXAMPLES_ETL_COMMON_H_
