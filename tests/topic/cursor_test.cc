#include "libbus/cursor.h"

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/log/cursor_file.h"
#include "libbus/log/cursors.h"
#include "libbus/log/log.h"
#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;

constexpr absl::Duration kNow = absl::ZeroDuration();

class CursorTest : public TopicTest {
 protected:
  CursorTest() : topic_(Make()), producer_(topic_->NewProducer()) {}
  ~CursorTest() override {
    seam_control.boot_id = 0;
    seam_control.pretend_durable = false;
    seam_control.skip_sleeps = false;
    seam_control.no_waitv = false;
    seam_control.clock_offset = 0;
    seam_control.sync_error = 0;
  }

  // Of 40 bytes each, numbered from 0.
  static std::string Number(uint64_t n) { return std::to_string(n + 1'000'000); }
  void Publish(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i, ++next_) {
      const auto position = producer_->Publish(Number(next_));
      ASSERT_TRUE(Succeeds(position));
      positions_.push_back(*position);
    }
  }
  absl::StatusOr<Consumer> Take(ConsumerOptions options = {}) {
    if (options.cursor.empty()) options.cursor = "c";
    options.wait = Wait::kPark;
    return topic_->NewConsumer(options);
  }
  // The number of the next record, which is there.
  static uint64_t Next(Consumer& consumer) {
    const auto record = consumer.Next(kNow);
    EXPECT_TRUE(Succeeds(record));
    if (!record.ok()) return UINT64_MAX;
    EXPECT_EQ(record->kind(), RecordKind::kData);
    return std::stoull(std::string(record->text())) - 1'000'000;
  }
  // Of a consumer that goes again.
  uint64_t First(const ConsumerOptions& options = {}) {
    auto consumer = Take(options);
    EXPECT_TRUE(Succeeds(consumer));
    return consumer.ok() ? Next(*consumer) : UINT64_MAX;
  }
  CursorInfo Info(const std::string& name = "c") const {
    const auto cursors = topic_->ListCursors();
    EXPECT_TRUE(Succeeds(cursors));
    for (const CursorInfo& cursor : *cursors) {
      if (cursor.name == name) return cursor;
    }
    ADD_FAILURE() << "no cursor " << name;
    return {};
  }
  std::optional<size_t> At() const {
    const auto found = std::find(positions_.begin(), positions_.end(), Info().position);
    if (found == positions_.end()) return std::nullopt;
    return found - positions_.begin();
  }
  // As if the bus lay on a disk.
  void OnADisk() {
    seam_control.pretend_durable = true;
    producer_ = absl::CancelledError();
    topic_ = absl::CancelledError();
    topic_ = Make();
    producer_ = topic_->NewProducer();
  }
  // Without any of the checks that moving it by the topic makes.
  void Put(uint64_t position) const {
    auto log = log::Log::Open(bus_ + "/t", false);
    ASSERT_TRUE(Succeeds(log));
    ASSERT_TRUE(Succeeds(log::MoveCursor(**log, "c", {position, {}})));
  }

  absl::StatusOr<Topic> topic_;
  absl::StatusOr<Producer> producer_;
  std::vector<Position> positions_;
  uint64_t next_ = 0;
};

// --- going on --------------------------------------------------------------------------------------------------------

TEST_F(CursorTest, GoesOnWhereItWasCommitted) {
  Publish(300);  // some segments
  uint64_t expected = 0;
  for (int round = 0; round < 10; ++round) {
    auto consumer = Take();
    ASSERT_TRUE(Succeeds(consumer));
    for (int i = 0; i < 30; ++i) {
      const auto record = consumer->Next(kNow);
      ASSERT_TRUE(Succeeds(record));
      EXPECT_EQ(record->text(), Number(expected));
      EXPECT_EQ(record->sequence(), expected) << "the ordinal is kept as well";
      ++expected;
    }
    ASSERT_TRUE(Succeeds(consumer->Commit()));
    // Read, and not committed: it comes again.
    EXPECT_EQ(expected < 300 ? Next(*consumer) : expected, expected);
  }
  EXPECT_EQ(expected, 300u);
}

TEST_F(CursorTest, IsMadeAtFromAndStaysThere) {
  Publish(20);
  { EXPECT_EQ(First({.from = From::Last(5)}), 15u); }
  Publish(20);
  EXPECT_EQ(First({.from = From::Start()}), 15u);
  { ASSERT_TRUE(Succeeds(Take({.from = From::End(), .cursor = "end"}))); }
  Publish(1);
  EXPECT_EQ(First({.cursor = "end"}), 40u);
}

TEST_F(CursorTest, CommitIsWhatWasHandedOutByPollToo) {
  Publish(10);
  {
    auto consumer = Take();
    EXPECT_EQ(consumer->Poll(4)->size(), 4u);
    ASSERT_TRUE(Succeeds(consumer->Commit()));
    EXPECT_EQ(consumer->Poll(4)->size(), 4u);
  }
  EXPECT_EQ(First(), 4u);
}

TEST_F(CursorTest, CommitUpToAPosition) {
  Publish(200);
  {
    auto consumer = Take();
    for (int i = 0; i < 150; ++i) Next(*consumer);
    ASSERT_TRUE(Succeeds(consumer->Commit(positions_[120])));
    EXPECT_EQ(Info().sequence, 120u);
    EXPECT_TRUE(Fails(consumer->Commit(positions_[151]), StatusCode::kOutOfRange, "beyond what was handed out"));
    const Position inside{positions_[60].offset + 8};
    EXPECT_TRUE(Fails(consumer->Commit(inside), StatusCode::kInvalidArgument,
                      "starts at " + std::to_string(positions_[60].offset)));
    EXPECT_EQ(At(), 120u) << "stays where it was on error";
    ASSERT_TRUE(Succeeds(consumer->Commit(positions_[30])));  // back, if somebody wants that
  }
  auto consumer = Take();
  const auto record = consumer->Next(kNow);
  EXPECT_EQ(record->text(), Number(30));
  EXPECT_EQ(record->sequence(), 30u);
}

// Where a record ends a segment, the position behind it is one before an END.
TEST_F(CursorTest, EachNextPositionCanBeCommitted) {
  Publish(250);
  for (uint64_t n = 0; n < 250; ++n) {
    auto consumer = Take();
    const auto record = consumer->Next(kNow);
    ASSERT_TRUE(Succeeds(record));
    ASSERT_EQ(record->text(), Number(n));
    ASSERT_TRUE(Succeeds(consumer->Commit(record->next_position())));
  }
}

TEST_F(CursorTest, AfterASeekItIsWhereThatWent) {
  Publish(50);
  {
    auto consumer = Take();
    for (int i = 0; i < 40; ++i) Next(*consumer);
    ASSERT_TRUE(Succeeds(consumer->Seek(From::At(positions_[7]))));
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  EXPECT_EQ(First(), 7u);
}

TEST_F(CursorTest, WaitsForManyLeavesWhatWasOnlySeen) {
  Publish(3);
  {
    auto consumer = Take();
    EXPECT_EQ(Next(*consumer), 0u);
    Consumer* const all[] = {&*consumer};
    ASSERT_TRUE(Succeeds(WaitAny(all, absl::Seconds(20))));  // has the next one at hand
    ASSERT_TRUE(Succeeds(consumer->Commit()));
    EXPECT_EQ(consumer->Lag()->records, 2u);
  }
  EXPECT_EQ(First(), 1u);
}

// What Poll met behind the records that it handed out was not handed out.
TEST_F(CursorTest, AnErrorThatWasNotToldIsNotCommitted) {
  Publish(5);
  Flip(Path(SegmentName(0)), positions_[2].offset + 24, 1);
  {
    auto consumer = Take({.gaps = Gaps::kError});
    EXPECT_EQ(consumer->Poll(10)->size(), 2u);
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  {
    auto consumer = Take({.gaps = Gaps::kError});
    EXPECT_TRUE(Fails(consumer->Next(kNow), StatusCode::kDataLoss, "lost from"));
    EXPECT_EQ(Next(*consumer), 3u);
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  EXPECT_EQ(First({.gaps = Gaps::kError}), 4u);
}

// --- committing by itself --------------------------------------------------------------------------------------------

TEST_F(CursorTest, CommitsWhatEarlierCallsHandedOut) {
  Publish(10);
  auto consumer = Take({.auto_commit = absl::ZeroDuration()});
  for (size_t n = 0; n < 9; ++n) {
    EXPECT_EQ(Next(*consumer), n);
    EXPECT_EQ(At(), n) << "the one that is being worked on is not committed";
  }
}

TEST_F(CursorTest, CommitsInIntervalsAndWhenItGoes) {
  Publish(10);
  {
    auto consumer = Take({.auto_commit = absl::Seconds(5)});
    EXPECT_EQ(Next(*consumer), 0u);
    EXPECT_EQ(Next(*consumer), 1u);
    EXPECT_EQ(At(), 0u);
    seam_control.clock_offset += 5'000'000'001;
    EXPECT_EQ(Next(*consumer), 2u);
    EXPECT_EQ(At(), 2u);
    EXPECT_EQ(Next(*consumer), 3u);
    EXPECT_EQ(At(), 2u);
  }
  EXPECT_EQ(At(), 4u);
  { EXPECT_EQ(First(), 4u); }
  EXPECT_EQ(At(), 4u) << "without the option nothing is committed";
}

// Nothing more comes: what was handed out is committed all the same.
TEST_F(CursorTest, CommitsWhileItWaits) {
  Publish(1);
  auto consumer = Take({.auto_commit = absl::Seconds(5)});
  EXPECT_EQ(Next(*consumer), 0u);
  seam_control.skip_sleeps = true;
  seam_control.no_waitv = true;
  EXPECT_TRUE(Fails(consumer->Next(absl::Seconds(4)), StatusCode::kDeadlineExceeded));
  EXPECT_EQ(Info().lag.records, 1u);
  EXPECT_TRUE(Fails(consumer->Next(absl::Seconds(60)), StatusCode::kDeadlineExceeded));
  EXPECT_EQ(Info().lag.records, 0u);
}

TEST_F(CursorTest, AFailedCommitIsToldAndNothingIsHandedOut) {
  OnADisk();
  Publish(3);
  auto consumer = Take({.auto_commit = absl::ZeroDuration(), .durable_commits = true});
  ASSERT_TRUE(Succeeds(consumer));
  EXPECT_EQ(Next(*consumer), 0u);
  seam_control.sync_error = EIO;
  EXPECT_TRUE(Fails(consumer->Next(kNow), StatusCode::kUnavailable, "cursors/c"));
  seam_control.sync_error = 0;
  EXPECT_EQ(Next(*consumer), 1u);
}

TEST_F(CursorTest, DurableCommitsSyncAndOthersDoNot) {
  Publish(3);
  EXPECT_TRUE(Fails(Take({.durable_commits = true}), StatusCode::kFailedPrecondition, "tmpfs"));
  OnADisk();
  for (const bool durable : {false, true}) {
    auto consumer = Take({.durable_commits = durable});
    Next(*consumer);
    const uint64_t before = seam_control.data_syncs;
    ASSERT_TRUE(Succeeds(consumer->Commit()));
    EXPECT_EQ(seam_control.data_syncs - before, durable ? 1u : 0u);
  }
}

// --- what contradicts ------------------------------------------------------------------------------------------------

// What is not asked to be durable becomes so now and then: what a power loss could bring back is kept from retention.
TEST_F(CursorTest, OthersAreSyncedOnceASegment) {
  Publish(400);  // in four segments
  auto consumer = Take();
  ASSERT_TRUE(Succeeds(consumer));
  const uint64_t before = seam_control.data_syncs;
  for (int i = 0; i < 400; ++i) {
    Next(*consumer);
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  EXPECT_EQ(seam_control.data_syncs, before + 3);
  const auto lowest = log::LowestNeeded(*log::Log::Open(bus_ + "/t", false).value());
  ASSERT_TRUE(Succeeds(lowest));
  EXPECT_GE(**lowest + 2 * 4096, consumer->position().offset);
}

// A bus is copied while it lives, its cursors last: the copy goes on from before where they stand.
TEST_F(CursorTest, OfTheOriginalDoesNotMisleadACopy) {
  Publish(50);
  const std::string copy = scratch_ / "copy";
  std::filesystem::copy(bus_, copy, std::filesystem::copy_options::recursive);
  Publish(200);
  {
    auto consumer = Take();
    ASSERT_TRUE(Succeeds(consumer));
    for (int i = 0; i < 250; ++i) Next(*consumer);
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  std::filesystem::copy(Path("cursors"), copy + "/t/cursors",
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  std::filesystem::permissions(copy, std::filesystem::perms::owner_all);
  ASSERT_TRUE(Succeeds(RecoverTopic(copy, "t", {.apply = true})));
  auto adopted = OpenTopic(copy);
  ASSERT_TRUE(Succeeds(adopted));
  auto producer = adopted->NewProducer();
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(Succeeds(producer->Publish(Number(0))));
  EXPECT_TRUE(Fails(adopted->NewConsumer({.cursor = "c"}), StatusCode::kOutOfRange, "when the topic was copied"));
  ASSERT_TRUE(Succeeds(adopted->SeekCursor("c", From::Start())));
  EXPECT_TRUE(Succeeds(adopted->NewConsumer({.cursor = "c"})));
}

TEST_F(CursorTest, OptionsThatContradict) {
  EXPECT_TRUE(Fails(Take({.cursor = "a/b"}), StatusCode::kInvalidArgument, "cursor name \"a/b\""));
  EXPECT_TRUE(Fails(Take({.auto_commit = absl::Seconds(-1)}), StatusCode::kInvalidArgument, "negative"));
  EXPECT_TRUE(
      Fails(topic_->NewConsumer({.durable_commits = true}), StatusCode::kInvalidArgument, "name one in `cursor`"));
  EXPECT_TRUE(Fails(topic_->NewConsumer({.auto_commit = absl::Seconds(1)}), StatusCode::kInvalidArgument, "`cursor`"));
  auto none = topic_->NewConsumer();
  EXPECT_TRUE(Fails(none->Commit(), StatusCode::kFailedPrecondition, "has no cursor"));
  EXPECT_TRUE(Fails(none->Commit(Position{64}), StatusCode::kFailedPrecondition, "has no cursor"));
}

// --- who holds it ----------------------------------------------------------------------------------------------------

TEST_F(CursorTest, TwoProcessesDoNotShareOne) {
  Publish(3);
  auto held = Take();
  ASSERT_TRUE(Succeeds(held));
  const std::string holder = "held by process " + std::to_string(getpid());
  EXPECT_EQ(Child([&] {
              auto topic = OpenReadOnly();
              const auto second = topic->NewConsumer({.cursor = "c"}).status();
              if (!Fails(second, StatusCode::kFailedPrecondition, holder)) return 1;
              if (!Fails(topic->SeekCursor("c", From::Start()), StatusCode::kFailedPrecondition, holder)) return 2;
              if (!Fails(topic->RemoveCursor("c"), StatusCode::kFailedPrecondition, holder)) return 3;
              const auto cursors = topic->ListCursors();
              return cursors->front().holder->pid == static_cast<uint64_t>(getppid()) ? 0 : 4;
            }).Join(),
            0);
  EXPECT_TRUE(Info().holder.has_value());
  { const auto gone = std::move(held); }
  EXPECT_FALSE(Info().holder.has_value());
  EXPECT_EQ(Child([&] {
              auto topic = OpenReadOnly();
              auto consumer = topic->NewConsumer({.cursor = "c"});
              return consumer.ok() && Next(*consumer) == 0 && consumer->Commit().ok() ? 0 : 1;
            }).Join(),
            0);
  EXPECT_EQ(At(), 1u);
}

TEST_F(CursorTest, AChildIsToldAndTouchesNothing) {
  Publish(3);
  auto consumer = Take({.auto_commit = absl::ZeroDuration()});
  Next(*consumer);
  EXPECT_EQ(Child([&] {
              if (!Fails(consumer->Commit(), StatusCode::kFailedPrecondition, "fork")) return 1;
              if (!Fails(consumer->Lag(), StatusCode::kFailedPrecondition, "fork")) return 2;
              if (!Fails(topic_->ListCursors(), StatusCode::kFailedPrecondition, "fork")) return 3;
              if (!Fails(topic_->SeekCursor("c", From::End()), StatusCode::kFailedPrecondition, "fork")) return 4;
              if (!Fails(topic_->RemoveCursor("c"), StatusCode::kFailedPrecondition, "fork")) return 5;
              { const auto gone = std::move(consumer); }
              return 0;
            }).Join(),
            0);
  EXPECT_EQ(At(), 0u);
  ASSERT_TRUE(Succeeds(consumer->Commit()));
  EXPECT_EQ(At(), 1u);
}

// --- killed ----------------------------------------------------------------------------------------------------------

constexpr uint64_t kWork = 40;
struct Worked {
  std::array<std::atomic<uint64_t>, kWork> times{};
  std::atomic<uint64_t> committed{0};
};

int Work(const std::string& bus, Worked& worked, bool automatic) {
  auto topic = OpenTopic(bus, {}, {.read_only = true});
  ConsumerOptions options{.to = From::End(), .cursor = "c"};
  if (automatic) options.auto_commit = absl::ZeroDuration();
  auto consumer = topic->NewConsumer(options);
  if (!consumer.ok()) return 1;
  for (;;) {
    const auto record = consumer->Next();
    if (absl::IsOutOfRange(record.status())) return 0;
    if (!record.ok()) return 2;
    const uint64_t n = std::stoull(std::string(record->text())) - 1'000'000;
    if (automatic) worked.committed = n;
    if (n != *record->sequence()) return 3;
    ++worked.times[n];
    if (automatic) continue;
    if (!consumer->Commit().ok()) return 4;
    worked.committed = n + 1;
  }
}

// A worker is killed before each of its points in turn, and the next one goes on: no record is skipped, and none comes
// again but the one that was being worked on.
TEST_F(CursorTest, AKilledWorkerSkipsNothing) {
  Publish(kWork);
  for (const bool automatic : {false, true}) {
    Shared<Worked> worked;
    uint64_t kills = 0;
    for (uint64_t point = 1;; ++point) {
      const uint64_t committed = worked->committed;
      const int code = Child([&] {
                         seam_control.points = 0;
                         seam_control.kill_at = 3 + point % 40;
                         return Work(bus_, *worked, automatic);
                       }).Join();
      EXPECT_GE(worked->committed, committed);
      if (code == 0) break;
      ASSERT_EQ(code, -SIGKILL);
      ++kills;
      ASSERT_LT(kills, 2000u);
    }
    for (uint64_t n = 0; n < kWork; ++n) EXPECT_GE(worked->times[n], 1u) << n;
    EXPECT_GT(kills, 10u);
    ASSERT_TRUE(Succeeds(topic_->RemoveCursor("c")));
  }
}

// --- places where it cannot just go on -------------------------------------------------------------------------------

// The power went, and what it had read was not on the disk: that is told first.
TEST_F(CursorTest, InALostRangeTheGapComesFirst) {
  OnADisk();
  Publish(20);
  {
    auto consumer = Take();
    for (int i = 0; i < 15; ++i) Next(*consumer);
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  const Position lost = positions_[10];
  const std::string control = ReadFile(Path("control"));
  producer_ = absl::CancelledError();
  topic_ = absl::CancelledError();
  // As it was while it was open, without what was written last.
  Patch(Path("control"), 0, control);
  // One record is lost; what stands behind it is whole, and sealed off with it.
  Patch(Path(SegmentName(0)), lost.offset, std::string(positions_[11].offset - lost.offset, '\0'));
  seam_control.boot_id = 1;
  topic_ = Make();
  ASSERT_TRUE(Succeeds(topic_));
  producer_ = topic_->NewProducer();
  Publish(1);
  auto consumer = Take({.gaps = Gaps::kLoss});
  ASSERT_TRUE(Succeeds(consumer));
  const auto gap = consumer->Next(kNow);
  ASSERT_TRUE(Succeeds(gap));
  ASSERT_EQ(gap->kind(), RecordKind::kGap);
  EXPECT_EQ(gap->gap().from, lost);
  EXPECT_TRUE(gap->gap().loss());
  const auto behind = consumer->Next(kNow);
  ASSERT_TRUE(Succeeds(behind));
  EXPECT_EQ(behind->text(), Number(20));
  EXPECT_FALSE(Info().sequence.has_value()) << "counted in another epoch";
}

TEST_F(CursorTest, BeyondTheEndAndInsideARecordSayWhatToDo) {
  Publish(5);
  { ASSERT_TRUE(Succeeds(Take())); }
  for (const auto& [position, code] : {std::pair{uint64_t{999'936}, StatusCode::kOutOfRange},
                                       std::pair{positions_[2].offset + 8, StatusCode::kInvalidArgument}}) {
    Put(position);
    EXPECT_TRUE(Fails(Take(), code, "`bus cursor seek t c POSITION`"));
    EXPECT_TRUE(Fails(Info().problem, code, "`bus cursor rm t c`"));
    ASSERT_TRUE(Succeeds(topic_->SeekCursor("c", From::At(positions_[3]))));
    EXPECT_EQ(First(), 3u);
  }
}

TEST_F(CursorTest, ADamagedFileIsListedMovedAndRemoved) {
  Publish(5);
  { ASSERT_TRUE(Succeeds(Take())); }
  Patch(Path("cursors/c"), 0, std::string(format::kCursorSize, '\0'));
  EXPECT_TRUE(Fails(Take(), StatusCode::kDataLoss, "zeros"));
  EXPECT_TRUE(Fails(Info().problem, StatusCode::kDataLoss, "`bus cursor seek t c POSITION`"));
  ASSERT_TRUE(Succeeds(topic_->SeekCursor("c", From::Last(2))));
  EXPECT_EQ(First(), 3u);
  Patch(Path("cursors/c"), 0, "garbage");
  ASSERT_TRUE(Succeeds(topic_->RemoveCursor("c")));
  EXPECT_TRUE(topic_->ListCursors()->empty());
}

// Made anew under its name: the cursors of before are gone with it.
TEST_F(CursorTest, ATopicMadeAnewHasNone) {
  Publish(5);
  auto consumer = Take();
  Next(*consumer);
  auto bus = Bus::Open(bus_);
  ASSERT_TRUE(Succeeds(bus->RemoveTopic("t")));
  EXPECT_TRUE(Fails(consumer->Commit(), StatusCode::kFailedPrecondition, "was removed"));
  auto anew = Make();
  EXPECT_TRUE(anew->ListCursors()->empty());
  EXPECT_FALSE(Take({.cursor = "late"}).ok()) << "and the old one gets no more";
  EXPECT_TRUE(anew->ListCursors()->empty());
}

// Restored from a backup, say: what it stood at was deleted.
TEST_F(CursorTest, AtADeletedPositionThatIsToldFirst) {
  Publish(300);
  { ASSERT_TRUE(Succeeds(Take({.from = From::End()}))); }
  ASSERT_TRUE(Succeeds(topic_->Trim(From::End())));
  Put(positions_[3].offset);
  {
    auto consumer = Take();
    ASSERT_TRUE(Succeeds(consumer));
    ASSERT_TRUE(Succeeds(consumer->Commit()));
    EXPECT_EQ(Info().position, positions_[3]) << "nothing was handed out, not even the gap";
  }
  auto consumer = Take();
  const auto gap = consumer->Next(kNow);
  ASSERT_TRUE(Succeeds(gap));
  ASSERT_EQ(gap->kind(), RecordKind::kGap);
  EXPECT_EQ(gap->gap().cause, GapCause::kEvicted);
  EXPECT_EQ(gap->gap().from, positions_[3]);
  const auto record = consumer->Next(kNow);
  ASSERT_TRUE(Succeeds(record));
  const auto number = std::stoull(std::string(record->text())) - 1'000'000;
  EXPECT_EQ(record->position(), positions_[number]);
  EXPECT_EQ(record->sequence().value_or(number), number);
  ASSERT_TRUE(Succeeds(consumer->Commit()));
  EXPECT_EQ(Info().position, positions_[number + 1]);
}

// --- batches ---------------------------------------------------------------------------------------------------------

TEST_F(CursorTest, StandsInsideABatch) {
  for (int round = 0; round < 2; ++round) {
    auto batch = producer_->NewBatch();
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(Succeeds(batch.Add(Number(next_++))));
    ASSERT_TRUE(Succeeds(batch.Commit()));
  }
  for (uint64_t n = 0; n < 10; ++n) {
    auto consumer = Take();
    const auto record = consumer->Next(kNow);
    ASSERT_TRUE(Succeeds(record));
    EXPECT_EQ(record->text(), Number(n));
    EXPECT_EQ(record->sequence(), n);
    EXPECT_EQ(consumer->Lag()->records, 9 - n);
    ASSERT_TRUE(Succeeds(n % 2 == 0 ? consumer->Commit() : consumer->Commit(record->next_position())));
    EXPECT_EQ(Info().lag.records, 9 - n);
  }
}

// --- lag -------------------------------------------------------------------------------------------------------------

TEST_F(CursorTest, Lag) {
  Publish(120);
  auto consumer = Take();
  EXPECT_EQ(consumer->Lag()->records, 120u);
  for (int i = 0; i < 20; ++i) Next(*consumer);
  EXPECT_EQ(consumer->Lag()->records, 100u);
  EXPECT_EQ(Info().lag.records, 120u) << "a cursor's is counted from what is committed";
  ASSERT_TRUE(Succeeds(consumer->Commit()));
  EXPECT_EQ(Info().lag.records, 100u);
  EXPECT_EQ(Info().lag.bytes, consumer->Lag()->bytes);
  while (consumer->Next(kNow).ok()) {
  }
  ASSERT_TRUE(Succeeds(consumer->Commit()));
  EXPECT_EQ(Info().lag.bytes, 0u);
  EXPECT_EQ(Info().lag.records, 0u);
}

// Too far to be counted by reading: the sequences of both ends tell.
TEST_F(CursorTest, LagInRecordsBeyondWhatIsCounted) {
  auto bus = Bus::Open(bus_);
  auto large = bus->OpenTopic("large", {.create = true, .segment_size = 8 << 20});
  auto producer = large->NewProducer();
  for (int i = 0; i < 70'000; ++i) ASSERT_TRUE(producer->Publish("x").ok());
  auto consumer = large->NewConsumer();
  EXPECT_EQ(consumer->Lag()->records, 70'000u);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(consumer->Next(kNow).ok());
  EXPECT_EQ(consumer->Lag()->records, 69'900u);
  EXPECT_GT(consumer->Lag()->bytes, 70'000u * 24);
}

// --- moved and removed -----------------------------------------------------------------------------------------------

TEST_F(CursorTest, MovesAsAConsumerSeeks) {
  Publish(50);
  EXPECT_TRUE(Fails(topic_->SeekCursor("c", From::Start()), StatusCode::kNotFound, "no such cursor"));
  EXPECT_TRUE(Fails(topic_->RemoveCursor("c"), StatusCode::kNotFound, "no such cursor"));
  EXPECT_TRUE(Fails(topic_->SeekCursor("../t", From::Start()), StatusCode::kInvalidArgument, "cursor name"));
  { ASSERT_TRUE(Succeeds(Take())); }
  const std::pair<From, uint64_t> places[] = {{From::Last(3), 47},
                                              {From::Start(), 0},
                                              {From::Sequence(12), 12},
                                              {From::At(positions_[30]), 30},
                                              {From::Time(absl::UnixEpoch()), 0}};
  for (const auto& [from, number] : places) {
    ASSERT_TRUE(Succeeds(topic_->SeekCursor("c", from)));
    EXPECT_EQ(First(), number);
  }
  EXPECT_TRUE(Fails(topic_->SeekCursor("c", From::At({64'000})), StatusCode::kOutOfRange, "beyond the end"));
  ASSERT_TRUE(Succeeds(topic_->SeekCursor("c", From::End())));
  EXPECT_EQ(Info().lag.bytes, 0u);
  ASSERT_TRUE(Succeeds(topic_->RemoveCursor("c")));
  EXPECT_EQ(First(), 0u) << "made anew";
}

}  // namespace
}  // namespace libbus::test
