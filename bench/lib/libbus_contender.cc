// libbus as its users see it: Publish on one side, the views of Next on the other, default options but for the wait.
#include <fmt/format.h>

#include "bench/lib/contender.h"
#include "bench/lib/loops.h"
#include "bench/lib/processes.h"
#include "libbus/bus.h"

namespace libbus::bench {
namespace {

constexpr std::string_view kTopic = "bench";

std::string BusPath(const Run& run) { return run.directory + "/bus"; }

absl::StatusOr<Topic> OpenTopic(const Run& run, const TopicOptions& options = {}) {
  auto bus = Bus::Open(BusPath(run), {.create = options.create});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(kTopic, options);
}

class LibbusWriter {
 public:
  explicit LibbusWriter(Producer* producer) : producer_(producer) {}

  absl::Status Write(std::span<const std::byte> payload) { return producer_->Publish(payload).status(); }

 private:
  Producer* producer_;
};

class LibbusReader {
 public:
  explicit LibbusReader(Consumer* consumer) : consumer_(consumer) {}

  absl::StatusOr<std::span<const std::byte>> Next() {
    const auto record = consumer_->Next();
    if (!record.ok()) return record.status();
    if (record->kind() == RecordKind::kGap) return absl::InternalError("a gap where records were published");
    return record->payload();
  }

  bool AtEnd() { return absl::IsDeadlineExceeded(consumer_->Next(absl::ZeroDuration()).status()); }

 private:
  Consumer* consumer_;
};

class LibbusContender : public Contender {
 public:
  explicit LibbusContender(bool always_shared) : always_shared_(always_shared) {}

  std::string_view name() const override { return always_shared_ ? "shared" : "libbus"; }
  Kind kind() const override { return Kind::kSubject; }

  // In a process of its own: what forks the others has never used the library.
  absl::Status Prepare(const Run& run) override {
    const bool exclusive = run.exclusive && !always_shared_;
    return RunInProcess([&] { return OpenTopic(run, {.create = true, .exclusive = exclusive}).status(); });
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    auto topic = OpenTopic(run);
    if (!topic.ok()) return topic.status();
    auto producer = topic->NewProducer();
    if (!producer.ok()) return producer.status();
    // The first pages and the next segment, as a program has them that has been running for a while.
    if (auto ready = topic->Maintain(); !ready.ok()) return ready;
    LibbusWriter writer(&*producer);
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    auto topic = OpenTopic(run);
    if (!topic.ok()) return topic.status();
    auto consumer = topic->NewConsumer({.wait = run.wait});
    if (!consumer.ok()) return consumer.status();
    LibbusReader reader(&*consumer);
    return ReadRecords(run, side, reader);
  }

  void Discard() override {}  // the files go with the directory

 private:
  const bool always_shared_;
};

}  // namespace

std::unique_ptr<Contender> MakeLibbus() { return std::make_unique<LibbusContender>(false); }
std::unique_ptr<Contender> MakeShared() { return std::make_unique<LibbusContender>(true); }

std::vector<std::unique_ptr<Contender>> AllContenders(bool exclusive) {
  std::vector<std::unique_ptr<Contender>> all;
  all.push_back(MakeLibbus());
  if (exclusive) all.push_back(MakeShared());
  all.push_back(MakeRing());
  all.push_back(MakeJournal());
  all.push_back(MakeCheckedJournal());
  return all;
}

}  // namespace libbus::bench
