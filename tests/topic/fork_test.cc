// What a child of fork() may do with its parent's handles: nothing, loudly; and nothing happens to the parent.
#include <gtest/gtest.h>

#include <optional>

#include "libbus/bus.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

using test::Child;
using test::Scratch;

class Fork : public testing::TestWithParam<bool> {
 protected:
  Fork()
      : bus_(*Bus::Open(scratch_ / "bus", {.create = true, .background = GetParam()})),
        topic_(*bus_.OpenTopic("t", {.create = true, .segment_size = 65536})) {}

  Scratch scratch_;
  Bus bus_;
  Topic topic_;
};

bool Refused(const absl::Status& status) { return status.code() == absl::StatusCode::kFailedPrecondition; }

TEST_P(Fork, EveryHandleRefusesInTheChild) {
  auto producer = topic_.NewProducer();
  auto consumer = topic_.NewConsumer();
  auto claim = producer->Claim(10);
  ASSERT_TRUE(claim.ok()) << claim.status();
  const int code = Child([&] {
                     if (!Refused(producer->Publish("x").status())) return 1;
                     if (!Refused(consumer->Next(absl::ZeroDuration()).status())) return 2;
                     if (!Refused(consumer->Poll(1).status())) return 3;
                     if (!Refused(topic_.NewProducer().status())) return 4;
                     if (!Refused(topic_.NewConsumer().status())) return 5;
                     if (!Refused(topic_.Maintain())) return 6;
                     if (!Refused(producer->Close())) return 7;
                     if (!Refused(std::move(*claim).Commit().status())) return 8;
                     return 0;
                   }).Join();
  EXPECT_EQ(code, 0);
  // The parent's claim is open as before.
  EXPECT_TRUE(std::move(*claim).Commit().ok());
  EXPECT_TRUE(consumer->Next(absl::Seconds(10)).ok());
}

TEST_P(Fork, DestructorsInTheChildTouchNothing) {
  std::optional<Topic> topic(*bus_.OpenTopic("t"));
  std::optional<Producer> producer(*topic->NewProducer());
  auto claim = producer->Claim(10);
  ASSERT_TRUE(claim.ok()) << claim.status();
  const int code = Child([&] {
                     { const ClaimedRecord dropped = *std::move(claim); }
                     producer.reset();
                     topic.reset();
                     return 0;
                   }).Join();
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(std::move(*claim).Commit().ok());
  EXPECT_TRUE(producer->Publish("after").ok());
}

TEST_P(Fork, TheChildMayOpenTheBusItself) {
  auto producer = topic_.NewProducer();
  ASSERT_TRUE(producer->Publish("from the parent").ok());
  const int code = Child([&] {
                     auto bus = Bus::Open(scratch_ / "bus", {.background = GetParam()});
                     if (!bus.ok()) return 1;
                     auto topic = bus->OpenTopic("t");
                     if (!topic.ok()) return 2;
                     auto own = topic->NewProducer();
                     if (!own.ok()) return 3;
                     return own->Publish("from the child").ok() ? 0 : 4;
                   }).Join();
  EXPECT_EQ(code, 0);
  auto consumer = topic_.NewConsumer();
  EXPECT_EQ(consumer->Next(absl::Seconds(10))->text(), "from the parent");
  EXPECT_EQ(consumer->Next(absl::Seconds(10))->text(), "from the child");
}

TEST_P(Fork, TheParentsDeathIsSeenAlthoughTheChildLives) {
  test::Shared<pid_t> grandchild;
  Child parent([&] {
    auto bus = Bus::Open(scratch_ / "bus", {.background = GetParam()});
    auto topic = bus->OpenTopic("t");
    auto producer = topic->NewProducer();
    auto claim = producer->Claim(10);
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(60);
      for (;;) pause();
    }
    *grandchild = pid;
    return raise(SIGSTOP);
  });
  ASSERT_TRUE(parent.WaitStopped());
  parent.Kill();
  auto consumer = topic_.NewConsumer({.gaps = Gaps::kAll});
  const auto gap = consumer->Next(absl::Seconds(20));
  kill(*grandchild, SIGKILL);
  ASSERT_TRUE(gap.ok()) << gap.status();
  EXPECT_EQ(gap->gap().cause, GapCause::kDead);
}

INSTANTIATE_TEST_SUITE_P(, Fork, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "WithThread" : "WithoutThread"; });

}  // namespace
}  // namespace libbus
