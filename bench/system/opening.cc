// Opening a bus: closed in order, whatever its size; and after the death of its only producer.
#include <fmt/format.h>

#include <utility>

#include "bench/lib/shared.h"
#include "bench/system/bus.h"

namespace libbus::bench {
namespace {

constexpr uint64_t kSmallSegment = 64 << 10;

// A new process that opens it to write, and closes it.
absl::StatusOr<double> OpenMs(const std::string& bus) {
  return FigureOf([&]() -> absl::StatusOr<double> {
    const uint64_t start = NowNs();
    {
      const auto topic = OpenTopic(bus, {.background = false});
      if (!topic.ok()) return topic.status();
    }
    return MsSince(start);
  });
}

// A new process that opens it to read, up to where it can wait for the next record.
absl::StatusOr<double> FollowMs(const std::string& bus) {
  return FigureOf([&]() -> absl::StatusOr<double> {
    const uint64_t start = NowNs();
    auto topic = OpenTopic(bus, {.read_only = true});
    if (!topic.ok()) return topic.status();
    auto consumer = topic->NewConsumer({.from = From::End()});
    if (!consumer.ok()) return consumer.status();
    const auto record = consumer->Next(absl::ZeroDuration());
    if (!absl::IsDeadlineExceeded(record.status())) return absl::InternalError("there is something behind the end");
    return MsSince(start);
  });
}

// A topic of so many segments, each with one record.
absl::Status FillSegments(const std::string& bus, uint64_t segments) {
  return Fill(bus, {.records = segments, .size = kSmallSegment - 4096, .segment_size = kSmallSegment});
}

absl::Status MeasureSegments(const SystemOptions& options, std::vector<Row>& rows) {
  const uint64_t many = options.tiny() ? 10 : 1000;
  Row write = {fmt::format("open to write and close, {} segments", many), "ms", {}, "one segment", {}};
  Row follow = {fmt::format("open to read at the end, {} segments", many), "ms", {}, "one segment", {}};
  for (uint32_t round = 0; round < options.rounds; ++round) {
    auto scratch = ScratchDirectory::Make(options.directory);
    if (!scratch.ok()) return scratch.status();
    for (const uint64_t segments : {uint64_t{1}, many}) {
      const std::string bus = fmt::format("{}/bus{}", scratch->path(), segments);
      if (auto filled = FillSegments(bus, segments); !filled.ok()) return filled;
      const auto written = OpenMs(bus);
      const auto followed = FollowMs(bus);
      if (!written.ok()) return written.status();
      if (!followed.ok()) return followed.status();
      (segments == 1 ? write.limits : write.values).push_back(*written);
      (segments == 1 ? follow.limits : follow.values).push_back(*followed);
    }
    if (options.Stopped()) return absl::CancelledError("interrupted");
  }
  rows.push_back(std::move(write));
  rows.push_back(std::move(follow));
  return absl::OkStatus();
}

// After a death nothing is written anew, and nothing is read but what the hint did not cover.
absl::Status MeasureAfterDeath(const SystemOptions& options, uint64_t wanted, std::vector<Row>& rows) {
  Row row = {"", "ms", {}, "closed in order", {}};
  uint64_t bytes = RoomFor(options.directory, wanted, 1, row.remark);
  if (options.tiny()) bytes = 1 << 20;
  row.what = fmt::format("open to write after the producer's death, {}", Size(bytes));
  auto scratch = ScratchDirectory::Make(options.directory);
  if (!scratch.ok()) return scratch.status();
  const std::string bus = scratch->path() + "/bus";
  if (auto filled = Fill(bus, {.records = bytes / 1048, .closed = false}); !filled.ok()) return filled;
  for (uint32_t round = 0; round < options.rounds; ++round) {
    if (options.Stopped()) return absl::CancelledError("interrupted");
    const auto dead = OpenMs(bus);  // and closes it in order
    const auto closed = OpenMs(bus);
    if (!dead.ok()) return dead.status();
    if (!closed.ok()) return closed.status();
    row.values.push_back(*dead);
    row.limits.push_back(*closed);
    if (auto again = Fill(bus, {.records = 100, .closed = false}); !again.ok()) return again;
  }
  rows.push_back(std::move(row));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Row>> MeasureOpening(const SystemOptions& options) {
  std::vector<Row> rows;
  if (auto done = MeasureSegments(options, rows); !done.ok()) return done;
  for (const uint64_t gib : {uint64_t{1}, uint64_t{10}}) {
    if (auto done = MeasureAfterDeath(options, gib << 30, rows); !done.ok()) return done;
    if (options.tiny()) break;
  }
  return rows;
}

}  // namespace libbus::bench
