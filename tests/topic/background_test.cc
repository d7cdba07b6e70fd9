// The one thread of a process with producers: it prepares, it answers who asks for help, and it is nobody's business.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr absl::Duration kLong = absl::Seconds(60);

class BackgroundTest : public TopicTest {
 protected:
  ~BackgroundTest() override { seam_control.no_waitv = false; }

  static std::set<std::string> Threads() {
    std::set<std::string> threads;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) threads.insert(task.path());
    return threads;
  }
  static std::string NewThread(const std::set<std::string>& before) {
    for (const std::string& thread : Threads()) {
      if (!before.contains(thread)) return thread;
    }
    return "";
  }
  // Takes a slot of the topic, claims, and dies: in a child of a process that was there before the first thread. A fork
  // beside the background thread may find the allocator of a sanitizer locked, for ever.
  void DieWithAClaim(const std::string& topic) const {
    ASSERT_EQ(write(names_.ends[1], topic.c_str(), topic.size()), static_cast<ssize_t>(topic.size()));
    int code = 0;
    ASSERT_EQ(read(codes_.ends[0], &code, sizeof(code)), static_cast<ssize_t>(sizeof(code)));
    ASSERT_EQ(code, -SIGKILL);
  }
  // A consumer that may not write sees the dead one's claims end.
  void ExpectHelp(const std::string& topic) const {
    auto bus = Bus::Open(bus_, {.read_only = true});
    auto consumer = bus->OpenTopic(topic)->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
    ASSERT_TRUE(Succeeds(consumer));
    EXPECT_EQ(TextOf(consumer->Next(kLong)), "<aborted>");
    EXPECT_EQ(TextOf(consumer->Next(kLong)), "<dead>");
  }

 private:
  struct Pipe {
    Pipe() {
      if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    }
    ~Pipe() {
      close(ends[0]);
      close(ends[1]);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    int ends[2];
  };

  int ClaimAndDie(const std::string& topic) const {
    auto bus = Bus::Open(bus_, {.background = false});
    auto producer = bus->OpenTopic(topic)->NewProducer();
    if (!producer->Claim(10).ok()) return 1;  // given up at once
    new ClaimedRecord(producer->Claim(10).value());
    return raise(SIGKILL);
  }
  // For each name of a topic that comes: how a child of its own ended.
  int Serve() const {
    std::array<char, 64> name;
    for (;;) {
      const ssize_t size = read(names_.ends[0], name.data(), name.size());
      if (size <= 0) return 0;
      const std::string topic(name.data(), static_cast<size_t>(size));
      const int code = Child([&] { return ClaimAndDie(topic); }).Join();
      if (write(codes_.ends[1], &code, sizeof(code)) != static_cast<ssize_t>(sizeof(code))) return 1;
    }
  }

  const Pipe names_;
  const Pipe codes_;
  const Child server_{[this] { return Serve(); }};
};

TEST_F(BackgroundTest, HelpsWithoutWaitv) {
  seam_control.no_waitv = true;
  auto topic = Make({}, {.background = true});
  auto producer = topic->NewProducer();
  DieWithAClaim("t");
  ExpectHelp("t");
}

TEST_F(BackgroundTest, HelpsInMoreTopicsThanTheKernelCanSleepOnAtOnce) {
  auto bus = Bus::Open(bus_, {.create = true});
  std::vector<Producer> producers;
  for (size_t i = 0; i < platform::kMaxFutexWaiters + 5; ++i) {
    auto topic = bus->OpenTopic("t" + std::to_string(i), {.create = true, .segment_size = 4096});
    ASSERT_TRUE(Succeeds(topic));
    producers.push_back(topic->NewProducer().value());
  }
  const std::string last = "t" + std::to_string(producers.size() - 1);
  DieWithAClaim(last);
  ExpectHelp(last);
  DieWithAClaim("t0");
  ExpectHelp("t0");
}

TEST_F(BackgroundTest, BeginsAnewAfterItEnded) {
  auto topic = Make({}, {.background = true});
  const auto before = Threads();
  for (int round = 0; round < 3; ++round) {
    auto producer = topic->NewProducer();
    EXPECT_EQ(Threads().size(), before.size() + 1);
    ASSERT_TRUE(Succeeds(producer->Close()));
    EXPECT_EQ(Threads(), before);
  }
  auto producer = topic->NewProducer();
  DieWithAClaim("t");
  ExpectHelp("t");
}

TEST_F(BackgroundTest, LeavesSignalsToTheProgram) {
  const auto before = Threads();
  auto topic = Make({}, {.background = true});
  auto producer = topic->NewProducer();
  const std::string status = ReadFile(NewThread(before) + "/status");
  const size_t at = status.find("SigBlk:\t");
  ASSERT_NE(at, std::string::npos);
  const uint64_t blocked = std::stoull(status.substr(at + 8, 16), nullptr, 16);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM, SIGPIPE}) {
    EXPECT_TRUE(blocked >> (signal - 1) & 1) << signal;
  }
}

TEST_F(BackgroundTest, AFullDiskIsForgottenWhenThereIsRoom) {
  auto topic = Make({}, {.background = true});
  auto producer = topic->NewProducer();
  seam_control.allocate_error = ENOSPC;
  uint64_t published = 0;
  while (producer->Publish(std::string(1000, 'x')).ok()) ASSERT_LT(++published, 100u);
  seam_control.allocate_error = 0;
  for (int n = 0; n < 20; ++n) ASSERT_TRUE(Succeeds(producer->Publish(std::string(1000, 'x'))));
  EXPECT_EQ(ReadAll(*topic).size(), published + 20);
}

}  // namespace
}  // namespace libbus::test
