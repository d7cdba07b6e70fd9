// A process is killed before each point in turn: each change of shared bytes, each system call of the protocol. After
// every death the log must hold what was acknowledged, once and in order, at most the one record more that was being
// published, gaps where claims were, and it must go on.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

using platform::seam_control;
using test::Child;
using test::Scratch;
using test::Shared;

constexpr char kTopic[] = "t";

// What a victim had been told when it died. Records are numbered from 0; number n has the text RecordText(n).
struct Ledger {
  std::atomic<uint64_t> published{0};  // began to publish this many
  std::atomic<uint64_t> acknowledged{0};
};

std::string RecordText(uint64_t n) {
  std::string text = "record " + std::to_string(n) + " ";
  text.resize(text.size() + n * 97 % 900, static_cast<char>('a' + n % 26));
  return text;
}

// tmpfs where there is one: thousands of topics are made and synced.
std::string ScratchParent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

// Of every topic that is made from here on.
bool exclusive = false;

TopicOptions SmallSegments() { return {.create = true, .segment_size = 4096, .exclusive = exclusive}; }

// As long as it lives the topics are exclusive.
struct Exclusively {
  Exclusively() { exclusive = true; }
  ~Exclusively() { exclusive = false; }
};

absl::StatusOr<Topic> OpenTopic(const std::string& path, bool read_only = false) {
  auto bus = Bus::Open(path, {.create = !read_only, .read_only = read_only, .background = false});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic(kTopic, read_only ? TopicOptions{} : SmallSegments());
}

// Publishes record number n, by a claim if n is odd.
bool PublishNext(Producer& producer, Ledger& ledger, bool durable = false) {
  const uint64_t n = ledger.published++;
  const std::string text = RecordText(n);
  absl::StatusOr<Position> position;
  if (n % 2 == 0) {
    position = producer.Publish(text, {.key = "key", .durable = durable});
  } else {
    auto claim = producer.Claim(text.size() + n % 50, {.durable = durable});
    if (!claim.ok()) return false;
    std::memcpy(claim->bytes().data(), text.data(), text.size());
    position = std::move(*claim).Commit(text.size());
  }
  if (position.ok()) ++ledger.acknowledged;
  return position.ok();
}

// --- what the victims do: each returns 0 if it comes to its end ------------------------------------------------------

// Opens (and makes, and recovers) the topic, publishes some records, closes it.
int Publish(const std::string& path, Ledger& ledger, int count, bool durable) {
  auto topic = OpenTopic(path);
  if (!topic.ok()) return 1;
  auto producer = topic->NewProducer();
  if (!producer.ok()) return 2;
  for (int i = 0; i < count; ++i) {
    if (!PublishNext(*producer, ledger, durable)) return 3;
  }
  return 0;
}

// A few segments full.
int PublishAndClose(const std::string& path, Ledger& ledger) { return Publish(path, ledger, 9, false); }

// The sync is part of each publish.
int PublishDurably(const std::string& path, Ledger& ledger) { return Publish(path, ledger, 4, true); }

// Batches of so many records, over several segments, one of them larger than a segment.
constexpr uint64_t kTogether = 3;

int PublishBatches(const std::string& path, Ledger& ledger) {
  auto topic = OpenTopic(path);
  if (!topic.ok()) return 1;
  auto producer = topic->NewProducer();
  if (!producer.ok()) return 2;
  Batch batch = producer->NewBatch();
  for (int i = 0; i < 4; ++i) {
    for (uint64_t k = 0; k < kTogether; ++k) {
      const std::string text = RecordText(ledger.published + k);
      if (!batch.Add(text, {.key = "key", .durable = i == 3 && k == 0 && seam_control.pretend_durable}).ok()) return 3;
    }
    ledger.published += kTogether;
    if (!batch.Commit().ok()) return 4;
    ledger.acknowledged += kTogether;
  }
  return 0;
}

// A claim that is given up, one that is left open, a record beyond a segment's size.
int ClaimsAndLarge(const std::string& path, Ledger& ledger) {
  auto topic = OpenTopic(path);
  if (!topic.ok()) return 1;
  auto first = topic->NewProducer({.name = "first"});
  auto second = topic->NewProducer({.name = "second"});
  if (!first.ok() || !second.ok()) return 2;
  auto abandoned = first->Claim(100);
  if (!abandoned.ok() || !std::move(*abandoned).Abandon().ok()) return 3;
  auto open = first->Claim(200);
  if (!open.ok()) return 4;
  if (!second->Publish(std::string(10'000, 'L')).ok()) return 5;
  for (int i = 0; i < 3; ++i) {
    if (!PublishNext(*second, ledger)) return 6;
  }
  return std::move(*open).Abandon().ok() ? 0 : 7;
}

// The same of one producer: two claims that are given up, the second one left to the closing of its producer.
int ClaimsAndLargeOfOne(const std::string& path, Ledger& ledger) {
  auto topic = OpenTopic(path);
  if (!topic.ok()) return 1;
  auto producer = topic->NewProducer({.name = "first"});
  if (!producer.ok()) return 2;
  auto abandoned = producer->Claim(100);
  if (!abandoned.ok() || !std::move(*abandoned).Abandon().ok()) return 3;
  if (!producer->Publish(std::string(10'000, 'L')).ok()) return 4;
  for (int i = 0; i < 3; ++i) {
    if (!PublishNext(*producer, ledger)) return 5;
  }
  auto open = producer->Claim(200);
  if (!open.ok() || !producer->Close().ok()) return 6;
  auto next = topic->NewProducer({.name = "next"});
  return next.ok() && PublishNext(*next, ledger) ? 0 : 7;
}

// --- what must be true afterwards ------------------------------------------------------------------------------------

struct Content {
  std::vector<std::string> records;
  std::vector<GapCause> gaps;
  absl::Status end;
};

Content ReadAll(Topic& topic) {
  Content content;
  auto consumer = topic.NewConsumer({.to = From::End(), .wait = Wait::kPark, .gaps = Gaps::kAll});
  if (!consumer.ok()) {
    content.end = consumer.status();
    return content;
  }
  for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
    if (record.kind() == RecordKind::kGap) {
      content.gaps.push_back(record.gap().cause);
    } else if (record.text() != std::string(10'000, 'L')) {
      content.records.emplace_back(record.text());
    }
  }
  content.end = consumer->status();
  return content;
}

// Every acknowledged record, in order, once; then at most the one that was being published.
void ExpectKept(const Content& content, const Ledger& ledger) {
  EXPECT_EQ(content.end.code(), absl::StatusCode::kOutOfRange) << content.end;
  ASSERT_GE(content.records.size(), ledger.acknowledged.load());
  ASSERT_LE(content.records.size(), ledger.published.load());
  for (uint64_t n = 0; n < content.records.size(); ++n) ASSERT_EQ(content.records[n], RecordText(n));
  for (const GapCause cause : content.gaps) {
    const bool sealed = seam_control.boot_id != 0 && (cause == GapCause::kPowerLoss || cause == GapCause::kTorn);
    EXPECT_TRUE(cause == GapCause::kDead || cause == GapCause::kAborted || sealed) << GapCauseName(cause);
  }
}

// A reader that may not repair, before anybody attached again: it reads up to the first claim that the dead left open,
// and where a process has one handle that is behind all that was acknowledged.
void ExpectReadableBeforeRepair(const std::string& path, const Ledger& ledger, bool claims_in_front) {
  auto topic = OpenTopic(path, true);
  if (!topic.ok()) {
    // Died before there was a topic.
    ASSERT_EQ(ledger.acknowledged.load(), 0u) << topic.status();
    return;
  }
  const Content content = ReadAll(*topic);
  const uint64_t least = claims_in_front ? 0 : ledger.acknowledged.load();
  ASSERT_GE(content.records.size(), least);
  for (uint64_t n = 0; n < content.records.size(); ++n) ASSERT_EQ(content.records[n], RecordText(n));
}

// Attaches, publishes one more, reads everything, closes; twice, and the second finds what the first left.
void ExpectGoesOn(const std::string& path, Ledger& ledger) {
  for (int round = 0; round < 2; ++round) {
    {
      auto topic = OpenTopic(path);
      ASSERT_TRUE(topic.ok()) << topic.status();
      const Content before = ReadAll(*topic);
      ExpectKept(before, ledger);
      ledger.published = before.records.size();
      ledger.acknowledged = before.records.size();
      auto producer = topic->NewProducer();
      ASSERT_TRUE(producer.ok()) << producer.status();
      ASSERT_TRUE(PublishNext(*producer, ledger));
      ExpectKept(ReadAll(*topic), ledger);
    }
    auto topic = OpenTopic(path, true);
    ASSERT_TRUE(topic.ok()) << topic.status();
    ExpectKept(ReadAll(*topic), ledger);
  }
}

// --- the harness -----------------------------------------------------------------------------------------------------

using Body = int (*)(const std::string&, Ledger&);

int RunKilledAt(uint64_t point, Body body, const std::string& path, Ledger& ledger) {
  return Child([&] {
           seam_control.points = 0;
           seam_control.kill_at = point;
           return body(path, ledger);
         })
      .Join();
}

struct Figures {
  uint64_t points = 0;
  uint64_t acknowledged = 0;
};

// Kills `body` before each of its points in turn, on a topic that `prepare` left, and checks what is left.
Figures KillEverywhere(Body prepare, Body body, bool claims_in_front) {
  Figures figures;
  for (uint64_t point = 1;; ++point) {
    SCOPED_TRACE("killed before point " + std::to_string(point));
    const Scratch scratch(ScratchParent());
    const std::string path = scratch / "bus";
    Shared<Ledger> ledger;
    if (prepare != nullptr) {
      EXPECT_EQ(RunKilledAt(0, prepare, path, *ledger), -SIGKILL);
    }
    const int code = RunKilledAt(point, body, path, *ledger);
    ExpectReadableBeforeRepair(path, *ledger, claims_in_front);
    ExpectGoesOn(path, *ledger);
    figures.acknowledged += ledger->acknowledged;
    if (code == 0 || testing::Test::HasFatalFailure()) break;
    EXPECT_EQ(code, -SIGKILL);
    if (code != -SIGKILL) break;
    ++figures.points;
  }
  return figures;
}

// All of a batch, or nothing of it: before anybody has repaired anything, and after.
Figures KillBatchesEverywhere() {
  Figures figures;
  for (uint64_t point = 1;; ++point) {
    SCOPED_TRACE("killed before point " + std::to_string(point));
    const Scratch scratch(ScratchParent());
    const std::string path = scratch / "bus";
    Shared<Ledger> ledger;
    const int code = RunKilledAt(point, PublishBatches, path, *ledger);
    ExpectReadableBeforeRepair(path, *ledger, false);
    for (const bool read_only : {true, false}) {
      auto topic = OpenTopic(path, read_only);
      const uint64_t records = topic.ok() ? ReadAll(*topic).records.size() : 0;
      EXPECT_EQ(records % kTogether, 0u);
    }
    ExpectGoesOn(path, *ledger);
    figures.acknowledged += ledger->acknowledged;
    if (code == 0 || testing::Test::HasFailure()) break;
    EXPECT_EQ(code, -SIGKILL);
    ++figures.points;
  }
  return figures;
}

void Report(const char* what, const Figures& figures) {
  std::printf("%s:\n", what);
  // What was wrong stands above, and counts as one.
  const uint64_t lost = testing::Test::HasFailure() ? 1 : 0;
  test::Report("kill-points", {.points = figures.points, .records = figures.acknowledged, .lost = lost});
}

// Leaves an OPEN topic with an open claim behind.
int DieWithAClaim(const std::string& path, Ledger& ledger) {
  auto topic = OpenTopic(path);
  auto producer = topic->NewProducer({.name = "dead"});
  auto other = topic->NewProducer({.name = "also dead"});
  if (!PublishNext(*producer, ledger)) return 1;
  auto claim = producer->Claim(500);
  if (!PublishNext(*other, ledger)) return 2;
  raise(SIGKILL);
  return 3;
}

// The same where there is one producer.
int DieOwningWithAClaim(const std::string& path, Ledger& ledger) {
  auto topic = OpenTopic(path);
  auto producer = topic->NewProducer({.name = "dead"});
  if (!PublishNext(*producer, ledger)) return 1;
  auto claim = producer->Claim(500);
  raise(SIGKILL);
  return 3;
}

TEST(Kill, AtEachPointOfMakingPublishingRollingAndClosing) {
  const Figures figures = KillEverywhere(nullptr, PublishAndClose, false);
  EXPECT_GT(figures.points, 100u);
  Report("publish", figures);
}

TEST(Kill, AtEachPointOfClaimsAndLargeRecords) {
  const Figures figures = KillEverywhere(nullptr, ClaimsAndLarge, true);
  EXPECT_GT(figures.points, 100u);
  Report("claims", figures);
}

TEST(Kill, AtEachPointOfPublishingBatches) {
  const Figures figures = KillBatchesEverywhere();
  EXPECT_GT(figures.points, 80u);
  Report("batches", figures);
}

TEST(Kill, AtEachPointOfPublishingADurableBatch) {
  seam_control.pretend_durable = true;
  const Figures figures = KillBatchesEverywhere();
  seam_control.pretend_durable = false;
  EXPECT_GT(figures.points, 80u);
  Report("durable batch", figures);
}

TEST(Kill, AtEachPointOfRecovery) {
  const Figures figures = KillEverywhere(DieWithAClaim, PublishAndClose, true);
  EXPECT_GT(figures.points, 50u);
  Report("recovery", figures);
}

TEST(Kill, AtEachPointOfDurablePublishing) {
  seam_control.pretend_durable = true;
  const Figures figures = KillEverywhere(nullptr, PublishDurably, false);
  seam_control.pretend_durable = false;
  EXPECT_GT(figures.points, 100u);
  Report("durable", figures);
}

// In another boot: each attempt is sealed, also the one that finishes what an earlier one has begun in this boot.
TEST(Kill, AtEachPointOfSealing) {
  Figures figures;
  for (uint64_t point = 1;; ++point) {
    SCOPED_TRACE("killed before point " + std::to_string(point));
    const Scratch scratch(ScratchParent());
    const std::string path = scratch / "bus";
    Shared<Ledger> ledger;
    EXPECT_EQ(RunKilledAt(0, DieWithAClaim, path, *ledger), -SIGKILL);
    seam_control.boot_id = 1;
    const int code = RunKilledAt(point, PublishAndClose, path, *ledger);
    ExpectGoesOn(path, *ledger);
    auto topic = OpenTopic(path, true);
    const Content content = ReadAll(*topic);
    EXPECT_NE(std::find(content.gaps.begin(), content.gaps.end(), GapCause::kPowerLoss), content.gaps.end());
    seam_control.boot_id = 0;
    figures.acknowledged += ledger->acknowledged;
    if (code == 0 || testing::Test::HasFailure()) break;
    EXPECT_EQ(code, -SIGKILL);
    ++figures.points;
  }
  EXPECT_GT(figures.points, 50u);
  Report("sealing", figures);
}

// Others live: one process stays attached while the victim opens, takes a slot, publishes and dies. What the victim
// left is resolved by whoever reads, without anybody attaching again.
Figures KillBesideTheLiving(Body dies_first) {
  Figures figures;
  for (uint64_t point = 1;; ++point) {
    SCOPED_TRACE("killed before point " + std::to_string(point));
    const Scratch scratch(ScratchParent());
    const std::string path = scratch / "bus";
    Shared<Ledger> ledger;
    auto topic = OpenTopic(path);
    EXPECT_TRUE(topic.ok()) << topic.status();
    if (dies_first != nullptr) {
      EXPECT_EQ(RunKilledAt(0, dies_first, path, *ledger), -SIGKILL);
    }
    const int code = RunKilledAt(point, PublishAndClose, path, *ledger);
    const Content found = ReadAll(*topic);
    // A claim left open hides nothing that was acknowledged behind it: a consumer that may write ends it.
    auto consumer = topic->NewConsumer({.wait = Wait::kPark});
    uint64_t read = 0;
    while (read < ledger->acknowledged) {
      auto record = consumer->Next(absl::Seconds(20));
      EXPECT_TRUE(record.ok()) << record.status();
      if (!record.ok()) break;
      EXPECT_EQ(record->text(), RecordText(read));
      ++read;
    }
    auto producer = topic->NewProducer();
    EXPECT_TRUE(producer.ok()) << producer.status();
    const uint64_t before = ReadAll(*topic).records.size();
    EXPECT_LE(before, ledger->published);
    ledger->published = before;
    EXPECT_TRUE(PublishNext(*producer, *ledger));
    for (;;) {
      auto record = consumer->Next(absl::Seconds(20));
      EXPECT_TRUE(record.ok()) << record.status();
      if (!record.ok() || record->text() == RecordText(before)) break;
    }
    figures.acknowledged += before;
    if (code == 0 || testing::Test::HasFailure()) break;
    EXPECT_EQ(code, -SIGKILL);
    ++figures.points;
  }
  return figures;
}

TEST(Kill, AtEachPointBesideTheLiving) {
  const Figures figures = KillBesideTheLiving(nullptr);
  EXPECT_GT(figures.points, 50u);
  Report("beside the living", figures);
}

TEST(Kill, AtEachPointOfTakingADeadSlot) {
  const Figures figures = KillBesideTheLiving(DieWithAClaim);
  EXPECT_GT(figures.points, 50u);
  Report("dead slot", figures);
}

TEST(Kill, AtEachPointOfPublishingExclusively) {
  const Exclusively topics;
  const Figures figures = KillEverywhere(nullptr, PublishAndClose, false);
  EXPECT_GT(figures.points, 100u);
  Report("exclusive", figures);
}

TEST(Kill, AtEachPointOfExclusiveClaimsAndLargeRecords) {
  const Exclusively topics;
  const Figures figures = KillEverywhere(nullptr, ClaimsAndLargeOfOne, true);
  EXPECT_GT(figures.points, 100u);
  Report("exclusive claims", figures);
}

TEST(Kill, AtEachPointOfRecoveryOfAnExclusiveTopic) {
  const Exclusively topics;
  const Figures figures = KillEverywhere(DieOwningWithAClaim, PublishAndClose, true);
  EXPECT_GT(figures.points, 50u);
  Report("exclusive recovery", figures);
}

TEST(Kill, AtEachPointOfDurablePublishingExclusively) {
  const Exclusively topics;
  seam_control.pretend_durable = true;
  const Figures figures = KillEverywhere(nullptr, PublishDurably, false);
  seam_control.pretend_durable = false;
  EXPECT_GT(figures.points, 100u);
  Report("exclusive, durable", figures);
}

// The victim takes the topic over from a dead owner, publishes, and dies; then the next one takes it over.
TEST(Kill, AtEachPointOfATakeOver) {
  const Exclusively topics;
  const Figures figures = KillBesideTheLiving(DieOwningWithAClaim);
  EXPECT_GT(figures.points, 50u);
  Report("take-over", figures);
}

}  // namespace
}  // namespace libbus
