// What publishing and committing cost as there are more topics, consumers, cursors and segments.
#include <fmt/format.h>

#include <utility>

#include "bench/lib/content.h"
#include "bench/lib/shared.h"
#include "bench/system/bus.h"

namespace libbus::bench {
namespace {

constexpr size_t kPayload = 64;
constexpr uint64_t kSegment = 1 << 20;

// Publishes so many records to each producer in turn; ns for each.
absl::StatusOr<double> PublishNs(std::vector<Producer>& producers, uint64_t records) {
  std::vector<std::byte> payload(kPayload);
  FillRecord(RecordId(0, 0), payload);
  const uint64_t start = NowNs();
  for (uint64_t i = 0; i < records; ++i) {
    const auto done = producers[i % producers.size()].Publish(payload);
    if (!done.ok()) return done.status();
  }
  return SecondsSince(start) * 1e9 / static_cast<double>(records);
}

absl::StatusOr<std::vector<Topic>> MakeTopics(Bus& bus, uint64_t count) {
  std::vector<Topic> topics;
  for (uint64_t i = 0; i < count; ++i) {
    auto topic = bus.OpenTopic(fmt::format("t{}", i), {.create = true, .segment_size = kSegment});
    if (!topic.ok()) return topic.status();
    topics.push_back(*std::move(topic));
  }
  return topics;
}

absl::Status AddProducers(std::vector<Topic>& topics, std::vector<Producer>& producers) {
  for (Topic& topic : topics) {
    auto producer = topic.NewProducer();
    if (!producer.ok()) return producer.status();
    producers.push_back(*std::move(producer));
  }
  return absl::OkStatus();
}

// With `count` topics that are published to in turn.
absl::StatusOr<double> WithTopics(const std::string& path, uint64_t count, uint64_t records) {
  auto bus = Bus::Open(path, {.create = true});
  if (!bus.ok()) return bus.status();
  auto topics = MakeTopics(*bus, count);
  if (!topics.ok()) return topics.status();
  std::vector<Producer> producers;
  if (auto added = AddProducers(*topics, producers); !added.ok()) return added;
  // Each topic's first pages.
  if (const auto warm = PublishNs(producers, count); !warm.ok()) return warm.status();
  return PublishNs(producers, records);
}

// With `count` consumers attached to the topic, or cursors, or segments in it.
absl::StatusOr<double> WithConsumers(const std::string& path, uint64_t count, uint64_t records) {
  auto topic = OpenTopic(path, {.create = true}, {.create = true});
  if (!topic.ok()) return topic.status();
  std::vector<Consumer> consumers;
  for (uint64_t i = 0; i < count; ++i) {
    auto consumer = topic->NewConsumer();
    if (!consumer.ok()) return consumer.status();
    consumers.push_back(*std::move(consumer));
  }
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  std::vector<Producer> producers;
  producers.push_back(*std::move(producer));
  return PublishNs(producers, records);
}

absl::StatusOr<double> WithCursors(const std::string& path, uint64_t count, uint64_t records) {
  auto topic = OpenTopic(path, {.create = true}, {.create = true});
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  if (const auto first = producer->Publish("x"); !first.ok()) return first.status();
  for (uint64_t i = 0; i < count; ++i) {
    auto consumer = topic->NewConsumer({.cursor = fmt::format("c{}", i)});
    if (!consumer.ok()) return consumer.status();
    if (const auto record = consumer->Next(absl::ZeroDuration()); !record.ok()) return record.status();
    if (auto committed = consumer->Commit(); !committed.ok()) return committed;
  }
  std::vector<Producer> producers;
  producers.push_back(*std::move(producer));
  return PublishNs(producers, records);
}

absl::StatusOr<double> WithSegments(const std::string& path, uint64_t count, uint64_t records) {
  auto topic = OpenTopic(path, {.create = true}, {.create = true, .segment_size = kSegment});
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  const std::vector<std::byte> large(kSegment - 4096);
  for (uint64_t i = 0; i < count; ++i) {
    if (const auto done = producer->Publish(large); !done.ok()) return done.status();
  }
  std::vector<Producer> producers;
  producers.push_back(*std::move(producer));
  return PublishNs(producers, records);
}

using Grown = absl::StatusOr<double> (*)(const std::string& path, uint64_t count, uint64_t records);

absl::StatusOr<double> Measure(const SystemOptions& options, Grown grown, uint64_t count) {
  auto scratch = ScratchDirectory::Make(options.directory);
  if (!scratch.ok()) return scratch.status();
  const uint64_t records = options.tiny() ? 100 : 500'000;
  return FigureOf([&] { return grown(scratch->path() + "/bus", count, records); });
}

absl::Status AddGrowth(const SystemOptions& options, std::string_view what, Grown grown, std::vector<Row>& rows) {
  const std::vector<uint64_t> counts = options.tiny() ? std::vector<uint64_t>{2} : std::vector<uint64_t>{10, 100, 1000};
  std::vector<Row> found;
  found.reserve(counts.size());
  for (const uint64_t count : counts) {
    found.push_back({fmt::format("publish 64 B, {} {}s", count, what), "ns", {}, fmt::format("one {}", what), {}});
  }
  for (uint32_t round = 0; round < options.rounds; ++round) {
    const auto one = Measure(options, grown, 1);
    if (!one.ok()) return one.status();
    for (size_t i = 0; i < counts.size(); ++i) {
      if (options.Stopped()) return absl::CancelledError("interrupted");
      const auto many = Measure(options, grown, counts[i]);
      if (!many.ok()) return many.status();
      found[i].values.push_back(*many);
      found[i].limits.push_back(*one);
    }
  }
  for (Row& row : found) rows.push_back(std::move(row));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Row>> MeasureGrowth(const SystemOptions& options) {
  std::vector<Row> rows;
  const std::pair<std::string_view, Grown> kinds[] = {
      {"topic", WithTopics}, {"consumer", WithConsumers}, {"cursor", WithCursors}, {"segment", WithSegments}};
  for (const auto& [what, grown] : kinds) {
    if (auto done = AddGrowth(options, what, grown, rows); !done.ok()) return done;
  }
  return rows;
}

}  // namespace libbus::bench
