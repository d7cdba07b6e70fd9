// How long single appends take over many gigabytes: rolls, first touches of pages, write-back and syncs included.
// Beside the same bytes with a header and a checksum, copied into memory that is all there.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "bench/lib/content.h"
#include "bench/lib/shared.h"
#include "bench/lib/statistics.h"
#include "bench/system/bus.h"
#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"

namespace libbus::bench {
namespace {

constexpr size_t kPayload = 1024;
constexpr size_t kPrepared = 256 << 20;
constexpr uint64_t kLimitNs = 60'000'000'000;  // of one run

constexpr std::pair<double, std::string_view> kShares[] = {
    {0.5, "p50"}, {0.99, "p99"}, {0.999, "p99.9"}, {0.9999, "p99.99"}, {1, "max"}};

// Percentiles in ns of `records` calls of append(payload).
template <typename Append>
absl::Status Time(uint64_t records, std::vector<double>& figures, Append append) {
  std::vector<uint64_t> took;
  took.reserve(records);
  std::vector<std::byte> payload(kPayload);
  const uint64_t begin = NowNs();
  for (uint64_t i = 0; i < records; ++i) {
    FillRecord(RecordId(0, i), payload);
    const uint64_t start = NowNs();
    if (auto done = append(payload); !done.ok()) return done;
    const uint64_t end = NowNs();
    took.push_back(end - start);
    if (end - begin > kLimitNs) break;
  }
  std::sort(took.begin(), took.end());
  for (const auto& [share, name] : kShares) figures.push_back(static_cast<double>(Percentile(took, share)));
  figures.push_back(static_cast<double>(took.size()));
  return absl::OkStatus();
}

absl::Status OnPreparedMemory(uint64_t records, std::vector<double>& figures) {
  auto memory = Mapping::Anonymous(kPrepared);
  if (!memory.ok()) return memory.status();
  if (auto populated = memory->PopulateForWriting(); !populated.ok()) return populated;
  size_t at = 0;
  return Time(records, figures, [&](std::span<const std::byte> payload) {
    constexpr size_t kHeader = sizeof(format::RecordHeader);
    if (at + kHeader + payload.size() > memory->size()) at = 0;
    std::byte* const place = memory->data() + at;
    std::memcpy(place + kHeader, payload.data(), payload.size());
    const format::RecordHeader header = {at, format::Crc32c(~0u, place + kHeader, payload.size()), 0, CoarseNs()};
    std::memcpy(place, &header, kHeader);
    at += format::AlignUp(kHeader + payload.size(), format::kRecordAlignment);
    return absl::OkStatus();
  });
}

absl::Status OnLibbus(const std::string& path, SyncPolicy sync, uint64_t records, std::vector<double>& figures) {
  auto topic = OpenTopic(path, {.create = true}, {.create = true, .sync = sync});
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  if (auto ready = topic->Maintain(); !ready.ok()) return ready;
  return Time(records, figures,
              [&](std::span<const std::byte> payload) { return producer->Publish(payload).status(); });
}

// One contender's rows, and how to run it.
struct Subject {
  std::string_view name;
  std::function<absl::Status(const std::string& path, std::vector<double>& figures)> run;
  std::vector<std::vector<double>> rounds = {};
};

std::vector<double> Column(const Subject& subject, size_t i) {
  std::vector<double> values;
  for (const auto& round : subject.rounds) values.push_back(round[i]);
  return values;
}

absl::Status RunOnce(const SystemOptions& options, Subject& subject) {
  auto scratch = ScratchDirectory::Make(options.directory);
  if (!scratch.ok()) return scratch.status();
  auto figures = InProcess([&](std::vector<double>& all) { return subject.run(scratch->path() + "/bus", all); });
  if (!figures.ok()) return figures.status();
  subject.rounds.push_back(*std::move(figures));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Row>> MeasureStalls(const SystemOptions& options) {
  std::string remark;
  uint64_t bytes = RoomFor(options.directory, uint64_t{10} << 30, 1, remark);
  if (options.tiny()) bytes = 1 << 20;
  const uint64_t records = bytes / (kPayload + sizeof(format::RecordHeader));
  std::vector<Subject> subjects;
  subjects.push_back({"prepared", [&](const std::string&, auto& all) { return OnPreparedMemory(records, all); }});
  const auto add = [&](std::string_view name, SyncPolicy sync) {
    subjects.push_back(
        {name, [records, sync](const std::string& path, auto& all) { return OnLibbus(path, sync, records, all); }});
  };
  add("never synced", SyncPolicy::None());
  add("synced every ms", SyncPolicy::Every(absl::Milliseconds(1)));
  for (uint32_t round = 0; round < options.rounds; ++round) {
    for (Subject& subject : subjects) {
      if (options.Stopped()) return absl::CancelledError("interrupted");
      if (auto done = RunOnce(options, subject); !done.ok()) return done;
    }
  }
  std::vector<Row> rows;
  for (size_t s = 1; s < subjects.size(); ++s) {
    const double count = Median(Column(subjects[s], std::size(kShares)));
    const uint64_t written = static_cast<uint64_t>(count) * (kPayload + sizeof(format::RecordHeader));
    for (size_t i = 0; i < std::size(kShares); ++i) {
      rows.push_back({fmt::format("append 1 KiB, {}, {}, {}", Size(written), subjects[s].name, kShares[i].second), "ns",
                      Column(subjects[s], i), "prepared memory", Column(subjects[0], i), remark});
    }
  }
  return rows;
}

}  // namespace libbus::bench
