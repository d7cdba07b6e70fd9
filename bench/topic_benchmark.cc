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
  explicit ScratchTopic(bool exclusive = false)
      : directory_(MakeDirectory()), topic_(OpenTopic(directory_, exclusive)) {}
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
  static Topic OpenTopic(const std::string& directory, bool exclusive) {
    OpenOptions open;
    open.create = true;
    Bus bus = Need(Bus::Open(directory + "/bus", open));
    TopicOptions options;
    options.create = true;
    options.exclusive = exclusive;
    return Need(bus.OpenTopic("bench", options));
  }

  std::string directory_;
  std::optional<Topic> topic_;
};

// A log only grows: now and then a new one takes its place, off the clock.
class EndlessLog {
 public:
  EndlessLog(size_t record_size, bool exclusive) : records_(kMostBytes / (record_size + 24)), exclusive_(exclusive) {
    Renew();
  }

  Producer& producer() { return *producer_; }

  // True: the log and its producer are new.
  bool Count(benchmark::State& state) {
    if (++written_ < records_) return false;
    state.PauseTiming();
    Renew();
    state.ResumeTiming();
    return true;
  }

 private:
  void Renew() {
    producer_.reset();
    log_ = std::make_unique<ScratchTopic>(exclusive_);
    producer_.emplace(Need((*log_)->NewProducer()));
    if (auto ready = (*log_)->Maintain(); !ready.ok()) throw std::runtime_error(std::string(ready.message()));
    written_ = 0;
  }

  uint64_t records_;
  bool exclusive_;
  uint64_t written_ = 0;
  std::unique_ptr<ScratchTopic> log_;
  std::optional<Producer> producer_;
};

void PublishTo(benchmark::State& state, bool exclusive) {
  const std::vector<std::byte> payload(static_cast<size_t>(state.range(0)), std::byte{7});
  EndlessLog log(payload.size(), exclusive);
  for (auto _ : state) {
    if (!log.producer().Publish(payload).ok()) state.SkipWithError("Publish failed");
    log.Count(state);
  }
  state.SetItemsProcessed(state.iterations());
}
void Publish(benchmark::State& state) { PublishTo(state, false); }
BENCHMARK(Publish)->Arg(64)->Arg(1024)->Arg(65536);

void PublishExclusive(benchmark::State& state) { PublishTo(state, true); }
BENCHMARK(PublishExclusive)->Arg(64)->Arg(1024)->Arg(65536);

// So many records at once, each of the second argument's size: the time is of one record.
void PublishBatches(benchmark::State& state) {
  const auto records = static_cast<uint64_t>(state.range(0));
  const std::vector<std::byte> payload(static_cast<size_t>(state.range(1)), std::byte{7});
  EndlessLog log(payload.size() + 8, false);
  std::optional<Batch> batch;
  for (auto _ : state) {
    // A producer that was renewed has a batch of its own.
    if (!batch) batch.emplace(log.producer().NewBatch());
    bool well = batch->Add(payload).ok();
    if (batch->size() == records) well = well && batch->Commit().ok();
    if (!well) state.SkipWithError("Commit failed");
    if (log.Count(state)) batch.reset();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(PublishBatches)->Args({1, 64})->Args({10, 64})->Args({100, 64})->Args({1000, 64})->Args({100, 1024});

// Without filling: what is left of a publish when no byte is copied.
void ClaimAndCommitIn(benchmark::State& state, bool exclusive) {
  const auto size = static_cast<size_t>(state.range(0));
  EndlessLog log(size, exclusive);
  for (auto _ : state) {
    auto claim = log.producer().Claim(size);
    if (!claim.ok() || !(*std::move(claim)).Commit().ok()) state.SkipWithError("Claim failed");
    log.Count(state);
  }
  state.SetItemsProcessed(state.iterations());
}
void ClaimAndCommit(benchmark::State& state) { ClaimAndCommitIn(state, false); }
BENCHMARK(ClaimAndCommit)->Arg(64)->Arg(1024);

void ClaimAndCommitExclusive(benchmark::State& state) { ClaimAndCommitIn(state, true); }
BENCHMARK(ClaimAndCommitExclusive)->Arg(64)->Arg(1024);

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

// A record of 64 bytes and a commit behind each. 0: without a cursor, to be compared with; 1: plain; 2: durable.
void NextAndCommit(benchmark::State& state) {
  const int64_t kind = state.range(0);
  const std::vector<std::byte> payload(64, std::byte{7});
  constexpr uint64_t kRecords = 100'000;
  ScratchTopic topic;
  Producer producer = Need(topic->NewProducer());
  for (uint64_t i = 0; i < kRecords; ++i) Need(producer.Publish(payload));
  ConsumerOptions options;
  if (kind > 0) options.cursor = "bench";
  options.durable_commits = kind == 2;
  Consumer consumer = Need(topic->NewConsumer(options));
  uint64_t read = 0;
  for (auto _ : state) {
    if (!consumer.Next(absl::ZeroDuration()).ok()) state.SkipWithError("Next failed");
    if (kind > 0 && !consumer.Commit().ok()) state.SkipWithError("Commit failed");
    if (++read % kRecords == 0 && !consumer.Seek(From::Start()).ok()) state.SkipWithError("Seek failed");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(NextAndCommit)->Arg(0)->Arg(1)->Arg(2)->UseRealTime();

void NextOfBatches(benchmark::State& state) {
  const std::vector<std::byte> payload(static_cast<size_t>(state.range(0)), std::byte{7});
  const uint64_t records = (64 << 20) / (payload.size() + 32) / 100 * 100;
  ScratchTopic topic;
  Producer producer = Need(topic->NewProducer());
  Batch batch = producer.NewBatch();
  for (uint64_t i = 1; i <= records; ++i) {
    if (!batch.Add(payload).ok()) throw std::runtime_error("Add failed");
    if (i % 100 == 0) Need(batch.Commit());
  }
  Consumer consumer = Need(topic->NewConsumer());
  uint64_t read = 0;
  for (auto _ : state) {
    const auto record = consumer.Next(absl::ZeroDuration());
    if (!record.ok() || record->payload().size() != payload.size()) state.SkipWithError("Next failed");
    if (++read % records == 0 && !consumer.Seek(From::Start()).ok()) state.SkipWithError("Seek failed");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(NextOfBatches)->Arg(64)->Arg(1024);

}  // namespace
}  // namespace libbus
