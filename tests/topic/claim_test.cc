// Claims whose owners die or stall: who ends them, who waits for whom, and what the owner is told.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;
using Texts = std::vector<std::string>;

constexpr absl::Duration kNow = absl::ZeroDuration();
constexpr absl::Duration kLong = absl::Seconds(60);
constexpr absl::Duration kTimeout = absl::Seconds(10);

class ClaimTest : public TopicTest {
 protected:
  ~ClaimTest() override {
    seam_control.clock_offset = 0;
    seam_control.pretend_durable = false;
  }

  // A process with a producer that runs `body` and then waits for its end. Returns when `body` is done.
  Child Holder(const std::string& name, const std::function<void(Topic&, Producer&)>& body,
               const OpenOptions& open = {.background = false}) const {
    Shared<std::atomic<int>> ready;
    Child child([&] {
      auto topic = OpenTopic(bus_, {}, open);
      auto producer = topic->NewProducer({.name = name});
      body(*topic, *producer);
      ready->store(1);
      for (;;) pause();
      return 0;
    });
    while (ready->load() == 0) sched_yield();
    return child;
  }
  // One that claims `text`, publishes nothing, and holds the claim for ever.
  Child Claimer(const std::string& name) const {
    return Holder(name, [](Topic&, Producer& producer) { new ClaimedRecord(producer.Claim(100).value()); });
  }
  static void Pass(absl::Duration time) { seam_control.clock_offset += absl::ToInt64Nanoseconds(time); }
};

// --- the dead --------------------------------------------------------------------------------------------------------

TEST_F(ClaimTest, ADeadOnesClaimBecomesAGapForWhoMayWrite) {
  auto topic = Make();
  { const Child dead = Claimer("dead"); }
  ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish("after")));
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  const auto gap = consumer->Next(kLong);
  ASSERT_TRUE(Succeeds(gap));
  EXPECT_EQ(TextOf(gap), "<dead>");
  EXPECT_EQ(gap->gap().owner, 1u);
  EXPECT_FALSE(gap->gap().loss());
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "after");
}

TEST_F(ClaimTest, AConsumerThatMayWriteRepairsWithoutAnyProducer) {
  auto topic = Make();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  { const Child dead = Claimer("dead"); }
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "<dead>");
}

TEST_F(ClaimTest, PollRepairsInTime) {
  auto topic = Make();
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  { const Child dead = Claimer("dead"); }
  EXPECT_TRUE(consumer->Poll(1)->empty());
  Pass(absl::Seconds(1));
  EXPECT_TRUE(consumer->Poll(1)->empty()) << "repaired after it was read";
  EXPECT_EQ(consumer->Poll(1)->size(), 1u);
}

TEST_F(ClaimTest, ManyDeadOnesAreEndedByOneLook) {
  auto topic = Make();
  constexpr int kMany = 5;
  {
    std::vector<Child> dead;
    for (int i = 0; i < kMany; ++i) dead.push_back(Claimer("dead"));
  }
  const uint64_t writes = seam_control.record_writes;
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(seam_control.record_writes - writes, static_cast<uint64_t>(kMany));
  EXPECT_EQ(ReadAll(*topic), Texts(kMany, "<dead>"));
}

TEST_F(ClaimTest, TheNextHolderOfTheSlotResolvesIt) {
  auto topic = Make();
  { const Child dead = Claimer("dead"); }
  ASSERT_TRUE(Succeeds(topic->NewProducer()));
  EXPECT_EQ(ReadAll(*topic), Texts{"<dead>"});
}

// The page of slots was not written to the disk, and the kernel let it go.
TEST_F(ClaimTest, AClaimWhoseFloorWasLostIsNotTakenForTheNextHolders) {
  auto topic = Make();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  const auto lose_floors = [&] { Patch(Path("control"), format::kSlotsOffset, std::string(16384, '\0')); };
  {
    { const Child dead = Claimer("dead"); }
    lose_floors();
    const auto next = topic->NewProducer();
    EXPECT_EQ(TextOf(consumer->Next(kLong)), "<dead>");
  }
  { const Child dead = Claimer("dead"); }
  lose_floors();
  auto next = topic->NewProducer();
  ASSERT_TRUE(Succeeds(next->Publish("first")));
  // Its own floor stands behind the dead one's claim.
  auto claim = next->Claim(1);
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "<dead>");
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "first");
  EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(20)), StatusCode::kDeadlineExceeded, "slot 1"));
  claim->bytes()[0] = std::byte{'x'};
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "x");
}

TEST_F(ClaimTest, AClaimWhoseFloorWasLostIsEndedForAReadOnlyConsumer) {
  seam_control.pretend_durable = true;  // in memory no page is ever written, nor lost
  const auto other = Make();            // so that nobody comes alone, and recovers
  auto topic = OpenReadOnly();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  { const Child dead = Claimer("dead"); }
  Patch(Path("control"), format::kSlotsOffset, std::string(16384, '\0'));
  const Child next =
      Holder("next", [](Topic&, Producer& producer) { (void)producer.Publish("x"); }, {.background = true});
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "<dead>");
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "x");
}

TEST_F(ClaimTest, TheLivingAreLeftAlone) {
  auto topic = Make();
  const Child alive = Claimer("alive");
  { const Child dead = Claimer("dead"); }
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish("after")));
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(20)), StatusCode::kDeadlineExceeded, "slot 1, alive"));
}

TEST_F(ClaimTest, ADeadOneWithoutAClaimLeavesNothing) {
  auto topic = Make();
  {
    const Child dead = Holder("dead", [](Topic&, Producer& producer) { (void)producer.Publish("published"); });
  }
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(ReadAll(*topic), Texts{"published"});
  EXPECT_EQ(topic->Stats()->producers, 0u);
}

// --- read-only consumers ---------------------------------------------------------------------------------------------

TEST_F(ClaimTest, AReadOnlyConsumerIsHelpedByAnyProcessWithAProducer) {
  ASSERT_TRUE(Succeeds(Make()));
  auto topic = OpenReadOnly();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  const Child helper = Holder("helper", [](Topic&, Producer&) {}, {.background = true});
  { const Child dead = Claimer("dead"); }
  const uint64_t writes = seam_control.record_writes;
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "<dead>");
  EXPECT_EQ(seam_control.record_writes, writes) << "somebody else did it";
}

TEST_F(ClaimTest, AReadOnlyConsumerIsHelpedToEndAStalledClaim) {
  ASSERT_TRUE(Succeeds(Make({.claim_timeout = absl::Milliseconds(50)})));
  auto topic = OpenReadOnly();
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  const Child helper = Holder("helper", [](Topic&, Producer&) {}, {.background = true});
  const Child stalled = Claimer("stalled");
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "<revoked>");
}

TEST_F(ClaimTest, WithoutAWriterAReadOnlyConsumerSaysForWhomItWaitsAndGoesOnWhenOneAttaches) {
  ASSERT_TRUE(Succeeds(Make()));
  pid_t pid = 0;
  {
    const Child dead = Holder("the dead", [](Topic& topic, Producer& producer) {
      new ClaimedRecord(producer.Claim(10).value());
      (void)topic.NewProducer()->Publish("after");
    });
    pid = dead.pid();
  }
  auto topic = OpenReadOnly();
  ASSERT_TRUE(Succeeds(topic));
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(20)), StatusCode::kDeadlineExceeded,
                      "slot 1, the dead (pid " + std::to_string(pid) + ")"));
  }
  const auto writer = OpenTopic(bus_);
  ASSERT_TRUE(Succeeds(writer));
  EXPECT_EQ(TextOf(consumer->Next(kLong)), "<dead>");
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "after");
}

TEST_F(ClaimTest, AReadOnlyConsumerReadsOnWhileProducersDie) {
  ASSERT_TRUE(Succeeds(Make()));
  auto topic = OpenReadOnly();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  const uint64_t writes = seam_control.record_writes;
  const Child helper = Holder("helper", [](Topic&, Producer&) {}, {.background = true});
  for (int round = 0; round < 5; ++round) {
    {
      const Child dead = Holder("dead", [&](Topic&, Producer& producer) {
        for (int n = 0; n < 100; ++n) (void)producer.Publish(std::to_string(n));
        new ClaimedRecord(producer.Claim(10).value());
      });
    }
    for (int n = 0; n < 100; ++n) ASSERT_EQ(TextOf(consumer->Next(kLong)), std::to_string(n)) << round;
  }
  EXPECT_EQ(seam_control.record_writes, writes);
}

TEST_F(ClaimTest, ARemovedTopicIsSaidAlsoAtAClaim) {
  ASSERT_TRUE(Succeeds(Make()));
  { const Child dead = Claimer("dead"); }
  auto topic = OpenReadOnly();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(5)), StatusCode::kDeadlineExceeded, "slot 1"));
  std::filesystem::remove_all(bus_ + "/t");
  EXPECT_TRUE(Fails(consumer->Next(kLong), StatusCode::kNotFound, "removed"));
}

// --- the stalled -----------------------------------------------------------------------------------------------------

class StalledTest : public ClaimTest {
 protected:
  void Begin(absl::Duration timeout = kTimeout) {
    topic_ = Make({.claim_timeout = timeout});
    producer_ = topic_->NewProducer({.name = "stalled"});
    consumer_ = topic_->NewConsumer({.gaps = Gaps::kAll});
    ASSERT_TRUE(Succeeds(consumer_));
  }
  // Looks at the claim now; it is still open.
  void ExpectOpen() {
    EXPECT_TRUE(Fails(consumer_->Next(absl::Milliseconds(3)), StatusCode::kDeadlineExceeded, "stalled"));
  }

  absl::StatusOr<Topic> topic_ = absl::UnknownError("");
  absl::StatusOr<Producer> producer_ = absl::UnknownError("");
  absl::StatusOr<Consumer> consumer_ = absl::UnknownError("");
};

TEST_F(StalledTest, AClaimIsRevokedAfterItsTimeoutAndItsCommitIsAborted) {
  Begin();
  ClaimedRecord claim = producer_->Claim(10).value();
  ExpectOpen();
  Pass(kTimeout - absl::Milliseconds(500));
  ExpectOpen();
  Pass(absl::Milliseconds(500));
  const auto gap = consumer_->Next(kLong);
  EXPECT_EQ(TextOf(gap), "<revoked>");
  EXPECT_EQ(gap->gap().owner, 1u);
  EXPECT_TRUE(Fails(std::move(claim).Commit(), StatusCode::kAborted, "revoked"));
  EXPECT_TRUE(Succeeds(producer_->Publish("again")));
  EXPECT_EQ(TextOf(consumer_->Next(kNow)), "again");
}

TEST_F(StalledTest, ByTheClockItself) {
  Begin(absl::Milliseconds(50));
  ClaimedRecord claim = producer_->Claim(10).value();
  EXPECT_EQ(TextOf(consumer_->Next(kLong)), "<revoked>");
  EXPECT_TRUE(Fails(std::move(claim).Commit(5), StatusCode::kAborted));
}

TEST_F(StalledTest, AbandoningWhatWasRevokedIsFine) {
  Begin();
  ClaimedRecord claim = producer_->Claim(10).value();
  ExpectOpen();
  Pass(kTimeout);
  EXPECT_EQ(TextOf(consumer_->Next(kLong)), "<revoked>");
  EXPECT_TRUE(Succeeds(std::move(claim).Abandon()));
  EXPECT_EQ(ReadAll(*topic_), Texts{"<revoked>"});
}

TEST_F(StalledTest, WhatARevokedOwnerScribblesIsNotRead) {
  Begin();
  ClaimedRecord claim = producer_->Claim(64).value();
  ExpectOpen();
  Pass(kTimeout);
  EXPECT_EQ(TextOf(consumer_->Next(kLong)), "<revoked>");
  auto other = topic_->NewProducer();
  ASSERT_TRUE(Succeeds(other->Publish("after")));
  std::memset(claim.bytes().data(), 0x33, claim.bytes().size());
  EXPECT_TRUE(Fails(std::move(claim).Commit(), StatusCode::kAborted));
  EXPECT_EQ(ReadAll(*topic_), (Texts{"<revoked>", "after"}));
}

TEST_F(StalledTest, KeepAliveBeginsTheTimeoutAnew) {
  Begin();
  ClaimedRecord claim = producer_->Claim(10).value();
  ExpectOpen();
  for (int i = 0; i < 5; ++i) {
    Pass(kTimeout - absl::Seconds(1));
    claim.KeepAlive();
    ExpectOpen();
  }
  Pass(kTimeout);
  EXPECT_EQ(TextOf(consumer_->Next(kLong)), "<revoked>");
}

TEST_F(StalledTest, ANewClaimBeginsItsOwnTimeout) {
  Begin();
  for (int i = 0; i < 5; ++i) {
    ClaimedRecord claim = producer_->Claim(10).value();
    ExpectOpen();
    Pass(kTimeout - absl::Seconds(1));
    ExpectOpen();
    ASSERT_TRUE(Succeeds(std::move(claim).Commit()));
    ASSERT_TRUE(Succeeds(consumer_->Next(kNow)));
  }
}

TEST_F(StalledTest, ATimeoutOfZeroNeverRevokes) {
  Begin(absl::ZeroDuration());
  ClaimedRecord claim = producer_->Claim(10).value();
  for (int i = 0; i < 3; ++i) {
    ExpectOpen();
    Pass(absl::Hours(24));
  }
  ASSERT_TRUE(Succeeds(topic_->Maintain()));
  EXPECT_TRUE(Succeeds(std::move(claim).Commit()));
}

TEST_F(StalledTest, ManyStalledClaimsTakeOneTimeout) {
  Begin();
  std::vector<Producer> producers;
  std::vector<ClaimedRecord> claims;
  for (int i = 0; i < 5; ++i) {
    producers.push_back(topic_->NewProducer({.name = "stalled"}).value());
    claims.push_back(producers.back().Claim(10).value());
  }
  ExpectOpen();
  Pass(kTimeout);
  for (size_t i = 0; i < claims.size(); ++i) EXPECT_EQ(TextOf(consumer_->Next(absl::Seconds(1))), "<revoked>") << i;
}

TEST_F(StalledTest, MaintainRevokesToo) {
  Begin();
  ClaimedRecord claim = producer_->Claim(10).value();
  ASSERT_TRUE(Succeeds(topic_->Maintain()));
  Pass(kTimeout);
  ASSERT_TRUE(Succeeds(topic_->Maintain()));
  EXPECT_TRUE(Fails(std::move(claim).Commit(), StatusCode::kAborted));
}

TEST_F(StalledTest, AStoppedProcessIsRevokedAndToldWhenItGoesOn) {
  Begin();
  Shared<std::atomic<int>> code;
  code->store(-1);
  Child stopped([&] {
    auto topic = OpenTopic(bus_);
    auto producer = topic->NewProducer({.name = "stalled"});
    ClaimedRecord claim = producer->Claim(10).value();
    raise(SIGSTOP);
    code->store(static_cast<int>(std::move(claim).Commit().status().code()));
    return producer->Publish("again").ok() ? 0 : 1;
  });
  ASSERT_TRUE(stopped.WaitStopped());
  ExpectOpen();
  Pass(kTimeout);
  EXPECT_EQ(TextOf(consumer_->Next(kLong)), "<revoked>");
  stopped.Signal(SIGCONT);
  EXPECT_EQ(stopped.Join(), 0);
  EXPECT_EQ(code->load(), static_cast<int>(StatusCode::kAborted));
  EXPECT_EQ(TextOf(consumer_->Next(kNow)), "again");
}

// A publish is a claim too: stopped between reserve and commit, it is revoked and says so.
TEST_F(StalledTest, APublishThatWasStoppedInsideIsAborted) {
  Begin();
  Child stopped([&] {
    auto topic = OpenTopic(bus_);
    auto producer = topic->NewProducer({.name = "stalled"});
    seam_control.copies = 0;
    seam_control.at_point = [](uint64_t) {
      // The payload is half copied: the second point since then.
      if (seam_control.copies == 1) {
        seam_control.at_point = nullptr;
        raise(SIGSTOP);
      }
    };
    const auto code = producer->Publish("half").status().code();
    return code == StatusCode::kAborted && producer->Publish("again").ok() ? 0 : 1;
  });
  ASSERT_TRUE(stopped.WaitStopped());
  ExpectOpen();
  Pass(kTimeout);
  EXPECT_EQ(TextOf(consumer_->Next(kLong)), "<revoked>");
  stopped.Signal(SIGCONT);
  EXPECT_EQ(stopped.Join(), 0);
  EXPECT_EQ(TextOf(consumer_->Next(kNow)), "again");
}

TEST_F(StalledTest, DamageBehindAClaimIsNotToldBeforeIt) {
  Begin(absl::ZeroDuration());
  auto other = topic_->NewProducer();
  ClaimedRecord claim = producer_->Claim(8).value();
  const Position rotten = other->Publish("rotten").value();
  ASSERT_TRUE(Succeeds(other->Publish("after")));
  Flip(Path(SegmentName(0)), rotten.offset + 6, 1);
  ExpectOpen();
  std::memcpy(claim.bytes().data(), "12345678", 8);
  ASSERT_TRUE(Succeeds(std::move(claim).Commit()));
  EXPECT_EQ(TextOf(consumer_->Next(kNow)), "12345678");
  EXPECT_EQ(TextOf(consumer_->Next(kNow)), "<damage>");
  EXPECT_EQ(TextOf(consumer_->Next(kNow)), "after");
}

// A producer died between its commit and the clearing of its floor, and later that segment was deleted.
TEST_F(ClaimTest, AFloorInADeletedSegmentKeepsNobodyOut) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::string(1000, 'x'))));
  const uint64_t floor = format::kSegmentHeaderSize;
  for (const uint32_t owner : {2u, 3u}) {
    Patch(Path("control"), format::kSlotsOffset + owner * sizeof(format::Slot),
          {reinterpret_cast<const char*>(&floor), sizeof(floor)});
  }
  std::filesystem::remove(Path(SegmentName(0)));
  auto other = Make();
  EXPECT_TRUE(Succeeds(other->NewProducer()));
  EXPECT_TRUE(Succeeds(other->Maintain()));
  format::Slot slot;
  std::memcpy(&slot, ReadFile(Path("control")).data() + format::kSlotsOffset + 3 * sizeof(slot), sizeof(slot));
  EXPECT_EQ(slot.floor, 0u);
}

}  // namespace
}  // namespace libbus::test
