// RecoverTopic: what it says beforehand is what it does, it counts every byte once, and doing it twice is doing it
// once.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/recovery.h"
#include "tests/seam/seam.h"
#include "tests/support/disk.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

using platform::seam_control;
using test::Child;
using test::Scratch;

constexpr uint64_t kSegmentSize = 4096;
constexpr uint64_t kFirst = 64;       // position of the first record
constexpr uint64_t kRecordSize = 40;  // a header of 24 bytes, ten letters, padded
constexpr uint64_t kControlCopies[] = {16384, 32768};

std::string Text(uint64_t n) { return "record" + std::to_string(1000 + n); }
constexpr uint64_t PositionOf(uint64_t n) { return kFirst + n * kRecordSize; }

using Files = std::map<std::string, std::string>;

// What was told about a recovery.
struct Told {
  absl::StatusOr<RecoveryReport> report;
  std::vector<RecoveryStep> steps;

  std::vector<std::string_view> rows() const {
    std::vector<std::string_view> rows;
    for (const RecoveryStep& step : steps) rows.push_back(step.row);
    return rows;
  }
};

struct Content {
  std::vector<std::string> records;
  std::vector<Gap> gaps;
  absl::Status end;
};

// A bus in a directory of its own, with a topic "t" in segments of a page.
class RecoverTest : public testing::Test {
 protected:
  RecoverTest() : scratch_(test::DiskParent()), bus_(scratch_ / "bus") {}
  ~RecoverTest() override {
    seam_control.boot_id = 0;
    seam_control.mount_id = 0;
  }

  std::string Path(const std::string& name) const { return bus_ + "/t/" + name; }
  std::string Segment(uint64_t base, const char* suffix = "seg") const {
    char name[40];
    std::snprintf(name, sizeof(name), "%020llu.%s", static_cast<unsigned long long>(base), suffix);
    return Path(name);
  }

  absl::StatusOr<Topic> Open(bool read_only = false) const {
    auto bus = Bus::Open(bus_, {.create = !read_only, .read_only = read_only, .background = false});
    if (!bus.ok()) return bus.status();
    return bus->OpenTopic("t", read_only ? TopicOptions{} : TopicOptions{.create = true, .segment_size = kSegmentSize});
  }

  // In a process of its own: publishes `count` records, and does `then`, and is killed or closes.
  void Publish(uint64_t count, bool killed = true, const std::function<void(Topic&)>& then = nullptr) const {
    const int code = Child([&] {
                       auto topic = Open();
                       if (!topic.ok()) return 1;
                       {
                         auto producer = topic->NewProducer();
                         for (uint64_t n = 0; n < count; ++n) {
                           if (!producer->Publish(Text(n)).ok()) return 2;
                         }
                       }
                       if (then) then(*topic);
                       if (killed) raise(SIGKILL);
                       return 0;
                     }).Join();
    ASSERT_EQ(code, killed ? -SIGKILL : 0);
  }
  // Three records, one claim that is given up, one that its producer dies with, and one record more.
  void PublishAroundClaims() const {
    Publish(3, true, [](Topic& topic) {
      auto producer = topic.NewProducer();
      auto other = topic.NewProducer();
      if (!producer->Claim(10).ok()) return;
      auto open = producer->Claim(10);
      if (other->Publish(Text(3)).ok()) raise(SIGKILL);
    });
  }

  // Records 3 to 5, by somebody who closes.
  void PublishThreeMore() const {
    Publish(0, false, [](Topic& topic) {
      auto producer = topic.NewProducer();
      for (uint64_t n = 3; n < 6; ++n) ASSERT_TRUE(producer->Publish(Text(n)).ok());
    });
  }
  std::string Read(const std::string& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& path, uint64_t offset, const std::string& bytes) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.good());
  }
  void DamageControl() const {
    for (const uint64_t offset : kControlCopies) Write(Path("control"), offset + 40, "damage");
  }
  void FailSync(uint64_t base) const { std::ofstream(Segment(base, "failed")).flush(); }
  // The bus is a copy of itself from now on.
  void Copy() const {
    std::filesystem::copy(bus_, scratch_ / "copy", std::filesystem::copy_options::recursive);
    std::filesystem::rename(bus_, scratch_ / "original");
    std::filesystem::rename(scratch_ / "copy", bus_);
    std::filesystem::permissions(bus_, std::filesystem::perms::owner_all);
  }

  Files Snapshot() const {
    Files files;
    for (const auto& entry : std::filesystem::directory_iterator(bus_ + "/t")) {
      if (entry.is_directory()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      files[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
    return files;
  }
  // Where the last segment ends.
  uint64_t EndOfSegments() const {
    uint64_t end = 0;
    for (const auto& [name, bytes] : Snapshot()) {
      if (name.ends_with(".seg")) end = std::max<uint64_t>(end, std::stoull(name) + bytes.size());
    }
    return end;
  }

  Told Recover(bool apply) const {
    Told told;
    told.report =
        RecoverTopic(bus_, "t", {.apply = apply}, [&](const RecoveryStep& step) { told.steps.push_back(step); });
    return told;
  }

  static Content ReadAll(Topic& topic, ConsumerOptions options = {.to = From::End(), .gaps = Gaps::kAll}) {
    Content content;
    auto consumer = topic.NewConsumer(options);
    content.end = consumer.status();
    if (!consumer.ok()) return content;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
      if (record.kind() == RecordKind::kGap) {
        content.gaps.push_back(record.gap());
      } else {
        content.records.emplace_back(record.text());
      }
    }
    content.end = consumer->status();
    return content;
  }

  Scratch scratch_;
  const std::string bus_;
};

// A state that a topic can be left in, and what is to be said about it.
struct Left {
  const char* name;
  void (*leave)(RecoverTest&);
  std::string cause;
  std::vector<std::string_view> rows;
  RecoveryTally records, gaps, dead, rotten;
  uint64_t skipped = 0;  // bytes
  std::vector<uint64_t> missing = {};
  uint64_t published = 3;
  bool adopts = false;
  uint64_t failed = 0;
  RecoveryTally torn = {};
};
std::ostream& operator<<(std::ostream& out, const Left& left) { return out << left.name; }

// Opens what is protected to the functions below.
class Leaves : public RecoverTest {
 public:
  using RecoverTest::Copy;
  using RecoverTest::DamageControl;
  using RecoverTest::FailSync;
  using RecoverTest::Path;
  using RecoverTest::Publish;
  using RecoverTest::PublishAroundClaims;
  using RecoverTest::PublishThreeMore;
  using RecoverTest::Read;
  using RecoverTest::Segment;
  using RecoverTest::Write;
  void TestBody() override {}
};
Leaves& In(RecoverTest& test) { return static_cast<Leaves&>(test); }

class RecoverLeftTest : public RecoverTest, public testing::WithParamInterface<Left> {
 protected:
  // Each byte from the first that was looked at to the end of all segments is counted once.
  static void ExpectCounted(const RecoveryReport& report, uint64_t end) {
    EXPECT_EQ(report.from.offset + report.bytes(), end);
    const Left& left = GetParam();
    EXPECT_EQ(report.records.count, left.records.count);
    EXPECT_EQ(report.records.bytes, left.records.bytes);
    EXPECT_EQ(report.gaps.count, left.gaps.count);
    EXPECT_EQ(report.gaps.bytes, left.gaps.bytes);
    EXPECT_EQ(report.dead.count, left.dead.count);
    EXPECT_EQ(report.dead.bytes, left.dead.bytes);
    EXPECT_EQ(report.torn.count, left.torn.count);
    EXPECT_EQ(report.torn.bytes, left.torn.bytes);
    EXPECT_EQ(report.rotten.count, left.rotten.count);
    EXPECT_EQ(report.rotten.bytes, left.rotten.bytes);
    EXPECT_EQ(report.skipped.bytes, left.skipped);
  }

  static void ExpectSaid(const Told& told, bool applied, uint64_t end) {
    ASSERT_TRUE(told.report.ok()) << told.report.status();
    const RecoveryReport& report = *told.report;
    EXPECT_FALSE(report.in_use);
    EXPECT_FALSE(report.clean);
    EXPECT_EQ(report.applied, applied);
    EXPECT_EQ(report.cause, GetParam().cause);
    EXPECT_EQ(report.why.empty(), report.cause.empty()) << report.why;
    EXPECT_EQ(report.adopts, GetParam().adopts);
    EXPECT_EQ(report.failed_segments, GetParam().failed);
    EXPECT_EQ(told.rows(), GetParam().rows);
    ExpectCounted(report, end);
    const bool seals = !report.cause.empty();
    if (seals) {
      EXPECT_EQ(report.tail.offset, end + kFirst);
      EXPECT_EQ(report.cut.bytes > 0, told.rows().back() != "end without next, no continuity");
    } else {
      EXPECT_LT(report.tail.offset, end);
      EXPECT_EQ(report.cut.bytes, 0u);
    }
  }

  std::vector<std::string> Kept() const {
    std::vector<std::string> kept;
    for (uint64_t n = 0; n < GetParam().published; ++n) {
      const auto& missing = GetParam().missing;
      if (std::find(missing.begin(), missing.end(), n) == missing.end()) kept.push_back(Text(n));
    }
    return kept;
  }
};

TEST_P(RecoverLeftTest, IsToldAndMended) {
  GetParam().leave(*this);
  ASSERT_FALSE(HasFatalFailure());
  const uint64_t end = EndOfSegments();
  const Files before = Snapshot();
  const Told look = Recover(false);
  ExpectSaid(look, false, end);
  EXPECT_TRUE(Snapshot() == before) << "a file has changed";

  const Told done = Recover(true);
  ExpectSaid(done, true, end);
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(done.report->cut.bytes, look.report->cut.bytes);
  EXPECT_EQ(done.report->overhead, look.report->overhead);
  EXPECT_EQ(done.report->tail, look.report->tail);
  EXPECT_EQ(done.report->durable, done.report->tail);

  const Files after = Snapshot();
  const Told again = Recover(true);
  ASSERT_TRUE(again.report.ok()) << again.report.status();
  EXPECT_TRUE(again.report->clean);
  EXPECT_FALSE(again.report->applied);
  EXPECT_FALSE(again.report->adopts);
  EXPECT_EQ(again.report->bytes(), 0u);
  EXPECT_EQ(again.report->tail, done.report->tail);
  EXPECT_TRUE(again.steps.empty());
  EXPECT_TRUE(Snapshot() == after) << "a file has changed";

  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok()) << producer.status();
  const auto position = producer->Publish("one more");
  ASSERT_TRUE(position.ok()) << position.status();
  EXPECT_EQ(*position, done.report->tail);
  std::vector<std::string> wanted = Kept();
  wanted.emplace_back("one more");
  const Content content = ReadAll(*topic);
  EXPECT_EQ(content.records, wanted);
  EXPECT_EQ(content.end.code(), absl::StatusCode::kOutOfRange) << content.end;
}

constexpr uint64_t Records(uint64_t n) { return n * kRecordSize; }

const Left kLeft[] = {
    {"Killed", [](RecoverTest& t) { In(t).Publish(3); }, "", {"tail"}, {3, Records(3)}, {}, {}, {}},
    {"KilledAmongClaims",
     [](RecoverTest& t) { In(t).PublishAroundClaims(); },
     "",
     {"dead claim", "tail"},
     {4, Records(4)},
     {1, 56},
     {1, 56},
     {},
     0,
     {},
     4},
    {"KilledOverSegments",
     [](RecoverTest& t) { In(t).Publish(250); },
     "",
     {"tail"},
     {250, Records(250)},
     {},
     {},
     {},
     0,
     {},
     250},
    {"RottenRecord",
     [](RecoverTest& t) {
       In(t).Publish(3);
       In(t).Write(In(t).Segment(0), PositionOf(1) + 30, "x");
     },
     "",
     {"rotten record", "tail"},
     {2, Records(2)},
     {},
     {},
     {1, Records(1)},
     0,
     {1}},
    {"Hole",
     [](RecoverTest& t) {
       In(t).Publish(3);
       In(t).Write(In(t).Segment(0), PositionOf(1), std::string(kRecordSize, '\0'));
     },
     "",
     {"hole, record follows", "tail"},
     {2, Records(2)},
     {},
     {},
     {},
     Records(1),
     {1}},
    {"HoleAtTheEndOfASegment",
     [](RecoverTest& t) {
       In(t).Publish(105);
       In(t).Write(In(t).Segment(0), PositionOf(99), "x");
     },
     "",
     {"hole, segment follows", "tail"},
     {104, Records(104)},
     {},
     {},
     {},
     kSegmentSize - PositionOf(99),
     {99},
     105},
    {"MissingSegment",
     [](RecoverTest& t) {
       In(t).Publish(250);
       std::filesystem::remove(In(t).Segment(kSegmentSize));
     },
     "",
     {"tail"},
     {150, Records(150)},
     {},
     {},
     {},
     kSegmentSize,
     [] {
       std::vector<uint64_t> missing;
       for (uint64_t n = 100; n < 200; ++n) missing.push_back(n);
       return missing;
     }(),
     250},
    {"MissingLastSegmentAfterAPowerLoss",
     [](RecoverTest& t) {
       In(t).Publish(150);
       std::filesystem::remove(In(t).Segment(kSegmentSize));
       seam_control.boot_id = 1;
     },
     "power loss",
     {"end without next, no continuity"},
     {100, Records(100)},
     {},
     {},
     {},
     0,
     {},
     100},
    {"DamagedTail",
     [](RecoverTest& t) {
       In(t).Publish(3);
       In(t).Write(In(t).Segment(0), PositionOf(3), "x");
     },
     "damage",
     {"damaged tail"},
     {3, Records(3)},
     {},
     {},
     {}},
    {"Debris",
     [](RecoverTest& t) {
       In(t).Publish(3);
       In(t).Write(In(t).Segment(0), PositionOf(3) + 16, "x");
     },
     "damage",
     {"debris"},
     {3, Records(3)},
     {},
     {},
     {}},
    {"LostBelowD",
     [](RecoverTest& t) {
       In(t).Publish(3, false);
       In(t).Publish(0);
       In(t).Write(In(t).Segment(0), PositionOf(1), std::string(2 * kRecordSize, '\0'));
     },
     "damage",
     {"lost"},
     {1, Records(1)},
     {},
     {},
     {},
     0,
     {1, 2}},
    {"PowerLoss",
     [](RecoverTest& t) {
       In(t).Publish(3);
       seam_control.boot_id = 1;
     },
     "power loss",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {}},
    {"PowerLossOverSegments",
     [](RecoverTest& t) {
       In(t).Publish(250);
       In(t).Write(In(t).Segment(kSegmentSize), PositionOf(10), std::string(kRecordSize, '\0'));
       seam_control.boot_id = 1;
     },
     "power loss",
     {"cut", "cut"},
     {160, Records(160)},
     {},
     {},
     {},
     0,
     [] {
       std::vector<uint64_t> missing;
       for (uint64_t n = 110; n < 200; ++n) missing.push_back(n);
       return missing;
     }(),
     250},
    {"OtherMount",
     [](RecoverTest& t) {
       In(t).Publish(3);
       seam_control.mount_id = 1;
     },
     "other mount",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {}},
    {"CopyOfAnOpenTopic",
     [](RecoverTest& t) {
       In(t).PublishAroundClaims();
       In(t).Copy();
     },
     "copied",
     {"torn claim", "cut"},
     {4, Records(4)},
     {1, 56},
     {},
     {},
     0,
     {},
     4,
     true,
     0,
     {1, 56}},
    {"ClosedCopyWithAnOlderSegment",
     [](RecoverTest& t) {
       In(t).Publish(3, false);
       const std::string older = In(t).Read(In(t).Segment(0));
       In(t).PublishThreeMore();
       In(t).Copy();
       In(t).Write(In(t).Segment(0), 0, older);
     },
     "copied",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {},
     0,
     {},
     3,
     true},
    {"ClosedCopyWithAnOlderControlFile",
     [](RecoverTest& t) {
       In(t).Publish(3, false);
       const std::string older = In(t).Read(In(t).Path("control"));
       In(t).PublishThreeMore();
       In(t).Copy();
       In(t).Write(In(t).Path("control"), 0, older);
     },
     "copied",
     {"cut"},
     {6, Records(6)},
     {},
     {},
     {},
     0,
     {},
     6,
     true},
    {"ClosedCopyWithARottenRecord",
     [](RecoverTest& t) {
       In(t).Publish(3, false);
       In(t).Copy();
       In(t).Write(In(t).Segment(0), PositionOf(1) + 30, "x");
     },
     "copied",
     {"rotten record", "cut"},
     {2, Records(2)},
     {},
     {},
     {1, Records(1)},
     0,
     {1},
     3,
     true},
    {"FailedSyncOfAClosedCopy",
     [](RecoverTest& t) {
       In(t).Publish(3, false);
       In(t).FailSync(0);
       In(t).Copy();
     },
     "copied",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {},
     0,
     {},
     3,
     true,
     1},
    {"CopyOfOneSegment",
     [](RecoverTest& t) {
       In(t).Publish(3);
       std::filesystem::copy_file(In(t).Segment(0), In(t).Path("copy"));
       std::filesystem::rename(In(t).Path("copy"), In(t).Segment(0));
     },
     "copied",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {},
     0,
     {},
     3,
     true},
    {"NoLocksFile",
     [](RecoverTest& t) {
       In(t).Publish(3);
       std::filesystem::remove(In(t).Path("locks"));
     },
     "damage",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {},
     0,
     {},
     3,
     true},
    {"DamagedControlRecords",
     [](RecoverTest& t) {
       In(t).Publish(3, false);
       In(t).DamageControl();
     },
     "damage",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {}},
    {"FailedSyncThenClosed",
     [](RecoverTest& t) {
       In(t).Publish(3, false);
       In(t).FailSync(0);
     },
     "sync failed",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {},
     0,
     {},
     3,
     false,
     1},
    {"FailedSyncThenKilled",
     [](RecoverTest& t) {
       In(t).Publish(150);
       In(t).FailSync(0);
       In(t).FailSync(kSegmentSize);
     },
     "sync failed",
     {"cut"},
     {150, Records(150)},
     {},
     {},
     {},
     0,
     {},
     150,
     false,
     2},
    {"FailedSyncOfACopy",
     [](RecoverTest& t) {
       In(t).Publish(3);
       In(t).FailSync(0);
       In(t).Copy();
     },
     "copied",
     {"cut"},
     {3, Records(3)},
     {},
     {},
     {},
     0,
     {},
     3,
     true,
     1},
};

INSTANTIATE_TEST_SUITE_P(Recover, RecoverLeftTest, testing::ValuesIn(kLeft),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(RecoverTest, AClosedTopicIsClean) {
  Publish(3, false);
  const Files before = Snapshot();
  for (const bool apply : {false, true}) {
    const Told told = Recover(apply);
    ASSERT_TRUE(told.report.ok()) << told.report.status();
    EXPECT_TRUE(told.report->clean);
    EXPECT_FALSE(told.report->applied);
    EXPECT_EQ(told.report->tail.offset, PositionOf(3));
    EXPECT_EQ(told.report->durable.offset, PositionOf(3));
    EXPECT_EQ(told.report->bytes(), 0u);
    EXPECT_TRUE(told.steps.empty());
  }
  EXPECT_TRUE(Snapshot() == before) << "a file has changed";
}

TEST_F(RecoverTest, ACleanCopyHasNoGapAndOneEpochMore) {
  Publish(3, false);
  Copy();
  const Files before = Snapshot();
  const Told look = Recover(false);
  ASSERT_TRUE(look.report.ok()) << look.report.status();
  EXPECT_TRUE(look.report->clean && look.report->adopts && !look.report->applied);
  EXPECT_TRUE(Snapshot() == before) << "a file has changed";
  const Told done = Recover(true);
  ASSERT_TRUE(done.report.ok()) << done.report.status();
  EXPECT_TRUE(done.report->clean && done.report->adopts && done.report->applied);
  EXPECT_EQ(done.report->tail.offset, PositionOf(3));
  const auto info = InspectTopic(bus_, "t");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->state, "clean");
  EXPECT_EQ(info->epoch, 2u);
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Content content = ReadAll(*topic);
  EXPECT_EQ(content.records.size(), 3u);
  EXPECT_TRUE(content.gaps.empty());
}

TEST_F(RecoverTest, AnOpenCopyHasAGapThatNamesIt) {
  Publish(3);
  Copy();
  ASSERT_TRUE(Recover(true).report.ok());
  const auto info = InspectTopic(bus_, "t");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->epoch, 2u);
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  // The reader learns of the gap when something stands behind it.
  auto producer = topic->NewProducer();
  ASSERT_TRUE(producer.ok() && producer->Publish("one more").ok());
  const Content content = ReadAll(*topic);
  ASSERT_EQ(content.gaps.size(), 1u);
  EXPECT_EQ(content.gaps[0].cause, GapCause::kCopied);
  EXPECT_EQ(content.gaps[0].from.offset, PositionOf(3));
  EXPECT_TRUE(content.gaps[0].loss());
}

// Two logs of one identity: each has its own locks and goes its own way.
TEST_F(RecoverTest, TheOriginalOfAnAdoptedCopyGoesOnBesideIt) {
  Publish(3);
  Copy();
  ASSERT_TRUE(Recover(true).report.ok());
  auto original_bus = Bus::Open(scratch_ / "original", {.background = false});
  ASSERT_TRUE(original_bus.ok()) << original_bus.status();
  auto original = original_bus->OpenTopic("t");
  ASSERT_TRUE(original.ok()) << original.status();
  auto copy = Open();
  ASSERT_TRUE(copy.ok()) << copy.status();
  ASSERT_TRUE(original->NewProducer()->Publish("of the original").ok());
  ASSERT_TRUE(copy->NewProducer()->Publish("of the copy").ok());
  EXPECT_EQ(ReadAll(*original).records.back(), "of the original");
  EXPECT_EQ(ReadAll(*original).records.size(), 4u);
  EXPECT_EQ(ReadAll(*copy).records.back(), "of the copy");
}

// A copy that was not adopted: as far as it verifies, and then the cure.
TEST_F(RecoverTest, AReaderOfACopyIsToldWhereItEnds) {
  Publish(5);
  Write(Segment(0), PositionOf(3), "x");
  Copy();
  auto topic = Open(true);
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Content content = ReadAll(*topic, {});
  EXPECT_EQ(content.records, (std::vector<std::string>{Text(0), Text(1), Text(2)}));
  EXPECT_TRUE(content.gaps.empty());
  EXPECT_EQ(content.end.code(), absl::StatusCode::kFailedPrecondition) << content.end;
  EXPECT_NE(std::string(content.end.message()).find("bus recover t --apply"), std::string::npos) << content.end;
}

TEST_F(RecoverTest, NothingIsLookedAtWhereAWriterIsAttached) {
  Publish(3);
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  const Files before = Snapshot();
  for (const bool apply : {false, true}) {
    const Told told = Recover(apply);
    ASSERT_TRUE(told.report.ok()) << told.report.status();
    EXPECT_TRUE(told.report->in_use);
    EXPECT_FALSE(told.report->applied);
    EXPECT_TRUE(told.steps.empty());
  }
  EXPECT_TRUE(Snapshot() == before) << "a file has changed";
}

TEST_F(RecoverTest, AfterAFailedSyncTheLivingMustEndFirst) {
  Publish(3);
  FailSync(0);
  {
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    const Files before = Snapshot();
    EXPECT_TRUE(Recover(false).report->in_use);
    const Told told = Recover(true);
    EXPECT_TRUE(absl::IsFailedPrecondition(told.report.status())) << told.report.status();
    EXPECT_NE(std::string(told.report.status().message()).find("end them first"), std::string::npos);
    EXPECT_TRUE(Snapshot() == before) << "a file has changed";
  }
  EXPECT_EQ(Recover(true).report->failed_segments, 1u);
}

// With the locks file gone nothing but the open control file tells.
TEST_F(RecoverTest, ADeletedLocksFileIsNotReplacedWhileAProcessHasTheTopicOpen) {
  Publish(3);
  {
    auto topic = Open();
    ASSERT_TRUE(topic.ok()) << topic.status();
    std::filesystem::remove(Path("locks"));
    const Files before = Snapshot();
    const Told told = Recover(true);
    EXPECT_TRUE(absl::IsFailedPrecondition(told.report.status())) << told.report.status();
    EXPECT_NE(std::string(told.report.status().message()).find("fuser -v"), std::string::npos);
    EXPECT_TRUE(Snapshot() == before) << "a file has changed";
  }
  const Told told = Recover(true);
  ASSERT_TRUE(told.report.ok()) << told.report.status();
  EXPECT_TRUE(told.report->adopts);
}

TEST_F(RecoverTest, WhatIsNotThereIsNamed) {
  Publish(1, false);
  for (const bool apply : {false, true}) {
    const RecoverOptions options = {.apply = apply};
    EXPECT_TRUE(absl::IsNotFound(RecoverTopic(bus_, "none", options).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(RecoverTopic(bus_, "no/name", options).status()));
    EXPECT_TRUE(absl::IsNotFound(RecoverTopic(scratch_ / "none", "t", options).status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(RecoverTopic(bus_ + "/t", "t", options).status()));
  }
}

// What cannot be read stays as it is.
TEST_F(RecoverTest, ADamagedSegmentHeaderIsDataLossAndTouchesNothing) {
  Publish(150);
  Write(Segment(kSegmentSize), 0, std::string(64, '\0'));
  const Files before = Snapshot();
  for (const bool apply : {false, true}) {
    const Told told = Recover(apply);
    EXPECT_TRUE(absl::IsDataLoss(told.report.status())) << told.report.status();
    EXPECT_TRUE(Snapshot() == before) << "a file has changed";
  }
}

TEST_F(RecoverTest, ProgressRisesToItsTotal) {
  Publish(1000);
  std::vector<std::pair<uint64_t, uint64_t>> calls;
  const auto report =
      RecoverTopic(bus_, "t", {.progress = [&](uint64_t done, uint64_t total) { calls.emplace_back(done, total); }});
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(calls.size(), 10u);
  EXPECT_TRUE(std::is_sorted(calls.begin(), calls.end()));
  for (const auto& [done, total] : calls) {
    EXPECT_EQ(total, report->bytes());
    EXPECT_LT(done, total);
  }
}

TEST_F(RecoverTest, EachStepIsARowOfTheTable) {
  PublishAroundClaims();
  Copy();
  const Told told = Recover(false);
  ASSERT_EQ(told.steps.size(), 2u);
  EXPECT_LT(told.steps[0].from, told.steps[1].from);
  for (const RecoveryStep& step : told.steps) {
    const auto table = RecoveryTable();
    const auto row =
        std::find_if(table.begin(), table.end(), [&](const RecoveryRow& row) { return row.label == step.row; });
    ASSERT_NE(row, table.end()) << step.row;
    EXPECT_EQ(step.arises, row->arises);
    EXPECT_EQ(step.done, row->done);
  }
}

// A second copy of a copy, and a recovery of a recovery: each is one epoch, and everything is still there.
TEST_F(RecoverTest, EveryAdoptionIsAnEpoch) {
  Publish(3);
  for (uint32_t epoch = 2; epoch < 6; ++epoch) {
    Copy();
    std::filesystem::remove_all(scratch_ / "original");
    const Told told = Recover(true);
    ASSERT_TRUE(told.report.ok()) << told.report.status();
    const auto info = InspectTopic(bus_, "t");
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->epoch, epoch);
    ASSERT_EQ(info->epochs.size(), epoch - 1);
    EXPECT_EQ(info->epochs.back().number, epoch);
    EXPECT_EQ(info->epochs.back().cause, "copied");
  }
  auto topic = Open();
  ASSERT_TRUE(topic.ok()) << topic.status();
  EXPECT_EQ(ReadAll(*topic).records.size(), 3u);
}

}  // namespace
}  // namespace libbus
