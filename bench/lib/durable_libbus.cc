// libbus as its users see it, with a sync policy.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "bench/lib/durable.h"
#include "bench/lib/durable_loop.h"
#include "bench/lib/durable_writer.h"
#include "bench/lib/processes.h"
#include "libbus/bus.h"
#include "libbus/format/layout.h"

namespace libbus::bench {
namespace {

constexpr std::string_view kTopic = "bench";

std::string BusPath(const DurableRun& run) { return run.directory + "/bus"; }

absl::StatusOr<Topic> OpenTopic(const DurableRun& run, bool read_only) {
  auto bus = Bus::Open(BusPath(run), {.read_only = read_only});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(kTopic);
}

absl::Status MakeTopic(const DurableRun& run, const SyncPolicy& policy) {
  auto bus = Bus::Open(BusPath(run), {.create = true});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(kTopic, {.create = true, .sync = policy}).status();
}

// Reads what is durable, which is all.
absl::Status VerifyTopic(const DurableRun& run) {
  auto topic = OpenTopic(run, true);
  if (!topic.ok()) return topic.status();
  auto consumer = topic->NewConsumer({.limit = Limit::kDurable});
  if (!consumer.ok()) return consumer.status();
  Verifier verifier(run.size, run.producers, 1);
  for (const RecordView& record : consumer->Records(absl::ZeroDuration())) {
    if (record.kind() == RecordKind::kGap) return absl::InternalError("a gap where records were published");
    if (!verifier.Check(record.payload())) return absl::InternalError(verifier.error());
  }
  if (verifier.verified() == run.total()) return absl::OkStatus();
  return absl::InternalError(fmt::format("{} of {} records are durable", verifier.verified(), run.total()));
}

// The ticket counter of the topic's control file.
absl::StatusOr<uint64_t> CountSyncs(const DurableRun& run) {
  const std::string path = fmt::format("{}/{}/control", BusPath(run), kTopic);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  uint64_t count = 0;
  const ssize_t got = pread(fd, &count, sizeof(count), format::kLiveOffset + offsetof(format::LiveWords, sync_started));
  if (fd >= 0) close(fd);
  if (got != sizeof(count)) return absl::UnavailableError(fmt::format("{}: cannot be read", path));
  return count;
}

class WithPolicy : public DurableWriter {
 public:
  explicit WithPolicy(const SyncPolicy& policy) : policy_(policy), each_(policy == SyncPolicy::Each()) {}

  std::string_view name() const override { return "libbus"; }

  // In a process of its own: what forks the others has never used the library.
  absl::Status Prepare(const DurableRun& run) override {
    return RunInProcess([&] { return MakeTopic(run, policy_); });
  }

  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    auto topic = OpenTopic(run, false);
    if (!topic.ok()) return topic.status();
    auto producer = topic->NewProducer();
    if (!producer.ok()) return producer.status();
    // The first pages and the next segment, as a program has them that has been running for a while.
    if (auto ready = topic->Maintain(); !ready.ok()) return ready;
    if (auto ready = topic->Sync(); !ready.ok()) return ready;
    const auto syncs = CountSyncs(run);
    if (!syncs.ok()) return syncs.status();
    side.report->syncs = *syncs;
    return WriteDurably(
        run, side, [&](std::span<const std::byte> record) { return producer->Publish(record).status(); },
        [&] { return each_ ? absl::OkStatus() : topic->Sync(); });
  }

  absl::StatusOr<uint64_t> Check(const DurableRun& run) override {
    auto syncs = CountSyncs(run);
    if (auto verified = RunInProcess([&] { return VerifyTopic(run); }); !verified.ok()) return verified;
    return syncs;
  }

  void Discard() override {}  // the files go with the directory

 private:
  SyncPolicy policy_;
  bool each_;
};

}  // namespace

std::unique_ptr<DurableWriter> MakeDurableEach() { return std::make_unique<WithPolicy>(SyncPolicy::Each()); }
std::unique_ptr<DurableWriter> MakeDurableByInterval() {
  return std::make_unique<WithPolicy>(SyncPolicy::Every(kSyncInterval));
}

absl::Status FollowDurable(const DurableRun& run, const ConsumerSide& side) {
  auto topic = OpenTopic(run, true);
  if (!topic.ok()) return topic.status();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .limit = Limit::kDurable});
  if (!consumer.ok()) return consumer.status();
  Verifier verifier(run.size, run.producers, 1);
  side.start->Arrive();
  while (verifier.verified() < run.total()) {
    const auto record = consumer->Next();
    if (!record.ok()) return record.status();
    const uint64_t now = NowNs();
    if (!verifier.Check(record->payload())) return absl::InternalError(verifier.error());
    side.times[verifier.verified() - 1] = now - StampOf(record->payload());
  }
  side.report->verified = verifier.verified();
  return absl::OkStatus();
}

}  // namespace libbus::bench
