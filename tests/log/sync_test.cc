#include "libbus/log/sync.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/support/asleep.h"
#include "tests/support/durable_topic.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

using platform::seam_control;
using Sync = test::DurableTopic;
using test::Child;
using test::Scratch;
using test::Shared;
using test::SleepsInKernel;

TEST_F(Sync, ADurablePublishIsBelowD) {
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  const auto plain = producer->Publish("plain");
  EXPECT_LE(topic->durable(), *plain);
  const auto durable = producer->Publish("durable", {.durable = true});
  ASSERT_TRUE(durable.ok()) << durable.status();
  EXPECT_GT(topic->durable(), *durable);
}

TEST_F(Sync, ClaimsAreDurableWhenCommitted) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  auto claim = producer->Claim(10, {.durable = true});
  ASSERT_TRUE(claim.ok()) << claim.status();
  const auto position = std::move(*claim).Commit();
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_GT(topic->durable(), *position);
}

// The claim holds D back, and nobody's acknowledgement.
TEST_F(Sync, AnOpenClaimDelaysDAndNoAcknowledgement) {
  auto topic = Open();
  auto first = topic->NewProducer();
  auto second = topic->NewProducer();
  auto claim = first->Claim(10);
  const Position before = topic->durable();
  const auto durable = second->Publish("behind", {.durable = true});
  ASSERT_TRUE(durable.ok()) << durable.status();
  EXPECT_LT(topic->durable(), *durable);
  EXPECT_GE(topic->durable(), before);
  EXPECT_TRUE(topic->WaitDurable(*durable).ok());
  ASSERT_TRUE(std::move(*claim).Commit().ok());
  ASSERT_TRUE(topic->Sync().ok());
  EXPECT_GT(topic->durable(), *durable);
}

// Every segment from D's to the tail's is written, oldest first, its name before it.
TEST_F(Sync, AllSegmentsFromDOnAreWritten) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(producer->Publish(std::string(1000, 'x')).ok());
  const uint64_t before = seam_control.data_syncs;
  ASSERT_TRUE(topic->Sync().ok());
  EXPECT_EQ(seam_control.data_syncs - before, 4u);
  EXPECT_EQ(topic->durable(), topic->Stats()->end);
  ASSERT_TRUE(topic->Sync().ok());
  EXPECT_EQ(seam_control.data_syncs - before, 5u);
}

// Nor does a claim end the look for the tail: who rolled has not committed yet, so that no hint leads past the claim.
TEST_F(Sync, AnOpenClaimInAnEarlierSegmentHidesNoLaterOne) {
  auto topic = Open();
  auto first = topic->NewProducer();
  auto second = topic->NewProducer();
  auto third = topic->NewProducer();
  const auto claim = first->Claim(10);
  ASSERT_TRUE(claim.ok()) << claim.status();
  ASSERT_TRUE(second->Publish(std::string(3800, 'x')).ok());
  const auto rolled = second->Claim(1000);
  ASSERT_TRUE(rolled.ok()) << rolled.status();
  const uint64_t before = seam_control.data_syncs;
  const auto durable = third->Publish("behind both", {.durable = true});
  ASSERT_TRUE(durable.ok()) << durable.status();
  EXPECT_GT(durable->offset, 4096u);
  EXPECT_EQ(seam_control.data_syncs - before, 2u);
}

// While the directory is synced: what another one is told durable then.
class InTheDirectorySync : public platform::SeamWatcher {
 public:
  explicit InTheDirectorySync(std::function<void()> work) : work_(std::move(work)) { seam_control.watcher = this; }
  ~InTheDirectorySync() override { seam_control.watcher = nullptr; }
  void BeforeSync(int fd) override {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISDIR(info.st_mode)) return;
    if (const auto work = std::exchange(work_, nullptr)) work();
  }
  void AfterSync(int fd, int error) override {
    struct stat info;
    synced_ = synced_ || (error == 0 && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode));
  }
  bool synced() const { return synced_; }

 private:
  std::function<void()> work_;
  bool synced_ = false;
};

TEST_F(Sync, ANameIsDurableOnlyBehindItsDirectory) {
  {
    auto topic = Open();
    auto producer = topic->NewProducer();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(producer->Publish(std::string(2000, 'x')).ok());
  }
  // Who comes first trusts no name of a later segment.
  auto topic = Open();
  auto other = Open();
  auto first = topic->NewProducer();
  auto second = other->NewProducer();
  bool told = false;
  const InTheDirectorySync watcher([&] {
    const auto durable = second->Publish("second", {.durable = true});
    told = durable.ok();
    EXPECT_TRUE(watcher.synced()) << "told durable, and the directory is not";
  });
  ASSERT_TRUE(first->Publish("first", {.durable = true}).ok());
  EXPECT_TRUE(told);
}

TEST_F(Sync, WaitDurableSaysWhatIsWrongWithAPosition) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  const auto record = producer->Publish("record");
  auto aborted = producer->Claim(8);
  ASSERT_TRUE(std::move(*aborted).Abandon().ok());
  auto open = producer->Claim(8);
  const uint64_t gap = record->offset + 32;
  const uint64_t claim = gap + 48;
  const auto code = [&](uint64_t position) { return topic->WaitDurable({position}, absl::Seconds(20)).code(); };
  EXPECT_EQ(code(record->offset), absl::StatusCode::kOk);
  EXPECT_EQ(code(record->offset + 8), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(gap), absl::StatusCode::kDataLoss);
  EXPECT_EQ(code(1 << 20), absl::StatusCode::kOutOfRange);
  const auto info = topic->Stats();
  EXPECT_EQ(info->end.offset, claim);
  EXPECT_EQ(code(claim), absl::StatusCode::kFailedPrecondition) << topic->WaitDurable({claim}, absl::Seconds(1));
}

TEST_F(Sync, NothingIsDurableInMemory) {
  seam_control.pretend_durable = false;
  if (access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "needs a tmpfs at /dev/shm";
  const Scratch memory("/dev/shm");
  auto bus = Bus::Open(memory / "bus", {.create = true, .background = false});
  ASSERT_TRUE(bus.ok());
  const auto refused = bus->OpenTopic("each", {.create = true, .sync = SyncPolicy::Each()});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(refused.status().message()).find("volatile"), std::string::npos) << refused.status();
  auto topic = bus->OpenTopic("t", {.create = true});
  auto producer = topic->NewProducer();
  EXPECT_EQ(producer->Publish("x", {.durable = true}).status().code(), absl::StatusCode::kFailedPrecondition);
  const auto plain = producer->Publish("x");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(topic->Sync().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(topic->WaitDurable(*plain).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(topic->NewConsumer({.limit = Limit::kDurable}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(topic->durable().offset, 0u);
}

TEST_F(Sync, ALimitedConsumerStopsAtD) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  auto consumer = topic->NewConsumer({.limit = Limit::kDurable});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(producer->Publish("one").ok());
  EXPECT_EQ(consumer->Next(absl::ZeroDuration()).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(consumer->Poll(10)->empty());
  ASSERT_TRUE(topic->Sync().ok());
  EXPECT_EQ(consumer->Next(absl::Seconds(20))->text(), "one");
}

TEST_F(Sync, ALimitedReaderOfAnotherProcessIsWokenByTheSync) {
  seam_control.no_bounds = true;
  auto topic = Open();
  auto producer = topic->NewProducer();
  Shared<std::atomic<int>> read;
  Child reader([&] {
    auto mine = OpenReadOnly();
    auto consumer = mine->NewConsumer({.wait = Wait::kPark, .limit = Limit::kDurable});
    for (int i = 0; i < 200; ++i) {
      auto record = consumer->Next();
      if (!record.ok() || record->text() != std::to_string(i)) return 1;
      ++*read;
    }
    return 0;
  });
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(producer->Publish(std::to_string(i), {.durable = true}).ok());
    while (i % 10 == 9 && read->load() <= i && kill(reader.pid(), 0) == 0) std::this_thread::yield();
  }
  seam_control.no_bounds = false;
  EXPECT_EQ(reader.Join(), 0);
}

TEST_F(Sync, AReadOnlyProcessWaitsForSomebodyElsesSync) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  const auto position = producer->Publish("x");
  Shared<std::atomic<bool>> waiting;
  Child reader([&] {
    auto mine = OpenReadOnly();
    if (mine->Sync().code() != absl::StatusCode::kFailedPrecondition) return 1;
    if (mine->WaitDurable(*position, absl::Milliseconds(1)).code() != absl::StatusCode::kDeadlineExceeded) return 2;
    *waiting = true;
    // Whether it asks before or after the one sync that there will be.
    return mine->WaitDurable(*position, absl::Seconds(60)).ok() ? 0 : 3;
  });
  while (!*waiting) std::this_thread::yield();
  ASSERT_TRUE(topic->Sync().ok());
  EXPECT_EQ(reader.Join(), 0);
}

// With the bounds off: who sleeps until somebody else has synced is told that it failed.
TEST_F(Sync, AFailedSyncWakesWhoWaits) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  const auto position = producer->Publish("x");
  Shared<std::atomic<bool>> waiting;
  Child reader([&] {
    alarm(60);
    seam_control.no_bounds = true;
    auto mine = OpenReadOnly();
    *waiting = true;
    return mine->WaitDurable(*position, absl::InfiniteDuration()).code() == absl::StatusCode::kUnavailable ? 0 : 1;
  });
  while (!*waiting || !SleepsInKernel(reader)) std::this_thread::yield();
  seam_control.sync_error = EIO;
  EXPECT_EQ(topic->Sync().code(), absl::StatusCode::kUnavailable);
  seam_control.sync_error = 0;
  EXPECT_EQ(reader.Join(), 0);
}

// Threads that publish durably at the same time share syncs.
TEST_F(Sync, ThreadsShareSyncs) {
  auto topic = Open({.segment_size = 1 << 20});
  constexpr int kThreads = 8;
  constexpr int kRecords = 50;
  const uint64_t before = seam_control.data_syncs;
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      auto producer = topic->NewProducer();
      for (int i = 0; i < kRecords; ++i) {
        const auto position = producer->Publish("x", {.durable = true});
        if (!position.ok() ||
            topic->WaitDurable(*position, absl::ZeroDuration()).code() == absl::StatusCode::kUnavailable) {
          ++failed;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  const uint64_t syncs = seam_control.data_syncs - before;
  std::printf("%d durable records, %llu syncs\n", kThreads * kRecords, static_cast<unsigned long long>(syncs));
  EXPECT_LE(syncs, static_cast<uint64_t>(kThreads * kRecords) + kThreads);
  EXPECT_EQ(topic->durable(), topic->Stats()->end);
}

// --- a failed sync -------------------------------------------------------------------------------------------------

TEST_F(Sync, AFailedSyncIsStickyAndShared) {
  auto topic = Open();
  auto beside = Open();
  auto producer = topic->NewProducer();
  const auto good = producer->Publish("good", {.durable = true});
  ASSERT_TRUE(good.ok());
  const Position durable = topic->durable();
  seam_control.sync_error = EIO;
  const auto failed = producer->Publish("lost?", {.durable = true});
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(std::string(failed.status().message()).find("bus recover t --apply"), std::string::npos) << failed.status();
  seam_control.sync_error = 0;
  // The disk is well again, as the kernel says; but what it has is not known.
  EXPECT_EQ(topic->Sync().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(beside->Sync().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(topic->durable(), durable);
  EXPECT_TRUE(topic->WaitDurable(*good).ok());
  EXPECT_TRUE(std::filesystem::exists(Path("00000000000000000000.failed")));
  // The log goes on all the same.
  EXPECT_TRUE(producer->Publish("plain").ok());
  EXPECT_EQ(Child([&] {
              auto mine = Open();
              return mine->Sync().code() == absl::StatusCode::kUnavailable ? 0 : 1;
            }).Join(),
            0);
}

TEST_F(Sync, AFailedSyncSurvivesAllProcessesAndIsCuredByRecover) {
  {
    auto topic = Open();
    auto producer = topic->NewProducer();
    ASSERT_TRUE(producer->Publish("good", {.durable = true}).ok());
    seam_control.sync_error = EIO;
    EXPECT_EQ(producer->Publish("in memory", {.durable = true}).status().code(), absl::StatusCode::kUnavailable);
    seam_control.sync_error = 0;
  }
  {
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    EXPECT_EQ(topic->Sync().code(), absl::StatusCode::kUnavailable);
    const auto in_use = RecoverTopic(bus_, "t", {.apply = true});
    EXPECT_EQ(in_use.status().code(), absl::StatusCode::kFailedPrecondition) << in_use.status();
  }
  const auto look = RecoverTopic(bus_, "t");
  ASSERT_TRUE(look.ok()) << look.status();
  EXPECT_EQ(look->failed_segments, 1u);
  EXPECT_EQ(look->cause, "sync failed");
  EXPECT_FALSE(look->applied);
  const auto cured = RecoverTopic(bus_, "t", {.apply = true});
  ASSERT_TRUE(cured.ok()) << cured.status();
  EXPECT_TRUE(cured->applied);
  EXPECT_EQ(cured->records.count, 2u);
  EXPECT_FALSE(std::filesystem::exists(Path("00000000000000000000.failed")));
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  EXPECT_TRUE(topic->Sync().ok());
  auto consumer = topic->NewConsumer({.to = From::End()});
  EXPECT_EQ(consumer->Next(absl::Seconds(20))->text(), "good");
  EXPECT_EQ(consumer->Next(absl::Seconds(20))->text(), "in memory");
  EXPECT_EQ(consumer->Next(absl::Seconds(20))->gap().cause, GapCause::kSyncFailed);
}

// At each sync in turn one fails: nothing after that is called durable, and nothing crashes.
TEST_F(Sync, EioAtEachSyncCall) {
  uint64_t calls = 0;
  for (uint64_t at = 1;; ++at) {
    SCOPED_TRACE("sync " + std::to_string(at) + " fails");
    const Scratch scratch;
    const std::string path = scratch / "bus";
    seam_control.syncs = 0;
    seam_control.fail_sync_at = at;
    bool failed = false;
    {
      auto bus = Bus::Open(path, {.create = true, .background = false});
      auto topic = bus.ok() ? bus->OpenTopic("t", {.create = true, .segment_size = 4096}) : bus.status();
      failed |= !topic.ok();
      if (topic.ok()) {
        auto producer = topic->NewProducer();
        for (int i = 0; i < 6; ++i) {
          const auto position = producer->Publish(std::string(1500, 'x'), {.durable = true});
          // Once a sync has failed on the log itself nothing is durable any more.
          if (failed && position.ok()) {
            EXPECT_LT(*position, topic->durable());
          }
          failed |= position.status().code() == absl::StatusCode::kUnavailable;
        }
      }
    }
    const bool met = seam_control.syncs >= at;
    seam_control.fail_sync_at = 0;
    if (!met) break;
    ++calls;
    auto bus = Bus::Open(path, {.create = true, .background = false});
    ASSERT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic("t", {.create = true, .segment_size = 4096});
    ASSERT_TRUE(topic.ok()) << topic.status();
    EXPECT_TRUE(topic->NewProducer()->Publish("goes on").ok());
  }
  std::printf("failed at each of %llu syncs\n", static_cast<unsigned long long>(calls));
  EXPECT_GT(calls, 15u);
}

// The kernel drops a page that it could not write, and a young descriptor hears nothing of it.
TEST_F(Sync, TheFirstSyncThroughAYoungDescriptorLooksItself) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer->Publish("durable", {.durable = true}).ok());
  const auto position = producer->Publish("dropped");
  const std::string file = Path("00000000000000000000.seg");
  const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
  const std::string zeros(40, '\0');
  ASSERT_EQ(pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(position->offset + 24)), 40);
  close(fd);
  EXPECT_EQ(Child([&] {
              auto mine = Open();
              return mine->Sync().code() == absl::StatusCode::kUnavailable ? 0 : 1;
            }).Join(),
            0);
}

TEST_F(Sync, TheFirstSyncThroughAYoungDescriptorDirtiesEveryPageAgain) {
  auto topic = Open({.segment_size = 1 << 16});
  auto producer = topic->NewProducer();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(producer->Publish(std::string(4000, 'x')).ok());
  ASSERT_EQ(Child([&] {
              auto mine = Open({.segment_size = 1 << 16});
              seam_control.touches = 0;
              if (!mine->Sync().ok()) return 1;
              const uint64_t first = seam_control.touches;
              if (!mine->Sync().ok()) return 2;
              std::printf("%llu pages touched\n", static_cast<unsigned long long>(first));
              return first >= 10 && seam_control.touches == first ? 0 : 3;
            }).Join(),
            0);
}

// --- holders that die or stop ----------------------------------------------------------------------------------------

TEST_F(Sync, AStoppedHolderDelaysNobodyBeyondTheBound) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer->Publish("x").ok());
  Child holder([&] {
    auto mine = Open();
    seam_control.stop_at_data_sync = true;
    (void)mine->Sync();
    return 0;
  });
  ASSERT_TRUE(holder.WaitStopped());
  const absl::Time start = absl::Now();
  ASSERT_TRUE(producer->Publish("y", {.durable = true}).ok());
  const absl::Duration took = absl::Now() - start;
  std::printf("a stopped holder cost %s (aim 50 ms)\n", absl::FormatDuration(took).c_str());
  EXPECT_LT(took, absl::Milliseconds(500));
}

TEST_F(Sync, AKilledHolderHindersNobody) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(Child([&] {
                auto mine = Open();
                seam_control.kill_at_data_sync = true;
                (void)mine->Sync();
                return 0;
              }).Join(),
              -SIGKILL);
    ASSERT_TRUE(producer->Publish("y", {.durable = true}).ok());
  }
}

// A claim of the dead holds D back; who waits for D proves it dead.
TEST_F(Sync, ALimitedConsumerEndsTheClaimsOfTheDead) {
  auto topic = Open();
  auto producer = topic->NewProducer();
  for (const Wait wait : {Wait::kPark, Wait::kSpin}) {
    ASSERT_EQ(Child([&] {
                auto mine = Open();
                auto other = mine->NewProducer();
                auto claim = other->Claim(8);
                raise(SIGKILL);
                return 0;
              }).Join(),
              -SIGKILL);
    const auto position = producer->Publish("behind", {.durable = true});
    ASSERT_TRUE(position.ok()) << position.status();
    EXPECT_LT(topic->durable(), *position);
    auto consumer = topic->NewConsumer({.from = From::At(topic->durable()), .wait = wait, .limit = Limit::kDurable});
    ASSERT_TRUE(consumer.ok()) << consumer.status();
    std::thread syncs([&] {
      for (int i = 0; i < 1'000'000 && topic->durable() <= *position; ++i) (void)topic->Sync();
    });
    const auto record = consumer->Next(absl::Seconds(60));
    syncs.join();
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->text(), "behind");
  }
}

}  // namespace
}  // namespace libbus
