// What a consumer reads of a topic, and how two readings differ.
#ifndef LIBBUS_TESTS_CRASH_POWER_READING_H_
#define LIBBUS_TESTS_CRASH_POWER_READING_H_

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/platform/status.h"

namespace libbus::test {

// A record or gap as it was read.
struct Seen {
  bool gap = false;
  bool loss = false;  // gaps
  uint64_t position = 0;
  uint64_t next = 0;
  uint32_t cause = 0;
  std::string payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};
using Reading = std::vector<Seen>;

inline Seen See(const RecordView& record) {
  Seen seen;
  seen.position = record.position().offset;
  seen.next = record.next_position().offset;
  seen.gap = record.kind() == RecordKind::kGap;
  if (seen.gap) {
    seen.loss = record.gap().loss();
    seen.cause = static_cast<uint32_t>(record.gap().cause);
  } else {
    seen.payload = std::string(record.text());
  }
  return seen;
}

inline std::string Text(const Seen& seen) {
  const std::string what =
      seen.gap ? fmt::format("gap of cause {}", seen.cause) : fmt::format("record of {} bytes", seen.payload.size());
  return fmt::format("{} at {}..{}", what, seen.position, seen.next);
}

// Reads to the end, or as far as one can. `first`: where the log begins.
inline absl::Status ReadAll(Topic& topic, const std::string& cursor, Reading& reading, uint64_t& first) {
  LIBBUS_ASSIGN_OR_RETURN(Consumer consumer,
                          topic.NewConsumer({.to = From::End(), .gaps = Gaps::kAll, .cursor = cursor}));
  first = consumer.position().offset;
  for (;;) {
    const auto record = consumer.Next(absl::ZeroDuration());
    if (record.status().code() == absl::StatusCode::kOutOfRange) return absl::OkStatus();
    LIBBUS_RETURN_IF_ERROR(record.status());
    reading.push_back(See(*record));
  }
}

inline const Seen* Find(const Reading& reading, uint64_t position) {
  const auto seen = std::lower_bound(reading.begin(), reading.end(), position,
                                     [](const Seen& seen, uint64_t position) { return seen.position < position; });
  return seen != reading.end() && seen->position == position ? &*seen : nullptr;
}

// True if gaps say that nothing from `from` to `to` is there.
inline bool IsGap(const Reading& reading, uint64_t from, uint64_t to) {
  for (const Seen& seen : reading) {
    if (seen.gap && seen.position <= from) from = std::max(from, seen.next);
  }
  return from >= to;
}

// Empty: `after`, of a log that begins at `first`, has from there on the records of `before` first, and where that had
// gaps, it has gaps; it may tell two of them as one. Else what differs.
inline std::string DiffersFromPrefix(const Reading& before, const Reading& after, uint64_t first) {
  auto next = after.begin();
  for (const Seen& seen : before) {
    if (seen.gap) {
      if (!IsGap(after, std::max(seen.position, first), seen.next)) return Text(seen) + " is no gap any more";
      continue;
    }
    if (seen.position < first) continue;
    next = std::find_if(next, after.end(), [](const Seen& other) { return !other.gap; });
    if (next == after.end()) return Text(seen) + " is gone";
    if (*next != seen) return fmt::format("{} was {}", Text(*next), Text(seen));
    ++next;
  }
  return "";
}

// The first item that differs.
inline std::string Difference(const Reading& a, const Reading& b) {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return fmt::format("{} was {}", in_b == b.end() ? "nothing" : Text(*in_b), in_a == a.end() ? "nothing" : Text(*in_a));
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_READING_H_
