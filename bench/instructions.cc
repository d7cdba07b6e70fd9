// What one operation executes, for callgrind to count: tests/bench/instruction_budget.py runs each way under it, with
// collection on inside Measured() alone. A few operations come before, so that what happens once is not counted.
//
//     bench_instructions WAY COUNT DIRECTORY
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bench/lib/scratch.h"
#include "libbus/bus.h"

namespace libbus::bench {
namespace {

constexpr int kBefore = 100;

// One operation; false: it failed.
using Operation = std::function<bool()>;

struct Log {
  Topic topic;
  Producer producer;
};

absl::StatusOr<Log> MakeLog(const std::string& directory, bool exclusive) {
  auto bus = Bus::Open(directory + "/bus", {.create = true, .background = false});
  if (!bus.ok()) return bus.status();
  auto topic = bus->OpenTopic("t", {.create = true, .exclusive = exclusive});
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer();
  if (!producer.ok()) return producer.status();
  return Log{*std::move(topic), *std::move(producer)};
}

Operation Publish(Log& log, size_t size) {
  return [&log, payload = std::vector<std::byte>(size)] { return log.producer.Publish(payload).ok(); };
}

Operation ClaimAndCommit(Log& log, size_t size) {
  return [&log, size] {
    auto claim = log.producer.Claim(size);
    return claim.ok() && std::move(*claim).Commit().ok();
  };
}

// As many as are read later.
absl::StatusOr<Operation> Read(Log& log, size_t size, int count) {
  const std::vector<std::byte> payload(size);
  for (int i = 0; i < count; ++i) {
    if (const auto done = log.producer.Publish(payload); !done.ok()) return done.status();
  }
  auto consumer = log.topic.NewConsumer();
  if (!consumer.ok()) return consumer.status();
  auto shared = std::make_shared<Consumer>(*std::move(consumer));
  return Operation([shared] { return shared->Next(absl::ZeroDuration()).ok(); });
}

absl::StatusOr<Operation> MakeOperation(Log& log, std::string_view way, int count) {
  if (way == "publish-64" || way == "publish-exclusive-64") return Publish(log, 64);
  if (way == "publish-1024") return Publish(log, 1024);
  if (way == "claim-64") return ClaimAndCommit(log, 64);
  if (way == "read-64") return Read(log, 64, count);
  if (way == "read-1024") return Read(log, 1024, count);
  return absl::InvalidArgumentError(fmt::format("no such way: {}", way));
}

}  // namespace

// Called by its name from outside.
extern "C" __attribute__((noinline)) int Measured(const std::function<bool()>& operation, int count) {
  int failed = 0;
  for (int i = 0; i < count; ++i) failed += operation() ? 0 : 1;
  return failed;
}

absl::Status Run(std::string_view way, int count, const std::string& directory) {
  const auto scratch = ScratchDirectory::Make(directory);
  if (!scratch.ok()) return scratch.status();
  auto log = MakeLog(scratch->path(), way.find("exclusive") != way.npos);
  if (!log.ok()) return log.status();
  const auto operation = MakeOperation(*log, way, kBefore + count);
  if (!operation.ok()) return operation.status();
  for (int i = 0; i < kBefore; ++i) {
    if (!(*operation)()) return absl::InternalError("an operation failed");
  }
  return Measured(*operation, count) == 0 ? absl::OkStatus() : absl::InternalError("an operation failed");
}

}  // namespace libbus::bench

int main(int argc, char** argv) {
  if (argc != 4 || std::atoi(argv[2]) < 1) {
    fmt::print(stderr, "usage: bench_instructions WAY COUNT DIRECTORY\n");
    return 2;
  }
  const absl::Status status = libbus::bench::Run(argv[1], std::atoi(argv[2]), argv[3]);
  if (!status.ok()) fmt::print(stderr, "bench_instructions: {}\n", std::string(status.message()));
  return status.ok() ? 0 : 1;
}
