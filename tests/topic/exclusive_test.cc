// Exclusive topics: one producer at a time, what it stores, and how it learns that the topic is not its own any more.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;

using Texts = std::vector<std::string>;

class ExclusiveTest : public TopicTest {
 protected:
  ~ExclusiveTest() override {
    seam_control.no_join = false;
    seam_control.clock_offset = 0;
    seam_control.at_point = nullptr;
  }

  absl::StatusOr<Topic> MakeExclusive(TopicOptions options = {}) const {
    options.exclusive = true;
    return Make(options);
  }

  format::LiveWords Live() const {
    format::LiveWords live;
    std::memcpy(&live, ReadFile(Path("control")).data() + format::kLiveOffset, sizeof(live));
    return live;
  }
  format::Slot SlotOne() const {
    format::Slot slot;
    std::memcpy(&slot, ReadFile(Path("control")).data() + format::kSlotsOffset + sizeof(slot), sizeof(slot));
    return slot;
  }
};

TEST_F(ExclusiveTest, IsAnOptionOfTheTopic) {
  EXPECT_EQ(Make()->options().exclusive, false);
  const auto other = Bus::Open(bus_, {.background = false})->OpenTopic("u", {.create = true, .exclusive = true});
  ASSERT_TRUE(Succeeds(other));
  EXPECT_EQ(other->options().exclusive, true);
  EXPECT_EQ(other->options().claim_timeout, absl::ZeroDuration());
}

TEST_F(ExclusiveTest, ContradictionsAreRefused) {
  ASSERT_TRUE(Succeeds(MakeExclusive()));
  EXPECT_TRUE(Succeeds(Make()));
  EXPECT_TRUE(Succeeds(Make({.exclusive = true})));
  EXPECT_TRUE(Fails(Make({.exclusive = false}), StatusCode::kFailedPrecondition,
                    "made with producers exclusive, opened with shared"));
  EXPECT_TRUE(Fails(Make({.claim_timeout = absl::Seconds(1)}), StatusCode::kFailedPrecondition, "claim timeout 0"));
  auto bus = Bus::Open(bus_, {.background = false});
  EXPECT_TRUE(Fails(bus->OpenTopic("u", {.create = true, .claim_timeout = absl::Seconds(1), .exclusive = true}),
                    StatusCode::kFailedPrecondition, "never revoked"));
  EXPECT_TRUE(Succeeds(bus->OpenTopic("v", {.create = true})));
  EXPECT_TRUE(Fails(bus->OpenTopic("v", {.exclusive = true}), StatusCode::kFailedPrecondition,
                    "made with producers shared, opened with exclusive"));
}

TEST_F(ExclusiveTest, PublishesClaimsAbandonsAndRolls) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer));
  Texts wanted;
  for (int i = 0; i < 40; ++i) {
    const std::string text(static_cast<size_t>(i * 131 % 1500), static_cast<char>('a' + i % 26));
    if (i % 4 == 3) {
      auto claim = producer->Claim(300);
      ASSERT_TRUE(Succeeds(claim));
      claim->KeepAlive();
      ASSERT_TRUE(Succeeds(std::move(*claim).Abandon()));
      wanted.push_back("<aborted>");
    }
    if (i % 2 == 0) {
      ASSERT_TRUE(Succeeds(producer->Publish(text, {.key = "key"})));
    } else {
      auto claim = producer->Claim(text.size() + 10);
      ASSERT_TRUE(Succeeds(claim));
      std::memcpy(claim->bytes().data(), text.data(), text.size());
      ASSERT_TRUE(Succeeds(std::move(*claim).Commit(text.size())));
    }
    wanted.push_back(text);
  }
  ASSERT_TRUE(Succeeds(producer->Publish(std::string(10'000, 'L'))));
  wanted.push_back(std::string(10'000, 'L'));
  EXPECT_EQ(ReadAll(*topic), wanted);
  auto reader = OpenReadOnly();
  ASSERT_TRUE(Succeeds(reader));
  EXPECT_EQ(ReadAll(*reader), wanted);
  EXPECT_GT(topic->Stats()->segments, 5u);
}

// The point of it: not one swap of a record word.
TEST_F(ExclusiveTest, PublishingSwapsNothing) {
  for (const bool fences : {false, true}) {
    seam_control.no_join = fences;
    auto topic = MakeExclusive();
    ASSERT_TRUE(Succeeds(topic));
    auto producer = topic->NewProducer();
    ASSERT_TRUE(Succeeds(producer));
    EXPECT_EQ(SlotOne().fences, fences ? 1u : 0u);
    seam_control.swaps = 0;
    seam_control.record_writes = 0;
    seam_control.exchanges = 0;
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(Succeeds(producer->Publish("x")));
    EXPECT_EQ(seam_control.swaps, 0u);
    EXPECT_EQ(seam_control.record_writes, 20u);
    EXPECT_EQ(seam_control.exchanges, fences ? 10u : 0u);
  }
}

// The owner leaves its fence out, because who sleeps executes one for both. Whether that is so is seen in the count:
// without it a wake-up gets lost so seldom that no traffic shows it.
TEST_F(ExclusiveTest, WhoSleepsExecutesTheBarrier) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer();
  auto consumer = topic->NewConsumer({.wait = Wait::kPark});
  ASSERT_TRUE(Succeeds(producer));
  ASSERT_TRUE(Succeeds(consumer));
  const uint64_t before = seam_control.barriers;
  EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(5)), StatusCode::kDeadlineExceeded));
  EXPECT_GT(seam_control.barriers, before);
}

TEST_F(ExclusiveTest, ASecondProducerIsToldWhoHoldsIt) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer({.name = "loader"});
  ASSERT_TRUE(Succeeds(producer));
  const std::string holder = "slot 1, loader (pid " + std::to_string(getpid()) + "): close that one";
  EXPECT_TRUE(Fails(topic->NewProducer(), StatusCode::kFailedPrecondition, holder));
  auto again = Make();
  EXPECT_TRUE(Fails(again->NewProducer(), StatusCode::kFailedPrecondition, holder));
  EXPECT_EQ(topic->Stats()->producers, 1u);
  // The one that was refused has changed nothing.
  ASSERT_TRUE(Succeeds(producer->Publish("goes on")));
  EXPECT_EQ(ReadAll(*topic), Texts{"goes on"});
}

TEST_F(ExclusiveTest, AClosedProducerIsFollowedByTheNext) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  for (int i = 0; i < 5; ++i) {
    auto producer = topic->NewProducer();
    ASSERT_TRUE(Succeeds(producer)) << i;
    ASSERT_TRUE(Succeeds(producer->Publish(std::to_string(i))));
    auto open = producer->Claim(10);
    ASSERT_TRUE(Succeeds(open));
    ASSERT_TRUE(Succeeds(producer->Close()));
    EXPECT_EQ(Live().owner_generation, static_cast<uint64_t>(i + 1));
  }
  EXPECT_EQ(ReadAll(*topic),
            (Texts{"0", "<aborted>", "1", "<aborted>", "2", "<aborted>", "3", "<aborted>", "4", "<aborted>"}));
}

// A claim of a living owner stays its own, however long it takes.
TEST_F(ExclusiveTest, AClaimIsNeverRevoked) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer();
  auto claim = producer->Claim(4);
  ASSERT_TRUE(Succeeds(claim));
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  for (int hour = 0; hour < 4; ++hour) {
    EXPECT_TRUE(
        Fails(consumer->Next(absl::Milliseconds(5)), StatusCode::kDeadlineExceeded, "not committed yet by slot 1"));
    seam_control.clock_offset += absl::ToInt64Nanoseconds(absl::Hours(1));
  }
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  std::memcpy(claim->bytes().data(), "late", 4);
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  EXPECT_EQ(TextOf(consumer->Next()), "late");
}

// Whatever another version wrote into the header.
TEST_F(ExclusiveTest, NotEvenIfTheHeaderHasATimeout) {
  ASSERT_TRUE(Succeeds(MakeExclusive()));
  ChangeHeader<format::ControlHeader>(Path("control"), [](auto& header) { header.claim_timeout = 1'000'000; });
  auto topic = Make();
  auto producer = topic->NewProducer();
  auto claim = producer->Claim(4);
  ASSERT_TRUE(Succeeds(claim));
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  for (int hour = 0; hour < 4; ++hour) {
    EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(5)), StatusCode::kDeadlineExceeded));
    seam_control.clock_offset += absl::ToInt64Nanoseconds(absl::Hours(1));
  }
  std::memcpy(claim->bytes().data(), "late", 4);
  EXPECT_TRUE(Succeeds(std::move(*claim).Commit()));
}

// --- ownership lost --------------------------------------------------------------------------------------------------

constexpr char kLost[] = "ownership lost";

// The descriptors of this process that lead to a file.
std::set<int> DescriptorsOf(const std::string& file) {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (std::filesystem::read_symlink(entry.path(), error) == file) found.insert(std::stoi(entry.path().filename()));
  }
  return found;
}

// Makes a producer, and then takes the lock from under it, as a host does that closes what it does not know.
absl::StatusOr<Producer> MakeWithoutLock(Topic& topic, const std::string& locks, const std::string& name) {
  const std::set<int> before = DescriptorsOf(locks);
  auto producer = topic.NewProducer({.name = name});
  int closed = 0;
  for (const int fd : DescriptorsOf(locks)) {
    if (before.contains(fd)) continue;
    // The number stays in use, so that nothing else gets it.
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, fd);
    close(null);
    ++closed;
  }
  EXPECT_EQ(closed, 1);
  return producer;
}

TEST_F(ExclusiveTest, WhoLostItsLockIsToldAtThePublish) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto first = MakeWithoutLock(*topic, Path("locks"), "first");
  ASSERT_TRUE(Succeeds(first));
  ASSERT_TRUE(Succeeds(first->Publish("before")));
  auto second = topic->NewProducer({.name = "second"});
  ASSERT_TRUE(Succeeds(second));
  const std::string bytes = ReadFile(Path(SegmentName(0)));
  const format::Slot slot = SlotOne();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Fails(first->Publish("not this"), StatusCode::kAborted, kLost));
    EXPECT_TRUE(Fails(first->Claim(10), StatusCode::kAborted, "slot 1, second (pid "));
  }
  EXPECT_EQ(ReadFile(Path(SegmentName(0))), bytes);
  EXPECT_EQ(std::memcmp(&slot, ReadFile(Path("control")).data() + format::kSlotsOffset + sizeof(slot), sizeof(slot)),
            0);
  EXPECT_TRUE(Succeeds(first->Close()));
  ASSERT_TRUE(Succeeds(second->Publish("after")));
  EXPECT_EQ(ReadAll(*topic), (Texts{"before", "after"}));
}

TEST_F(ExclusiveTest, BatchesToo) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto first = MakeWithoutLock(*topic, Path("locks"), "first");
  auto batch = first->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("one")));
  ASSERT_TRUE(Succeeds(batch.Add("two")));
  ASSERT_TRUE(Succeeds(batch.Commit()));
  auto second = topic->NewProducer();
  ASSERT_TRUE(Succeeds(batch.Add("not this")));
  EXPECT_TRUE(Fails(batch.Commit(), StatusCode::kAborted, kLost));
  EXPECT_EQ(ReadAll(*topic), (Texts{"one", "two"}));
}

TEST_F(ExclusiveTest, WhoLostItsLockIsToldAtTheCommit) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto first = MakeWithoutLock(*topic, Path("locks"), "first");
  auto claim = first->Claim(4);
  ASSERT_TRUE(Succeeds(claim));
  std::memcpy(claim->bytes().data(), "gone", 4);
  auto second = topic->NewProducer();
  ASSERT_TRUE(Succeeds(second));
  auto open = second->Claim(5);
  ASSERT_TRUE(Succeeds(open));
  const uint64_t floor = SlotOne().floor;
  EXPECT_NE(floor, 0u);
  EXPECT_TRUE(Fails(std::move(*claim).Commit(), StatusCode::kAborted, kLost));
  EXPECT_TRUE(Fails(first->Publish("not this"), StatusCode::kAborted, kLost));
  // The floor is its successor's by now.
  EXPECT_EQ(SlotOne().floor, floor);
  std::memcpy(open->bytes().data(), "after", 5);
  ASSERT_TRUE(Succeeds(std::move(*open).Commit()));
  EXPECT_EQ(ReadAll(*topic), (Texts{"<dead>", "after"}));
}

// Abandoned by who lost it: its successor has made it a gap already, and its cause stays.
TEST_F(ExclusiveTest, WhoLostItsLockAbandonsNothing) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto first = MakeWithoutLock(*topic, Path("locks"), "first");
  auto claim = first->Claim(4);
  ASSERT_TRUE(Succeeds(claim));
  auto second = topic->NewProducer();
  ASSERT_TRUE(Succeeds(second));
  EXPECT_TRUE(Succeeds(std::move(*claim).Abandon()));
  EXPECT_EQ(ReadAll(*topic), Texts{"<dead>"});
  EXPECT_TRUE(Fails(first->Publish("not this"), StatusCode::kAborted, kLost));
}

// Nobody took over; but a consumer found the lock free, and ended the claim as a dead one's.
TEST_F(ExclusiveTest, AClaimThatAWatcherEndedIsNotCommitted) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto first = MakeWithoutLock(*topic, Path("locks"), "first");
  auto claim = first->Claim(4);
  ASSERT_TRUE(Succeeds(claim));
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  EXPECT_EQ(TextOf(consumer->Next(absl::Seconds(20))), "<dead>");
  EXPECT_TRUE(Fails(std::move(*claim).Commit(), StatusCode::kAborted, kLost));
  EXPECT_TRUE(Fails(first->Publish("not this"), StatusCode::kAborted, kLost));
  auto second = topic->NewProducer();
  ASSERT_TRUE(Succeeds(second));
  ASSERT_TRUE(Succeeds(second->Publish("after")));
  EXPECT_EQ(TextOf(consumer->Next(absl::Seconds(20))), "after");
}

// The page of slots was not written to the disk, and the kernel let it go. Only who takes over may end the claim.
TEST_F(ExclusiveTest, AClaimWhoseFloorWasLostIsEndedByWhoTakesOver) {
  auto topic = MakeExclusive();
  ASSERT_TRUE(Succeeds(topic));
  auto first = MakeWithoutLock(*topic, Path("locks"), "first");
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Succeeds(first->Publish("x")));
  auto claim = first->Claim(4);
  ASSERT_TRUE(Succeeds(claim));
  Patch(Path("control"), format::kSlotsOffset, std::string(16384, '\0'));
  const auto second = topic->NewProducer();
  ASSERT_TRUE(Succeeds(second));
  Texts expected(100, "x");
  expected.push_back("<dead>");
  EXPECT_EQ(ReadAll(*topic), expected);
  EXPECT_TRUE(Fails(std::move(*claim).Commit(), StatusCode::kAborted, kLost));
}

// Taken over in the middle of a publish, at each point of it. A few of them lie between the last look and the store:
// that is the window of which docs/exclusive.md speaks, and there is nothing to be asked of the log behind it.
TEST_F(ExclusiveTest, TakenOverAtEachPointOfAPublish) {
  static Topic* other;
  static uint64_t at;
  static std::optional<Producer> second;
  int told = 0;
  for (at = 1; at < 40; ++at) {
    const Scratch scratch(FastParent());
    auto topic = OpenTopic(scratch / "bus", {.create = true, .segment_size = 4096, .exclusive = true},
                           {.create = true, .background = false});
    ASSERT_TRUE(Succeeds(topic));
    auto taker = OpenTopic(scratch / "bus");
    other = &*taker;
    auto first = MakeWithoutLock(*topic, scratch / "bus/t/locks", "first");
    seam_control.points = 0;
    seam_control.at_point = [](uint64_t number) {
      if (number != at) return;
      seam_control.at_point = nullptr;
      second.emplace(*other->NewProducer());
    };
    const auto published = first->Publish("first");
    seam_control.at_point = nullptr;
    if (!second) break;  // it has fewer points
    if (!published.ok()) {
      EXPECT_TRUE(Fails(published, StatusCode::kAborted, kLost));
      ++told;
    }
    EXPECT_TRUE(Fails(first->Publish("again"), StatusCode::kAborted, kLost));
    second.reset();
  }
  EXPECT_GE(told, 2);
}

}  // namespace
}  // namespace libbus::test
