// Diagnoses as they are put together.
#ifndef LIBBUS_INSPECT_DIAGNOSES_H_
#define LIBBUS_INSPECT_DIAGNOSES_H_

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/doctor.h"
#include "libbus/inspect/facts.h"
#include "libbus/options.h"

namespace libbus::inspect {

// Says what one check found. A check that found nothing wrong says so once, at its end.
class Check {
 public:
  Check(std::vector<Diagnosis>& out, std::string_view name) : out_(out), name_(name), first_(out.size()) {}

  void Cost(std::string_view what, std::string_view cure) { Add(DiagnosisLevel::kCost, what, cure); }
  void Broken(std::string_view what, std::string_view cure) { Add(DiagnosisLevel::kBroken, what, cure); }
  // Unless something was said before.
  void ElseOk(std::string_view what) {
    if (out_.size() == first_) Add(DiagnosisLevel::kOk, what, "");
  }

 private:
  void Add(DiagnosisLevel level, std::string_view what, std::string_view cure) {
    out_.push_back({level, name_, std::string(what), std::string(cure)});
  }

  std::vector<Diagnosis>& out_;
  const std::string name_;
  const size_t first_;
};

// "64.0 MiB".
inline std::string SizeText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  double size = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; size >= 1024 && unit + 1 < std::size(kUnits); ++unit) size /= 1024;
  return fmt::format("{:.1f} {}", size, kUnits[unit]);
}

// Of the topics that are there; else of one made with the defaults.
inline uint64_t LargestSegment(const Facts& facts) {
  uint64_t largest = facts.topics.empty() ? kDefaultSegmentSize : 0;
  for (const TopicFacts& topic : facts.topics) largest = std::max(largest, topic.segment_size);
  return largest;
}

// One of each topic.
inline uint64_t AllSegments(const Facts& facts) {
  uint64_t all = facts.topics.empty() ? kDefaultSegmentSize : 0;
  for (const TopicFacts& topic : facts.topics) all += topic.segment_size;
  return all;
}

inline bool InMemory(const Facts& facts) { return facts.type == "tmpfs" || facts.type == "ramfs"; }

inline bool HasOption(const Facts& facts, std::string_view option) {
  return std::find(facts.options.begin(), facts.options.end(), option) != facts.options.end();
}

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_DIAGNOSES_H_
