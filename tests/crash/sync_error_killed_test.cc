// A process is told that its sync failed and is killed before it can tell anybody. The kernel tells a younger
// descriptor nothing and takes the lost pages for written; it may even drop them, and then they read as they were
// before. Whoever comes next must find that, or write them again.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/faulty_bus.h"
#include "tests/seam/seam.h"

namespace libbus::test {
namespace {

using platform::seam_control;

class SyncErrorKilledTest : public FaultyBusTest {
 protected:
  // A process publishes `before` durably (with pages prepared for what comes, or not), breaks what `break_disk` says,
  // publishes `after`, the last of it durably, and is killed when its sync was told the error, before it could tell
  // anybody.
  void DieOfTheError(const std::vector<std::string>& before, const std::vector<std::string>& after, bool prepared,
                     const std::function<void()>& break_disk);

  // The page cache gives up what it takes for written, as it does when memory is short.
  void DropCache() const {
    const int fd = open(Segment().c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
  }

  // What the next process says.
  struct Answer {
    bool durable = false;                     // of everything, by Sync
    std::array<bool, 8> record_durable = {};  // of each record, by WaitDurable
    std::array<char, 500> seen = {};          // what it reads
  };
  Answer AskNextProcess(size_t records) const;
  void ExpectFoundWhenDropped(bool prepared, bool beside_living);

  // Of what DieOfTheError published after the failure.
  Shared<std::array<std::atomic<uint64_t>, 8>> positions_;
};

class KillAfterFailedSync : public platform::SeamWatcher {
 public:
  void AfterSync(int /*fd*/, int error) override {
    if (error != 0) raise(SIGKILL);
  }
};

void SyncErrorKilledTest::DieOfTheError(const std::vector<std::string>& before, const std::vector<std::string>& after,
                                        bool prepared, const std::function<void()>& break_disk) {
  std::fflush(stdout);
  const int code = Child([&] {
                     Writer writer(path_);
                     if (!writer.producer.ok() || (prepared && !writer.topic->Maintain().ok())) return 1;
                     for (const std::string& text : before) {
                       if (!writer.PublishDurable(text).ok()) return 2;
                     }
                     break_disk();
                     KillAfterFailedSync watcher;
                     seam_control.watcher = &watcher;
                     for (size_t i = 0; i + 1 < after.size(); ++i) {
                       const auto position = writer.Publish(after[i]);
                       if (!position.ok()) return 3;
                       positions_->at(i) = position->offset;
                     }
                     (void)writer.PublishDurable(after.back());
                     return 4;
                   }).Join();
  ASSERT_EQ(code, -SIGKILL);
  ASSERT_FALSE(IsMarked());
}

TEST_F(SyncErrorKilledTest, IsFoundAgainByTheNextProcessWhileTheDiskFails) {
  DieOfTheError({"kept"}, {"lost"}, false, [&] { BreakSegment(); });
  InNewProcess([&] {
    Writer writer(path_);
    ASSERT_TRUE(Succeeds(writer.producer));
    EXPECT_TRUE(SaysUnavailable(writer.topic->Sync()));
    EXPECT_TRUE(SaysUnavailable(writer.PublishDurable("not durable")));
    EXPECT_EQ(ReadAll(*writer.topic), (std::vector<std::string>{"kept", "lost", "not durable"}));
  });
  EXPECT_EQ(First(ReadFromTheDisk()), "kept");
}

// The kernel tells the next process nothing, and has no reason to write: only pages made dirty again arrive.
TEST_F(SyncErrorKilledTest, IsMendedByTheNextProcessWhenTheDiskIsWell) {
  DieOfTheError({"kept"}, {"lost at first"}, false, [&] { BreakSegment(); });
  ASSERT_TRUE(Succeeds(disk_->Heal()));
  {
    const int fd = open(Segment().c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_EQ(fdatasync(fd), 0);
    close(fd);
    EXPECT_EQ(disk_->OnDisk(Segment())->find("lost at first"), std::string::npos);
  }
  bool durable = false;
  {
    Writer writer(path_);
    ASSERT_TRUE(Succeeds(writer.producer));
    durable = writer.topic->Sync().ok();
    EXPECT_TRUE(durable || IsMarked());
  }
  const auto found = ReadFromTheDisk();
  EXPECT_EQ(First(found), "kept");
  EXPECT_EQ(Contains(found, "lost at first"), durable) << "durable, and not on the disk";
  std::printf("the next process's sync: %s\n", durable ? "OK, and the record is on the disk" : "UNAVAILABLE");
}

SyncErrorKilledTest::Answer SyncErrorKilledTest::AskNextProcess(size_t records) const {
  const Shared<Answer> answer;
  InNewProcess([&] {
    Writer writer(path_);
    ASSERT_TRUE(Succeeds(writer.producer));
    answer->durable = writer.topic->Sync().ok();
    for (size_t i = 0; i < records; ++i) {
      const Position position = {positions_->at(i)};
      answer->record_durable.at(i) = writer.topic->WaitDurable(position, absl::Seconds(1)).ok();
    }
    std::snprintf(answer->seen.data(), answer->seen.size(), "%s", fmt::format("{}", ReadAll(*writer.topic)).c_str());
  });
  return *answer;
}

// Each page of three records in turn is lost and dropped. Where pages were prepared and written as zeros before, the
// kernel takes what arrived beside the lost page; where not, it does not even look at what arrived. Who attaches alone
// recovers; beside a living writer, the first sync has to look.
void SyncErrorKilledTest::ExpectFoundWhenDropped(bool prepared, bool beside_living) {
  const std::vector<std::string> before = {std::string(5000, 'a')};
  const std::vector<std::string> after = {std::string(9000, 'b'), std::string(9000, 'c'), std::string(9000, 'd')};
  for (uint64_t page = 1; page * kPage < 5000 + 3 * 9000; ++page) {
    SCOPED_TRACE(fmt::format("page {}", page));
    MakeDisk({});
    std::optional<absl::StatusOr<Topic>> living;
    if (beside_living) {
      InNewProcess([&] { EXPECT_TRUE(Succeeds(OpenTopic(path_))); });
      living = OpenTopic(path_);
      ASSERT_TRUE(Succeeds(*living));
    }
    DieOfTheError(before, after, prepared, [&] { BreakSegment(page * kPage, kPage); });
    ASSERT_TRUE(Succeeds(disk_->Heal()));
    DropCache();
    const Answer answer = AskNextProcess(after.size() - 1);
    std::printf("page %d lost: the next process sees %s; its sync: %s\n", static_cast<int>(page), answer.seen.data(),
                answer.durable ? "OK" : "UNAVAILABLE");
    living.reset();
    const auto found = ReadFromTheDisk();
    EXPECT_EQ(First(found), Abbreviated(before[0]));
    for (size_t i = 0; i + 1 < after.size(); ++i) {
      // What recovery found lost, it has said: a gap.
      const bool told = !beside_living && std::string(answer.seen.data()).find('<') != std::string::npos;
      const bool promised = answer.record_durable.at(i) || (answer.durable && !told);
      if (promised) {
        EXPECT_TRUE(Contains(found, Abbreviated(after[i]))) << after[i][0] << ": durable, and not on the disk";
      }
    }
    ExpectRecoverMends();
  }
}

TEST_F(SyncErrorKilledTest, IsFoundWhenThePageWasDropped) { ExpectFoundWhenDropped(false, false); }
TEST_F(SyncErrorKilledTest, IsFoundWhenAPreparedPageWasDropped) { ExpectFoundWhenDropped(true, false); }
TEST_F(SyncErrorKilledTest, IsFoundBesideALivingProcessWhenThePageWasDropped) { ExpectFoundWhenDropped(false, true); }
TEST_F(SyncErrorKilledTest, IsFoundBesideALivingProcessWhenAPreparedPageWasDropped) {
  ExpectFoundWhenDropped(true, true);
}

// Who was there before the failure, and did not sync.
TEST_F(SyncErrorKilledTest, IsFoundByAnOlderProcess) {
  bool durable = false;
  {
    Writer writer(path_);
    ASSERT_TRUE(Succeeds(writer.producer));
    ASSERT_TRUE(Succeeds(writer.PublishDurable("first")));
    DieOfTheError({"kept"}, {"lost"}, false, [&] { BreakSegment(); });
    ASSERT_TRUE(Succeeds(disk_->Heal()));
    durable = writer.topic->Sync().ok();
  }
  const auto found = ReadFromTheDisk();
  ASSERT_GE(found.size(), 2u);
  EXPECT_EQ(found[0], "first");
  EXPECT_EQ(found[1], "kept");
  if (durable) {
    EXPECT_TRUE(Contains(found, "lost"));
  }
  std::printf("the older process's sync: %s\n", durable ? "OK, and the record is on the disk" : "UNAVAILABLE");
}

}  // namespace
}  // namespace libbus::test
