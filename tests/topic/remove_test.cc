// A topic that is removed, or removed and made anew, while others have it open: they finish on what they have, and are
// told; nothing of one topic gets into the other.
#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;

constexpr absl::Duration kNow = absl::ZeroDuration();
constexpr absl::Duration kLong = absl::Seconds(60);

class RemoveTest : public TopicTest {
 protected:
  RemoveTest() : topic_(Make()), bus_handle_(Bus::Open(bus_, {.background = false})) {}
  ~RemoveTest() override {
    seam_control.no_bounds = false;
    seam_control.pretend_durable = false;
  }

  absl::Status Remove() { return bus_handle_->RemoveTopic("t"); }
  std::vector<std::string> FilesOfBus() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(bus_)) names.push_back(entry.path().filename());
    return names;
  }

  absl::StatusOr<Topic> topic_;
  absl::StatusOr<Bus> bus_handle_;
};

TEST_F(RemoveTest, NothingIsLeftOfIt) {
  std::filesystem::create_directory(Path("cursors"));
  WriteFile(Path("cursors/x"), "anything");
  ASSERT_TRUE(Succeeds(Remove()));
  EXPECT_EQ(FilesOfBus(), std::vector<std::string>({"bus"}));
  EXPECT_TRUE(bus_handle_->ListTopics()->empty());
  EXPECT_TRUE(Fails(bus_handle_->OpenTopic("t"), StatusCode::kNotFound));
  EXPECT_TRUE(Fails(Remove(), StatusCode::kNotFound, "no such topic"));
}

TEST_F(RemoveTest, WhoMayNotIsTold) {
  EXPECT_TRUE(Fails(bus_handle_->RemoveTopic("../t"), StatusCode::kInvalidArgument));
  auto reader = Bus::Open(bus_, {.read_only = true});
  EXPECT_TRUE(Fails(reader->RemoveTopic("t"), StatusCode::kFailedPrecondition, "read-only"));
  EXPECT_TRUE(std::filesystem::exists(Path("control")));
}

TEST_F(RemoveTest, ADamagedOneCanBeRemoved) {
  topic_ = absl::UnknownError("closed");
  WriteFile(Path("control"), "nonsense");
  std::filesystem::remove(Path("locks"));
  EXPECT_TRUE(Succeeds(Remove()));
  EXPECT_EQ(FilesOfBus(), std::vector<std::string>({"bus"}));
}

TEST_F(RemoveTest, AConsumerReadsToTheEndAndIsTold) {
  auto producer = topic_->NewProducer();
  auto consumer = topic_->NewConsumer();
  for (const char* text : {"a", "b"}) ASSERT_TRUE(Succeeds(producer->Publish(text)));
  ASSERT_TRUE(Succeeds(Remove()));
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "a");
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "b");
  EXPECT_TRUE(Fails(consumer->Next(kLong), StatusCode::kNotFound, "removed while it was open"));
  EXPECT_TRUE(Fails(topic_->NewConsumer(), StatusCode::kNotFound));
}

// With the bounds off: removal itself wakes.
TEST_F(RemoveTest, ASleeperIsWoken) {
  seam_control.no_bounds = true;
  auto consumer = topic_->NewConsumer({.wait = Wait::kPark});
  const uint64_t sleeps = seam_control.sleeps;
  std::thread remover([&] {
    while (seam_control.sleeps == sleeps) std::this_thread::yield();
    EXPECT_TRUE(Succeeds(Remove()));
  });
  EXPECT_TRUE(Fails(consumer->Next(), StatusCode::kNotFound));
  remover.join();
}

TEST_F(RemoveTest, AProducerFinishesTheSegmentAndIsTold) {
  auto producer = topic_->NewProducer();
  auto consumer = topic_->NewConsumer();
  ASSERT_TRUE(Succeeds(Remove()));
  int published = 0;
  absl::Status status;
  while ((status = producer->Publish("still here").status()).ok()) ASSERT_LT(++published, 1000);
  EXPECT_TRUE(Fails(status, StatusCode::kNotFound, "removed while it was open"));
  EXPECT_GT(published, 0);
  for (int i = 0; i < published; ++i) EXPECT_EQ(TextOf(consumer->Next(kNow)), "still here");
  EXPECT_TRUE(Fails(topic_->Maintain(), StatusCode::kNotFound));
  EXPECT_TRUE(Fails(topic_->NewProducer(), StatusCode::kNotFound));
}

TEST_F(RemoveTest, HealthSaysSo) {
  auto topic = OpenTopic(bus_, {}, {.background = false});
  auto bus = Bus::Open(bus_, {.background = false});
  auto mine = bus->OpenTopic("t");
  ASSERT_TRUE(Succeeds(Remove()));
  EXPECT_TRUE(Fails(mine->Maintain(), StatusCode::kNotFound));
  ASSERT_EQ(bus->Health().problems.size(), 1u);
  EXPECT_EQ(bus->Health().problems[0].topic, "t");
}

TEST_F(RemoveTest, NothingIsDurableInIt) {
  seam_control.pretend_durable = true;
  auto topic = OpenTopic(bus_);
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("kept", {.durable = true})));
  ASSERT_TRUE(Succeeds(Remove()));
  EXPECT_TRUE(
      Fails(producer->Publish("gone", {.durable = true}), StatusCode::kUnavailable, "removed while it was open"));
}

TEST_F(RemoveTest, ANewOneOfTheNameIsAnother) {
  auto producer = topic_->NewProducer();
  auto consumer = topic_->NewConsumer();
  ASSERT_TRUE(Succeeds(producer->Publish("of the old one")));
  ASSERT_TRUE(Succeeds(Remove()));
  auto made = Make();
  ASSERT_TRUE(Succeeds(made));
  EXPECT_NE(made->uuid(), topic_->uuid());
  auto new_producer = made->NewProducer();
  ASSERT_TRUE(Succeeds(new_producer));
  // Past the first segment, so that both look for the same next one.
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Succeeds(new_producer->Publish("of the new one")));
  absl::Status status;
  int published = 1;
  while ((status = producer->Publish("of the old one").status()).ok()) ASSERT_LT(++published, 1000);
  EXPECT_TRUE(Fails(status, StatusCode::kFailedPrecondition, "replaced by another"));
  EXPECT_TRUE(Fails(topic_->NewProducer(), StatusCode::kFailedPrecondition));
  for (int i = 0; i < published; ++i) EXPECT_EQ(TextOf(consumer->Next(kNow)), "of the old one");
  EXPECT_TRUE(Fails(consumer->Next(kLong), StatusCode::kFailedPrecondition, "replaced by another"));
  EXPECT_EQ(ReadAll(*made), std::vector<std::string>(200, "of the new one"));
}

// In `cursors/` others may put what they like: it is not followed, and keeps nothing else on the disk.
TEST_F(RemoveTest, WhatOthersPutThereIsNotFollowed) {
  topic_ = absl::UnknownError("closed");
  const std::string outside = scratch_ / "outside";
  std::filesystem::create_directory(outside);
  WriteFile(outside + "/kept", "kept");
  std::filesystem::create_directories(Path("cursors/a/b"));
  std::filesystem::create_directory_symlink(outside, Path("cursors/link"));
  std::filesystem::create_directory_symlink(outside, Path("cursors/a/link"));
  WriteFile(Path("cursors/a/b/file"), "x");
  ASSERT_TRUE(Succeeds(Remove()));
  EXPECT_EQ(FilesOfBus(), std::vector<std::string>({"bus"}));
  EXPECT_EQ(ReadFile(outside + "/kept"), "kept");
}

TEST_F(RemoveTest, WhatCannotBeRemovedKeepsNothingElse) {
  topic_ = absl::UnknownError("closed");
  std::string deep = Path("cursors");
  for (int i = 0; i < 8; ++i) deep += "/d";
  std::filesystem::create_directories(deep);
  const absl::Status removed = Remove();
  EXPECT_NE(std::string(removed.message()).find(".removed-topic-"), std::string::npos) << removed;
  EXPECT_TRUE(bus_handle_->ListTopics()->empty());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bus_)) {
    EXPECT_TRUE(entry.is_directory() || entry.path().filename() == "bus") << entry.path();
  }
}

// A topic in the making is left to its maker.
TEST_F(RemoveTest, ManyMakersDoNotRemoveEachOthersTopics) {
  topic_ = absl::UnknownError("closed");
  std::vector<Child> makers;
  for (int maker = 0; maker < 4; ++maker) {
    makers.emplace_back([this, maker] {
      auto bus = Bus::Open(bus_, {.background = false});
      for (int i = 0; i < 25; ++i) {
        auto topic = bus->OpenTopic("m" + std::to_string(maker) + "-" + std::to_string(i),
                                    {.create_new = true, .segment_size = 4096});
        if (!topic.ok() || !topic->NewProducer()->Publish("x").ok()) return 1;
      }
      return 0;
    });
  }
  for (Child& maker : makers) EXPECT_EQ(maker.Join(), 0);
}

// What a remover that died left is removed with the next topic.
TEST_F(RemoveTest, LeftoversGo) {
  topic_ = absl::UnknownError("closed");
  std::filesystem::rename(bus_ + "/t", bus_ + "/.removed-topic-1-2");
  ASSERT_TRUE(Succeeds(Make()));
  EXPECT_FALSE(std::filesystem::exists(bus_ + "/.removed-topic-1-2"));
}

// Killed at each of its steps: the topic is there whole, or not at all.
TEST_F(RemoveTest, MayBeKilledAnywhere) {
  topic_ = absl::UnknownError("closed");
  for (uint64_t at = 1;; ++at) {
    auto topic = Make();
    ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish("kept")));
    topic = absl::UnknownError("closed");
    Child child([&] {
      seam_control.points = 0;
      seam_control.kill_at = at;
      return Remove().ok() ? 0 : 1;
    });
    const int result = child.Join();
    const auto names = bus_handle_->ListTopics();
    ASSERT_TRUE(Succeeds(names));
    if (names->empty()) {
      EXPECT_TRUE(Fails(bus_handle_->OpenTopic("t"), StatusCode::kNotFound));
    } else {
      auto again = OpenTopic(bus_);
      EXPECT_EQ(ReadAll(*again), std::vector<std::string>({"kept"}));
    }
    if (result == 0) {
      EXPECT_GT(at, 5u);  // it was killed at least between any two files
      break;
    }
  }
}

}  // namespace
}  // namespace libbus::test
