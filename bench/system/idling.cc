// What a bus costs on which nothing happens: its producers' background thread, and consumers that are parked.
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <thread>
#include <utility>

#include "bench/lib/shared.h"
#include "bench/system/bus.h"

namespace libbus::bench {
namespace {

double ProcessorSeconds() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// Percent of a core, of one process with a producer and so many consumers, each waiting in a thread of its own.
absl::StatusOr<double> Idle(const std::string& path, uint64_t count, double seconds) {
  auto topic = OpenTopic(path, {.create = true}, {.create = true});
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  std::vector<Consumer> consumers;
  for (uint64_t i = 0; i < count; ++i) {
    auto consumer = topic->NewConsumer({.wait = Wait::kPark});
    if (!consumer.ok()) return consumer.status();
    consumers.push_back(*std::move(consumer));
  }
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (Consumer& consumer : consumers) threads.emplace_back([&] { (void)consumer.Next(); });
  Sleep(seconds / 4);  // until all of them sleep as long as they ever do
  const double before = ProcessorSeconds();
  const uint64_t start = NowNs();
  Sleep(seconds);
  const double used = (ProcessorSeconds() - before) / SecondsSince(start);
  for (Consumer& consumer : consumers) consumer.Interrupt();
  for (std::thread& thread : threads) thread.join();
  return 100 * used;
}

}  // namespace

absl::StatusOr<std::vector<Row>> MeasureIdling(const SystemOptions& options) {
  std::vector<Row> rows;
  for (const uint64_t count : {uint64_t{1}, uint64_t{100}}) {
    Row row = {fmt::format("a producer and {} parked consumer{}", count, count == 1 ? "" : "s"), "% of a core", {}};
    for (uint32_t round = 0; round < options.rounds; ++round) {
      if (options.Stopped()) return absl::CancelledError("interrupted");
      auto scratch = ScratchDirectory::Make(options.directory);
      if (!scratch.ok()) return scratch.status();
      const auto used = FigureOf([&] { return Idle(scratch->path() + "/bus", count, options.tiny() ? 0.02 : 4); });
      if (!used.ok()) return used.status();
      row.values.push_back(*used);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace libbus::bench
