#include "tests/processes/traffic.h"

#include <absl/time/time.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

namespace libbus::test {
namespace {

uint64_t Mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

struct RawLabel {
  uint32_t lane;
  uint32_t size;
  uint64_t number;
};
static_assert(sizeof(RawLabel) == kLabelSize);

std::byte ByteAt(uint64_t key, size_t i) { return static_cast<std::byte>((key >> i % 8 * 8) + i / 8); }

// Mostly small, so that many fit between two deaths.
size_t PickSize(const TrafficOptions& options, std::mt19937_64& random) {
  const uint64_t dice = random() % 1000;
  if (options.big && dice < 2) return options.segment_size + random() % options.segment_size;
  if (dice < 20) return options.segment_size / 16 + random() % (options.segment_size / 8);
  return kLabelSize + random() % 200;
}

void Begin(Lane& lane, uint64_t number) {
  lane.fates[number] = Fate::kBegun;
  ++lane.next;
}

// What came of a record that was to be published.
absl::Status Settle(Lane& lane, uint64_t number, const absl::StatusOr<Position>& position) {
  if (position.ok()) {
    lane.fates[number] = Fate::kAcknowledged;
    ++lane.acknowledged;
    return absl::OkStatus();
  }
  if (position.status().code() != absl::StatusCode::kAborted) return position.status();
  lane.fates[number] = Fate::kRevoked;
  return absl::OkStatus();
}

// A claim that is held for a while, then committed shorter than asked for, or given up.
absl::Status ClaimNext(Producer& producer, Lane& lane, uint32_t lane_number, uint64_t number, size_t size,
                       std::mt19937_64& random) {
  auto claim = producer.Claim(size + random() % 100);
  if (!claim.ok()) return claim.status();
  WriteText(lane_number, number, size, claim->bytes().data());
  for (uint64_t i = random() % 50; i > 0; --i) sched_yield();
  if (random() % 4 != 0) return Settle(lane, number, std::move(*claim).Commit(size));
  lane.fates[number] = Fate::kAbandoned;
  return std::move(*claim).Abandon();
}

std::string StateOf(const Child& child) {
  std::ifstream file(fmt::format("/proc/{}/stat", child.pid()));
  std::string line;
  std::getline(file, line);
  const size_t end = line.rfind(')');
  return end == std::string::npos || end + 2 >= line.size() ? std::string() : line.substr(end + 2, 1);
}

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Pause() {
  const timespec pause = {0, 100'000};
  nanosleep(&pause, nullptr);
}

}  // namespace

uint64_t Ledger::Acknowledged() const {
  uint64_t sum = 0;
  for (const Lane& lane : lanes) sum += lane.acknowledged;
  return sum;
}

std::string Ledger::Describe() const {
  std::string text;
  for (uint32_t i = 0; i < kDesks; ++i) {
    const char* doing = desks[i].doing.load();
    if (doing == nullptr) continue;
    text += fmt::format("  desk {}: {} after {} ({})\n", i, doing, desks[i].done.load(), desks[i].note);
  }
  for (uint32_t i = 0; i < kLanes; ++i) {
    if (lanes[i].next == 0) continue;
    text += fmt::format("  lane {}: next {}, acknowledged {}\n", i, lanes[i].next.load(), lanes[i].acknowledged.load());
  }
  return text;
}

void WriteText(uint32_t lane, uint64_t number, size_t size, std::byte* to) {
  const RawLabel label = {lane, static_cast<uint32_t>(size), number};
  std::memcpy(to, &label, sizeof(label));
  const uint64_t key = Mix(uint64_t{lane} << 48 ^ number);
  for (size_t i = sizeof(label); i < size; ++i) to[i] = ByteAt(key, i);
}

std::string TextOf(uint32_t lane, uint64_t number, size_t size) {
  std::string text(size, '\0');
  WriteText(lane, number, size, reinterpret_cast<std::byte*>(text.data()));
  return text;
}

std::optional<Label> ReadText(Bytes payload) {
  RawLabel label;
  if (payload.size() < sizeof(label)) return std::nullopt;
  std::memcpy(&label, payload.data(), sizeof(label));
  if (label.size != payload.size() || label.lane >= kLanes) return std::nullopt;
  const uint64_t key = Mix(uint64_t{label.lane} << 48 ^ label.number);
  for (size_t i = sizeof(label); i < payload.size(); ++i) {
    if (payload[i] != ByteAt(key, i)) return std::nullopt;
  }
  return Label{label.lane, label.number};
}

Audit::Audit(const Ledger& ledger) : ledger_(ledger) {
  for (auto& lane : seen_) lane.resize(kNumbers);
}

std::string Audit::See(const RecordView& record) {
  last_lane_ = kLanes;
  if (record.kind() == RecordKind::kGap) {
    if (!record.gap().loss()) return {};
    return fmt::format("a gap ({}) from {} to {}", GapCauseName(record.gap().cause), record.gap().from.offset,
                       record.gap().to.offset);
  }
  const auto label = ReadText(record.payload());
  if (!label) return fmt::format("the record at {} has wrong bytes", record.position().offset);
  const auto where = [&] {
    return fmt::format("lane {} number {} at {}", label->lane, label->number, record.position().offset);
  };
  const Lane& lane = ledger_.lanes[label->lane];
  if (label->number >= lane.next) return where() + ": a phantom, nobody began it";
  auto& last = last_[label->lane];
  if (last && label->number <= *last) return where() + fmt::format(": behind number {}", *last);
  last = label->number;
  seen_[label->lane][label->number] = true;
  last_lane_ = label->lane;
  ++count_;
  return {};
}

std::string Audit::Complete() const {
  for (uint32_t i = 0; i < kLanes; ++i) {
    const Lane& lane = ledger_.lanes[i];
    for (uint64_t number = 0; number < lane.next; ++number) {
      const Fate fate = lane.fates[number];
      const bool seen = seen_[i][number];
      if (fate == Fate::kAcknowledged && !seen) return fmt::format("lane {} number {} is lost", i, number);
      if (fate == Fate::kAbandoned && seen) return fmt::format("lane {} number {} was abandoned", i, number);
      if (fate == Fate::kRevoked && seen) return fmt::format("lane {} number {} was revoked", i, number);
    }
  }
  return {};
}

absl::StatusOr<Topic> OpenForWriting(const std::string& path, const TrafficOptions& options) {
  auto bus = Bus::Open(path, {.create = true});
  if (!bus.ok()) return bus.status();
  TopicOptions topic = {.create = true};
  if (options.segment_size != 0) topic.segment_size = options.segment_size;
  if (options.exclusive) topic.exclusive = true;
  return bus->OpenTopic(kTopic, topic);
}

absl::StatusOr<Topic> OpenForReading(const std::string& path) {
  auto bus = Bus::Open(path, {.read_only = true});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(kTopic);
}

absl::Status PublishNext(Producer& producer, Ledger& ledger, uint32_t lane_number, const TrafficOptions& options,
                         std::mt19937_64& random) {
  Lane& lane = ledger.lanes[lane_number];
  const uint64_t number = lane.next;
  if (number == kNumbers) return absl::ResourceExhaustedError("the ledger: the lane has no more numbers");
  const size_t size = PickSize(options, random);
  Begin(lane, number);
  if (options.claims && random() % 5 == 0) return ClaimNext(producer, lane, lane_number, number, size, random);
  return Settle(lane, number, producer.Publish(TextOf(lane_number, number, size)));
}

int Follow(Consumer& consumer, const Ledger& ledger, Desk& desk, bool from_start) {
  Audit audit(ledger);
  while (audit.last_lane() != kLastLane) {
    desk.doing = "waiting for a record";
    const auto record = consumer.Next(absl::Seconds(5));
    if (record.status().code() == absl::StatusCode::kDeadlineExceeded) {
      std::snprintf(desk.note, sizeof(desk.note), "%s", record.status().ToString().c_str());
      continue;
    }
    if (!record.ok()) return Complain("consumer", record.status().ToString());
    if (const std::string wrong = audit.See(*record); !wrong.empty()) return Complain("consumer", wrong);
    ++desk.done;
  }
  desk.doing = nullptr;
  if (!from_start) return 0;
  const std::string wrong = audit.Complete();
  return wrong.empty() ? 0 : Complain("consumer", wrong);
}

int ProducerMain(const std::string& path, Ledger& ledger, uint32_t lane, uint32_t desk_number,
                 const TrafficOptions& options, uint64_t seed, uint64_t count) {
  Desk& desk = ledger.desks[desk_number];
  desk.doing = "attaching";
  std::mt19937_64 random(seed);
  auto topic = OpenForWriting(path, options);
  if (!topic.ok()) return Complain("producer", topic.status().ToString());
  desk.doing = "taking a slot";
  auto producer = topic->NewProducer({.name = fmt::format("lane {}", lane)});
  if (!producer.ok()) return Complain("producer", producer.status().ToString());
  desk.doing = "publishing";
  for (uint64_t i = 0; i < count && !ledger.stop; ++i) {
    if (ledger.lanes[lane].next == kNumbers) return Complain("producer", "its lane has no more numbers");
    const absl::Status status = PublishNext(*producer, ledger, lane, options, random);
    if (!status.ok()) return Complain("producer", status.ToString());
    ++desk.done;
  }
  desk.doing = "leaving";
  (void)producer->Close();
  { const Topic leaves = *std::move(topic); }
  desk.doing = nullptr;
  return 0;
}

int ConsumerMain(const std::string& path, Ledger& ledger, uint32_t desk_number, bool read_only,
                 ConsumerOptions options) {
  Desk& desk = ledger.desks[desk_number];
  desk.doing = "attaching as a consumer";
  auto topic = read_only ? OpenForReading(path) : OpenForWriting(path, {.segment_size = 0});
  if (!topic.ok()) return Complain("consumer", topic.status().ToString());
  auto consumer = topic->NewConsumer(options);
  if (!consumer.ok()) return Complain("consumer", consumer.status().ToString());
  return Follow(*consumer, ledger, desk, options.from.kind() == From::Kind::kStart);
}

int CloserMain(const std::string& path, Ledger& ledger, const TrafficOptions& options) {
  return ProducerMain(path, ledger, kLastLane, kDesks - 1, options, 0, 1);
}

int AuditorMain(const std::string& path, const Ledger& ledger) {
  auto topic = OpenForReading(path);
  if (!topic.ok()) return Complain("auditor", topic.status().ToString());
  auto consumer = topic->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
  if (!consumer.ok()) return Complain("auditor", consumer.status().ToString());
  Audit audit(ledger);
  for (const RecordView& record : consumer->Records(absl::Seconds(10))) {
    if (const std::string wrong = audit.See(record); !wrong.empty()) return Complain("auditor", wrong);
  }
  if (consumer->status().code() != absl::StatusCode::kOutOfRange) {
    return Complain("auditor", consumer->status().ToString());
  }
  const std::string wrong = audit.Complete();
  return wrong.empty() ? 0 : Complain("auditor", wrong);
}

uint64_t FlushedSeed(const char* test) {
  const uint64_t seed = Seed(test);
  std::fflush(stdout);
  return seed;
}

int Complain(std::string_view who, std::string_view what) {
  fmt::print(stderr, "{} {}: {}\n", who, getpid(), what);
  return 1;
}

bool WaitUntil(const std::function<bool()>& done, int seconds) {
  const int64_t deadline = Now() + int64_t{seconds} * 1'000'000'000;
  while (!done()) {
    if (Now() > deadline) return false;
    Pause();
  }
  return true;
}

bool HasEnded(const Child& child) {
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

bool IsAsleep(const Child& child) { return StateOf(child) == "S"; }

int JoinWhileMoving(Child& child, const std::function<uint64_t()>& progress,
                    const std::function<std::string()>& describe, int seconds) {
  uint64_t before = progress();
  while (!WaitUntil([&] { return HasEnded(child); }, seconds)) {
    const uint64_t now = progress();
    if (now == before) {
      fmt::print(stderr, "process {} (state {}) hangs, nothing moved for {} s:\n{}", child.pid(), StateOf(child),
                 seconds, describe());
      child.Kill();
      return -1000;
    }
    before = now;
  }
  return child.Join();
}

int JoinWhileMoving(Child& child, const Ledger& ledger) {
  const auto progress = [&] {
    uint64_t sum = ledger.Acknowledged();
    for (const Desk& desk : ledger.desks) sum += desk.done;
    return sum;
  };
  return JoinWhileMoving(child, progress, [&] { return ledger.Describe(); });
}

std::string FastParent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : UsualParent(); }

std::string UsualParent() {
  const char* given = std::getenv("TMPDIR");
  return given != nullptr ? given : "/tmp";
}

}  // namespace libbus::test
