// Readers of a bus opened read_only may not repair what the dead leave: others do it for them.
#include <absl/time/clock.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

// What a reader was handed, and what others are told.
struct Story {
  std::atomic<uint64_t> lines{0};
  char line[32][40] = {};
  char told[300] = {};
  std::atomic<uint64_t> ready{0};
  std::atomic<uint64_t> go{0};

  void Add(const std::string& text) {
    std::snprintf(line[lines % 32], sizeof(line[0]), "%s", text.c_str());
    ++lines;
  }
  std::string All() const {
    std::string all;
    for (uint64_t i = 0; i < lines; ++i) all += fmt::format("{}{}", i == 0 ? "" : ", ", line[i]);
    return all;
  }
};

constexpr TrafficOptions kTraffic = {};

// Reads `count` records and gaps.
int Read(const std::string& path, Story& story, uint64_t count) {
  auto topic = OpenForReading(path);
  if (!topic.ok()) return Complain("reader", topic.status().ToString());
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  if (!consumer.ok()) return Complain("reader", consumer.status().ToString());
  ++story.ready;
  for (uint64_t i = 0; i < count; ++i) {
    const auto record = consumer->Next();
    if (!record.ok()) return Complain("reader", record.status().ToString());
    const bool gap = record->kind() == RecordKind::kGap;
    story.Add(gap ? std::string(GapCauseName(record->gap().cause)) : std::string(record->text()));
  }
  return 0;
}

int JoinReader(Child& reader, const Story& story) {
  return JoinWhileMoving(
      reader, [&] { return story.lines.load(); }, [&] { return story.All() + "\n"; }, 20);
}

// Publishes "before", dies with `claims` open, and has published "behind" after them.
int DieWithClaims(const std::string& path, uint32_t claims) {
  auto topic = OpenForWriting(path, kTraffic);
  auto other = topic->NewProducer();
  if (!other->Publish("before").ok()) return 1;
  std::vector<Producer> producers;
  std::vector<ClaimedRecord> open;
  for (uint32_t i = 0; i < claims; ++i) {
    producers.push_back(*topic->NewProducer({.name = "doomed"}));
    open.push_back(*producers.back().Claim(50));
  }
  if (!other->Publish("behind").ok()) return 2;
  raise(SIGKILL);
  return 3;
}

// Has a producer and does nothing.
int Idle(const std::string& path, bool background, Story& story) {
  auto bus = Bus::Open(path, {.create = true, .background = background});
  auto topic = bus->OpenTopic(kTopic, {.create = true, .segment_size = kTraffic.segment_size});
  auto producer = topic->NewProducer();
  if (!producer.ok()) return Complain("idle", producer.status().ToString());
  ++story.ready;
  while (story.go == 0) {
    if (background) {
      absl::SleepFor(absl::Milliseconds(10));  // nothing of the library
    } else if (!topic->Maintain().ok()) {
      return 2;
    }
  }
  return 0;
}

void ReadPastTheDead(bool background, uint32_t claims, const std::string& wanted) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Story> story;
  Child idle([&] { return Idle(path, background, *story); });
  ASSERT_TRUE(WaitUntil([&] { return story->ready == 1; }));
  EXPECT_EQ(Child([&] { return DieWithClaims(path, claims); }).Join(), -SIGKILL);
  const absl::Time begin = absl::Now();
  Child reader([&] { return Read(path, *story, claims + 2); });
  EXPECT_EQ(JoinReader(reader, *story), 0);
  EXPECT_EQ(story->All(), wanted);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  story->go = 1;
  EXPECT_EQ(idle.Join(), 0);
}

TEST(ReadOnly, AnIdleProducerHelps) { ReadPastTheDead(true, 1, "before, dead, behind"); }

TEST(ReadOnly, AnIdleProducerHelpsWithMany) { ReadPastTheDead(true, 4, "before, dead, dead, dead, dead, behind"); }

TEST(ReadOnly, MaintainHelpsWhereThereIsNoThread) { ReadPastTheDead(false, 2, "before, dead, dead, behind"); }

// The reader is asleep on the claim when its owner dies.
TEST(ReadOnly, TheReaderSleepsOnTheClaimOfTheDying) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Story> story;
  Child idle([&] { return Idle(path, true, *story); });
  ASSERT_TRUE(WaitUntil([&] { return story->ready == 1; }));
  Child doomed([&] {
    auto topic = OpenForWriting(path, kTraffic);
    auto producer = topic->NewProducer();
    auto claim = producer->Claim(50);
    ++story->ready;
    pause();
    return 0;
  });
  ASSERT_TRUE(WaitUntil([&] { return story->ready == 2; }));
  Child reader([&] { return Read(path, *story, 1); });
  ASSERT_TRUE(WaitUntil([&] { return story->ready == 3 && IsAsleep(reader); }));
  EXPECT_EQ(story->lines, 0u);
  doomed.Kill();
  EXPECT_EQ(JoinReader(reader, *story), 0);
  EXPECT_EQ(story->All(), "dead");
}

// Two may help, and the one that is called first is stopped: the next call reaches the other.
TEST(ReadOnly, AHelperIsStopped) {
  for (int stopped = 0; stopped < 2; ++stopped) {
    const Scratch scratch(FastParent());
    const std::string path = scratch / "bus";
    Shared<Story> story;
    std::vector<Child> helpers;
    for (uint64_t i = 0; i < 2; ++i) {
      helpers.emplace_back([&] { return Idle(path, true, *story); });
      ASSERT_TRUE(WaitUntil([&] { return story->ready == i + 1; }));
    }
    EXPECT_EQ(Child([&] { return DieWithClaims(path, 1); }).Join(), -SIGKILL);
    helpers[stopped].Signal(SIGSTOP);
    ASSERT_TRUE(helpers[stopped].WaitStopped());
    Child reader([&] { return Read(path, *story, 3); });
    EXPECT_EQ(JoinReader(reader, *story), 0);
    EXPECT_EQ(story->All(), "before, dead, behind");
  }
}

// Not dead, only silent for longer than the topic allows.
TEST(ReadOnly, AStalledClaimIsRevokedThroughHelp) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Story> story;
  const auto open = [&] {
    auto bus = Bus::Open(path, {.create = true});
    return bus->OpenTopic(
        kTopic, {.create = true, .segment_size = kTraffic.segment_size, .claim_timeout = absl::Milliseconds(200)});
  };
  Child stalled([&] {
    auto topic = open();
    auto producer = topic->NewProducer();
    auto claim = producer->Claim(50);
    if (!claim.ok()) return 1;
    ++story->ready;
    raise(SIGSTOP);
    const auto position = std::move(*claim).Commit();
    if (position.status().code() != absl::StatusCode::kAborted) return 2;
    return producer->Publish("again").ok() ? 0 : 3;
  });
  ASSERT_TRUE(stalled.WaitStopped());
  Child idle([&] { return Idle(path, true, *story); });
  ASSERT_TRUE(WaitUntil([&] { return story->ready == 2; }));
  Child reader([&] { return Read(path, *story, 2); });
  ASSERT_TRUE(WaitUntil([&] { return story->lines == 1; }));
  stalled.Signal(SIGCONT);
  EXPECT_EQ(stalled.Join(), 0);
  EXPECT_EQ(JoinReader(reader, *story), 0);
  EXPECT_EQ(story->All(), "revoked, again");
}

// Nobody may write: the reader waits and says for whom. When somebody attaches it goes on, woken by the recovery
// itself: its own bounds are off.
TEST(ReadOnly, WithoutAWriterItSaysForWhomItWaits) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Story> story;
  EXPECT_EQ(Child([&] { return DieWithClaims(path, 1); }).Join(), -SIGKILL);
  Child reader([&] {
    seam_control.no_bounds = true;
    auto topic = OpenForReading(path);
    auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
    if (auto record = consumer->Next(); !record.ok() || record->text() != "before") return 1;
    const absl::Status waited = consumer->Next(absl::Milliseconds(50)).status();
    if (waited.code() != absl::StatusCode::kDeadlineExceeded) return 2;
    std::snprintf(story->told, sizeof(story->told), "%s", waited.ToString().c_str());
    ++story->ready;
    if (auto record = consumer->Next(); !record.ok() || record->kind() != RecordKind::kGap) return 3;
    if (auto record = consumer->Next(); !record.ok() || record->text() != "behind") return 4;
    return 0;
  });
  ASSERT_TRUE(WaitUntil([&] { return story->ready == 1 && IsAsleep(reader); }));
  EXPECT_NE(std::string(story->told).find("doomed"), std::string::npos) << story->told;
  EXPECT_EQ(Child([&] { return OpenForWriting(path, kTraffic).ok() ? 0 : 1; }).Join(), 0);
  EXPECT_EQ(JoinReader(reader, *story), 0);
}

std::map<std::string, std::string> Bytes(const std::string& path) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    // The sleep page is there for readers to write.
    if (!entry.is_regular_file() || entry.path().filename() == "sleep") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    all[entry.path()] = std::string(std::istreambuf_iterator<char>(file), {});
  }
  return all;
}

TEST(ReadOnly, NoByteIsChangedByReading) {
  const Scratch scratch(FastParent());
  const std::string path = scratch / "bus";
  Shared<Story> story;
  EXPECT_EQ(Child([&] { return DieWithClaims(path, 3); }).Join(), -SIGKILL);
  const auto before = Bytes(path);
  Child reader([&] {
    auto topic = OpenForReading(path);
    auto consumer = topic->NewConsumer({.wait = Wait::kPark});
    if (!consumer->Next().ok()) return 1;
    // Long enough to have looked around for the owner several times.
    return consumer->Next(absl::Milliseconds(100)).status().code() == absl::StatusCode::kDeadlineExceeded ? 0 : 2;
  });
  EXPECT_EQ(JoinReader(reader, *story), 0);
  EXPECT_TRUE(Bytes(path) == before);
}

}  // namespace
}  // namespace libbus::test
