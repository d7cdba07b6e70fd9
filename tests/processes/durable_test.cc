// Durable publishing by many processes at once: one sync serves all who wait, nobody is left waiting, and nobody who
// dies or stands still takes others with him.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "libbus/bus.h"
#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

using platform::seam_control;
using test::Child;
using test::FastParent;
using test::Scratch;
using test::Shared;

constexpr int kProcesses = 4;
constexpr int kThreads = 2;

struct Board {
  std::atomic<uint64_t> acknowledged{0};
  std::atomic<uint64_t> syncs{0};
  std::atomic<bool> stop{false};
  std::array<std::atomic<uint64_t>, kProcesses> last{};  // highest position that was acknowledged as durable
};

void Raise(std::atomic<uint64_t>& value, uint64_t to) {
  for (uint64_t seen = value; seen < to && !value.compare_exchange_weak(seen, to);) {
  }
}

class Durable : public testing::Test {
 protected:
  Durable() : scratch_(FastParent()), bus_(scratch_ / "bus") {
    seam_control.pretend_durable = true;
    EXPECT_TRUE(Open().ok());
  }
  ~Durable() override {
    seam_control.pretend_durable = false;
    seam_control.no_bounds = false;
  }

  absl::StatusOr<Topic> Open(bool read_only = false) const {
    auto bus = Bus::Open(bus_, {.create = !read_only, .read_only = read_only});
    if (!bus.ok()) return bus.status();
    return bus->OpenTopic("t", read_only ? TopicOptions{} : TopicOptions{.create = true, .segment_size = 1 << 16});
  }

  // Publishes durably until `count` records are out, or somebody says stop. 0: all were acknowledged.
  int Publish(Board& board, int process, uint64_t count) const {
    auto topic = Open();
    if (!topic.ok()) return test::Complain("open", topic.status().message().data());
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        auto producer = topic->NewProducer();
        for (uint64_t i = 0; i < count && !board.stop; ++i) {
          const auto position = producer->Publish("record", {.durable = true});
          if (!position.ok()) {
            ++failed;
            return;
          }
          // Everything in front is final, so D covers it unless a claim is open; the ticket covers it in any case.
          Raise(board.last[static_cast<size_t>(process)], position->offset);
          ++board.acknowledged;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    board.syncs += seam_control.data_syncs;
    return failed;
  }

  uint64_t CountDurable() const {
    auto topic = Open(true);
    auto consumer = topic->NewConsumer({.gaps = Gaps::kAll, .limit = Limit::kDurable});
    uint64_t records = 0;
    for (const RecordView& record : consumer->Records(absl::ZeroDuration())) {
      records += record.kind() == RecordKind::kData ? 1 : 0;
    }
    return records;
  }

  Scratch scratch_;
  const std::string bus_;
};

// With the bounds off a wake-up that is lost is a hang.
TEST_F(Durable, NobodyIsLeftWaiting) {
  constexpr uint64_t kRecords = 2000;
  Shared<Board> board;
  seam_control.no_bounds = true;
  std::vector<Child> children;
  for (int p = 0; p < kProcesses; ++p) children.emplace_back([&, p] { return Publish(*board, p, kRecords); });
  const auto progress = [&] { return board->acknowledged.load(); };
  for (Child& child : children) {
    EXPECT_EQ(test::JoinWhileMoving(child, progress, [&] { return std::to_string(progress()); }), 0);
  }
  EXPECT_EQ(board->acknowledged, kProcesses * kThreads * kRecords);
  std::printf("%llu durable records by %d processes, %llu fdatasyncs\n",
              static_cast<unsigned long long>(board->acknowledged.load()), kProcesses,
              static_cast<unsigned long long>(board->syncs.load()));
  EXPECT_EQ(CountDurable(), board->acknowledged);
}

// One is killed and one stopped again and again, some of them while they hold the sync lock: the others go on.
TEST_F(Durable, TheDeadAndTheStoppedHinderNobody) {
  Shared<Board> board;
  const auto start = [&](int p) { return Child([&, p] { return Publish(*board, p, UINT64_MAX); }); };
  Child steady = start(0);
  Child stopped = start(1);
  // Who is stopped while he attaches alone is waited for, and that is not what this is about.
  ASSERT_TRUE(test::WaitUntil([&] { return board->last[0] > 0 && board->last[1] > 0; }));
  for (int round = 0; round < 40; ++round) {
    Child victim = start(2);
    const uint64_t before = board->last[0];
    stopped.Signal(SIGSTOP);
    ASSERT_TRUE(test::WaitUntil([&] { return board->last[0] > before && board->last[2] > 0; })) << "round " << round;
    victim.Kill();
    const uint64_t then = board->last[0];
    ASSERT_TRUE(test::WaitUntil([&] { return board->last[0] > then; })) << "round " << round;
    stopped.Signal(SIGCONT);
    board->last[2] = 0;
  }
  board->stop = true;
  EXPECT_EQ(steady.Join(), 0);
  EXPECT_EQ(stopped.Join(), 0);
  EXPECT_GE(CountDurable(), board->acknowledged.load());
}

}  // namespace
}  // namespace libbus
