#include "bench/system/bus.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "bench/lib/content.h"
#include "bench/lib/processes.h"
#include "bench/lib/shared.h"

namespace libbus::bench {
namespace {

constexpr size_t kMostFigures = 64;

absl::Status Publish(const std::string& bus, const Filling& filling) {
  auto topic = OpenTopic(bus, {.create = true}, {.create = true, .segment_size = filling.segment_size});
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  std::vector<std::byte> payload(filling.size);
  for (uint64_t i = 0; i < filling.records; ++i) {
    FillRecord(RecordId(0, i), payload);
    if (const auto done = producer->Publish(payload); !done.ok()) return done.status();
  }
  if (filling.synced) {
    if (auto synced = topic->Sync(); !synced.ok()) return synced;
  }
  // As by kill -9: nothing is closed.
  if (!filling.closed) _exit(0);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Topic> OpenTopic(const std::string& bus, const OpenOptions& open, const TopicOptions& topic) {
  auto opened = Bus::Open(bus, open);
  if (!opened.ok()) return opened.status();
  return opened->OpenTopic(kTopic, topic);
}

std::vector<std::string> SegmentFiles(const std::string& bus) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(bus + "/" + std::string(kTopic), error)) {
    if (entry.path().extension() == ".seg") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

uint64_t SizeOf(const std::vector<std::string>& files) {
  uint64_t bytes = 0;
  for (const std::string& file : files) bytes += std::filesystem::file_size(file);
  return bytes;
}

absl::Status Fill(const std::string& bus, const Filling& filling) {
  ProcessGroup group;
  const auto started = group.Start("the one that fills", [&] {
    const auto status = Publish(bus, filling);
    if (!status.ok()) fmt::print(stderr, "{}\n", std::string(status.message()));
    return status.ok() ? 0 : 1;
  });
  return started.ok() ? group.Wait({}) : started;
}

absl::StatusOr<std::vector<double>> InProcess(const std::function<absl::Status(std::vector<double>& figures)>& body) {
  auto shared = Mapping::Anonymous((1 + kMostFigures) * sizeof(double));
  if (!shared.ok()) return shared.status();
  auto* const slots = reinterpret_cast<double*>(shared->data());
  const auto status = RunInProcess([&]() -> absl::Status {
    std::vector<double> figures;
    if (auto done = body(figures); !done.ok()) return done;
    if (figures.size() > kMostFigures) return absl::InternalError("too many figures");
    slots[0] = static_cast<double>(figures.size());
    std::copy(figures.begin(), figures.end(), slots + 1);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return std::vector<double>(slots + 1, slots + 1 + static_cast<size_t>(slots[0]));
}

absl::StatusOr<double> FigureOf(const std::function<absl::StatusOr<double>()>& body) {
  const auto figures = InProcess([&](std::vector<double>& all) -> absl::Status {
    const auto one = body();
    if (one.ok()) all.push_back(*one);
    return one.status();
  });
  if (!figures.ok()) return figures.status();
  return figures->front();
}

uint64_t RoomFor(const std::string& directory, uint64_t wanted, uint64_t copies, std::string& remark) {
  struct statvfs info {};
  if (statvfs(directory.c_str(), &info) != 0) return wanted;
  const uint64_t free = uint64_t{info.f_bavail} * info.f_frsize;
  const uint64_t room = free * 9 / 10 / std::max<uint64_t>(copies, 1);
  if (wanted <= room) return wanted;
  remark = fmt::format("not {}: the disk has {} free", Size(wanted), Size(free));
  return room;
}

double SecondsSince(uint64_t start) { return static_cast<double>(NowNs() - start) / 1e9; }

std::string Size(uint64_t bytes) {
  const std::pair<uint64_t, std::string_view> units[] = {
      {uint64_t{1} << 30, "GiB"}, {uint64_t{1} << 20, "MiB"}, {uint64_t{1} << 10, "KiB"}};
  for (const auto& [unit, name] : units) {
    if (bytes >= unit) return fmt::format("{:.4g} {}", static_cast<double>(bytes) / static_cast<double>(unit), name);
  }
  return fmt::format("{} B", bytes);
}

}  // namespace libbus::bench
