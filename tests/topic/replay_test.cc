#include "libbus/replay.h"

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

class ReplayTest : public TopicTest {
 protected:
  void SetUp() override {
    auto from = Make();
    ASSERT_TRUE(Succeeds(from));
    from_.emplace(*std::move(from));
    auto bus = Bus::Open(bus_, {.background = false});
    ASSERT_TRUE(Succeeds(bus));
    auto to = bus->OpenTopic("copy", {.create = true});
    ASSERT_TRUE(Succeeds(to));
    to_.emplace(*std::move(to));
  }

  // `times`: ns since 1970, one record each.
  void Publish(const std::vector<int64_t>& times) {
    auto producer = from_->NewProducer();
    ASSERT_TRUE(Succeeds(producer));
    for (const int64_t time : times) {
      ASSERT_TRUE(Succeeds(
          producer->Publish("at " + std::to_string(time), {.type = 7, .timestamp = absl::FromUnixNanos(time)})));
    }
  }

  Consumer Range(From from = From::Start()) {
    auto consumer = from_->NewConsumer({.from = from, .to = From::End()});
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  static std::vector<OwnedRecord> All(Topic& topic) {
    std::vector<OwnedRecord> all;
    auto consumer = topic.NewConsumer({.to = From::End()});
    for (const RecordView& record : consumer->Records(absl::ZeroDuration())) all.push_back(record.ToOwned());
    return all;
  }

  absl::Status IntoCopy(Consumer& consumer, const ReplayOptions& options = {}) {
    auto producer = to_->NewProducer();
    EXPECT_TRUE(producer.ok()) << producer.status();
    return Replay(consumer, *producer, options, report_);
  }

  std::optional<Topic> from_;
  std::optional<Topic> to_;
  ReplayReport report_;
};

TEST_F(ReplayTest, CarriesEverything) {
  auto producer = from_->NewProducer();
  const std::vector<Header> headers = {{"a", "1"}, {"a", "2"}, {"", std::string_view("\0x", 2)}};
  ASSERT_TRUE(Succeeds(producer->Publish("full", {.key = "k",
                                                  .headers = headers,
                                                  .type = 4'000'000'000,
                                                  .timestamp = absl::FromUnixNanos(-5),
                                                  .source = Position{64},
                                                  .producer = "p",
                                                  .producer_sequence = 9})));
  ASSERT_TRUE(Succeeds(producer->Publish("")));
  ASSERT_TRUE(Succeeds(producer->Publish(std::string(300'000, 'x'))));
  Batch batch = producer->NewBatch();
  ASSERT_TRUE(batch.Add(AsBytes("inner 1"), {.key = "i"}).ok());
  ASSERT_TRUE(batch.Add(AsBytes("inner 2")).ok());
  ASSERT_TRUE(Succeeds(batch.Commit()));
  Consumer consumer = Range();
  ASSERT_TRUE(Succeeds(IntoCopy(consumer)));
  const auto originals = All(*from_);
  const auto copies = All(*to_);
  ASSERT_EQ(originals.size(), 5u);
  ASSERT_EQ(copies.size(), 5u);
  for (size_t i = 0; i < copies.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(copies[i].payload, originals[i].payload);
    EXPECT_EQ(copies[i].key, originals[i].key);
    EXPECT_EQ(copies[i].headers, originals[i].headers);
    EXPECT_EQ(copies[i].type, originals[i].type);
    EXPECT_EQ(copies[i].timestamp, originals[i].timestamp);
    EXPECT_EQ(copies[i].producer, originals[i].producer);
    EXPECT_EQ(copies[i].producer_sequence, originals[i].producer_sequence);
    EXPECT_EQ(copies[i].source, originals[i].position);
  }
  EXPECT_EQ(report_.records, 5u);
  EXPECT_EQ(report_.bytes, 300'018u);
  EXPECT_EQ(report_.next, consumer.position());
  EXPECT_EQ(report_.last, copies.back().position);
}

TEST_F(ReplayTest, EndsWhereItWasTold) {
  Publish({1, 2, 3, 4});
  Consumer consumer = Range();
  ASSERT_TRUE(Succeeds(IntoCopy(consumer, {.count = 3})));
  EXPECT_EQ(report_.records, 3u);
  EXPECT_EQ(report_.next, All(*from_)[3].position);
  ASSERT_TRUE(Succeeds(IntoCopy(consumer)));
  EXPECT_EQ(report_.records, 1u);
  EXPECT_EQ(All(*to_).size(), 4u);
  // Nothing is left: that is an end too.
  ASSERT_TRUE(Succeeds(IntoCopy(consumer)));
  EXPECT_EQ(report_.records, 0u);
  EXPECT_EQ(report_.last, Position{0});
}

TEST_F(ReplayTest, WaitsAsLongAsTheTimestampsSay) {
  const int64_t base = 1'700'000'000'000'000'000;
  Publish({base, base + 2'000'000'000, base + 3'000'000'000});
  Consumer consumer = Range();
  std::vector<absl::Time> times;
  const ReplaySink note = [&](const RecordView&) { return times.push_back(absl::Now()), absl::OkStatus(); };
  ASSERT_TRUE(Succeeds(Replay(consumer, note, {.speed = 20}, report_)));
  ASSERT_EQ(times.size(), 3u);
  EXPECT_GE(times[1] - times[0], absl::Milliseconds(99));
  EXPECT_GE(times[2] - times[0], absl::Milliseconds(149));
}

// Clocks of producers differ: one that is behind does not take the pace back, nor does a record without a time.
TEST_F(ReplayTest, NeverGoesBackwards) {
  const int64_t hour = 3'600'000'000'000;
  Publish({100 * hour, 90 * hour, 0, 100 * hour + 60'000'000, 10 * hour, std::numeric_limits<int64_t>::min()});
  Consumer consumer = Range();
  std::vector<absl::Time> times;
  const ReplaySink note = [&](const RecordView&) { return times.push_back(absl::Now()), absl::OkStatus(); };
  ASSERT_TRUE(Succeeds(Replay(consumer, note, {.speed = 1}, report_)));
  ASSERT_EQ(times.size(), 6u);
  EXPECT_GE(times[3] - times[0], absl::Milliseconds(59));
}

TEST_F(ReplayTest, EndsWhileItWaits) {
  const int64_t day = 86'400'000'000'000;
  Publish({day, 1000 * day});
  Consumer consumer = Range();
  int told = 0;
  const auto progress = [&](uint64_t done, uint64_t total) {
    EXPECT_LE(done, total);
    return ++told < 3;
  };
  EXPECT_TRUE(Fails(IntoCopy(consumer, {.speed = 1, .progress = progress}), absl::StatusCode::kCancelled, "replay"));
  EXPECT_EQ(told, 3);
  EXPECT_EQ(report_.records, 1u);
  EXPECT_EQ(report_.next, All(*from_)[1].position);
  EXPECT_EQ(All(*to_).size(), 1u);
}

TEST_F(ReplayTest, WhatTheSinkRefusedIsNotCounted) {
  Publish({1, 2, 3});
  Consumer consumer = Range();
  int calls = 0;
  const ReplaySink refuse = [&](const RecordView&) {
    return ++calls == 3 ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  };
  EXPECT_TRUE(Fails(Replay(consumer, refuse, {}, report_), absl::StatusCode::kResourceExhausted, "full"));
  EXPECT_EQ(report_.records, 2u);
  EXPECT_EQ(report_.next, All(*from_)[2].position);
}

TEST_F(ReplayTest, TellsOfLosses) {
  Publish({1, 2, 3});
  const auto records = All(*from_);
  // A byte of the second payload.
  Patch(bus_ + "/t/00000000000000000000.seg", records[1].position.offset + 24, "!");
  Consumer consumer = Range();
  std::vector<Gap> gaps;
  const auto note = [&](const Gap& gap) { gaps.push_back(gap); };
  ASSERT_TRUE(Succeeds(IntoCopy(consumer, {.on_gap = note})));
  EXPECT_EQ(report_.records, 2u);
  EXPECT_EQ(report_.losses, 1u);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].from, records[1].position);
  EXPECT_EQ(gaps[0].to, records[2].position);
}

TEST_F(ReplayTest, WaitsForMoreIfAsked) {
  Publish({1});
  auto consumer = from_->NewConsumer();
  ASSERT_TRUE(Succeeds(consumer));
  bool more = false;
  const auto progress = [&](uint64_t, uint64_t total) {
    EXPECT_EQ(total, 0u);
    if (!std::exchange(more, true)) Publish({2});
    return true;
  };
  ASSERT_TRUE(Succeeds(IntoCopy(*consumer, {.wait = absl::Milliseconds(200), .progress = progress})));
  EXPECT_EQ(report_.records, 2u);
}

TEST_F(ReplayTest, RefusesWhatIsNoSpeed) {
  Consumer consumer = Range();
  for (const double speed : {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_TRUE(Fails(IntoCopy(consumer, {.speed = speed}), absl::StatusCode::kInvalidArgument, "speed"));
  }
}

TEST_F(ReplayTest, GoesOnWhereItEnded) {
  std::vector<int64_t> times(100);
  for (size_t i = 0; i < times.size(); ++i) times[i] = static_cast<int64_t>(i) + 1;
  Publish(times);
  auto resume = FindResume(*from_, *to_);
  ASSERT_TRUE(Succeeds(resume));
  EXPECT_FALSE(*resume);
  Consumer consumer = Range();
  ASSERT_TRUE(Succeeds(IntoCopy(consumer, {.count = 40})));
  // Others publish there as well, a lot.
  {
    auto producer = to_->NewProducer();
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(Succeeds(producer->Publish("somebody else's")));
  }
  resume = FindResume(*from_, *to_);
  ASSERT_TRUE(Succeeds(resume));
  ASSERT_TRUE(*resume);
  EXPECT_EQ(**resume, All(*from_)[40].position);
  ASSERT_TRUE(Succeeds(consumer.Seek(From::At(**resume))));
  ASSERT_TRUE(Succeeds(IntoCopy(consumer)));
  std::vector<int64_t> replayed;
  for (const OwnedRecord& record : All(*to_)) {
    if (record.source) replayed.push_back(absl::ToUnixNanos(record.timestamp));
  }
  EXPECT_EQ(replayed, times);
  resume = FindResume(*from_, *to_);
  ASSERT_TRUE(Succeeds(resume));
  EXPECT_EQ(*resume, report_.next);
}

TEST_F(ReplayTest, DoesNotGoOnFromAnotherTopicsRecord) {
  Publish({1, 2, 3});
  const auto records = All(*from_);
  auto producer = to_->NewProducer();
  const auto resumes = [&](std::string_view payload, Position source) {
    EXPECT_TRUE(Succeeds(producer->Publish(payload, {.source = source})));
    return FindResume(*from_, *to_);
  };
  const auto refused = absl::StatusCode::kFailedPrecondition;
  EXPECT_TRUE(Fails(resumes("another", records[1].position), refused, "say by hand"));
  EXPECT_TRUE(Fails(resumes("inside", {records[1].position.offset + 8}), refused, "say by hand"));
  EXPECT_TRUE(Fails(resumes("beyond", {1 << 20}), refused, "say by hand"));
  EXPECT_TRUE(Fails(resumes("at the end", records[2].next_position), refused, "say by hand"));
}

}  // namespace
}  // namespace libbus::test
