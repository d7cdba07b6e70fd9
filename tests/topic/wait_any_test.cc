// Waiting on many topics: who is ready, what wakes, and what views and positions do meanwhile. Threads publish while
// the bounds of sleeps are off: then nothing but the right wake-up ends a wait.
#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;

constexpr absl::Duration kNow = absl::ZeroDuration();
// Never expires in a test that passes.
constexpr absl::Duration kLong = absl::Seconds(60);

class WaitAnyTest : public TopicTest {
 protected:
  WaitAnyTest() { bus_handle_ = Bus::Open(bus_, {.create = true, .background = false}); }
  ~WaitAnyTest() override {
    if (thread_.joinable()) thread_.join();
    seam_control.no_bounds = false;
    seam_control.no_waitv = false;
    seam_control.pretend_durable = false;
  }

  // Topics "t0", "t1", ... each with a producer and a consumer.
  void Open(size_t count, const ConsumerOptions& options = {.wait = Wait::kPark}) {
    for (size_t i = 0; i < count; ++i) {
      auto topic = bus_handle_->OpenTopic("t" + std::to_string(i), {.create = true, .segment_size = 4096});
      ASSERT_TRUE(Succeeds(topic));
      auto producer = topic->NewProducer();
      auto consumer = topic->NewConsumer(options);
      ASSERT_TRUE(Succeeds(producer));
      ASSERT_TRUE(Succeeds(consumer));
      topics_.push_back(*std::move(topic));
      producers_.push_back(*std::move(producer));
      consumers_.push_back(std::make_unique<Consumer>(*std::move(consumer)));
      all_.push_back(consumers_.back().get());
    }
  }
  // Does something once this thread sleeps.
  template <typename F>
  void WhenAsleep(F action) {
    seam_control.no_bounds = true;
    const uint64_t sleeps = seam_control.sleeps;
    thread_ = std::thread([sleeps, action] {
      while (seam_control.sleeps == sleeps) std::this_thread::yield();
      action();
    });
  }
  std::string NextOf(size_t i) { return TextOf(consumers_[i]->Next(kNow)); }

  absl::StatusOr<Bus> bus_handle_{absl::UnknownError("not open")};
  std::vector<Topic> topics_;
  std::vector<Producer> producers_;
  std::vector<std::unique_ptr<Consumer>> consumers_;
  std::vector<Consumer*> all_;
  std::thread thread_;
};

TEST_F(WaitAnyTest, TheOneWithARecordIsReady) {
  Open(3);
  EXPECT_TRUE(Fails(WaitAny(all_, kNow), StatusCode::kDeadlineExceeded, "3 topics"));
  ASSERT_TRUE(Succeeds(producers_[1].Publish("one")));
  EXPECT_EQ(WaitAny(all_, kNow).value(), 1u);
  EXPECT_EQ(WaitAny(all_, kNow).value(), 1u);  // until it is read
  EXPECT_EQ(NextOf(1), "one");
  EXPECT_TRUE(Fails(WaitAny(all_, kNow), StatusCode::kDeadlineExceeded));
}

TEST_F(WaitAnyTest, ArgumentsAreChecked) {
  EXPECT_TRUE(Fails(WaitAny({}, kNow), StatusCode::kInvalidArgument, "no consumers"));
  Open(1);
  all_.push_back(nullptr);
  EXPECT_TRUE(Fails(WaitAny(all_, kNow), StatusCode::kInvalidArgument, "null"));
}

TEST_F(WaitAnyTest, EachGetsItsTurn) {
  Open(3);
  for (Producer& producer : producers_) ASSERT_TRUE(Succeeds(producer.Publish("x")));
  std::vector<int> seen(3);
  for (int i = 0; i < 9; ++i) ++seen[WaitAny(all_, kNow).value()];
  EXPECT_EQ(seen, std::vector<int>({3, 3, 3}));
}

// A gap that is not handed out, and the end of a segment, are nothing to return.
TEST_F(WaitAnyTest, WhatIsNotHandedOutIsNotReady) {
  Open(1);
  ASSERT_TRUE(Succeeds(producers_[0].Claim(3000)->bytes().size() == 3000 ? absl::OkStatus() : absl::UnknownError("")));
  EXPECT_TRUE(Fails(WaitAny(all_, kNow), StatusCode::kDeadlineExceeded));
  // Does not fit behind the gap: an END comes first.
  ASSERT_TRUE(Succeeds(producers_[0].Claim(3000)->bytes().size() == 3000 ? absl::OkStatus() : absl::UnknownError("")));
  EXPECT_TRUE(Fails(WaitAny(all_, kNow), StatusCode::kDeadlineExceeded));
}

TEST_F(WaitAnyTest, ViewsAndPositionsStayAsTheyAre) {
  Open(1);
  const std::string large(3000, 'a');
  ASSERT_TRUE(Succeeds(producers_[0].Publish(large)));
  const auto second = producers_[0].Publish(std::string(3000, 'b'));  // in the next segment
  ASSERT_TRUE(Succeeds(second));
  const auto view = consumers_[0]->Next(kNow);
  ASSERT_TRUE(Succeeds(view));
  EXPECT_EQ(WaitAny(all_, kNow).value(), 0u);
  EXPECT_EQ(view->text(), large);
  EXPECT_EQ(consumers_[0]->position(), *second);
  EXPECT_EQ(consumers_[0]->Next(kNow)->position(), *second);
}

TEST_F(WaitAnyTest, PollAndSeekGoWithIt) {
  Open(1);
  for (const char* text : {"a", "b", "c"}) ASSERT_TRUE(Succeeds(producers_[0].Publish(text)));
  EXPECT_EQ(WaitAny(all_, kNow).value(), 0u);
  const auto batch = consumers_[0]->Poll(2);
  ASSERT_EQ(batch->size(), 2u);
  EXPECT_EQ((*batch)[0].text(), "a");
  EXPECT_EQ((*batch)[1].text(), "b");
  EXPECT_EQ(WaitAny(all_, kNow).value(), 0u);
  ASSERT_TRUE(Succeeds(consumers_[0]->Seek(From::Start())));
  EXPECT_EQ(NextOf(0), "a");
}

TEST_F(WaitAnyTest, ARecordWakes) {
  Open(5);
  WhenAsleep([this] { EXPECT_TRUE(Succeeds(producers_[3].Publish("late"))); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 3u);
  EXPECT_EQ(NextOf(3), "late");
}

TEST_F(WaitAnyTest, ARollWakes) {
  Open(2);
  ASSERT_TRUE(Succeeds(producers_[1].Publish(std::string(3000, 'x'))));
  EXPECT_EQ(WaitAny(all_, kNow).value(), 1u);
  ASSERT_TRUE(Succeeds(consumers_[1]->Next(kNow)));
  WhenAsleep([this] { EXPECT_TRUE(Succeeds(producers_[1].Publish(std::string(3000, 'y')))); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 1u);
}

TEST_F(WaitAnyTest, AGapWakes) {
  Open(2, {.wait = Wait::kPark, .gaps = Gaps::kAll});
  auto claim = producers_[1].Claim(8);
  ASSERT_TRUE(Succeeds(claim));
  WhenAsleep([&claim] { EXPECT_TRUE(Succeeds(std::move(*claim).Abandon())); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 1u);
  EXPECT_EQ(NextOf(1), "<aborted>");
}

TEST_F(WaitAnyTest, RemovalWakes) {
  Open(3);
  WhenAsleep([this] { EXPECT_TRUE(Succeeds(bus_handle_->RemoveTopic("t2"))); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 2u);
  EXPECT_TRUE(Fails(consumers_[2]->Next(kNow), StatusCode::kNotFound, "removed"));
}

TEST_F(WaitAnyTest, ASyncWakesWhoReadsWhatIsDurable) {
  seam_control.pretend_durable = true;
  Open(2, {.wait = Wait::kPark, .limit = Limit::kDurable});
  ASSERT_TRUE(Succeeds(producers_[0].Publish("not yet")));
  ASSERT_TRUE(Succeeds(producers_[1].Publish("durable soon")));
  EXPECT_TRUE(Fails(WaitAny(all_, kNow), StatusCode::kDeadlineExceeded));
  WhenAsleep([this] { EXPECT_TRUE(Succeeds(topics_[1].Sync())); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 1u);
  EXPECT_EQ(NextOf(1), "durable soon");
}

// One who waits for a sync that does not come sleeps, and does not go round and round.
TEST_F(WaitAnyTest, WhoReadsWhatIsDurableSleeps) {
  seam_control.pretend_durable = true;
  Open(1, {.wait = Wait::kPark, .limit = Limit::kDurable});
  ASSERT_TRUE(Succeeds(producers_[0].Publish("not yet")));
  const uint64_t sleeps = seam_control.sleeps;
  const uint64_t looks = seam_control.points;
  EXPECT_TRUE(Fails(WaitAny(all_, absl::Milliseconds(300)), StatusCode::kDeadlineExceeded));
  EXPECT_GE(seam_control.sleeps, sleeps + 1);
  EXPECT_LE(seam_control.sleeps, sleeps + 50);
  EXPECT_LE(seam_control.points, looks + 500);
}

TEST_F(WaitAnyTest, AnInterruptOfOneEndsTheWait) {
  Open(3);
  WhenAsleep([this] { consumers_[1]->Interrupt(); });
  EXPECT_TRUE(Fails(WaitAny(all_, kLong), StatusCode::kCancelled));
  EXPECT_TRUE(Fails(WaitAny(all_, kNow), StatusCode::kDeadlineExceeded));  // once
}

TEST_F(WaitAnyTest, WorksWithoutFutexWaitv) {
  seam_control.no_waitv = true;
  Open(4);
  std::thread publisher([this] { EXPECT_TRUE(Succeeds(producers_[3].Publish("polled"))); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 3u);
  publisher.join();
  EXPECT_EQ(NextOf(3), "polled");
}

// More words than the kernel sleeps on at once.
TEST_F(WaitAnyTest, WorksBeyondWhatTheKernelTakes) {
  Open(100);
  WhenAsleep([this] { EXPECT_TRUE(Succeeds(producers_[99].Publish("the last"))); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 99u);
}

TEST_F(WaitAnyTest, SpinsWhereOneSaysSo) {
  Open(1, {.wait = Wait::kSpin});
  const uint64_t sleeps = seam_control.sleeps;
  std::thread publisher([this] { EXPECT_TRUE(Succeeds(producers_[0].Publish("spun"))); });
  EXPECT_EQ(WaitAny(all_, kLong).value(), 0u);
  publisher.join();
  EXPECT_EQ(seam_control.sleeps, sleeps);
}

TEST_F(WaitAnyTest, TheTimeOutEndsIt) {
  for (const Wait wait : {Wait::kPark, Wait::kSpin, Wait::kSpinThenPark}) {
    Open(1, {.wait = wait});
    const absl::Time begin = absl::Now();
    EXPECT_TRUE(Fails(WaitAny(all_, absl::Milliseconds(20)), StatusCode::kDeadlineExceeded));
    EXPECT_GE(absl::Now() - begin, absl::Milliseconds(20));
  }
}

// Three producers, three topics, one reader with the bounds off: a wake-up that got lost is a hang.
TEST_F(WaitAnyTest, NoWakeUpGetsLost) {
  constexpr uint64_t kRecords = 5000;
  Open(3, {.wait = Wait::kSpinThenPark, .spin = absl::Microseconds(2)});
  seam_control.no_bounds = true;
  std::vector<std::thread> threads;
  for (Producer& producer : producers_) {
    threads.emplace_back([&producer] {
      for (uint64_t n = 0; n < kRecords; ++n) ASSERT_TRUE(Succeeds(producer.Publish(std::to_string(n))));
    });
  }
  std::vector<uint64_t> next(3);
  for (uint64_t left = 3 * kRecords; left > 0;) {
    const auto ready = WaitAny(all_, kLong);
    ASSERT_TRUE(Succeeds(ready));
    for (auto record = consumers_[*ready]->Next(kNow); record.ok(); record = consumers_[*ready]->Next(kNow), --left) {
      ASSERT_EQ(record->text(), std::to_string(next[*ready]++));
    }
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace libbus::test
