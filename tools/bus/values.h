// Values as they are written on the command line. Errors are usage errors.
#ifndef LIBBUS_TOOLS_BUS_VALUES_H_
#define LIBBUS_TOOLS_BUS_VALUES_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <libbus/options.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace bustool {

absl::StatusOr<uint64_t> ParseNumber(std::string_view text, uint64_t highest = UINT64_MAX);
// Bytes: a number, or one with K, M, G (1024 each).
absl::StatusOr<uint64_t> ParseSize(std::string_view text);
// 10s, 500ms, 1h30m, 0.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);
// The same, and days: 7d.
absl::StatusOr<absl::Duration> ParseAge(std::string_view text);
// Records per second: N or N/s.
absl::StatusOr<double> ParseRate(std::string_view text);
// 2026-11-21T10:00:00.5Z, or with an offset from UTC.
std::optional<absl::Time> ParseRfc3339(std::string_view text);
absl::StatusOr<libbus::Timestamps> ParseTimestamps(std::string_view text);
absl::StatusOr<libbus::Access> ParseAccess(std::string_view text);
absl::StatusOr<libbus::Gaps> ParseGaps(std::string_view text);
// none, each, a time with its unit (10ms), bytes as ParseSize has them.
absl::StatusOr<libbus::SyncPolicy> ParseSyncPolicy(std::string_view text);
absl::StatusOr<libbus::Limit> ParseLimit(std::string_view text);
// "shared" or "exclusive".
std::string_view ModeText(const libbus::TopicOptions& options);

// "coarse", "precise", "none"; "unknown" for what a newer version has.
std::string_view TimestampsText(libbus::Timestamps timestamps);

struct Range {
  libbus::From from = libbus::From::Start();
  std::optional<libbus::From> to;  // unset: open
};
// One place of a range: start, end, N, +N, -N, @TIME, @-2h.
absl::StatusOr<libbus::From> ParsePlace(std::string_view text, absl::Time now);
// A:B, A or B empty; a lone A means A:. `now` is what @-2h counts from.
absl::StatusOr<Range> ParseRange(std::string_view text, absl::Time now);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_VALUES_H_
