// How much memory a topic and a consumer take: PSS, what is shared with others divided among them.
#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <string>
#include <utility>

#include "bench/system/bus.h"

namespace libbus::bench {
namespace {

// PSS of this process in KiB.
absl::StatusOr<double> PssKib() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Pss:")) return std::stod(line.substr(4));
  }
  return absl::UnavailableError("/proc/self/smaps_rollup: there is none");
}

// KiB for each of `count` that `add` makes. The first one brought the code and the allocator's pages, and does not
// count.
absl::StatusOr<double> PssOfEach(uint64_t count, const std::function<absl::Status(uint64_t number)>& add) {
  if (auto added = add(0); !added.ok()) return added;
  const auto before = PssKib();
  if (!before.ok()) return before.status();
  for (uint64_t i = 1; i <= count; ++i) {
    if (auto added = add(i); !added.ok()) return added;
  }
  const auto after = PssKib();
  if (!after.ok()) return after.status();
  return (*after - *before) / static_cast<double>(count);
}

// Topics, each with a producer that has published a record.
absl::StatusOr<double> OfTopics(const std::string& path, uint64_t count) {
  auto bus = Bus::Open(path, {.create = true, .background = false});
  if (!bus.ok()) return bus.status();
  std::vector<Topic> topics;
  std::vector<Producer> producers;
  return PssOfEach(count, [&](uint64_t number) -> absl::Status {
    auto topic = bus->OpenTopic(fmt::format("t{}", number), {.create = true});
    if (!topic.ok()) return topic.status();
    auto producer = topic->NewProducer();
    if (!producer.ok()) return producer.status();
    if (const auto done = producer->Publish("one record"); !done.ok()) return done.status();
    topics.push_back(*std::move(topic));
    producers.push_back(*std::move(producer));
    return absl::OkStatus();
  });
}

// Consumers of one topic that have read a record.
absl::StatusOr<double> OfConsumers(const std::string& path, uint64_t count) {
  auto topic = OpenTopic(path, {.create = true, .background = false}, {.create = true});
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  if (const auto done = producer->Publish("one record"); !done.ok()) return done.status();
  std::vector<Consumer> consumers;
  return PssOfEach(count, [&](uint64_t) -> absl::Status {
    auto consumer = topic->NewConsumer();
    if (!consumer.ok()) return consumer.status();
    if (const auto record = consumer->Next(absl::ZeroDuration()); !record.ok()) return record.status();
    consumers.push_back(*std::move(consumer));
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::vector<Row>> MeasureMemory(const SystemOptions& options) {
  const uint64_t count = options.tiny() ? 2 : 100;
  Row topics = {fmt::format("a topic with a producer, of {}", count), "KiB", {}};
  Row consumers = {fmt::format("a consumer, of {}", count), "KiB", {}};
  for (uint32_t round = 0; round < options.rounds; ++round) {
    if (options.Stopped()) return absl::CancelledError("interrupted");
    auto scratch = ScratchDirectory::Make(options.directory);
    if (!scratch.ok()) return scratch.status();
    const auto topic = FigureOf([&] { return OfTopics(scratch->path() + "/topics", count); });
    const auto consumer = FigureOf([&] { return OfConsumers(scratch->path() + "/consumers", count); });
    if (!topic.ok()) return topic.status();
    if (!consumer.ok()) return consumer.status();
    topics.values.push_back(*topic);
    consumers.values.push_back(*consumer);
  }
  return std::vector<Row>{topics, consumers};
}

}  // namespace libbus::bench
