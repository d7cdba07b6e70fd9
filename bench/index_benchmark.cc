// What a search costs with and without the index: +N, -N and @T, in a log of LIBBUS_BENCH_LOG_BYTES (4 MiB unless told
// otherwise), of records of 64 bytes and of 1 KiB.
//
//   LIBBUS_BENCH_LOG_BYTES=1073741824 index_benchmark
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "libbus/bus.h"

namespace libbus {
namespace {

template <typename T>
T Need(absl::StatusOr<T> result) {
  if (!result.ok()) throw std::runtime_error(std::string(result.status().message()));
  return *std::move(result);
}

uint64_t LogBytes() {
  const char* given = std::getenv("LIBBUS_BENCH_LOG_BYTES");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : uint64_t{4} << 20;
}

// A closed topic of records of one size, one a microsecond.
class FilledTopic {
 public:
  explicit FilledTopic(uint64_t size) : count_(std::max<uint64_t>(LogBytes() / (size + 24), 1)) {
    directory_ = (std::filesystem::temp_directory_path() / "libbus-benchmark-XXXXXX").string();
    if (mkdtemp(directory_.data()) == nullptr) throw std::runtime_error("cannot make " + directory_);
    OpenOptions open;
    open.create = true;
    TopicOptions options;
    options.create = true;
    Topic topic = Need(Need(Bus::Open(directory_ + "/bus", open)).OpenTopic("bench", options));
    Producer producer = Need(topic.NewProducer());
    const std::string payload(size, 'x');
    RecordOptions record;
    for (uint64_t i = 0; i < count_; ++i) {
      record.timestamp = TimeOf(i);
      (void)Need(producer.Publish(payload, record));
    }
  }
  ~FilledTopic() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  FilledTopic(const FilledTopic&) = delete;
  FilledTopic& operator=(const FilledTopic&) = delete;

  static absl::Time TimeOf(uint64_t n) { return absl::FromUnixMicros(static_cast<int64_t>(n)); }
  uint64_t count() const { return count_; }
  std::string index() const { return directory_ + "/bus/bench/index"; }
  Topic Open() const {
    OpenOptions open;
    open.read_only = true;
    return Need(Need(Bus::Open(directory_ + "/bus", open)).OpenTopic("bench"));
  }

 private:
  uint64_t count_;
  std::string directory_;
};

FilledTopic& Filled(uint64_t size) {
  static std::map<uint64_t, std::unique_ptr<FilledTopic>> all;
  auto& filled = all[size];
  if (filled == nullptr) filled = std::make_unique<FilledTopic>(size);
  return *filled;
}

From Place(int kind, uint64_t n, const FilledTopic& filled) {
  if (kind == 0) return From::Sequence(n);
  if (kind == 1) return From::Last(filled.count() - n);
  return From::Time(FilledTopic::TimeOf(n));
}

// Arguments: record size; 0: +N, 1: -N, 2: @T; with the index or without.
void BM_Seek(benchmark::State& state) {
  FilledTopic& filled = Filled(static_cast<uint64_t>(state.range(0)));
  const std::string away = filled.index() + ".away";
  std::error_code ignored;
  if (state.range(2) == 0) std::filesystem::rename(filled.index(), away, ignored);
  {
    Topic topic = filled.Open();
    Consumer consumer = Need(topic.NewConsumer());
    std::minstd_rand random(1);
    for (auto _ : state) {
      const uint64_t n = std::uniform_int_distribution<uint64_t>(0, filled.count() - 1)(random);
      const absl::Status sought = consumer.Seek(Place(static_cast<int>(state.range(1)), n, filled));
      if (!sought.ok()) state.SkipWithError("no seek");
    }
  }
  if (state.range(2) == 0) std::filesystem::rename(away, filled.index(), ignored);
}
BENCHMARK(BM_Seek)
    ->ArgNames({"bytes", "kind", "index"})
    ->ArgsProduct({{64, 1024}, {0, 1, 2}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace libbus
