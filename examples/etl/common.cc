#include "examples/etl/common.h"

#include <errno.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace etl {
namespace {

// The last record from where `consumer` stands up to the end as it is now.
std::optional<LastRecord> LastOf(libbus::Consumer& consumer) {
  std::optional<LastRecord> last;
  for (const libbus::RecordView& record : consumer.Records(absl::ZeroDuration())) {
    if (record.kind() != libbus::RecordKind::kData) continue;
    last = {record.position(), record.source(), record.type(), record.producer_sequence()};
  }
  const absl::Status& ended = consumer.status();
  if (!absl::IsDeadlineExceeded(ended) && !absl::IsOutOfRange(ended)) Must(ended);
  return last;
}

}  // namespace

void Die(std::string_view message) {
  fmt::print(stderr, "{}: {}\n", program_invocation_short_name, message);
  std::exit(1);
}

libbus::Topic OpenTopic(libbus::Bus& bus, std::string_view name) { return Must(bus.OpenTopic(name, {.create = true})); }

libbus::Limit LimitOf(const libbus::Topic& topic) {
  const bool synced = topic.options().sync != libbus::SyncPolicy::None();
  return synced ? libbus::Limit::kDurable : libbus::Limit::kCommitted;
}

std::optional<LastRecord> FindLast(libbus::Topic& topic) {
  // Nearly always the last record is one of data. Where it is a gap, look further back, until there is no further.
  std::optional<libbus::Position> before;
  for (uint64_t n = 1;; n *= 16) {
    libbus::Consumer consumer = Must(topic.NewConsumer({.from = libbus::From::Last(n)}));
    const libbus::Position start = consumer.position();
    if (std::optional<LastRecord> last = LastOf(consumer)) return last;
    if (before == start) return std::nullopt;
    before = start;
  }
}

std::string HeaderValue(const libbus::RecordView& record, std::string_view name) {
  for (const libbus::Header& header : record.headers()) {
    if (header.name == name) return std::string(header.value);
  }
  return "";
}

void TellStart(libbus::Producer& progress, std::string_view stage, std::string_view resumes,
               std::optional<libbus::Position> position) {
  const std::string text = position ? fmt::format("{}: {} position {}", stage, resumes, position->offset)
                                    : fmt::format("{}: starts at the beginning", stage);
  Must(progress.Publish(text, {.key = stage, .type = kStarted, .source = position}).status());
}

}  // namespace etl
