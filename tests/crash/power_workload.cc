#include "tests/crash/power_workload.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <utility>

#include "libbus/platform/status.h"

namespace libbus::test {
namespace {

thread_local size_t player = 0;  // which of the two this thread is

}  // namespace

absl::StatusOr<std::unique_ptr<Writer>> Writer::Open(const std::string& bus_path, int producers) {
  LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path, {.background = false}));
  LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("t"));
  LIBBUS_ASSIGN_OR_RETURN(Consumer follower, topic.NewConsumer({.gaps = Gaps::kAll, .limit = Limit::kDurable}));
  std::unique_ptr<Writer> writer(new Writer(std::move(topic), std::move(follower)));
  for (int i = 0; i < producers; ++i) {
    auto made = writer->topic_.NewProducer();
    // An exclusive topic has one hand, of whoever was first: the other one syncs, reads and maintains.
    if (absl::IsFailedPrecondition(made.status()) && *writer->topic_.options().exclusive) break;
    LIBBUS_ASSIGN_OR_RETURN(Producer producer, std::move(made));
    writer->hands_.push_back({std::move(producer)});
  }
  return writer;
}

std::string RandomPayload(Random& random) {
  const uint64_t kind = random() % 32;
  uint64_t size = random() % 200;
  if (kind == 0) {
    size = 4000 + random() % 8000;  // more than a segment
  } else if (kind < 6) {
    size = random() % 3000;
  } else if (kind < 14) {
    size = random() % 900;
  }
  std::string payload(size, '\0');
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = random();
    std::memcpy(&payload[i], &word, std::min<size_t>(8, size - i));
  }
  return payload;
}

// --- Publisher -------------------------------------------------------------------------------------------------------

absl::Status Publisher::Publish(Producer& producer, bool durable) {
  const size_t number = ledger_.Begin(RandomPayload(random_), store_.now());
  LIBBUS_ASSIGN_OR_RETURN(const Position position,
                          producer.Publish(ledger_.all()[number].payload, {.durable = durable}));
  ledger_.Commit(number, position.offset, store_.now());
  if (durable || each_) ledger_.Durable(number, store_.now());
  return absl::OkStatus();
}

absl::Status Publisher::PublishBatch(Producer& producer, bool durable) {
  Batch batch = producer.NewBatch();
  std::vector<size_t> numbers;
  for (uint64_t n = 1 + random_() % 8; n > 0; --n) {
    numbers.push_back(ledger_.Begin(RandomPayload(random_), store_.now()));
    LIBBUS_RETURN_IF_ERROR(batch.Add(ledger_.all()[numbers.back()].payload, {.durable = durable && n == 1}));
  }
  LIBBUS_ASSIGN_OR_RETURN(const Position first, batch.Commit());
  const Moment now = store_.now();
  // Not its position: what a cut takes away before anybody was told of it may be published anew there.
  static std::atomic<uint64_t> batches{0};
  const uint64_t batch_number = ++batches;
  uint64_t position = first.offset;
  for (const size_t number : numbers) {
    ledger_.InBatch(number, batch_number);
    ledger_.Commit(number, position, now);
    if (durable || each_) ledger_.Durable(number, now);
    position += (24 + ledger_.all()[number].payload.size() + 7) / 8 * 8;
  }
  return absl::OkStatus();
}

absl::Status Publisher::OpenClaim(Writer::Hand& hand) {
  hand.durable = random_() % 8 == 0;
  hand.payload = RandomPayload(random_);
  const size_t slack = random_() % 3 == 0 ? random_() % 300 : 0;
  LIBBUS_ASSIGN_OR_RETURN(hand.claim, hand.producer.Claim(hand.payload.size() + slack, {.durable = hand.durable}));
  return absl::OkStatus();
}

absl::Status Publisher::CommitClaim(Writer::Hand& hand) {
  const size_t size = hand.payload.size();
  std::memcpy(hand.claim->bytes().data(), hand.payload.data(), size);
  const size_t number = ledger_.Begin(std::exchange(hand.payload, {}), store_.now());
  ClaimedRecord claim = *std::exchange(hand.claim, {});
  LIBBUS_ASSIGN_OR_RETURN(const Position position, std::move(claim).Commit(size));
  ledger_.Commit(number, position.offset, store_.now());
  if (hand.durable || each_) ledger_.Durable(number, store_.now());
  return absl::OkStatus();
}

void Publisher::LookAtDurable(const Topic& topic) {
  const Position durable = topic.durable();
  ledger_.DurableBelow(durable.offset, store_.now());
}

absl::Status Publisher::Follow(Consumer& follower) {
  for (;;) {
    const auto record = follower.Next(absl::ZeroDuration());
    if (record.status().code() == absl::StatusCode::kDeadlineExceeded) return absl::OkStatus();
    LIBBUS_RETURN_IF_ERROR(record.status());
    if (record->kind() == RecordKind::kData) {
      ledger_.DurableAt(record->position().offset, store_.now());
    } else if (record->gap().cause != GapCause::kEvicted) {
      ledger_.DurableGapAt(record->gap().from.offset, record->gap().to.offset, store_.now());
    }
  }
}

absl::Status Publisher::Trim(Topic& topic) {
  const uint64_t durable = topic.durable().offset;
  const uint64_t before = durable - std::min<uint64_t>(durable, random_() % 5000);
  const Moment began = store_.now();
  const auto trimmed = topic.Trim(From::At(Position{before}));
  // The other one syncs, and does not get on with it.
  if (absl::IsDeadlineExceeded(trimmed.status())) return absl::OkStatus();
  LIBBUS_RETURN_IF_ERROR(trimmed.status());
  ledger_.Trim(trimmed->first.offset, began, store_.now(), store_.now());
  return absl::OkStatus();
}

absl::Status Publisher::Maintain(Topic& topic) {
  const Moment began = store_.now();
  LIBBUS_RETURN_IF_ERROR(topic.Maintain());
  if (topic.options().retain_bytes.value_or(0) == 0) return absl::OkStatus();
  // It does not tell what it deleted. What is seen now may be the other one's, which is still at it.
  LIBBUS_ASSIGN_OR_RETURN(const TrimReport now, topic.Trim(From::At(Position{0}), {.dry_run = true}));
  ledger_.Trim(now.first.offset, began, store_.now(), kNever);
  return absl::OkStatus();
}

// --- CursorUser ------------------------------------------------------------------------------------------------------

absl::Status CursorUser::Begin(const std::string& bus_path) {
  LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path, {.read_only = true, .background = false}));
  LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("t"));
  LIBBUS_ASSIGN_OR_RETURN(const auto cursors, topic.ListCursors());
  for (const char* const name : kCursors) ledger_.CursorStands(name, std::nullopt);
  for (const CursorInfo& cursor : cursors) {
    LIBBUS_RETURN_IF_ERROR(cursor.problem);
    ledger_.CursorStands(cursor.name, cursor.position.offset);
  }
  return absl::OkStatus();
}

absl::Status CursorUser::Step(const std::string& name, Writer& writer) {
  switch (random_() % 16) {
    case 0:
    case 1:
      writer.cursor().reset();
      return absl::OkStatus();
    case 2:
      return Move(name, writer);
    case 3:
      return random_() % 4 == 0 ? Remove(name, writer) : absl::OkStatus();
    default:
      return writer.cursor() ? Commit(name, writer) : Take(name, writer);
  }
}

absl::Status CursorUser::Take(const std::string& name, Writer& writer) {
  writer.durable_commits = random_() % 3 == 0;
  const Moment began = store_.now();
  LIBBUS_ASSIGN_OR_RETURN(
      writer.cursor(),
      writer.topic().NewConsumer({.gaps = Gaps::kAll, .cursor = name, .durable_commits = writer.durable_commits}));
  if (!ledger_.CursorAt(name)) ledger_.PutCursor(name, writer.cursor()->position().offset, began, true);
  ledger_.CursorSettled(name, store_.now());
  return absl::OkStatus();
}

absl::Status CursorUser::Commit(const std::string& name, Writer& writer) {
  for (uint64_t i = random_() % 30; i > 0; --i) {
    const auto record = writer.cursor()->Next(absl::ZeroDuration());
    if (absl::IsDeadlineExceeded(record.status())) break;
    LIBBUS_RETURN_IF_ERROR(record.status());
  }
  ledger_.PutCursor(name, writer.cursor()->position().offset, store_.now());
  LIBBUS_RETURN_IF_ERROR(writer.cursor()->Commit());
  if (writer.durable_commits) ledger_.CursorSettled(name, store_.now());
  return absl::OkStatus();
}

absl::Status CursorUser::Move(const std::string& name, Writer& writer) {
  writer.cursor().reset();
  if (!ledger_.CursorAt(name)) return absl::OkStatus();
  const Moment began = store_.now();
  LIBBUS_ASSIGN_OR_RETURN(const Consumer at, writer.topic().NewConsumer({.from = From::Last(random_() % 30)}));
  ledger_.PutCursor(name, at.position().offset, began, true);
  const absl::Status moved = writer.topic().SeekCursor(name, From::At(at.position()));
  // Deleted meanwhile: it stands where it stood.
  if (absl::IsOutOfRange(moved)) {
    ledger_.CursorStayed(name);
    return absl::OkStatus();
  }
  LIBBUS_RETURN_IF_ERROR(moved);
  ledger_.CursorSettled(name, store_.now());
  // What stood there was perhaps deleted meanwhile: then it stands at the beginning.
  LIBBUS_ASSIGN_OR_RETURN(const auto cursors, writer.topic().ListCursors());
  for (const CursorInfo& cursor : cursors) {
    if (cursor.name == name) ledger_.CorrectCursor(name, cursor.position.offset);
  }
  return absl::OkStatus();
}

absl::Status CursorUser::Remove(const std::string& name, Writer& writer) {
  writer.cursor().reset();
  if (!ledger_.CursorAt(name)) return absl::OkStatus();
  ledger_.PutCursor(name, std::nullopt, store_.now());
  LIBBUS_RETURN_IF_ERROR(writer.topic().RemoveCursor(name));
  ledger_.CursorSettled(name, store_.now());
  return absl::OkStatus();
}

absl::Status Publisher::Sync(Topic& topic) {
  const Moment before = store_.now();
  LIBBUS_RETURN_IF_ERROR(topic.Sync());
  ledger_.AllDurable(before, store_.now());
  return absl::OkStatus();
}

// --- Workload --------------------------------------------------------------------------------------------------------

Workload::Workload(std::string bus_path, PowerStore& store, Random& random, bool each, Ledger& ledger)
    : bus_path_(std::move(bus_path)),
      store_(store),
      random_(random),
      seldom_(1 + random() % 6),
      ledger_(ledger),
      publisher_(store, ledger, random, each),
      cursor_user_(store, ledger, random) {
  store_.during_sync = [this] { MaybeYield(2); };
  store_.at_point = [this] { MaybeYield(30); };
  store_.at_look = [this] { MaybeYield(300); };
  store_.at_sleep = [this] { MaybeYield(1); };
}

Workload::~Workload() {
  store_.during_sync = nullptr;
  store_.at_point = nullptr;
  store_.at_look = nullptr;
  store_.at_sleep = nullptr;
  CloseAll();
}

void Workload::MaybeYield(uint64_t of) {
  if (turns_ != nullptr && Chance(of)) turns_->Yield(player);
}

absl::Status Workload::Run(int steps) {
  LIBBUS_RETURN_IF_ERROR(OpenAll());
  LIBBUS_RETURN_IF_ERROR(cursor_user_.Begin(bus_path_));
  while (steps > 0) {
    const int some = std::min(steps, 1 + static_cast<int>(random_() % 60));
    LIBBUS_RETURN_IF_ERROR(Phase(some));
    steps -= some;
    if (steps > 0) LIBBUS_RETURN_IF_ERROR(Reopen());
  }
  CloseAll();
  return absl::OkStatus();
}

absl::Status Workload::Phase(int steps) {
  turns_ = std::make_unique<Turns>();
  absl::Status other;
  std::thread thread([&] { other = Play(1, steps / 2); });
  absl::Status status = Play(0, steps - steps / 2);
  thread.join();
  turns_.reset();
  status.Update(other);
  return status;
}

absl::Status Workload::Play(size_t as, int steps) {
  player = as;
  turns_->Join(as);
  absl::Status status;
  for (int i = 0; i < steps && status.ok(); ++i) {
    status = Step(as);
    MaybeYield(2);
  }
  turns_->Leave(as);
  return status;
}

absl::Status Workload::Step(size_t as) {
  Writer& writer = *writers_[as];
  switch (random_() % 20) {
    case 0:
      return Chance(seldom_) ? publisher_.Sync(writer.topic()) : absl::OkStatus();
    case 1:
      return Chance(seldom_) ? WaitForOne(writer.topic()) : absl::OkStatus();
    case 2:
      publisher_.LookAtDurable(writer.topic());
      return absl::OkStatus();
    case 3:
      return publisher_.Follow(writer.follower());
    case 4:
      return publisher_.Maintain(writer.topic());
    case 5:
    case 6:
    case 7:
      return cursor_user_.Step(kCursors[as], writer);
    case 8:
      return publisher_.Trim(writer.topic());
    default:
      if (writer.hands().empty()) return absl::OkStatus();
      return StepOfHand(writer, writer.hands()[random_() % writer.hands().size()]);
  }
}

absl::Status Workload::StepOfHand(Writer& writer, Writer::Hand& hand) {
  if (hand.claim) {
    if (!Chance(3)) return absl::OkStatus();  // stays open for a while
    if (!Chance(4)) return publisher_.CommitClaim(hand);
    return std::move(*std::exchange(hand.claim, {})).Abandon();
  }
  switch (random_() % 8) {
    case 0:
    case 1:
      return publisher_.OpenClaim(hand);
    case 2:
      return publisher_.Publish(hand.producer, Chance(seldom_));
    case 4:
    case 5:
      return publisher_.PublishBatch(hand.producer, Chance(2 * seldom_));
    case 3:
      return Chance(8) ? Renew(writer, hand) : publisher_.Publish(hand.producer, false);
    default:
      return publisher_.Publish(hand.producer, false);
  }
}

absl::Status Workload::Renew(Writer& writer, Writer::Hand& hand) {
  LIBBUS_RETURN_IF_ERROR(hand.producer.Close());
  LIBBUS_ASSIGN_OR_RETURN(hand.producer, writer.topic().NewProducer());
  return absl::OkStatus();
}

// Of what has been committed lately, one record.
absl::Status Workload::WaitForOne(Topic& topic) {
  const auto& all = ledger_.all();
  if (all.empty()) return absl::OkStatus();
  const size_t number = all.size() - 1 - random_() % std::min<size_t>(all.size(), 8);
  if (all[number].committed == kNever) return absl::OkStatus();
  const Position position{all[number].position};
  const absl::Status waited = topic.WaitDurable(position, absl::InfiniteDuration());
  // Deleted by now: what is deleted was durable.
  if (absl::IsOutOfRange(waited) && position < topic.durable()) return absl::OkStatus();
  LIBBUS_RETURN_IF_ERROR(waited);
  ledger_.Durable(number, store_.now());
  return absl::OkStatus();
}

absl::Status Workload::OpenAll() {
  for (size_t i = 0; i < kWriters; ++i) {
    LIBBUS_ASSIGN_OR_RETURN(writers_[i], Writer::Open(bus_path_, i == 0 ? 2 : 1));
  }
  return absl::OkStatus();
}

void Workload::CloseAll() {
  for (auto& writer : writers_) writer.reset();
}

// One of the two; both, so that the log is CLEAN; or a kill of all.
absl::Status Workload::Reopen() {
  const uint64_t kind = random_() % 4;
  if (kind == 0) {
    const size_t one = random_() % kWriters;
    writers_[one].reset();
    LIBBUS_ASSIGN_OR_RETURN(writers_[one], Writer::Open(bus_path_, one == 0 ? 2 : 1));
    return absl::OkStatus();
  }
  if (kind == 1) {
    store_.Kill([this] { CloseAll(); });
  } else {
    CloseAll();
    ledger_.AllDurable(store_.now(), store_.now());
  }
  return OpenAll();
}

}  // namespace libbus::test
