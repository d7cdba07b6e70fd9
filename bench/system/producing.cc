// Ways to publish, one thread and nobody who reads: one by one, in batches, claimed and filled in place.
#include <fmt/format.h>

#include <utility>

#include "bench/lib/content.h"
#include "bench/lib/shared.h"
#include "bench/system/bus.h"

namespace libbus::bench {
namespace {

constexpr size_t kBatch = 100;

// Brings `records` of `size` bytes into the log.
using Way = absl::Status (*)(Producer& producer, size_t size, uint64_t records);

absl::Status OneByOne(Producer& producer, size_t size, uint64_t records) {
  std::vector<std::byte> payload(size);
  for (uint64_t i = 0; i < records; ++i) {
    FillRecord(RecordId(0, i), payload);
    if (const auto done = producer.Publish(payload); !done.ok()) return done.status();
  }
  return absl::OkStatus();
}

absl::Status InBatches(Producer& producer, size_t size, uint64_t records) {
  std::vector<std::byte> payload(size);
  Batch batch = producer.NewBatch();
  for (uint64_t i = 0; i < records; ++i) {
    FillRecord(RecordId(0, i), payload);
    if (auto added = batch.Add(payload); !added.ok()) return added;
    if (batch.size() < kBatch && i + 1 < records) continue;
    if (const auto done = batch.Commit(); !done.ok()) return done.status();
  }
  return absl::OkStatus();
}

absl::Status InPlace(Producer& producer, size_t size, uint64_t records) {
  for (uint64_t i = 0; i < records; ++i) {
    auto claim = producer.Claim(size);
    if (!claim.ok()) return claim.status();
    FillRecord(RecordId(0, i), claim->bytes());
    if (const auto done = std::move(*claim).Commit(); !done.ok()) return done.status();
  }
  return absl::OkStatus();
}

// Records a second.
absl::StatusOr<double> Rate(const SystemOptions& options, bool exclusive, Way way, size_t size) {
  auto scratch = ScratchDirectory::Make(options.directory);
  if (!scratch.ok()) return scratch.status();
  const uint64_t records = options.tiny() ? options.records : (uint64_t{256} << 20) / (size + 24);
  return FigureOf([&]() -> absl::StatusOr<double> {
    auto topic = OpenTopic(scratch->path() + "/bus", {.create = true}, {.create = true, .exclusive = exclusive});
    if (!topic.ok()) return topic.status();
    auto producer = topic->NewProducer();
    if (!producer.ok()) return producer.status();
    if (auto ready = topic->Maintain(); !ready.ok()) return ready;
    const uint64_t start = NowNs();
    if (auto done = way(*producer, size, records); !done.ok()) return done;
    return static_cast<double>(records) / SecondsSince(start) / 1e6;
  });
}

struct Compared {
  std::string what;
  bool exclusive;
  Way way;
  size_t size;
  std::string beside;
  Way other;  // on a shared topic
};

}  // namespace

absl::StatusOr<std::vector<Row>> MeasureProducing(const SystemOptions& options) {
  const std::string single = "published one by one";
  const Compared all[] = {
      {"64 B, exclusive topic", true, OneByOne, 64, "shared topic", OneByOne},
      {fmt::format("64 B, batches of {}", kBatch), false, InBatches, 64, single, OneByOne},
      {fmt::format("64 B, batches of {}, exclusive topic", kBatch), true, InBatches, 64, single, OneByOne},
      {"1 KiB, claimed and filled in place", false, InPlace, 1024, single, OneByOne},
      {"64 KiB, claimed and filled in place", false, InPlace, 64 << 10, single, OneByOne},
      {"1 MiB, claimed and filled in place", false, InPlace, 1 << 20, single, OneByOne},
  };
  std::vector<Row> rows;
  for (const Compared& one : all) rows.push_back({one.what, "M/s", {}, one.beside, {}});
  for (uint32_t round = 0; round < options.rounds; ++round) {
    for (size_t i = 0; i < std::size(all); ++i) {
      if (options.Stopped()) return absl::CancelledError("interrupted");
      const auto value = Rate(options, all[i].exclusive, all[i].way, all[i].size);
      const auto limit = Rate(options, false, all[i].other, all[i].size);
      if (!value.ok()) return value.status();
      if (!limit.ok()) return limit.status();
      rows[i].values.push_back(*value);
      rows[i].limits.push_back(*limit);
    }
  }
  return rows;
}

}  // namespace libbus::bench
