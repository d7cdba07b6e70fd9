// Files that are truncated while they are mapped: an error for who used them, never a death, never a false success.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;

constexpr uint64_t kSegment = 65536;

class LostPageTest : public TopicTest {
 protected:
  Topic MakeTopic(OpenOptions open = {.background = false}) const { return *Make({.segment_size = kSegment}, open); }
  std::string first() const { return Path(SegmentName(0)); }
  std::string second() const { return Path(SegmentName(kSegment)); }
  void ExpectLost(const absl::Status& status, const std::string& file) const {
    EXPECT_TRUE(Fails(status, StatusCode::kDataLoss, file));
    EXPECT_TRUE(Fails(status, StatusCode::kDataLoss, "could not be had"));
  }
  // The state byte of the word at an offset of a file.
  static int StateAt(const std::string& file, uint64_t offset) {
    return static_cast<unsigned char>(ReadFile(file)[offset]);
  }
};

constexpr int kGap = 0x3C;

TEST_F(LostPageTest, UnderAProducer) {
  Topic topic = MakeTopic();
  auto producer = topic.NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("a")));
  fs::resize_file(first(), 0);
  for (int i = 0; i < 3; ++i) ExpectLost(producer->Publish("b").status(), first());
  ExpectLost(producer->Claim(10).status(), first());
  // Another producer of the process uses the same mapping.
  auto other = topic.NewProducer();
  if (other.ok()) ExpectLost(other->Publish("c").status(), first());
  EXPECT_EQ(ReadFile(first()), "");
}

TEST_F(LostPageTest, UnderAProducerAsItBegins) {
  Topic topic = MakeTopic();
  auto producer = topic.NewProducer();
  fs::resize_file(first(), 0);
  ExpectLost(producer->Publish(std::string(3 * 4096, 'b')).status(), first());
}

TEST_F(LostPageTest, UnderAClaim) {
  Topic topic = MakeTopic();
  auto producer = topic.NewProducer();
  auto claim = producer->Claim(100);
  ASSERT_TRUE(Succeeds(claim));
  fs::resize_file(first(), 0);
  claim->bytes()[0] = std::byte{'x'};
  ExpectLost(std::move(*claim).Commit().status(), first());
}

// The word's page is still the file's: what was filled beside it is given up there, not committed as damage.
TEST_F(LostPageTest, BehindTheWordOfAClaim) {
  Topic topic = MakeTopic();
  auto producer = topic.NewProducer();
  auto claim = producer->Claim(5 * 4096);
  ASSERT_TRUE(Succeeds(claim));
  fs::resize_file(first(), 4096);
  for (std::byte& byte : claim->bytes()) byte = std::byte{'x'};
  ExpectLost(std::move(*claim).Commit().status(), first());
  EXPECT_EQ(StateAt(first(), 64), kGap);
}

// An END that only this process sees leads nobody on.
TEST_F(LostPageTest, WhereASegmentEnds) {
  Topic topic = MakeTopic();
  auto producer = topic.NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish(std::string(kSegment - 2000, 'a'))));
  ASSERT_TRUE(Succeeds(topic.Maintain()));
  fs::resize_file(first(), kSegment - 4096);
  ExpectLost(producer->Publish(std::string(4000, 'b')).status(), first());
  ExpectLost(producer->Publish("small").status(), first());
  EXPECT_EQ(ReadFile(second()).substr(64), std::string(kSegment - 64, '\0'));
}

TEST_F(LostPageTest, UnderAConsumerThatCameThere) {
  Topic topic = MakeTopic();
  auto producer = topic.NewProducer();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::string(3000, static_cast<char>('A' + i)))));
  Topic reader = *OpenReadOnly();
  auto consumer = reader.NewConsumer();
  ASSERT_EQ(TextOf(consumer->Next()), std::string(3000, 'A'));
  fs::resize_file(first(), 4096);
  for (int i = 0; i < 3; ++i) ExpectLost(consumer->Next(absl::ZeroDuration()).status(), first());
  ExpectLost(consumer->Poll(10).status(), first());
  EXPECT_EQ(consumer->position().offset % 8, 0u);
  // What stands in other files is read on.
  ASSERT_TRUE(Succeeds(consumer->Seek(From::At({kSegment + 64}))));
  EXPECT_TRUE(Succeeds(consumer->Next(absl::ZeroDuration())));
}

// A FREE word on a page of zeros is not "nothing there".
class LostTail : public LostPageTest, public testing::WithParamInterface<Wait> {};

TEST_P(LostTail, IsNoDeadline) {
  Topic topic = MakeTopic();
  auto producer = topic.NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("a")));
  Topic reader = *OpenReadOnly();
  auto consumer = reader.NewConsumer({.wait = GetParam()});
  ASSERT_EQ(TextOf(consumer->Next()), "a");
  EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(2)), StatusCode::kDeadlineExceeded));
  fs::resize_file(first(), 0);
  ExpectLost(consumer->Next(absl::Seconds(30)).status(), first());
}

TEST_P(LostTail, IsMetByWhoIsWaiting) {
  Topic topic = MakeTopic();
  Topic reader = *OpenReadOnly();
  auto consumer = reader.NewConsumer({.wait = GetParam()});
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(50));  // most likely it waits by now; either way is right
    fs::resize_file(first(), 0);
  });
  ExpectLost(consumer->Next().status(), first());
  other.join();
}

INSTANTIATE_TEST_SUITE_P(Modes, LostTail, testing::Values(Wait::kSpin, Wait::kPark, Wait::kSpinThenPark));

// --- the sleep page --------------------------------------------------------------------------------------------------

struct Exchange {
  Wait wait;
  bool read_only;
};
class LostSleepPage : public LostPageTest, public testing::WithParamInterface<Exchange> {};

TEST_P(LostSleepPage, DoesNotStopAnybody) {
  Topic topic = MakeTopic({.background = true});
  Topic reading = GetParam().read_only ? *OpenReadOnly() : MakeTopic();
  auto producer = topic.NewProducer();
  auto consumer = reading.NewConsumer({.wait = GetParam().wait});
  ASSERT_TRUE(Succeeds(producer->Publish("before")));
  ASSERT_EQ(TextOf(consumer->Next()), "before");
  fs::resize_file(Path("sleep"), 0);
  constexpr int kRecords = 60;
  std::thread other([&] {
    for (int i = 0; i < kRecords; ++i) {
      EXPECT_TRUE(Succeeds(producer->Publish(std::to_string(i) + std::string(2000, ' '))));
      if (i % 8 == 0) absl::SleepFor(absl::Milliseconds(5));  // so that the consumer has to wait now and then
    }
  });
  for (int i = 0; i < kRecords; ++i) {
    EXPECT_EQ(TextOf(consumer->Next(absl::Seconds(20))), std::to_string(i) + std::string(2000, ' '));
  }
  other.join();
  EXPECT_TRUE(Succeeds(topic.Maintain()));
}

INSTANTIATE_TEST_SUITE_P(Modes, LostSleepPage,
                         testing::Values(Exchange{Wait::kSpin, true}, Exchange{Wait::kPark, true},
                                         Exchange{Wait::kSpin, false}, Exchange{Wait::kPark, false}));

TEST_F(LostPageTest, TheNextWriterMakesTheSleepPageWhole) {
  Topic topic = MakeTopic();
  fs::resize_file(Path("sleep"), 0);
  ASSERT_TRUE(Succeeds(OpenTopic(bus_)));
  EXPECT_EQ(fs::file_size(Path("sleep")), 4096u);
}

// The thread that answers calls for help sleeps on a word of that page.
TEST_F(LostPageTest, TheBackgroundThreadOutlivesTheSleepPage) {
  EXPECT_EQ(
      Child([&] {
        // It looks there unasked where others may spoil the page.
        Topic topic = MakeTopic({.background = true, .access = Access::kWorld});
        auto producer = topic.NewProducer();
        if (!producer->Publish("a").ok()) return 1;
        fs::resize_file(Path("sleep"), 0);
        absl::SleepFor(absl::Milliseconds(300));  // so that it comes there before the producer; either way is right
        // Rolls, so that the thread is called; what it prepared is there once it has looked at the page again.
        for (int i = 0; i < 100; ++i) {
          if (!producer->Publish(std::string(4000, 'b')).ok()) return 2;
        }
        while (topic.Stats()->segments < 8) absl::SleepFor(absl::Milliseconds(1));
        return producer->Publish("c").ok() ? 0 : 3;
      }).Join(),
      0);
}

// --- the control file ------------------------------------------------------------------------------------------------

TEST_F(LostPageTest, TheControlFile) {
  {
    Topic topic = MakeTopic();
    auto producer = topic.NewProducer();
    auto consumer = topic.NewConsumer();
    ASSERT_TRUE(Succeeds(producer->Publish("a")));
    fs::resize_file(Path("control"), 4096);
    for (int i = 0; i < 3; ++i) ExpectLost(producer->Publish("b").status(), Path("control"));
    EXPECT_EQ(TextOf(consumer->Next(absl::ZeroDuration())), "a");
    ExpectLost(topic.NewConsumer({.from = From::End()}).status(), Path("control"));
    ExpectLost(topic.Stats().status(), Path("control"));
  }
  // Nobody wrote CLEAN, nor anything else.
  EXPECT_EQ(fs::file_size(Path("control")), 4096u);
  EXPECT_TRUE(Fails(OpenTopic(bus_), StatusCode::kDataLoss, "truncated"));
}

// --- without the guard -----------------------------------------------------------------------------------------------

TEST_F(LostPageTest, WithoutTheGuardItIsTheHosts) {
  ASSERT_TRUE(Succeeds(Make({.segment_size = kSegment})));
  const auto publish = [&] {
    Topic topic = MakeTopic({.background = false, .sigbus_guard = false});
    auto producer = topic.NewProducer();
    fs::resize_file(first(), 0);
    return producer->Publish("a").ok() ? 1 : 2;
  };
  EXPECT_EQ(Child([&] {
              std::signal(SIGBUS, SIG_DFL);
              return publish();
            }).Join(),
            -SIGBUS);
  fs::resize_file(first(), kSegment);
}

}  // namespace
}  // namespace libbus::test
