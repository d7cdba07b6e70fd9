// Appending and reading in one process and one thread: what the calls cost when nobody else wants the same lines.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "libbus/bus.h"

namespace libbus {
namespace {

constexpr uint64_t kMostBytes = 256 << 20;

template <typename T>
T Need(absl::StatusOr<T> result) {
  if (!result.ok()) throw std::runtime_error(std::string(result.status().message()));
  return *std::move(result);
}

// A bus of its own with one topic, gone afterwards.
class ScratchTopic {
 public:
  ScratchTopic() : directory_(MakeDirectory()), topic_(OpenTopic(directory_)) {}
  ~ScratchTopic() {
    topic_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  Topic& operator*() { return *topic_; }
  Topic* operator->() { return &*topic_; }

 private:
  static std::string MakeDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "libbus-benchmark-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("cannot make " + path);
    return path;
  }
  static Topic OpenTopic(const std::string& directory) {
    OpenOptions open;
    open.create = true;
    Bus bus = Need(Bus::Open(directory + "/bus", open));
    TopicOptions options;
    options.create = true;
    return Need(bus.OpenTopic("bench", options));
  }

  std::string directory_;
  std::optional<Topic> topic_;
};

// A log only grows: now and then a new one takes its place, off the clock.
class EndlessLog {
 public:
  explicit EndlessLog(size_t record_size) : records_(kMostBytes / (record_size + 24)) { Renew(); }

  Producer& producer() { return *producer_; }

  void Count(benchmark::State& state) {
    if (++written_ < records_) return;
    state.PauseTiming();
    Renew();
    state.ResumeTiming();
  }

 private:
  void Renew() {
    producer_.reset();
    log_ = std::make_unique<ScratchTopic>();
    producer_.emplace(Need((*log_)->NewProducer()));
    if (auto ready = (*log_)->Maintain(); !ready.ok()) throw std::runtime_error(std::string(ready.message()));
    written_ = 0;
  }

  uint64_t records_;
  uint64_t written_ = 0;
  std::unique_ptr<ScratchTopic> log_;
  std::optional<Producer> producer_;
};

void Publish(benchmark::State& state) {
  const std::vector<std::byte> payload(static_cast<size_t>(state.range(0)), std::byte{7});
  EndlessLog log(payload.size());
  for (auto _ : state) {
    if (!log.producer().Publish(payload).ok()) state.SkipWithError("Publish failed");
    log.Count(state);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Publish)->Arg(64)->Arg(1024)->Arg(65536);

// Without filling: what is left of a publish when no byte is copied.
void ClaimAndCommit(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(0));
  EndlessLog log(size);
  for (auto _ : state) {
    auto claim = log.producer().Claim(size);
    if (!claim.ok() || !(*std::move(claim)).Commit().ok()) state.SkipWithError("Claim failed");
    log.Count(state);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(ClaimAndCommit)->Arg(64)->Arg(1024);

void Next(benchmark::State& state) {
  const std::vector<std::byte> payload(static_cast<size_t>(state.range(0)), std::byte{7});
  const uint64_t records = (64 << 20) / (payload.size() + 24);
  ScratchTopic topic;
  Producer producer = Need(topic->NewProducer());
  for (uint64_t i = 0; i < records; ++i) Need(producer.Publish(payload));
  Consumer consumer = Need(topic->NewConsumer());
  uint64_t read = 0;
  for (auto _ : state) {
    const auto record = consumer.Next(absl::ZeroDuration());
    if (!record.ok() || record->payload().size() != payload.size()) state.SkipWithError("Next failed");
    if (++read % records == 0 && !consumer.Seek(From::Start()).ok()) state.SkipWithError("Seek failed");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Next)->Arg(64)->Arg(1024)->Arg(65536);

}  // namespace
}  // namespace libbus
