#include "libbus/log/retention.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "libbus/bus.h"
#include "libbus/inspect.h"
#include "libbus/log/reader.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using platform::seam_control;

class RetentionTest : public TopicTest {
 protected:
  RetentionTest() { seam_control.pretend_durable = true; }
  ~RetentionTest() override { seam_control.pretend_durable = false; }

  // Records "0", "1", ... of some size, so that a few fit a segment; closed, so that all of them are durable.
  void Fill(int count) const {
    auto topic = Make();
    ASSERT_TRUE(Succeeds(topic));
    auto producer = topic->NewProducer();
    for (int i = 0; i < count; ++i) ASSERT_TRUE(Succeeds(producer->Publish(Text(i))));
  }
  static std::string Text(uint64_t n) {
    std::string text = std::to_string(n) + " ";
    text.resize(500, '.');
    return text;
  }
  static uint64_t NumberOf(std::string_view text) { return std::stoull(std::string(text)); }

  std::vector<uint64_t> Bases() const {
    std::vector<uint64_t> bases;
    for (const auto& file : std::filesystem::directory_iterator(bus_ + "/t")) {
      if (file.path().extension() == ".seg") bases.push_back(std::stoull(file.path().stem()));
    }
    std::sort(bases.begin(), bases.end());
    return bases;
  }

  // Everything that can be read is in order, ends with `last`, and its sequences are right; no gap is there.
  void CheckReads(uint64_t first_at_most, uint64_t last) const {
    auto topic = OpenReadOnly();
    ASSERT_TRUE(Succeeds(topic));
    auto consumer = topic->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
    ASSERT_TRUE(Succeeds(consumer));
    std::optional<uint64_t> before;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
      ASSERT_EQ(record.kind(), RecordKind::kData) << GapCauseName(record.gap().cause);
      const uint64_t n = NumberOf(record.text());
      ASSERT_EQ(record.sequence(), n);
      ASSERT_LE(before ? 0 : n, first_at_most);
      ASSERT_EQ(n, before ? *before + 1 : n);
      before = n;
    }
    ASSERT_EQ(before, last);
    const auto report = VerifyTopic(bus_, "t", [](const Finding&) { return true; });
    ASSERT_TRUE(Succeeds(report));
    ASSERT_EQ(report->damages, 0u);
  }
};

// Killed before each step of a deletion: the log is whole for every reader, and the next one goes on.
TEST_F(RetentionTest, KilledAtEveryStep) {
  int killed = 0;
  for (uint64_t point = 1;; ++point) {
    std::filesystem::remove_all(bus_);
    ASSERT_NO_FATAL_FAILURE(Fill(60));
    const auto bases = Bases();
    ASSERT_GT(bases.size(), 6u);
    const int code = Child([&] {
                       auto topic = OpenTopic(bus_);
                       if (!topic.ok()) return 1;
                       seam_control.kill_at = seam_control.points + point;
                       const auto report = topic->Trim(From::At({bases[4]}));
                       seam_control.kill_at = 0;
                       return report.ok() && report->segments > 0 ? 0 : 2;
                     }).Join();
    ASSERT_TRUE(code == 0 || code == -SIGKILL) << code << " at " << point;
    ASSERT_NO_FATAL_FAILURE(CheckReads(35, 59)) << point;
    auto topic = OpenTopic(bus_);
    ASSERT_TRUE(Succeeds(topic));
    const auto again = topic->Trim(From::At({bases[4]}));
    ASSERT_TRUE(Succeeds(again));
    ASSERT_EQ(Bases().front(), bases[4]) << point;
    ASSERT_EQ(again->first.offset, bases[4] + 64);
    ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish(Text(60))));
    ASSERT_NO_FATAL_FAILURE(CheckReads(35, 60)) << point;
    if (code == 0) break;
    ++killed;
    ASSERT_LT(point, 500u);
  }
  EXPECT_GT(killed, 10);
}

// Behind the record nobody reads the files in front, and the next one who deletes anything removes them.
TEST_F(RetentionTest, FilesThatAreLeftAreNotRead) {
  ASSERT_NO_FATAL_FAILURE(Fill(60));
  const auto bases = Bases();
  std::filesystem::create_hard_link(Path(SegmentName(bases[1])), scratch_ / "kept");
  auto topic = OpenTopic(bus_);
  ASSERT_TRUE(Succeeds(topic->Trim(From::At({bases[3]}))));
  std::filesystem::rename(scratch_ / "kept", Path(SegmentName(bases[1])));
  ASSERT_EQ(Bases().front(), bases[1]);
  ASSERT_NO_FATAL_FAILURE(CheckReads(25, 59));
  ASSERT_TRUE(Succeeds(topic->Trim(From::Start())));
  EXPECT_EQ(Bases().front(), bases[3]);
}

// A cursor that cannot be read: nothing is known, so nothing goes.
TEST_F(RetentionTest, NothingGoesWhereACursorCannotBeRead) {
  ASSERT_NO_FATAL_FAILURE(Fill(60));
  {
    auto topic = OpenTopic(bus_);
    auto consumer = topic->NewConsumer({.cursor = "reader"});
    ASSERT_TRUE(Succeeds(consumer));
  }
  WriteFile(Path("cursors/reader"), std::string(12288, '\0'));
  const auto bases = Bases();
  auto topic = OpenTopic(bus_);
  EXPECT_FALSE(topic->Trim(From::End()).ok());
  EXPECT_EQ(Bases(), bases);
}

// One deletes at random while others publish and read: nobody sees damage, readers that lag see what was deleted as
// such.
TEST_F(RetentionTest, DeletingAtRandomWhileOthersPublishAndRead) {
  const uint64_t seed = Seed("retention");
  {
    auto topic = Make();
    ASSERT_TRUE(Succeeds(topic));
  }
  Shared<std::atomic<int>> over;
  std::vector<Child> children;
  children.emplace_back([&] {
    auto topic = OpenTopic(bus_);
    auto producer = topic->NewProducer();
    for (int i = 0; i < 6000; ++i) {
      if (!producer->Publish(Text(static_cast<uint64_t>(i))).ok()) return 1;
      if (i % 100 == 0 && !topic->Sync().ok()) return 2;
    }
    over->store(1);
    return 0;
  });
  children.emplace_back([&] {
    std::minstd_rand random(static_cast<unsigned>(seed));
    auto topic = OpenTopic(bus_);
    while (over->load() == 0) {
      const auto report = topic->Trim(From::Last(random() % 200));
      if (!report.ok()) {
        std::fprintf(stderr, "%s\n", report.status().ToString().c_str());
        return 1;
      }
    }
    return 0;
  });
  for (int reader = 0; reader < 2; ++reader) {
    children.emplace_back([&, reader] {
      auto topic = OpenTopic(bus_, {}, {.read_only = reader == 0, .background = false});
      if (!topic.ok()) return 1;
      for (;;) {
        auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
        if (!consumer.ok()) return 2;
        uint64_t next = 0;  // 0: anything
        for (const RecordView& record : consumer->Records(absl::Milliseconds(200))) {
          if (record.kind() == RecordKind::kGap) {
            if (record.gap().cause != GapCause::kEvicted) return 3;
            next = 0;
            continue;
          }
          const uint64_t n = NumberOf(record.text());
          if (next != 0 && n != next) return 4;
          if (record.sequence() && *record.sequence() != n) return 5;
          next = n + 1;
        }
        if (!absl::IsDeadlineExceeded(consumer->status())) {
          std::fprintf(stderr, "%s\n", consumer->status().ToString().c_str());
          return 6;
        }
        if (over->load() == 1) return next == 6000 ? 0 : 7;
      }
    });
  }
  for (Child& child : children) EXPECT_EQ(child.Join(), 0);
  EXPECT_GT(Bases().front(), 0u);
}

}  // namespace
}  // namespace libbus::test
