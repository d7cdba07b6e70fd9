// What reads a whole log, beside reading its files: verify, recovery, replay from memory and from the disk; and seeking
// in it.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "bench/lib/shared.h"
#include "bench/lib/statistics.h"
#include "bench/system/bus.h"
#include "libbus/format/checksum.h"
#include "libbus/inspect.h"
#include "libbus/recovery.h"

namespace libbus::bench {
namespace {

constexpr size_t kPiece = 1 << 20;

double GigabytesASecond(uint64_t bytes, uint64_t start) {
  return static_cast<double>(bytes) / 1e9 / SecondsSince(start);
}

absl::Status CannotRead(const std::string& file) {
  return absl::InternalError(fmt::format("{}: cannot read: {}", file, std::strerror(errno)));
}

// Reads the files in pieces; `checks`: and the checksum of each piece.
absl::StatusOr<double> ReadFiles(const std::vector<std::string>& files, bool checks) {
  std::vector<std::byte> buffer(kPiece);
  uint64_t bytes = 0;
  volatile uint32_t sum = 0;
  const uint64_t start = NowNs();
  for (const std::string& file : files) {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return CannotRead(file);
    for (;;) {
      const ssize_t got = read(fd, buffer.data(), buffer.size());
      if (got <= 0) break;
      bytes += static_cast<uint64_t>(got);
      if (checks) sum = format::Crc32c(sum, buffer.data(), static_cast<size_t>(got));
    }
    close(fd);
  }
  return GigabytesASecond(bytes, start);
}

// Copies the files, mapped anew, record by record into a small buffer.
absl::StatusOr<double> CopyFiles(const std::vector<std::string>& files, size_t size) {
  std::vector<std::byte> buffer(size);
  uint64_t bytes = 0;
  const uint64_t start = NowNs();
  for (const std::string& file : files) {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd < 0 || fstat(fd, &info) != 0) return CannotRead(file);
    const auto length = static_cast<size_t>(info.st_size);
    void* const memory = mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) return CannotRead(file);
    for (size_t at = 0; at + size <= length; at += size) {
      std::memcpy(buffer.data(), static_cast<const std::byte*>(memory) + at, size);
      asm volatile("" : : "r"(buffer.data()) : "memory");
    }
    bytes += length;
    munmap(memory, length);
  }
  return GigabytesASecond(bytes, start);
}

// Every record, its checksum verified as ever.
absl::StatusOr<double> Replay(const std::string& bus, uint64_t bytes) {
  return FigureOf([&]() -> absl::StatusOr<double> {
    const uint64_t start = NowNs();
    auto topic = OpenTopic(bus, {.read_only = true});
    if (!topic.ok()) return topic.status();
    auto consumer = topic->NewConsumer({.to = From::End()});
    if (!consumer.ok()) return consumer.status();
    volatile size_t seen = 0;
    for (const RecordView& record : consumer->Records(absl::ZeroDuration())) seen = seen + record.payload().size();
    if (!absl::IsOutOfRange(consumer->status())) return consumer->status();
    return GigabytesASecond(bytes, start);
  });
}

// What is written is no longer in memory.
absl::Status ForgetPages(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return CannotRead(file);
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
  return absl::OkStatus();
}

absl::StatusOr<double> Verify(const std::string& bus, uint64_t bytes) {
  return FigureOf([&]() -> absl::StatusOr<double> {
    const uint64_t start = NowNs();
    const auto report = VerifyTopic(bus, kTopic, [](const Finding&) { return true; });
    if (!report.ok()) return report.status();
    if (report->damages > 0) return absl::InternalError("a whole log was called damaged");
    return GigabytesASecond(bytes, start);
  });
}

// Without its locks file nobody knows who had it open, nor what is on the disk: all of it is looked at.
absl::StatusOr<double> Recover(const std::string& bus, uint64_t bytes) {
  unlink((bus + "/" + std::string(kTopic) + "/locks").c_str());
  return FigureOf([&]() -> absl::StatusOr<double> {
    const uint64_t start = NowNs();
    const auto report = RecoverTopic(bus, kTopic, {.apply = true});
    if (!report.ok()) return report.status();
    return GigabytesASecond(bytes, start);
  });
}

absl::StatusOr<absl::Time> SeekTo(Topic& topic, From from) {
  auto consumer = topic.NewConsumer({.from = from});
  if (!consumer.ok()) return consumer.status();
  const auto record = consumer->Next(absl::ZeroDuration());
  if (!record.ok()) return record.status();
  return record->timestamp();
}

// A new process that goes to the record of that sequence, or to its time.
absl::StatusOr<double> SeekMs(const std::string& bus, uint64_t sequence, bool by_time) {
  From from = From::Sequence(sequence);
  if (by_time) {
    const auto seconds = FigureOf([&]() -> absl::StatusOr<double> {
      auto topic = OpenTopic(bus, {.read_only = true});
      if (!topic.ok()) return topic.status();
      const auto time = SeekTo(*topic, from);
      if (!time.ok()) return time.status();
      return absl::ToDoubleSeconds(*time - absl::UnixEpoch());
    });
    if (!seconds.ok()) return seconds.status();
    // A figure is no finer than a quarter of a microsecond.
    from = From::Time(absl::UnixEpoch() + absl::Seconds(*seconds) - absl::Microseconds(1));
  }
  return FigureOf([&]() -> absl::StatusOr<double> {
    auto topic = OpenTopic(bus, {.read_only = true});
    if (!topic.ok()) return topic.status();
    const uint64_t start = NowNs();
    if (const auto found = SeekTo(*topic, from); !found.ok()) return found.status();
    return MsSince(start);
  });
}

// The filled bus, and the rows that grow round by round.
class Reading {
 public:
  Reading(const SystemOptions& options, size_t size) : options_(options), size_(size) {}

  absl::Status Run() {
    auto scratch = ScratchDirectory::Make(options_.directory);
    if (!scratch.ok()) return scratch.status();
    bus_ = scratch->path() + "/bus";
    bytes_ = RoomFor(options_.directory, uint64_t{1} << 30, 1, remark_);
    if (options_.tiny()) bytes_ = 1 << 20;
    if (auto filled = Fill(bus_, {.records = records(), .size = size_}); !filled.ok()) return filled;
    files_ = SegmentFiles(bus_);
    for (uint32_t round = 0; round < options_.rounds; ++round) {
      if (options_.Stopped()) return absl::CancelledError("interrupted");
      if (auto done = Round(); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

  std::vector<Row> Rows() {
    const auto what = [&](std::string_view name) { return fmt::format("{}, {} of {} B", name, Size(bytes_), size_); };
    const std::string mapped = "memcpy of the mapped files";
    const std::string checked = "reading the files with one CRC32C";
    return {{what("replay from memory"), "GB/s", warm_, mapped, copied_, remark_},
            {what("replay from the disk"), "GB/s", cold_, "reading the files from it", cold_read_, remark_},
            {what("verify"), "GB/s", verified_, checked, read_, remark_},
            {what("recovery of all of it"), "GB/s", recovered_, checked, read_, remark_},
            {what("seek to a time"), "ms", seek_time_, {}, {}, remark_},
            {what("seek to a sequence"), "ms", seek_sequence_, {}, {}, remark_}};
  }

 private:
  uint64_t records() const { return bytes_ / (size_ + 24); }

  absl::Status Add(std::vector<double>& to, const absl::StatusOr<double>& figure) {
    if (figure.ok()) to.push_back(*figure);
    return figure.status();
  }

  absl::Status Round() {
    absl::Status status;
    const auto add = [&](std::vector<double>& to, const absl::StatusOr<double>& figure) {
      status.Update(Add(to, figure));
    };
    add(read_, ReadFiles(files_, true));
    add(verified_, Verify(bus_, bytes_));
    add(copied_, CopyFiles(files_, size_));
    add(warm_, Replay(bus_, bytes_));
    add(recovered_, Recover(bus_, bytes_));
    add(seek_time_, SeekMs(bus_, records() / 2, true));
    add(seek_sequence_, SeekMs(bus_, records() / 2, false));
    status.Update(ForgetPages(files_));
    add(cold_, Replay(bus_, bytes_));
    status.Update(ForgetPages(files_));
    add(cold_read_, ReadFiles(files_, false));
    return status;
  }

  const SystemOptions& options_;
  const size_t size_;
  std::string bus_;
  std::string remark_;
  std::vector<std::string> files_;
  uint64_t bytes_ = 0;  // of all records
  std::vector<double> read_, verified_, copied_, warm_, recovered_, seek_time_, seek_sequence_, cold_, cold_read_;
};

}  // namespace

absl::StatusOr<std::vector<Row>> MeasureReading(const SystemOptions& options) {
  std::vector<Row> rows;
  for (const size_t size : {size_t{64}, size_t{1024}}) {
    Reading reading(options, size);
    if (auto done = reading.Run(); !done.ok()) return done;
    for (Row& row : reading.Rows()) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace libbus::bench
