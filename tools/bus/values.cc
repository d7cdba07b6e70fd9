#include "tools/bus/values.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string>

#include "tools/bus/tool.h"

namespace bustool {
namespace {

absl::Status NotA(std::string_view text, std::string_view what, std::string_view use) {
  return UsageError(fmt::format("{}: not a {}: use {}", text, what, use));
}

template <typename T>
std::optional<T> Whole(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "7d"; anything else is none.
std::optional<absl::Duration> DaysOf(std::string_view text) {
  constexpr uint64_t kMostDays = 36500;
  const auto days = text.ends_with('d') ? Whole<uint64_t>(text.substr(0, text.size() - 1)) : std::nullopt;
  if (!days || *days > kMostDays) return std::nullopt;
  return absl::Hours(24 * static_cast<int64_t>(*days));
}

// What follows an '@'.
std::optional<absl::Time> ParseTimeValue(std::string_view text, absl::Time now) {
  if (const auto seconds = Whole<double>(text); seconds && std::isfinite(*seconds)) {
    if (*seconds >= 0) return absl::UnixEpoch() + absl::Seconds(*seconds);
  }
  absl::Duration ago;
  if (text.starts_with('-') && absl::ParseDuration(std::string(text), &ago)) return now + ago;
  if (const auto days = text.starts_with('-') ? DaysOf(text.substr(1)) : std::nullopt) return now - *days;
  return ParseRfc3339(text);
}

std::optional<libbus::From> PlaceOf(std::string_view text, absl::Time now) {
  if (text == "start") return libbus::From::Start();
  if (text == "end") return libbus::From::End();
  if (text.empty()) return std::nullopt;
  if (text[0] == '@') {
    const auto time = ParseTimeValue(text.substr(1), now);
    return time ? std::optional(libbus::From::Time(*time)) : std::nullopt;
  }
  const bool sign = text[0] == '+' || text[0] == '-';
  const auto number = Whole<uint64_t>(text.substr(sign ? 1 : 0));
  if (!number) return std::nullopt;
  if (text[0] == '+') return libbus::From::Sequence(*number);
  if (text[0] == '-') return libbus::From::Last(*number);
  return libbus::From::At(libbus::Position{*number});
}

// One way to read A:B. An empty A is the start, an empty B leaves the range open.
std::optional<Range> ParseSides(std::string_view a, std::string_view b, absl::Time now) {
  const auto from = a.empty() ? std::optional(libbus::From::Start()) : PlaceOf(a, now);
  const auto to = b.empty() ? std::nullopt : PlaceOf(b, now);
  if (!from || (!b.empty() && !to)) return std::nullopt;
  return Range{.from = *from, .to = to};
}

}  // namespace

absl::StatusOr<uint64_t> ParseNumber(std::string_view text, uint64_t highest) {
  const auto number = Whole<uint64_t>(text);
  if (number && *number <= highest) return *number;
  return NotA(text, "number", fmt::format("0 to {}", highest));
}

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  constexpr std::string_view kUnits = "KMG";
  const size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  const int shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) + 1);
  const auto number = Whole<uint64_t>(shift == 0 ? text : text.substr(0, text.size() - 1));
  if (number && *number <= UINT64_MAX >> shift) return *number << shift;
  return NotA(text, "size", "bytes, or a number with K, M or G");
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  absl::Duration duration;
  const bool parsed = absl::ParseDuration(std::string(text), &duration);
  if (parsed && duration >= absl::ZeroDuration() && duration != absl::InfiniteDuration()) return duration;
  return NotA(text, "duration", "10s, 500ms, 1h30m or 0");
}

absl::StatusOr<absl::Duration> ParseAge(std::string_view text) {
  if (const auto days = DaysOf(text)) return *days;
  const auto duration = ParseDuration(text);
  return duration.ok() ? duration : NotA(text, "duration", "7d, 12h or 90m");
}

absl::StatusOr<double> ParseRate(std::string_view text) {
  const auto rate = Whole<double>(text.ends_with("/s") ? text.substr(0, text.size() - 2) : text);
  if (rate && std::isfinite(*rate) && *rate > 0) return *rate;
  return NotA(text, "rate", "records per second: 1000/s");
}

std::optional<absl::Time> ParseRfc3339(std::string_view text) {
  absl::Time time;
  if (!absl::ParseTime("%Y-%m-%d%ET%H:%M:%E*S%Ez", std::string(text), &time, nullptr)) return std::nullopt;
  return time;
}

absl::StatusOr<libbus::Timestamps> ParseTimestamps(std::string_view text) {
  if (text == "coarse") return libbus::Timestamps::kCoarse;
  if (text == "precise") return libbus::Timestamps::kPrecise;
  if (text == "none") return libbus::Timestamps::kNone;
  return NotA(text, "kind of timestamps", "coarse, precise or none");
}

absl::StatusOr<libbus::Access> ParseAccess(std::string_view text) {
  if (text == "owner") return libbus::Access::kOwner;
  if (text == "group") return libbus::Access::kGroup;
  if (text == "world") return libbus::Access::kWorld;
  return NotA(text, "kind of access", "owner, group or world");
}

absl::StatusOr<libbus::Gaps> ParseGaps(std::string_view text) {
  if (text == "loss") return libbus::Gaps::kLoss;
  if (text == "all") return libbus::Gaps::kAll;
  if (text == "error") return libbus::Gaps::kError;
  return NotA(text, "choice of gaps", "loss, all or error");
}

absl::StatusOr<libbus::SyncPolicy> ParseSyncPolicy(std::string_view text) {
  if (text == "none") return libbus::SyncPolicy::None();
  if (text == "each") return libbus::SyncPolicy::Each();
  // A size first: 0 is no time here.
  if (const auto bytes = ParseSize(text); bytes.ok()) return libbus::SyncPolicy::EveryBytes(*bytes);
  if (const auto time = ParseDuration(text); time.ok()) return libbus::SyncPolicy::Every(*time);
  return NotA(text, "sync policy", "none, each, a time (10ms) or bytes (1M)");
}

absl::StatusOr<libbus::Limit> ParseLimit(std::string_view text) {
  if (text == "committed") return libbus::Limit::kCommitted;
  if (text == "durable") return libbus::Limit::kDurable;
  return NotA(text, "limit", "committed or durable");
}

std::string_view ModeText(const libbus::TopicOptions& options) {
  return options.exclusive.value_or(false) ? "exclusive" : "shared";
}

std::string_view TimestampsText(libbus::Timestamps timestamps) {
  constexpr std::string_view kNames[] = {"coarse", "precise", "none"};
  const auto i = static_cast<size_t>(timestamps);
  return i < std::size(kNames) ? kNames[i] : "unknown";
}

absl::StatusOr<libbus::From> ParsePlace(std::string_view text, absl::Time now) {
  if (const auto place = PlaceOf(text, now)) return *place;
  return NotA(text, "place", "start, end, N, +N, -N, @TIME or @-2h");
}

absl::StatusOr<Range> ParseRange(std::string_view text, absl::Time now) {
  if (const auto from = PlaceOf(text, now)) return Range{.from = *from, .to = std::nullopt};
  // Times hold colons too: the one that leaves two places is the one between them.
  for (size_t colon = text.find(':'); colon != std::string_view::npos; colon = text.find(':', colon + 1)) {
    if (const auto range = ParseSides(text.substr(0, colon), text.substr(colon + 1), now)) return *range;
  }
  return NotA(text, "range", "A:B of start, end, N, +N, -N, @TIME, @-2h");
}

}  // namespace bustool
