// Copies of a bus: at rest, while others write, over what the dead and the damaged left, and copies that are ended
// early at each of their steps.
#include "libbus/copy.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using platform::seam_control;

class CopyTest : public TopicTest {
 protected:
  CopyTest() : to_(scratch_ / "copy") {}

  // Numbered records with all that a record may have, batches and a claim that was given up.
  void Fill(int rounds = 30) {
    auto topic = Make();
    auto producer = topic->NewProducer();
    for (int i = 0; i < rounds; ++i) {
      const std::string text = std::to_string(i) + std::string(static_cast<size_t>(i) * 7 % 600, '.');
      ASSERT_TRUE(Succeeds(producer->Publish(text, {.key = "k", .type = 3, .source = Position{64}})));
      Batch batch = producer->NewBatch();
      for (int k = 0; k < 3; ++k) ASSERT_TRUE(batch.Add(AsBytes(text + "/" + std::to_string(k))).ok());
      ASSERT_TRUE(Succeeds(batch.Commit()));
      auto claim = producer->Claim(100);
      ASSERT_TRUE(Succeeds(claim));
      ASSERT_TRUE(std::move(*claim).Abandon().ok());
    }
  }

  static std::vector<OwnedRecord> All(const std::string& bus, const std::string& name = "t") {
    auto opened = Bus::Open(bus, {.read_only = true});
    EXPECT_TRUE(Succeeds(opened));
    auto topic = opened->OpenTopic(name);
    EXPECT_TRUE(Succeeds(topic));
    if (!topic.ok()) return {};
    auto consumer = topic->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
    std::vector<OwnedRecord> all;
    for (const RecordView& record : consumer->Records(absl::ZeroDuration())) all.push_back(record.ToOwned());
    return all;
  }

  // Each record and gap of the copy is the one there in the original.
  void ExpectPrefix(const std::string& name = "t", bool whole = true) const {
    const auto originals = All(bus_, name);
    const auto copies = All(to_, name);
    if (whole) {
      EXPECT_EQ(copies.size(), originals.size());
    }
    ASSERT_LE(copies.size(), originals.size());
    for (size_t i = 0; i < copies.size(); ++i) {
      const OwnedRecord& a = originals[i];
      const OwnedRecord& b = copies[i];
      ASSERT_TRUE(a.kind == b.kind && a.payload == b.payload && a.key == b.key && a.headers == b.headers &&
                  a.type == b.type && a.timestamp == b.timestamp && a.position == b.position &&
                  a.next_position == b.next_position && a.sequence == b.sequence && a.source == b.source &&
                  a.gap == b.gap)
          << i << ": at " << a.position << " and " << b.position;
    }
  }

  // The same while others write: what the dead left there is looked after.
  void ExpectLivePrefix(const std::vector<OwnedRecord>& copies) const {
    if (copies.empty()) return;
    auto topic = OpenTopic(bus_);
    ASSERT_TRUE(Succeeds(topic));
    auto consumer = topic->NewConsumer(
        {.from = From::At(copies.front().position), .to = From::At(copies.back().next_position), .gaps = Gaps::kAll});
    ASSERT_TRUE(Succeeds(consumer));
    size_t i = 0;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
      const OwnedRecord original = record.ToOwned();
      ASSERT_LT(i, copies.size());
      ASSERT_EQ(copies[i].position, original.position);
      ASSERT_EQ(copies[i].payload, original.payload);
      ASSERT_EQ(copies[i].gap, original.gap);
      ++i;
    }
    EXPECT_EQ(i, copies.size());
  }

  void ExpectVerifies(const std::string& bus) const {
    std::string findings;
    const auto report = VerifyBus(bus, [&](const Finding& finding) {
      if (finding.damage) findings += finding.file + ": " + finding.what + "\n";
      return true;
    });
    ASSERT_TRUE(Succeeds(report));
    EXPECT_EQ(report->damages, 0u) << findings;
  }

  std::vector<std::string> Beside() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(scratch_.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  const std::string to_;
};

TEST_F(CopyTest, IsTheSameLogAndGoesOn) {
  Fill();
  const auto report = CopyBus(bus_, to_);
  ASSERT_TRUE(Succeeds(report));
  ASSERT_EQ(report->topics.size(), 1u);
  EXPECT_EQ(report->topics[0].name, "t");
  EXPECT_EQ(report->topics[0].records, 120u);
  EXPECT_EQ(report->topics[0].losses, 0u);
  EXPECT_FALSE(report->topics[0].open_claim);
  ExpectPrefix();
  ExpectVerifies(to_);
  // Another bus, the same topic.
  auto original = Bus::Open(bus_, {.background = false});
  auto copy = Bus::Open(to_, {.background = false});
  ASSERT_TRUE(Succeeds(copy));
  EXPECT_NE(copy->uuid(), original->uuid());
  auto topic = copy->OpenTopic("t");
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_EQ(topic->uuid(), original->OpenTopic("t")->uuid());
  EXPECT_EQ(topic->options().segment_size, 4096u);
  const auto stats = topic->Stats();
  EXPECT_EQ(stats->end, report->topics[0].end);
  // In place, at the position where the original would go on.
  auto producer = topic->NewProducer();
  const auto position = producer->Publish("more");
  EXPECT_EQ(*position, report->topics[0].end);
  const auto all = All(to_);
  EXPECT_EQ(all.back().payload, "more");
  EXPECT_EQ(all.back().sequence, 150u);
  EXPECT_EQ(Beside(), (std::vector<std::string>{"bus", "copy"}));
}

TEST_F(CopyTest, OptionsEpochsAndCursors) {
  {
    auto bus = Bus::Open(bus_, {.create = true, .background = false});
    auto topic = bus->OpenTopic("odd", {.create = true,
                                        .segment_size = 12288,
                                        .timestamps = Timestamps::kNone,
                                        .retain_bytes = 1 << 20,
                                        .retain_age = absl::Hours(1),
                                        .exclusive = true});
    auto producer = topic->NewProducer();
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::to_string(i))));
    for (const int count : {3, 10}) {
      auto consumer = topic->NewConsumer({.cursor = "c" + std::to_string(count)});
      for (int i = 0; i < count; ++i) ASSERT_TRUE(Succeeds(consumer->Next(absl::ZeroDuration())));
      ASSERT_TRUE(consumer->Commit().ok());
    }
    // Held by somebody who lives.
    auto holder = topic->NewConsumer({.cursor = "held"});
    ASSERT_TRUE(Succeeds(holder));
    const auto report = CopyBus(bus_, to_);
    ASSERT_TRUE(Succeeds(report));
    EXPECT_EQ(report->topics[0].cursors, 3u);
  }
  auto original = *Bus::Open(bus_, {.background = false})->OpenTopic("odd");
  auto topic = *Bus::Open(to_, {.background = false})->OpenTopic("odd");
  const TopicOptions a = original.options();
  const TopicOptions b = topic.options();
  EXPECT_TRUE(a.segment_size == b.segment_size && a.timestamps == b.timestamps && a.claim_timeout == b.claim_timeout &&
              a.sync == b.sync && a.retain_bytes == b.retain_bytes && a.retain_age == b.retain_age &&
              a.exclusive == b.exclusive);
  const auto before = *original.ListCursors();
  const auto after = *topic.ListCursors();
  ASSERT_EQ(after.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(after[i].name, before[i].name);
    EXPECT_EQ(after[i].position, before[i].position);
    EXPECT_EQ(after[i].sequence, before[i].sequence);
  }
  EXPECT_EQ(topic.NewConsumer({.cursor = "c3"})->Next(absl::ZeroDuration())->text(), "3");
}

TEST_F(CopyTest, ATopicThatLostItsControlFileIsNotLeftOut) {
  Fill(1);
  ASSERT_TRUE(Succeeds(Bus::Open(bus_, {.background = false})->OpenTopic("u", {.create = true})));
  ASSERT_TRUE(std::filesystem::remove(bus_ + "/t/control"));
  EXPECT_TRUE(Fails(CopyBus(bus_, to_), StatusCode::kDataLoss, bus_ + "/t: its control file is gone"));
  EXPECT_EQ(Beside(), std::vector<std::string>{"bus"});
  ASSERT_TRUE(Succeeds(CopyBus(bus_, to_, {.topics = {"u"}})));
}

TEST_F(CopyTest, OnlyWhatWasAskedFor) {
  Fill(1);
  auto bus = Bus::Open(bus_, {.background = false});
  ASSERT_TRUE(Succeeds(bus->OpenTopic("u", {.create = true})));
  EXPECT_TRUE(Fails(CopyBus(bus_, to_, {.topics = {"t", "none"}}), StatusCode::kNotFound, "no such topic"));
  EXPECT_EQ(Beside(), std::vector<std::string>{"bus"});
  ASSERT_TRUE(Succeeds(CopyBus(bus_, to_, {.topics = {"u", "u"}})));
  EXPECT_EQ(*Bus::Open(to_)->ListTopics(), std::vector<std::string>{"u"});
}

TEST_F(CopyTest, WhereItCannotBe) {
  Fill(1);
  fs::create_directory(to_);
  EXPECT_TRUE(Fails(CopyBus(bus_, to_), StatusCode::kAlreadyExists, "something is there"));
  EXPECT_TRUE(Fails(CopyBus(bus_, to_ + "/"), StatusCode::kAlreadyExists, "something is there"));
  EXPECT_TRUE(Fails(CopyBus(bus_, bus_), StatusCode::kAlreadyExists, "something is there"));
  EXPECT_TRUE(Fails(CopyBus(bus_, bus_ + "/copy"), StatusCode::kFailedPrecondition, "lies inside the bus"));
  EXPECT_TRUE(Fails(CopyBus(bus_, bus_ + "/t/copy"), StatusCode::kFailedPrecondition, "lies inside the bus"));
  EXPECT_TRUE(Fails(CopyBus(bus_, to_ + "/none/copy"), StatusCode::kNotFound, "none"));
  EXPECT_TRUE(Fails(CopyBus(bus_, ""), StatusCode::kInvalidArgument, "no place for a copy"));
  EXPECT_TRUE(Fails(CopyBus(bus_, to_ + "/.."), StatusCode::kInvalidArgument, "no place for a copy"));
  EXPECT_TRUE(Fails(CopyBus(to_, to_ + "/x"), StatusCode::kFailedPrecondition, "not a bus"));
  fs::create_symlink("nowhere", scratch_ / "link");
  EXPECT_TRUE(Fails(CopyBus(bus_, scratch_ / "link"), StatusCode::kAlreadyExists, "something is there"));
  ASSERT_TRUE(Succeeds(CopyBus(bus_, to_ + "/inside/")));
}

// An open claim is where readers stop, and so does the copy; what its owner does later is nothing to it.
TEST_F(CopyTest, StopsAtAnOpenClaim) {
  Fill(3);
  auto topic = OpenTopic(bus_);
  auto slow = topic->NewProducer();
  auto claim = slow->Claim(50);
  ASSERT_TRUE(Succeeds(claim));
  auto other = topic->NewProducer();
  ASSERT_TRUE(Succeeds(other->Publish("behind")));
  const auto report = CopyBus(bus_, to_);
  ASSERT_TRUE(Succeeds(report));
  ASSERT_TRUE(report->topics[0].open_claim);
  EXPECT_EQ(*report->topics[0].open_claim, report->topics[0].end);
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  ExpectPrefix("t", false);
  ExpectVerifies(to_);
  EXPECT_EQ(All(to_).size() + 2, All(bus_).size());
  auto copy = OpenTopic(to_);
  EXPECT_TRUE(Succeeds(copy->NewProducer()->Publish("another history")));
}

// Killed with a claim open: nobody has attached since. What was acknowledged behind it is in the copy.
TEST_F(CopyTest, PassesTheClaimsOfTheDead) {
  { auto made = Make(); }
  Child dead([&] {
    auto topic = OpenTopic(bus_);
    auto producer = topic->NewProducer();
    for (int i = 0; i < 5; ++i) {
      if (!producer->Publish(std::string(900, 'a')).ok()) return 1;
      auto stalled = topic->NewProducer();
      auto claim = stalled->Claim(500);
      if (!claim.ok() || !producer->Publish("behind " + std::to_string(i)).ok()) return 1;
      // Not closed, not abandoned.
      new auto(std::move(*stalled));
      new auto(std::move(*claim));
    }
    return raise(SIGKILL);
  });
  ASSERT_EQ(dead.Join(), -SIGKILL);
  const auto report = CopyBus(bus_, to_);
  ASSERT_TRUE(Succeeds(report));
  EXPECT_EQ(report->topics[0].records, 10u);
  EXPECT_FALSE(report->topics[0].open_claim);
  EXPECT_EQ(report->topics[0].losses, 0u);
  ExpectVerifies(to_);
  // The original, once somebody has recovered it, is the same.
  ASSERT_TRUE(Succeeds(OpenTopic(bus_)));
  ExpectPrefix();
}

TEST_F(CopyTest, KeepsDamageAndTellsOfIt) {
  Fill();
  const auto before = All(bus_);
  size_t hit = 40;
  while (before[hit].kind != RecordKind::kData || before[hit].key.empty()) ++hit;
  const uint64_t position = before[hit].position.offset;
  Flip(Path(SegmentName(position / 4096 * 4096)), position % 4096 + 60, 1);
  std::vector<Gap> gaps;
  const auto note = [&](const std::string& topic, const Gap& gap) {
    EXPECT_EQ(topic, "t");
    gaps.push_back(gap);
  };
  const auto report = CopyBus(bus_, to_, {.on_loss = note});
  ASSERT_TRUE(Succeeds(report));
  EXPECT_EQ(report->topics[0].losses, 1u);
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].from.offset, position);
  ExpectPrefix();
}

// What recovery has sealed off, and where the log begins after a trim.
TEST_F(CopyTest, KeepsGapsEpochsAndTheStart) {
  Fill();
  {
    auto topic = OpenTopic(bus_);
    ASSERT_TRUE(Succeeds(topic->Trim(From::At(All(bus_)[120].position))));
  }
  // A copied file of a bus: adopted, sealed, and it goes on in a new segment.
  const std::string old = scratch_ / "old";
  fs::copy(bus_, old, fs::copy_options::recursive);
  {
    // As if it had not been closed.
    Child killed([&] {
      auto topic = OpenTopic(bus_);
      return topic->NewProducer()->Publish("last").ok() ? raise(SIGKILL) : 1;
    });
    ASSERT_EQ(killed.Join(), -SIGKILL);
  }
  fs::remove_all(old);
  fs::copy(bus_, old, fs::copy_options::recursive);
  fs::remove_all(bus_);
  fs::rename(old, bus_);
  EXPECT_TRUE(Fails(CopyBus(bus_, to_), StatusCode::kFailedPrecondition, "has to recover this topic"));
  ASSERT_TRUE(Succeeds(RecoverTopic(bus_, "t", {.apply = true})));
  {
    auto topic = OpenTopic(bus_);
    ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish("after")));
  }
  const auto report = CopyBus(bus_, to_);
  ASSERT_TRUE(Succeeds(report));
  ExpectPrefix();
  ExpectVerifies(to_);
  auto original = OpenReadOnly();
  auto copy = OpenTopic(to_, {}, {.read_only = true});
  EXPECT_EQ(copy->Stats()->first, original->Stats()->first);
  EXPECT_GT(copy->Stats()->first.offset, 4096u);
}

TEST_F(CopyTest, ACopyOfACopy) {
  Fill(5);
  ASSERT_TRUE(Succeeds(CopyBus(bus_, to_)));
  ASSERT_TRUE(Succeeds(CopyBus(to_, scratch_ / "again")));
  ExpectVerifies(scratch_ / "again");
  EXPECT_EQ(All(scratch_ / "again").size(), All(bus_).size());
}

// --- ended early -----------------------------------------------------------------------------------------------------

TEST_F(CopyTest, EndsWhenItIsTold) {
  Fill();
  int calls = 0;
  const auto progress = [&](uint64_t done, uint64_t total) {
    EXPECT_LE(done, total);
    return ++calls < 3;
  };
  EXPECT_TRUE(Fails(CopyBus(bus_, to_, {.progress = progress}), StatusCode::kCancelled, "the copy was ended"));
  EXPECT_EQ(Beside(), std::vector<std::string>{"bus"});
}

TEST_F(CopyTest, NoRoom) {
  Fill();
  seam_control.allocate_error = ENOSPC;
  EXPECT_TRUE(Fails(CopyBus(bus_, to_), StatusCode::kResourceExhausted, "allocate"));
  seam_control.allocate_error = 0;
  EXPECT_EQ(Beside(), std::vector<std::string>{"bus"});
  Child limited([&] {
    const rlimit small = {100 << 10, 100 << 10};  // less than a control file
    setrlimit(RLIMIT_FSIZE, &small);
    const auto status = CopyBus(bus_, to_).status();
    return absl::IsResourceExhausted(status) ? 0 : 1;
  });
  EXPECT_EQ(limited.Join(), 0);
  EXPECT_EQ(Beside(), std::vector<std::string>{"bus"});
}

// Dies before each system call that changes something.
TEST_F(CopyTest, KilledAtEachStep) {
  Fill(4);
  uint64_t point = 1;
  for (;; ++point) {
    ASSERT_LT(point, 1000u);
    Child child([&] {
      seam_control.points = 0;
      seam_control.kill_at = point;
      return CopyBus(bus_, to_).ok() ? 0 : 1;
    });
    const int code = child.Join();
    if (code == 0) break;
    ASSERT_EQ(code, -SIGKILL);
    // But for the last one, which makes the name durable.
    if (fs::exists(to_)) {
      ExpectPrefix();
      fs::remove_all(to_);
    }
    EXPECT_LE(Beside().size(), 2u) << "one leftover, the older ones are gone";
  }
  EXPECT_GT(point, 30u);
  EXPECT_EQ(Beside(), (std::vector<std::string>{"bus", "copy"}));
  ExpectPrefix();
  ExpectVerifies(to_);
}

// What somebody else is still making is left alone.
TEST_F(CopyTest, TwoAtOnce) {
  Fill();
  absl::Status inner;
  bool first = true;
  const auto progress = [&](uint64_t, uint64_t) {
    if (std::exchange(first, false)) inner = CopyBus(bus_, to_).status();
    return true;
  };
  EXPECT_TRUE(Fails(CopyBus(bus_, to_, {.progress = progress}), StatusCode::kAlreadyExists, "meanwhile"));
  EXPECT_TRUE(inner.ok()) << inner;
  EXPECT_EQ(Beside(), (std::vector<std::string>{"bus", "copy"}));
  ExpectPrefix();
}

// --- while others write ----------------------------------------------------------------------------------------------

struct Traffic {
  std::atomic<bool> stop{false};
  std::atomic<bool> pause{false};  // while a copy is looked at, or the log outgrows that
  std::atomic<uint64_t> acknowledged{0};
};

int PublishUntilTold(const std::string& bus, Traffic& traffic, unsigned seed) {
  auto topic = OpenTopic(bus, {}, {});
  if (!topic.ok()) return 1;
  auto producer = topic->NewProducer();
  if (!producer.ok()) return 2;
  std::minstd_rand random(seed);
  for (uint64_t i = 0; !traffic.stop; ++i) {
    while (traffic.pause && !traffic.stop) usleep(1000);
    const std::string text(random() % 700, static_cast<char>('a' + i % 26));
    if (i % 17 == 0) {
      auto claim = producer->Claim(300);
      if (claim.ok() && i % 34 != 0) (void)std::move(*claim).Commit(10);
    } else if (!producer->Publish(text).ok()) {
      return 3;
    }
    ++traffic.acknowledged;
  }
  return 0;
}

// Producers are killed and begin anew, the start is deleted, and copies are taken all the while: each verifies, each is
// a prefix, and has all that was acknowledged before it began.
TEST_F(CopyTest, WhileProducersWriteAndDie) {
  std::minstd_rand random(static_cast<unsigned>(Seed("copy.WhileProducersWriteAndDie")));
  { auto made = Make({.segment_size = 65536, .claim_timeout = absl::Seconds(60)}); }
  Shared<Traffic> traffic;
  std::vector<Child> producers;
  for (int i = 0; i < 3; ++i) {
    const auto seed = static_cast<unsigned>(random());
    producers.emplace_back([&, seed] { return PublishUntilTold(bus_, *traffic, seed); });
  }
  for (int round = 0; round < 8; ++round) {
    traffic->pause = false;
    const uint64_t goal = traffic->acknowledged + 200 + random() % 2000;
    while (traffic->acknowledged < goal) usleep(100);
    const size_t victim = random() % producers.size();
    if (round % 2 == 0) producers[victim].Kill();
    if (round % 3 == 2) {
      auto topic = OpenTopic(bus_);
      ASSERT_TRUE(Succeeds(topic));
      ASSERT_TRUE(Succeeds(topic->Trim(From::Last(2000))));
    }
    const uint64_t acknowledged = traffic->acknowledged;
    const auto report = CopyBus(bus_, to_);
    traffic->pause = true;
    ASSERT_TRUE(Succeeds(report)) << round;
    EXPECT_EQ(report->topics[0].losses, 0u);
    ExpectVerifies(to_);
    const auto copies = All(to_);
    if (!report->topics[0].open_claim && !copies.empty() && copies.back().sequence) {
      EXPECT_GE(*copies.back().sequence + 1, acknowledged);
    }
    ExpectLivePrefix(copies);
    {
      auto copy = OpenTopic(to_);
      ASSERT_TRUE(Succeeds(copy));
      ASSERT_TRUE(Succeeds(copy->NewProducer()->Publish("goes on")));
    }
    fs::remove_all(to_);
    if (round % 2 == 0) {
      const auto seed = static_cast<unsigned>(random());
      producers[victim] = Child([&, seed] { return PublishUntilTold(bus_, *traffic, seed); });
    }
  }
  traffic->stop = true;
  for (Child& producer : producers) EXPECT_EQ(producer.Join(), 0);
}

}  // namespace
}  // namespace libbus::test
