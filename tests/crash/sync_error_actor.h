// What the processes do whose syncs fail, and what they were told: see sync_error_every_test.cc.
#ifndef LIBBUS_TESTS_CRASH_SYNC_ERROR_ACTOR_H_
#define LIBBUS_TESTS_CRASH_SYNC_ERROR_ACTOR_H_

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "tests/crash/page_disk.h"
#include "tests/support/proof.h"

namespace libbus::test {

// --- what was published, and what somebody was told ------------------------------------------------------------------

struct Entry {
  uint64_t position = 0;   // 0: it was not told
  bool committed = false;  // somebody was told its position
  bool durable = false;    // ... and that it is durable
  bool in_batch = false;   // the position is the batch's
};

// Shared with the children.
struct Account {
  uint64_t count = 0;
  std::array<Entry, 512> all = {};
  uint64_t trimmed = 0;      // what lies before may be gone
  uint64_t cursor = 0;       // a durable commit was acknowledged here
  uint64_t unavailable = 0;  // times that somebody was told of the failure
  bool refused = false;      // a sync has said so since the power was last cut, and nobody has recovered
  bool cut = false;          // the power was cut, and nobody has looked since
  Figures figures;
  std::array<char, 400> wrong = {};  // the first thing that was
};

inline std::string PayloadOf(uint64_t id) {
  constexpr std::array<size_t, 6> kLengths = {40, 700, 0, 1900, 300, 1200};
  const size_t length = id % 29 == 17 ? 15'000 : kLengths.at(id % kLengths.size());
  return fmt::format("{:06}", id) + std::string(length, static_cast<char>('a' + id % 26));
}

// What the processes of one run do and see.
class Actor {
 public:
  Actor(Account& account, const PageDisk& disk, std::string bus)
      : account_(account), disk_(disk), bus_(std::move(bus)) {}

  void Wrong(uint64_t& count, const std::string& what) {
    if (account_.figures.wrong() == 0) {
      std::snprintf(account_.wrong.data(), account_.wrong.size(), "%s: %s", stage_.c_str(), what.c_str());
    }
    ++count;
  }

  // An application tries again: one sync fails in all. False: it is stuck.
  bool Open(const std::string& stage) {
    stage_ = stage;
    absl::Status status;
    for (int tries = 0; tries < 4; ++tries) {
      producer_.reset();
      topic_.reset();
      status = TryOpen();
      if (status.ok()) return true;
      Note(status);
    }
    if (!disk_.aborted()) Wrong(account_.figures.stuck, "cannot be opened: " + status.ToString());
    return false;
  }

  Topic& topic() { return *topic_; }

  void Plain(int n = 1) {
    for (int i = 0; i < n; ++i) Publish(false);
  }
  void Durable() { Publish(true); }

  void DurableBatch(int n) {
    Batch batch = producer_->NewBatch();
    const uint64_t first = account_.count;
    for (int i = 0; i < n; ++i) (void)batch.Add(PayloadOf(account_.count++), {.durable = true});
    const auto position = batch.Commit();
    if (!position.ok()) return Note(position.status());
    for (uint64_t id = first; id < account_.count; ++id) {
      account_.all.at(id) = {position->offset, true, false, true};
      ToldDurable(id);
    }
  }

  void Claimed(bool commit) {
    const uint64_t id = account_.count++;
    const std::string payload = PayloadOf(id);
    auto claim = producer_->Claim(payload.size(), {.durable = true});
    if (!claim.ok()) return Note(claim.status());
    std::memcpy(claim->bytes().data(), payload.data(), payload.size());
    if (!commit) {
      open_ = *std::move(claim);
      return;
    }
    Took(id, std::move(*claim).Commit(), true);
  }

  void Sync() {
    const uint64_t before = account_.count;
    const absl::Status status = topic_->Sync();
    if (!status.ok()) {
      account_.refused |= absl::IsUnavailable(status);
      return Note(status);
    }
    for (uint64_t id = 0; id < before; ++id) ToldDurable(id);
  }

  void WaitFor(uint64_t id) {
    const Entry& entry = account_.all.at(id);
    if (!entry.committed || entry.position < account_.trimmed) return;
    const absl::Status status = topic_->WaitDurable({entry.position}, absl::Seconds(10));
    if (status.ok()) return ToldDurable(id);
    Note(status);
  }

  // D, and what a consumer of the durable part hands out.
  void AskWhatIsDurable() {
    const uint64_t durable = topic_->durable().offset;
    for (uint64_t id = 0; id < account_.count; ++id) {
      Entry& entry = account_.all.at(id);
      if (entry.committed && entry.position < durable) entry.durable = true;
    }
    auto consumer = topic_->NewConsumer({.to = From::At({durable}), .gaps = Gaps::kAll, .limit = Limit::kDurable});
    if (!consumer.ok()) return Note(consumer.status());
    for (const RecordView& record : consumer->Records(absl::ZeroDuration())) {
      const uint64_t id = record.kind() == RecordKind::kData ? IdOf(record.text()) : account_.count;
      if (id < account_.count) account_.all.at(id) = {record.position().offset, true, true};
    }
  }

  void MoveCursor() {
    auto consumer = topic_->NewConsumer({.gaps = Gaps::kAll, .cursor = "c", .durable_commits = true});
    if (!consumer.ok()) return Note(consumer.status());
    for (int i = 0; i < 4; ++i) {
      if (!consumer->Next(absl::ZeroDuration()).ok()) break;
    }
    const absl::Status status = consumer->Commit();
    if (!status.ok()) return Note(status);
    account_.cursor = consumer->position().offset;
  }

  void Trim() {
    const uint64_t point = account_.cursor;
    account_.trimmed = std::max(account_.trimmed, point);
    Note(topic_->Trim(From::At({point})).status());
  }

  void Maintain() { Note(topic_->Maintain()); }

  void Close() {
    producer_.reset();
    topic_.reset();
  }

  // Reads everything and holds it against the account. After a power cut, or if `evicted`, the page cache having lost
  // something, what was not told durable may be gone, if a gap says so. Where nobody has recovered since then, readers
  // wait where the bytes end. What is read from now on stays, if `keep`.
  void Judge(bool evicted, bool keep = false);

 private:
  absl::Status TryOpen() {
    auto bus = Bus::Open(bus_, {.background = false});
    if (!bus.ok()) return bus.status();
    auto topic = bus->OpenTopic("t");
    if (!topic.ok()) return topic.status();
    topic_ = *std::move(topic);
    auto producer = topic_->NewProducer();
    if (!producer.ok()) return producer.status();
    producer_ = *std::move(producer);
    return absl::OkStatus();
  }

  void Note(const absl::Status& status) {
    if (absl::IsUnavailable(status)) ++account_.unavailable;
    // Nothing else can come of one sync that fails, but that the cache has given up what was not written.
    const bool expected = status.ok() || absl::IsUnavailable(status) || (disk_.failed() && absl::IsDataLoss(status)) ||
                          (disk_.failed() && absl::IsOutOfRange(status));
    if (!expected) Wrong(account_.figures.stuck, status.ToString());
  }

  void Publish(bool durable) {
    const uint64_t id = account_.count++;
    Took(id, producer_->Publish(PayloadOf(id), {.durable = durable}), durable);
  }

  void Took(uint64_t id, const absl::StatusOr<Position>& position, bool durable) {
    if (!position.ok()) {
      account_.refused |= durable && absl::IsUnavailable(position.status());
      return Note(position.status());
    }
    account_.all.at(id) = {position->offset, true, false};
    if (durable) ToldDurable(id);
  }

  void ToldDurable(uint64_t id) {
    Entry& entry = account_.all.at(id);
    if (!entry.committed) return;
    // What was durable before the failure still is, and may be told.
    if (!entry.durable && account_.refused && disk_.segment_failed()) {
      Wrong(account_.figures.lost, fmt::format("record {} was told durable though a segment has failed", id));
    }
    entry.durable = true;
  }

  static uint64_t IdOf(std::string_view text) {
    return text.size() < 6 ? ~uint64_t{0} : std::strtoull(std::string(text.substr(0, 6)).c_str(), nullptr, 10);
  }

  // One in a range that is gone stands before the gap that says so.
  void CheckCursor(uint64_t position, const std::vector<Gap>& gaps) {
    const bool told = std::any_of(gaps.begin(), gaps.end(), [&](const Gap& gap) {
      return gap.from.offset <= position && account_.cursor <= gap.to.offset && gap.loss();
    });
    if (position >= account_.cursor || told) return;
    Wrong(account_.figures.lost, fmt::format("the cursor is at {}, it was at {}", position, account_.cursor));
  }

  void JudgeRecord(const RecordView& record, std::map<uint64_t, uint64_t>& read) {
    const uint64_t id = IdOf(record.text());
    const uint64_t position = record.position().offset;
    ++account_.figures.records;
    const bool known = id < account_.count && record.text() == PayloadOf(id);
    const bool in_order = read.empty() || id > read.rbegin()->first;
    const Entry entry = known ? account_.all.at(id) : Entry();
    if (!known || !in_order || (entry.committed && !entry.in_batch && entry.position != position)) {
      Wrong(account_.figures.phantom, fmt::format("record {} at {} was never published there", id, position));
    } else {
      read[id] = position;
    }
  }

  void JudgeMissing(uint64_t id, bool cut, const std::vector<Gap>& gaps) {
    const Entry& entry = account_.all.at(id);
    if (entry.durable)
      return Wrong(account_.figures.lost, fmt::format("record {} at {}, which was told durable", id, entry.position));
    if (!cut)
      return Wrong(account_.figures.lost, fmt::format("record {} at {}, and nothing was cut", id, entry.position));
    const bool told = std::any_of(gaps.begin(), gaps.end(), [&](const Gap& gap) {
      return gap.from.offset <= entry.position && entry.position < gap.to.offset && gap.loss();
    });
    if (!told) Wrong(account_.figures.silent, fmt::format("record {} at {} is gone", id, entry.position));
  }

  Account& account_;
  const PageDisk& disk_;
  const std::string bus_;
  std::string stage_;
  std::optional<Topic> topic_;
  std::optional<Producer> producer_;
  std::optional<ClaimedRecord> open_;
};

inline void Actor::Judge(bool evicted, bool keep) {
  const bool cut = std::exchange(account_.cut, false) || evicted;
  std::map<uint64_t, uint64_t> read;  // positions, by id
  std::vector<Gap> gaps;
  auto consumer = topic_->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
  if (!consumer.ok()) return Wrong(account_.figures.stuck, consumer.status().ToString());
  for (const RecordView& record : consumer->Records(absl::Seconds(10))) {
    if (record.kind() == RecordKind::kData) {
      JudgeRecord(record, read);
    } else {
      gaps.push_back(record.gap());
    }
  }
  const uint64_t end = consumer->position().offset;
  // Where a page went under a living process, readers say so until somebody recovers.
  const bool says_so = evicted && disk_.segment_failed() && absl::IsDataLoss(consumer->status());
  if (!absl::IsOutOfRange(consumer->status()) && !says_so) Wrong(account_.figures.stuck, consumer->status().ToString());
  for (uint64_t id = 0; id < account_.count; ++id) {
    Entry& entry = account_.all.at(id);
    const bool there = read.count(id) != 0;
    if (evicted && disk_.segment_failed() && entry.position >= end && !entry.durable) continue;
    if (entry.committed && !there && entry.position >= account_.trimmed) JudgeMissing(id, cut, gaps);
    // What is gone once is gone: it must not come back either.
    if (!there && !entry.durable) entry = {};
    if (there && keep) entry = {read[id], true, entry.durable, entry.in_batch};
  }
  for (const auto& info : topic_->ListCursors().value_or(std::vector<CursorInfo>())) {
    if (info.name == "c" && info.problem.ok()) CheckCursor(info.position.offset, gaps);
  }
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_SYNC_ERROR_ACTOR_H_
