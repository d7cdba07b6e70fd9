// `recover` after a failed sync: the segment is written anew from what the page cache has, and afterwards it is on the
// disk, whatever was killed in between.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/crash/faulty_bus.h"
#include "tests/seam/seam.h"

namespace libbus::test {
namespace {

using platform::seam_control;

class SyncErrorRecoverTest : public FaultyBusTest {
 protected:
  // A topic whose first segment failed: "kept" is durable, "not durable" and "plain" are in the page cache only.
  void FailAndClose();
};

void SyncErrorRecoverTest::FailAndClose() {
  Writer writer(path_);
  ASSERT_TRUE(Succeeds(writer.producer));
  ASSERT_TRUE(Succeeds(writer.PublishDurable("kept")));
  BreakSegment();
  EXPECT_TRUE(SaysUnavailable(writer.PublishDurable("not durable")));
  EXPECT_TRUE(Succeeds(writer.Publish("plain")));
  ASSERT_TRUE(Succeeds(disk_->Heal()));
}

TEST_F(SyncErrorRecoverTest, WritesTheSegmentAnew) {
  FailAndClose();
  {
    Writer writer(path_);
    const auto report = RecoverTopic(path_, "t");
    ASSERT_TRUE(Succeeds(report));
    EXPECT_TRUE(report->in_use);
    EXPECT_EQ(RecoverTopic(path_, "t", {.apply = true}).status().code(), absl::StatusCode::kFailedPrecondition);
  }
  const auto report = RecoverTopic(path_, "t");
  ASSERT_TRUE(Succeeds(report));
  EXPECT_EQ(report->failed_segments, 1u);
  EXPECT_FALSE(report->applied);
  EXPECT_TRUE(IsMarked());
  ExpectRecoverMends();
  auto topic = OpenTopic(path_);
  ASSERT_TRUE(Succeeds(topic));
  std::vector<std::string> records = ReadAll(*topic);
  std::erase_if(records, [](const std::string& text) { return text.front() == '<'; });
  EXPECT_EQ(records, (std::vector<std::string>{"kept", "not durable", "plain", "after recovery"}));
}

// Everything arrives, but the disk does not say that it will keep it.
TEST_F(SyncErrorRecoverTest, SaysThatTheDiskStillFails) {
  MakeDisk({.journal = false});
  FailAndClose();
  ASSERT_TRUE(Succeeds(disk_->FailFlushes()));
  EXPECT_EQ(RecoverTopic(path_, "t", {.apply = true}).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(Succeeds(disk_->Heal()));
  InNewProcess([&] {
    auto topic = OpenTopic(path_);
    ASSERT_TRUE(Succeeds(topic));
    EXPECT_TRUE(SaysUnavailable(topic->Sync()));
    EXPECT_TRUE(Contains(ReadAll(*topic), "plain"));
  });
  ExpectRecoverMends();
}

// Killed before each change and each system call of it in turn: the next one does the rest.
TEST_F(SyncErrorRecoverTest, MayBeKilledAnywhere) {
  uint64_t point = 0;
  for (int code = -SIGKILL; code == -SIGKILL;) {
    SCOPED_TRACE(fmt::format("killed before point {}", ++point));
    path_ = fmt::format("{}/bus{}", disk_->path(), point);
    FailAndClose();
    code = Child([&] {
             seam_control.points = 0;
             seam_control.kill_at = point;
             return RecoverTopic(path_, "t", {.apply = true}).ok() ? 0 : 1;
           }).Join();
    ExpectRecoverMends();
    auto topic = OpenTopic(path_);
    ASSERT_TRUE(Succeeds(topic));
    for (const char* text : {"kept", "not durable", "plain", "after recovery"}) {
      EXPECT_TRUE(Contains(ReadAll(*topic), text)) << text;
    }
    topic = absl::CancelledError();
    ASSERT_FALSE(HasFailure());
    std::filesystem::remove_all(path_);
    EXPECT_TRUE(code == 0 || code == -SIGKILL) << code;
  }
  std::printf("points: %d\n", static_cast<int>(point - 1));
  EXPECT_GT(point, 20u);
}

}  // namespace
}  // namespace libbus::test
