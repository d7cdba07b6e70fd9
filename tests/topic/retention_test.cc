#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "libbus/bus.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

constexpr absl::Duration kNow = absl::ZeroDuration();

class RetentionTest : public TopicTest {
 protected:
  void Publish(Topic& topic, int count) {
    if (!producer_) {
      auto made = topic.NewProducer();
      ASSERT_TRUE(Succeeds(made));
      producer_.emplace(*std::move(made));
    }
    for (int i = 0; i < count; ++i) {
      const auto position = producer_->Publish(std::to_string(positions_.size()) + std::string(600, '.'));
      ASSERT_TRUE(Succeeds(position));
      positions_.push_back(*position);
    }
  }

  std::vector<uint64_t> Bases() const {
    std::vector<uint64_t> bases;
    for (const auto& file : std::filesystem::directory_iterator(bus_ + "/t")) {
      if (file.path().extension() == ".seg") bases.push_back(std::stoull(file.path().stem()));
    }
    std::sort(bases.begin(), bases.end());
    return bases;
  }

  std::vector<Position> positions_;
  std::optional<Producer> producer_;
};

TEST_F(RetentionTest, IsStoredWithTheTopic) {
  {
    auto topic = Make({.retain_bytes = 1 << 20, .retain_age = absl::Hours(2)});
    ASSERT_TRUE(Succeeds(topic));
  }
  auto topic = OpenTopic(bus_);
  EXPECT_EQ(topic->options().retain_bytes, uint64_t{1} << 20);
  EXPECT_EQ(topic->options().retain_age, absl::Hours(2));
  EXPECT_TRUE(Fails(OpenTopic(bus_, {.retain_bytes = 5}), absl::StatusCode::kFailedPrecondition, "retain bytes"));
  EXPECT_TRUE(
      Fails(OpenTopic(bus_, {.retain_age = absl::Hours(1)}), absl::StatusCode::kFailedPrecondition, "retain age"));
  auto bus = Bus::Open(bus_, {.background = false});
  EXPECT_TRUE(Fails(bus->OpenTopic("u", {.create = true, .retain_age = -absl::Hours(1)}),
                    absl::StatusCode::kInvalidArgument, "negative"));
}

TEST_F(RetentionTest, KeepsAtLeastSoManyBytes) {
  auto topic = Make({.retain_bytes = 10'000});
  ASSERT_TRUE(Succeeds(topic));
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 100));
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  const auto stats = topic->Stats();
  EXPECT_GE(stats->end.offset - stats->first.offset, 10'000u - 64);
  EXPECT_LE(stats->end.offset - stats->first.offset, 10'000u + 4096);
  EXPECT_EQ(stats->first.offset, Bases().front() + 64);
}

// Who looks where the log begins while another process deletes its beginning is never told of a missing segment.
TEST_F(RetentionTest, ADeletionInProgressIsNoDamage) {
  auto topic = Make();
  ASSERT_TRUE(Succeeds(topic));
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 20));
  std::atomic<bool> done{false};
  const std::jthread trimmer([&] {
    for (int i = 0; i < 400; ++i) {
      ASSERT_NO_FATAL_FAILURE(Publish(*topic, 20));
      ASSERT_TRUE(Succeeds(topic->Trim(From::End())));
    }
    done = true;
  });
  auto reader = OpenReadOnly();
  ASSERT_TRUE(Succeeds(reader));
  while (!done) {
    for (const From& from : {From::Start(), From::Last(1000), From::Sequence(0), From::At({64})}) {
      auto consumer = reader->NewConsumer({.from = from});
      ASSERT_TRUE(Succeeds(consumer));
      const auto item = consumer->Next(kNow);
      if (absl::IsDeadlineExceeded(item.status())) continue;
      ASSERT_TRUE(Succeeds(item));
      if (item->kind() == RecordKind::kGap) {
        ASSERT_EQ(TextOf(*item), "<evicted>");
      }
    }
  }
}

TEST_F(RetentionTest, TheBackgroundThreadDeletes) {
  auto topic = Make({.retain_bytes = 10'000}, {.background = true});
  ASSERT_TRUE(Succeeds(topic));
  for (int round = 0; round < 1000 && Bases().front() == 0; ++round) {
    ASSERT_NO_FATAL_FAILURE(Publish(*topic, 20));
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_GT(Bases().front(), 0u);
}

// By when the file was last written, not by the records' own times: a replay of old events stays.
TEST_F(RetentionTest, AgeIsThatOfTheFile) {
  auto topic = Make({.retain_age = absl::Hours(1)});
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(Succeeds(producer->Publish(std::string(600, 'x'), {.timestamp = absl::UnixEpoch()})));
  }
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  const auto bases = Bases();
  ASSERT_EQ(bases.front(), 0u);
  for (size_t i = 0; i < 3; ++i) {
    const timespec old[2] = {{.tv_sec = 1000, .tv_nsec = 0}, {.tv_sec = 1000, .tv_nsec = 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, Path(SegmentName(bases[i])).c_str(), old, 0), 0);
  }
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(Bases().front(), bases[3]);
}

TEST_F(RetentionTest, ACursorKeepsWhatItNeeds) {
  auto topic = Make({.retain_bytes = 4096});
  ASSERT_TRUE(Succeeds(topic));
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 30));
  {
    auto consumer = topic->NewConsumer({.cursor = "slow"});
    ASSERT_TRUE(Succeeds(consumer));
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(Succeeds(consumer->Next(kNow)));
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 30));
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_LE(topic->Stats()->first, positions_[10]);
  const auto report = topic->Trim(From::End());
  ASSERT_TRUE(Succeeds(report));
  ASSERT_TRUE(report->held);
  EXPECT_EQ(report->held->cursor, "slow");
  EXPECT_LE(report->held->position, positions_[10]);
  auto consumer = topic->NewConsumer({.cursor = "slow"});
  const auto record = consumer->Next(kNow);
  ASSERT_TRUE(Succeeds(record));
  EXPECT_EQ(record->position(), positions_[10]);
}

TEST_F(RetentionTest, AReaderInsideADeletedSegmentGoesOnToItsEnd) {
  auto topic = Make();
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 60));
  auto reader = OpenReadOnly();
  auto consumer = reader->NewConsumer({.gaps = Gaps::kAll});
  ASSERT_EQ(consumer->Next(kNow)->position(), positions_[0]);
  ASSERT_TRUE(Succeeds(topic->Trim(From::At(positions_[40]))));
  const Position first = topic->Stats()->first;
  uint64_t read = 1;
  for (;; ++read) {
    const auto record = consumer->Next(kNow);
    ASSERT_TRUE(Succeeds(record));
    if (record->kind() == RecordKind::kData) {
      EXPECT_EQ(record->position(), positions_[read]);
      continue;
    }
    EXPECT_EQ(record->gap().cause, GapCause::kEvicted);
    EXPECT_TRUE(record->gap().loss());
    EXPECT_EQ(record->gap().to, first);
    break;
  }
  EXPECT_GT(read, 3u);
  const auto next = consumer->Next(kNow);
  ASSERT_TRUE(Succeeds(next));
  EXPECT_EQ(next->position(), first);
  EXPECT_EQ(next->sequence(), std::find(positions_.begin(), positions_.end(), first) - positions_.begin());
}

TEST_F(RetentionTest, APositionThatWasDeletedIsAGap) {
  auto topic = Make();
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 60));
  ASSERT_TRUE(Succeeds(topic->Trim(From::At(positions_[40]))));
  const Position first = topic->Stats()->first;
  auto consumer = topic->NewConsumer({.from = From::At(positions_[3])});
  ASSERT_TRUE(Succeeds(consumer));
  EXPECT_EQ(consumer->position(), positions_[3]);
  const auto gap = consumer->Next(kNow);
  ASSERT_TRUE(Succeeds(gap));
  ASSERT_EQ(gap->kind(), RecordKind::kGap);
  EXPECT_EQ(gap->gap(), (Gap{GapCause::kEvicted, positions_[3], first, std::nullopt}));
  EXPECT_EQ(consumer->Next(kNow)->position(), first);
  auto strict = topic->NewConsumer({.from = From::At(positions_[3]), .gaps = Gaps::kError});
  EXPECT_TRUE(Fails(strict->Next(kNow), absl::StatusCode::kDataLoss, "evicted"));
  // The oldest record, its sequence known.
  auto start = topic->NewConsumer();
  const auto oldest = start->Next(kNow);
  EXPECT_EQ(oldest->position(), first);
  EXPECT_TRUE(oldest->sequence().has_value());
  EXPECT_EQ(positions_[*oldest->sequence()], first);
  EXPECT_EQ(topic->NewConsumer({.from = From::Sequence(0)})->Next(kNow)->position(), first);
  EXPECT_EQ(topic->NewConsumer({.from = From::Sequence(50)})->Next(kNow)->position(), positions_[50]);
}

TEST_F(RetentionTest, WhatAnOpenClaimStandsBeforeStays) {
  auto topic = Make();
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 20));
  auto other = topic->NewProducer();
  auto claim = other->Claim(10);
  ASSERT_TRUE(Succeeds(claim));
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 60));
  ASSERT_TRUE(Succeeds(topic->Trim(From::End())));
  EXPECT_LE(topic->Stats()->first, positions_[20]);
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  ASSERT_TRUE(Succeeds(topic->Trim(From::At(positions_[70]))));
  EXPECT_GT(topic->Stats()->first, positions_[60]);
}

TEST_F(RetentionTest, TrimSaysWhatItWouldDo) {
  auto topic = Make();
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 60));
  const auto bases = Bases();
  const auto dry = topic->Trim(From::At(positions_[40]), {.dry_run = true});
  ASSERT_TRUE(Succeeds(dry));
  EXPECT_EQ(Bases(), bases);
  const auto real = topic->Trim(From::At(positions_[40]));
  ASSERT_TRUE(Succeeds(real));
  EXPECT_EQ(dry->segments, real->segments);
  EXPECT_EQ(dry->bytes, real->bytes);
  EXPECT_EQ(dry->first, real->first);
  EXPECT_EQ(real->bytes, 4096 * real->segments);
  EXPECT_EQ(Bases().size(), bases.size() - real->segments);
  EXPECT_TRUE(Fails(topic->Trim(From::At({1 << 30})), absl::StatusCode::kOutOfRange, "beyond the end"));
  auto reader = OpenReadOnly();
  EXPECT_TRUE(Fails(reader->Trim(From::End()), absl::StatusCode::kFailedPrecondition, "read-only"));
}

// A producer that was idle in a deleted segment goes on at the tail.
TEST_F(RetentionTest, AnIdleProducerSurvives) {
  auto topic = Make();
  auto idle = topic->NewProducer();
  ASSERT_TRUE(Succeeds(idle->Publish("first")));
  ASSERT_NO_FATAL_FAILURE(Publish(*topic, 60));
  ASSERT_TRUE(Succeeds(topic->Trim(From::End())));
  ASSERT_GT(Bases().front(), 0u);
  const auto position = idle->Publish("last");
  ASSERT_TRUE(Succeeds(position));
  EXPECT_GT(*position, positions_.back());
}

}  // namespace
}  // namespace libbus::test
