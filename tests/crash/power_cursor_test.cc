// Power cuts while cursors are made, committed, moved and removed: see power_store.h for what a cut leaves. A durable
// commit never goes back, no cursor ever stands where nobody put it, and none goes forward. What retention was told is
// needed is needed still. Here the cursors alone are cut, or the log alone; both at once: power_test.cc.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/log/cursors.h"
#include "libbus/platform/status.h"
#include "tests/crash/power_ledger.h"
#include "tests/crash/power_store.h"
#include "tests/seam/seam.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr uint64_t kRecords = 200;
constexpr uint64_t kImagesEach = 60;
constexpr int kPhases = 3;  // each begins on what a cut in the one before left

std::string ScratchParent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

uint64_t Number(const char* variable, uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

// One place where the cursor was put, or that it was gone.
struct Put {
  std::optional<uint64_t> position;  // nothing: removed
  Moment began = 0;
  Moment durable = kNever;  // somebody was told that no power loss takes it back
};

struct Needed {
  uint64_t position = 0;
  Moment moment = 0;
  size_t puts = 0;  // made before it was asked
};

struct Tally {
  Figures figures;
  uint64_t back = 0;     // the cursor stood at an earlier commit than the last
  uint64_t durable = 0;  // of which something was acknowledged as durable
};

class PowerCursorTest : public testing::Test {
 protected:
  void SetUp() override {
    seam_control.pretend_durable = true;
    seam_control.skip_sleeps = true;
    seam_control.realtime = 1;
  }
  void TearDown() override {
    seam_control.pretend_durable = false;
    seam_control.skip_sleeps = false;
    seam_control.tear_writes = false;
    seam_control.realtime = 0;
    seam_control.clock_offset = 0;
    seam_control.boot_id = 0;
  }
};

// --- the cursor alone: the log is whole ------------------------------------------------------------------------------

class CursorHistory {
 public:
  CursorHistory(std::string bus, PowerStore& store, Random& random)
      : bus_(std::move(bus)), store_(store), random_(random) {}

  // From what is there now.
  absl::Status Run(int steps) {
    LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_, {.read_only = true, .background = false}));
    LIBBUS_ASSIGN_OR_RETURN(topic_, bus.OpenTopic("t"));
    LIBBUS_ASSIGN_OR_RETURN(const auto cursors, topic_->ListCursors());
    store_.Start();
    puts_.push_back({cursors.empty() ? std::nullopt : std::optional(cursors[0].position.offset), 0, 0});
    for (int i = 0; i < steps; ++i) LIBBUS_RETURN_IF_ERROR(Step());
    consumer_.reset();
    topic_ = absl::CancelledError();
    history_ = store_.Stop();
    return absl::OkStatus();
  }

  const History& history() const { return history_; }

  // What is wrong with what stands there after a cut at `moment`; empty: nothing.
  std::string Judge(Moment moment, Tally& tally) const {
    const auto log = log::Log::Open(bus_ + "/t", false);
    if (!log.ok()) return log.status().ToString();
    const auto listed = log::ListCursors(**log);
    if (!listed.ok()) return listed.status().ToString();
    if (listed->size() == 1 && !(*listed)[0].content.ok()) return (*listed)[0].content.status().ToString();
    const auto position = listed->empty() ? std::nullopt : std::optional((*listed)[0].content->place.position);
    ++tally.figures.images;
    const size_t least = LastDurable(moment);
    tally.durable += least > 0 ? 1 : 0;
    size_t last = least;
    bool allowed = false;
    for (size_t i = least; i < puts_.size() && puts_[i].began <= moment; ++i) {
      last = i;
      allowed = allowed || puts_[i].position == position;
    }
    if (puts_[last].position != position) ++tally.back;
    if (!allowed) {
      return fmt::format("stands at {}, durable was {}", position.value_or(0), puts_[least].position.value_or(0));
    }
    return JudgeNeeded(moment, position);
  }

 private:
  size_t LastDurable(Moment moment) const {
    size_t last = 0;
    for (size_t i = 0; i < puts_.size(); ++i) {
      if (puts_[i].durable <= moment) last = i;
    }
    return last;
  }

  std::string JudgeNeeded(Moment moment, std::optional<uint64_t> position) const {
    for (const Needed& needed : needed_) {
      if (needed.moment > moment || !position) continue;
      uint64_t lowest = needed.position;
      // What was put further back afterwards is its owner's wish.
      for (size_t i = needed.puts; i < puts_.size() && puts_[i].began <= moment; ++i) {
        lowest = std::min(lowest, puts_[i].position.value_or(lowest));
      }
      if (*position < lowest) return fmt::format("stands at {}, but {} was needed", *position, needed.position);
    }
    return "";
  }

  absl::Status Step() {
    switch (random_() % 12) {
      case 0:
        consumer_.reset();
        return absl::OkStatus();
      case 1:
        return AskWhatIsNeeded();
      case 2:
        return random_() % 3 == 0 ? Move() : absl::OkStatus();
      case 3:
        return random_() % 8 == 0 ? Remove() : absl::OkStatus();
      default:
        return consumer_ ? Commit() : Take();
    }
  }

  // The last one stands on the disk now.
  void Settled() { puts_.back().durable = std::min(puts_.back().durable, store_.now()); }

  absl::Status Take() {
    durable_ = random_() % 3 == 0;
    const Moment began = store_.now();
    if (!puts_.back().position) puts_.push_back({uint64_t{64}, began, kNever});
    LIBBUS_ASSIGN_OR_RETURN(consumer_, topic_->NewConsumer({.cursor = "c", .durable_commits = durable_}));
    Settled();
    return absl::OkStatus();
  }

  absl::Status Commit() {
    for (uint64_t i = random_() % 4; i > 0; --i) {
      if (!consumer_->Next(absl::ZeroDuration()).ok()) break;
    }
    puts_.push_back({consumer_->position().offset, store_.now(), kNever});
    LIBBUS_RETURN_IF_ERROR(consumer_->Commit());
    if (durable_) Settled();
    return absl::OkStatus();
  }

  absl::Status Move() {
    consumer_.reset();
    if (!puts_.back().position) return absl::OkStatus();
    LIBBUS_ASSIGN_OR_RETURN(const Consumer at, topic_->NewConsumer({.from = From::Sequence(random_() % kRecords)}));
    puts_.push_back({at.position().offset, store_.now(), kNever});
    LIBBUS_RETURN_IF_ERROR(topic_->SeekCursor("c", From::At(at.position())));
    Settled();
    return absl::OkStatus();
  }

  absl::Status Remove() {
    consumer_.reset();
    if (!puts_.back().position) return absl::OkStatus();
    puts_.push_back({std::nullopt, store_.now(), kNever});
    LIBBUS_RETURN_IF_ERROR(topic_->RemoveCursor("c"));
    Settled();
    return absl::OkStatus();
  }

  absl::Status AskWhatIsNeeded() {
    LIBBUS_ASSIGN_OR_RETURN(const auto log, log::Log::Open(bus_ + "/t", false));
    LIBBUS_ASSIGN_OR_RETURN(const auto lowest, log::LowestNeeded(*log));
    if (lowest) needed_.push_back({*lowest, store_.now(), puts_.size()});
    return absl::OkStatus();
  }

  const std::string bus_;
  PowerStore& store_;
  Random& random_;
  absl::StatusOr<Topic> topic_ = absl::CancelledError();
  std::optional<Consumer> consumer_;
  bool durable_ = false;
  std::vector<Put> puts_;
  std::vector<Needed> needed_;
  History history_;
};

absl::Status MakeTopic(const std::string& bus_path, uint64_t records) {
  LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path, {.create = true, .background = false}));
  LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("t", {.create = true, .segment_size = 4096}));
  LIBBUS_ASSIGN_OR_RETURN(Producer producer, topic.NewProducer());
  for (uint64_t i = 0; i < records; ++i) LIBBUS_RETURN_IF_ERROR(producer.Publish(std::to_string(i)).status());
  return absl::OkStatus();
}

void RunCursors(uint64_t seed, Tally& tally) {
  SCOPED_TRACE(fmt::format("workload {}", seed));
  const Scratch scratch(ScratchParent());
  const std::string bus = scratch / "bus";
  const absl::Status made = MakeTopic(bus, kRecords);
  ASSERT_TRUE(made.ok()) << made;
  ASSERT_TRUE(std::filesystem::create_directory(scratch / "stash"));
  Random random(seed);
  PowerStore store(bus + "/t/cursors", scratch / "stash");
  seam_control.tear_writes = seed % 2 == 1;
  for (int phase = 0; phase < kPhases; ++phase) {
    CursorHistory cursor(bus, store, random);
    const absl::Status status = cursor.Run(40);
    ASSERT_TRUE(status.ok()) << status;
    for (uint64_t i = 0; i < kImagesEach; ++i) {
      const auto& ends = cursor.history().sync_ends();
      Moment moment = random() % (cursor.history().now() + 1);
      if (i % 3 == 0 && !ends.empty()) moment = ends[random() % ends.size()];
      const Image image = cursor.history().Draw(moment, static_cast<Mix>(random() % kMixes), random);
      // The last one is what the next phase begins with.
      if (image.stale == 0 && i + 1 < kImagesEach) continue;
      store.Restore(image);
      const std::string wrong = cursor.Judge(moment, tally);
      tally.figures.lost += wrong.empty() ? 0 : 1;
      ASSERT_EQ(wrong, "") << "cut at " << moment << " in phase " << phase;
    }
  }
  seam_control.tear_writes = false;
}

void RunAllCursors(uint64_t seed, uint64_t short_form, uint64_t long_form) {
  const Budget budget;
  Tally tally;
  tally.figures.seed = seed;
  const uint64_t& images = tally.figures.images;
  const ReportAtEnd report("power-cursors", tally.figures);
  for (uint64_t n = 0; budget.More(images, short_form, long_form); ++n) {
    ASSERT_NO_FATAL_FAILURE(RunCursors(seed + n, tally)) << "seed " << seed;
  }
  fmt::print("power-cursors: gone back {}, behind something durable {}\n", tally.back, tally.durable);
  EXPECT_GT(tally.back, images / 20) << "the cuts did cut";
  EXPECT_GT(tally.durable, images / 4);
}

TEST_F(PowerCursorTest, ADurableCommitNeverGoesBack) { RunAllCursors(1, 4000, 4000); }

TEST_F(PowerCursorTest, ADurableCommitNeverGoesBackWithAnySeed) {
  RunAllCursors(Number("LIBBUS_SEED", std::random_device()()), 2000, 100000);
}

// --- the log is cut, the cursor is not -------------------------------------------------------------------------------

struct Item {
  bool gap;
  uint64_t position;
  uint64_t next;
  std::string text;
  friend bool operator==(const Item&, const Item&) = default;
};

absl::StatusOr<std::vector<Item>> ReadAll(Topic& topic, const ConsumerOptions& options) {
  LIBBUS_ASSIGN_OR_RETURN(Consumer consumer, topic.NewConsumer(options));
  std::vector<Item> items;
  for (const RecordView& record : consumer.Records(absl::ZeroDuration())) {
    const bool gap = record.kind() == RecordKind::kGap;
    items.push_back({gap, record.position().offset, record.next_position().offset,
                     gap ? std::string() : std::string(record.text())});
  }
  if (!absl::IsOutOfRange(consumer.status())) return consumer.status();
  return items;
}

std::string TextOf(const std::vector<Item>& items) {
  std::string text;
  for (const Item& item : items) text += fmt::format(" {}{}..{}", item.gap ? "gap " : "", item.position, item.next);
  return text;
}

// Where the cursor is put, and when.
using Committed = std::vector<std::pair<Moment, uint64_t>>;

absl::Status PublishAndCommit(const std::string& bus_path, PowerStore& store, Random& random, Committed& committed) {
  LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path, {.background = false}));
  LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("t"));
  LIBBUS_ASSIGN_OR_RETURN(Producer producer, topic.NewProducer());
  LIBBUS_ASSIGN_OR_RETURN(Consumer consumer, topic.NewConsumer({.cursor = "c"}));
  for (int i = 0; i < 120; ++i) {
    const std::string payload(random() % 400, static_cast<char>('a' + i % 26));
    LIBBUS_RETURN_IF_ERROR(producer.Publish(payload, {.durable = random() % 20 == 0}).status());
    if (random() % 3 != 0) continue;
    while (consumer.Next(absl::ZeroDuration()).ok()) {
    }
    LIBBUS_RETURN_IF_ERROR(consumer.Commit());
    committed.emplace_back(store.now(), consumer.position().offset);
  }
  return absl::OkStatus();
}

// Puts the cursor where it stood, recovers, publishes, and reads on: what the log has from there on, gaps first.
absl::Status GoOn(const std::string& bus_path, uint64_t position, uint64_t& gaps) {
  {
    LIBBUS_ASSIGN_OR_RETURN(const auto log, log::Log::Open(bus_path + "/t", false));
    LIBBUS_RETURN_IF_ERROR(log::MoveCursor(*log, "c", {position, 1}));
  }
  LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path, {.background = false}));
  LIBBUS_ASSIGN_OR_RETURN(Topic topic, bus.OpenTopic("t"));
  LIBBUS_ASSIGN_OR_RETURN(Producer producer, topic.NewProducer());
  for (int i = 0; i < 3; ++i) LIBBUS_RETURN_IF_ERROR(producer.Publish("new").status());
  LIBBUS_ASSIGN_OR_RETURN(std::vector<Item> expected, ReadAll(topic, {.to = From::End(), .gaps = Gaps::kAll}));
  std::erase_if(expected, [&](const Item& item) { return item.next <= position; });
  LIBBUS_ASSIGN_OR_RETURN(const auto read, ReadAll(topic, {.to = From::End(), .gaps = Gaps::kAll, .cursor = "c"}));
  // Of a gap over several segments a cursor in the last of them is told that segment's part.
  if (!read.empty() && !expected.empty() && read[0].gap && expected[0].gap && read[0].position <= position) {
    expected[0].position = read[0].position;
  }
  if (read != expected) {
    return absl::DataLossError(fmt::format("from {} on read{}, there is{}", position, TextOf(read), TextOf(expected)));
  }
  if (read.front().gap) ++gaps;
  if (!read.front().gap && read.front().position < position) return absl::DataLossError("begins inside a record");
  return absl::OkStatus();
}

TEST_F(PowerCursorTest, WhatTheLogLostIsAGapFirst) {
  uint64_t gaps = 0;
  Figures figures = {.seed = 1};
  uint64_t& images = figures.images;
  const ReportAtEnd report("power-cursors", figures);
  for (uint64_t seed = 1; images < 1000; ++seed) {
    SCOPED_TRACE(fmt::format("workload {}", seed));
    const Scratch scratch(ScratchParent());
    const std::string bus = scratch / "bus";
    ASSERT_TRUE(MakeTopic(bus, 0).ok());
    ASSERT_TRUE(std::filesystem::create_directory(scratch / "stash"));
    Random random(seed);
    PowerStore store(bus + "/t", scratch / "stash");
    store.Start();
    Committed committed;
    const absl::Status status = PublishAndCommit(bus, store, random, committed);
    ASSERT_TRUE(status.ok()) << status;
    const History history = store.Stop();
    for (int i = 0; i < 40; ++i, ++images) {
      const size_t last = random() % committed.size();
      const Moment moment = committed[last].first;
      // The cursor itself may have gone back.
      const uint64_t position = committed[last - random() % (last + 1) * (random() % 2)].second;
      store.Restore(history.Draw(moment, static_cast<Mix>(random() % kMixes), random));
      ++seam_control.boot_id;
      const absl::Status went = GoOn(bus, position, gaps);
      figures.lost += went.ok() ? 0 : 1;
      ASSERT_TRUE(went.ok()) << went;
    }
  }
  fmt::print("power: images {}, of which the cursor stood in a gap {}\n", images, gaps);
  EXPECT_GT(gaps, images / 10);
  EXPECT_LT(gaps, images);
}

}  // namespace
}  // namespace libbus::test
