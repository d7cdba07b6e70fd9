// A topic on a disk that really fails. The kernel tells a failed write once and then calls the lost pages written
// (faulty_disk_test.cc); the library must not: what it calls durable is on the disk, and after a failed sync it says so
// in every process until the log was written anew.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "tests/crash/faulty_bus.h"

namespace libbus::test {
namespace {

class SyncErrorTest : public FaultyBusTest {
 protected:
  void ExpectUnavailableInNewProcess(Position durable) const;
};

void SyncErrorTest::ExpectUnavailableInNewProcess(Position durable) const {
  InNewProcess([&] {
    Writer writer(path_);
    ASSERT_TRUE(Succeeds(writer.producer));
    EXPECT_TRUE(SaysUnavailable(writer.topic->Sync()));
    EXPECT_TRUE(SaysUnavailable(writer.PublishDurable("not durable in another process")));
    EXPECT_TRUE(Succeeds(writer.Publish("plain in another process")));
    EXPECT_TRUE(SaysUnavailable(writer.topic->Sync()));
    EXPECT_EQ(writer.topic->durable(), durable);
    EXPECT_EQ(First(ReadAll(*writer.topic)), "kept");
  });
}

TEST_F(SyncErrorTest, IsStickyInEveryProcessAndSurvivesARestart) {
  Position durable;
  {
    Writer writer(path_);
    ASSERT_TRUE(Succeeds(writer.producer));
    const auto kept = writer.PublishDurable("kept");
    ASSERT_TRUE(Succeeds(kept));
    durable = writer.topic->durable();
    EXPECT_GT(durable, *kept);

    BreakSegment();
    EXPECT_TRUE(SaysUnavailable(writer.PublishDurable("not durable")));
    EXPECT_TRUE(SaysUnavailable(writer.topic->Sync()));
    const auto plain = writer.Publish("plain");
    EXPECT_TRUE(Succeeds(plain));
    EXPECT_TRUE(SaysUnavailable(writer.topic->WaitDurable(*plain, absl::Seconds(10))));
    EXPECT_TRUE(Succeeds(writer.topic->WaitDurable(*kept)));
    EXPECT_EQ(ReadAll(*writer.topic), (std::vector<std::string>{"kept", "not durable", "plain"}));
    ExpectUnavailableInNewProcess(durable);

    ASSERT_TRUE(Succeeds(disk_->Heal()));
    EXPECT_TRUE(SaysUnavailable(writer.topic->Sync())) << "the disk is well again, the lost bytes are not";
    EXPECT_TRUE(SaysUnavailable(writer.PublishDurable("still not durable")));
    EXPECT_EQ(writer.topic->durable(), durable);
    ExpectUnavailableInNewProcess(durable);
  }
  EXPECT_TRUE(IsMarked());
  ExpectUnavailableInNewProcess(durable);  // attaches alone
  EXPECT_EQ(First(ReadFromTheDisk()), "kept");
  ExpectUnavailableInNewProcess(durable);  // after the page cache has gone
}

// A sync writes every segment from D's on: one that failed keeps what stands in a later one from being called durable.
TEST_F(SyncErrorTest, OfAnOlderSegmentHoldsBackLaterOnes) {
  Writer writer(path_);
  ASSERT_TRUE(Succeeds(writer.producer));
  ASSERT_TRUE(Succeeds(writer.PublishDurable("kept")));
  const Position durable = writer.topic->durable();
  BreakSegment();
  Position last = durable;
  while (last.offset < 2 * kSegmentSize) {
    const auto position = writer.Publish(std::string(5000, 'x'));
    ASSERT_TRUE(Succeeds(position));
    last = *position;
  }
  EXPECT_TRUE(SaysUnavailable(writer.PublishDurable("in a segment that is well")));
  EXPECT_TRUE(SaysUnavailable(writer.topic->WaitDurable(last, absl::Seconds(10))));
  EXPECT_EQ(writer.topic->durable(), durable);
}

// Another process that was there before the failure has its own account with the kernel, and is told by the mark.
TEST_F(SyncErrorTest, IsKnownToAnOlderProcess) {
  Writer writer(path_);
  ASSERT_TRUE(Succeeds(writer.producer));
  ASSERT_TRUE(Succeeds(writer.PublishDurable("kept")));
  BreakSegment();
  InNewProcess([&] {
    Writer other(path_);
    ASSERT_TRUE(Succeeds(other.producer));
    EXPECT_TRUE(SaysUnavailable(other.PublishDurable("not durable")));
  });
  ASSERT_TRUE(Succeeds(disk_->Heal()));
  EXPECT_TRUE(SaysUnavailable(writer.topic->Sync()));
  auto reader = OpenTopic(path_, true);
  ASSERT_TRUE(Succeeds(reader));
  const auto plain = writer.Publish("plain");
  ASSERT_TRUE(Succeeds(plain));
  EXPECT_TRUE(SaysUnavailable(reader->WaitDurable(*plain, absl::Seconds(10))));
}

// --- nothing at all can be written -----------------------------------------------------------------------------------

enum class Healed { kWhileOpen, kAfterUnmount };

class SyncErrorEverywhereTest : public FaultyBusTest {
 protected:
  // Perhaps not even the mark arrives. What was called durable is there afterwards, and what is called durable then.
  void ExpectNothingDurableIsLost(bool journal, Healed healed);
};

void SyncErrorEverywhereTest::ExpectNothingDurableIsLost(bool journal, Healed healed) {
  MakeDisk({.journal = journal});
  {
    Writer writer(path_);
    ASSERT_TRUE(Succeeds(writer.producer));
    ASSERT_TRUE(Succeeds(writer.PublishDurable("kept")));
    const Position durable = writer.topic->durable();
    ASSERT_TRUE(Succeeds(disk_->WriteAll()));
    ASSERT_TRUE(Succeeds(disk_->FailWrites()));
    EXPECT_TRUE(SaysUnavailable(writer.PublishDurable("not durable")));
    EXPECT_TRUE(SaysUnavailable(writer.topic->Sync()));
    EXPECT_TRUE(Succeeds(writer.Publish("plain")));
    if (healed == Healed::kWhileOpen) {
      ASSERT_TRUE(Succeeds(disk_->Heal()));
    }
    EXPECT_TRUE(SaysUnavailable(writer.topic->Sync()));
    EXPECT_EQ(writer.topic->durable(), durable);
    EXPECT_EQ(ReadAll(*writer.topic), (std::vector<std::string>{"kept", "not durable", "plain"}));
  }
  const std::vector<std::string> found = ReadFromTheDisk();
  EXPECT_EQ(First(found), "kept");
  std::printf("on the disk: %s, %smarked\n", fmt::format("{}", found).c_str(), IsMarked() ? "" : "not ");
  ExpectRecoverMends();
}

TEST_F(SyncErrorEverywhereTest, WithoutAJournal) { ExpectNothingDurableIsLost(false, Healed::kWhileOpen); }
TEST_F(SyncErrorEverywhereTest, WithoutAJournalAndNeverHealed) {
  ExpectNothingDurableIsLost(false, Healed::kAfterUnmount);
}
TEST_F(SyncErrorEverywhereTest, WithAJournalThatIsAborted) { ExpectNothingDurableIsLost(true, Healed::kWhileOpen); }
TEST_F(SyncErrorEverywhereTest, WithAJournalThatIsAbortedAndNeverHealed) {
  ExpectNothingDurableIsLost(true, Healed::kAfterUnmount);
}

}  // namespace
}  // namespace libbus::test
