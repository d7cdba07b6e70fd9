// Reading: where a consumer starts and ends, what it is handed, how it waits and how it is interrupted.
#include "libbus/consumer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;
using Texts = std::vector<std::string>;

constexpr absl::Duration kNow = absl::ZeroDuration();
// Never expires in a test that passes.
constexpr absl::Duration kLong = absl::Seconds(60);

std::string Number(uint64_t n) { return "record" + std::to_string(1000 + n); }

// Records of ten letters take 40 bytes, so a segment of one page holds 100.
class ConsumerTest : public TopicTest {
 protected:
  static constexpr uint64_t kSize = 40;
  static constexpr uint64_t kPerSegment = 100;

  ConsumerTest() : topic_(Make({.claim_timeout = absl::ZeroDuration()})), producer_(topic_->NewProducer()) {}
  ~ConsumerTest() override {
    seam_control.no_bounds = false;
    seam_control.no_waitv = false;
    seam_control.clock_offset = 0;
  }

  static Position PositionOf(uint64_t n) { return {n / kPerSegment * 4096 + 64 + n % kPerSegment * kSize}; }
  void Publish(uint64_t count) {
    for (uint64_t n = 0; n < count; ++n) {
      ASSERT_EQ(producer_->Publish(Number(next_)).value(), PositionOf(next_));
      ++next_;
    }
  }
  Consumer Consume(const ConsumerOptions& options = {}) {
    auto consumer = topic_->NewConsumer(options);
    EXPECT_TRUE(Succeeds(consumer));
    return *std::move(consumer);
  }
  static Texts Rest(Consumer& consumer) {
    Texts texts;
    for (const RecordView& record : consumer.Records(kNow)) texts.push_back(TextOf(record));
    return texts;
  }
  static Texts Numbers(uint64_t from, uint64_t to) {
    Texts texts;
    for (uint64_t n = from; n < to; ++n) texts.push_back(Number(n));
    return texts;
  }
  // The segment file's byte at a position of the log.
  void FlipAt(uint64_t position, char bits) { Flip(Path(SegmentName(position / 4096 * 4096)), position % 4096, bits); }

  absl::StatusOr<Topic> topic_;
  absl::StatusOr<Producer> producer_;
  uint64_t next_ = 0;
};

// --- from and to -----------------------------------------------------------------------------------------------------

TEST_F(ConsumerTest, FromStartReadsAllAndFromEndOnlyWhatComes) {
  Publish(150);
  Consumer start = Consume();
  Consumer end = Consume({.from = From::End()});
  EXPECT_EQ(Rest(start), Numbers(0, 150));
  EXPECT_EQ(Rest(end), Texts());
  Publish(60);
  EXPECT_EQ(Rest(start), Numbers(150, 210));
  EXPECT_EQ(Rest(end), Numbers(150, 210));
}

TEST_F(ConsumerTest, FromEndOfAnEmptyTopic) {
  Consumer consumer = Consume({.from = From::End()});
  Publish(1);
  EXPECT_EQ(Rest(consumer), Numbers(0, 1));
}

TEST_F(ConsumerTest, FromEachPositionReadsOnFromThere) {
  Publish(250);
  for (uint64_t n = 0; n < 250; n += 7) {
    Consumer consumer = Consume({.from = From::At(PositionOf(n))});
    EXPECT_EQ(consumer.position(), PositionOf(n));
    EXPECT_EQ(TextOf(consumer.Next(kNow)), Number(n));
  }
}

TEST_F(ConsumerTest, EachNextPositionLeadsToTheNextRecord) {
  Publish(205);  // across two ends of segments
  Consumer consumer = Consume();
  Consumer other = Consume();
  for (uint64_t n = 0; n < 205; ++n) {
    const Position next = consumer.Next(kNow)->next_position();
    ASSERT_TRUE(Succeeds(other.Seek(From::At(next)))) << n;
    if (n + 1 < 205) {
      ASSERT_EQ(TextOf(other.Next(kNow)), Number(n + 1));
    }
  }
  Publish(1);
  EXPECT_EQ(TextOf(other.Next(kNow)), Number(205));
}

TEST_F(ConsumerTest, TheEndOfAFullSegmentIsAPositionToo) {
  Publish(100);
  Consumer consumer = Consume({.from = From::Last(1)});
  const Position end = consumer.Next(kNow)->next_position();
  EXPECT_EQ(end, (Position{64 + 100 * kSize}));
  Consumer other = Consume({.from = From::At(end)});
  Publish(1);
  EXPECT_EQ(TextOf(other.Next(kNow)), Number(100));
  ASSERT_TRUE(Succeeds(other.Seek(From::At(end))));
  EXPECT_EQ(TextOf(other.Next(kNow)), Number(100));
}

TEST_F(ConsumerTest, APositionInsideARecordIsRefusedByTheNameOfItsStart) {
  Publish(150);
  Consumer consumer = Consume({.from = From::At(PositionOf(3))});
  for (const uint64_t inside : {uint64_t{1}, uint64_t{8}, uint64_t{24}, kSize - 1}) {
    for (const uint64_t n : {0, 99, 100, 149}) {
      const From from = From::At({PositionOf(n).offset + inside});
      const std::string start = "starts at " + std::to_string(PositionOf(n).offset);
      EXPECT_TRUE(Fails(topic_->NewConsumer({.from = from}), StatusCode::kInvalidArgument, start)) << inside;
      EXPECT_TRUE(Fails(consumer.Seek(from), StatusCode::kInvalidArgument, start));
    }
  }
  EXPECT_EQ(TextOf(consumer.Next(kNow)), Number(3)) << "stays where it was on error";
}

TEST_F(ConsumerTest, APositionInsideALargeRecordIsRefused) {
  const Position large = producer_->Publish(std::string(100'000, 'x')).value();
  ASSERT_TRUE(Succeeds(producer_->Publish("after")));
  for (const uint64_t inside : {4096, 4096 * 3 + 8, 99'999}) {
    EXPECT_TRUE(Fails(topic_->NewConsumer({.from = From::At({large.offset + inside})}), StatusCode::kInvalidArgument,
                      "starts at " + std::to_string(large.offset)));
  }
}

TEST_F(ConsumerTest, APositionBeyondTheEndIsOutOfRange) {
  Publish(2);
  Consumer consumer = Consume();
  for (const uint64_t beyond : {PositionOf(2).offset + 1, PositionOf(3).offset, uint64_t{4095}, uint64_t{4096 + 64},
                                uint64_t{1} << 40, ~uint64_t{0}}) {
    EXPECT_TRUE(Fails(consumer.Seek(From::At({beyond})), StatusCode::kOutOfRange, "beyond the end")) << beyond;
  }
  EXPECT_EQ(consumer.position(), PositionOf(0));
  EXPECT_TRUE(Succeeds(consumer.Seek(From::At(PositionOf(2)))));
}

TEST_F(ConsumerTest, APositionInASegmentsHeaderIsItsFirstRecord) {
  Publish(101);
  for (const uint64_t offset : {0, 1, 63}) {
    EXPECT_EQ(TextOf(Consume({.from = From::At({offset})}).Next(kNow)), Number(0));
    EXPECT_EQ(TextOf(Consume({.from = From::At({4096 + offset})}).Next(kNow)), Number(100));
  }
}

// Nobody deleted it: whoever comes from there, or would have, is told.
TEST_F(ConsumerTest, AFirstSegmentThatIsMissingIsAGap) {
  Publish(250);
  const Position middle = PositionOf(50);
  {
    Consumer cursor = Consume({.cursor = "c"});
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(Succeeds(cursor.Next(kNow)));
    ASSERT_TRUE(Succeeds(cursor.Commit()));
  }
  std::filesystem::remove(Path(SegmentName(0)));
  const auto expect_gap = [&](const ConsumerOptions& options, uint64_t from) {
    Consumer consumer = Consume(options);
    EXPECT_EQ(consumer.position().offset, from);
    auto gap = consumer.Next(kNow);
    ASSERT_TRUE(Succeeds(gap));
    ASSERT_EQ(TextOf(*gap), "<damage>") << from;
    EXPECT_EQ(gap->gap().from.offset, from);
    EXPECT_EQ(gap->gap().to.offset, 4096u + 64);
    EXPECT_TRUE(gap->gap().loss());
    for (int i = 100; i < 250; ++i) ASSERT_EQ(TextOf(consumer.Next(kNow)), Number(i));
    EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDeadlineExceeded));
  };
  expect_gap({}, 64);
  expect_gap({.from = From::At({0})}, 64);
  expect_gap({.from = From::At({64})}, 64);
  expect_gap({.from = From::At(middle)}, middle.offset);
  expect_gap({.from = From::Sequence(0)}, 64);
  expect_gap({.from = From::Last(151)}, 64);
  expect_gap({.from = From::Last(100'000)}, 64);
  expect_gap({.cursor = "c"}, middle.offset);
  // What is there is found as before.
  EXPECT_EQ(TextOf(Consume({.from = From::Last(150)}).Next(kNow)), Number(100));
  EXPECT_EQ(TextOf(Consume({.from = From::Last(149)}).Next(kNow)), Number(101));
  EXPECT_EQ(TextOf(Consume({.from = From::At(PositionOf(120))}).Next(kNow)), Number(120));
  EXPECT_EQ(Consume({.from = From::At(PositionOf(120))}).Next(kNow)->sequence(), std::nullopt);
  EXPECT_TRUE(Fails(Consume({.gaps = Gaps::kError}).Next(kNow), StatusCode::kDataLoss));
}

TEST_F(ConsumerTest, FromTimeFindsTheFirstNotBeforeIt) {
  const auto at = [](int64_t s) { return absl::FromUnixSeconds(s); };
  for (const int64_t s : {10, 20, 15, 30}) {
    ASSERT_TRUE(Succeeds(producer_->Publish(std::to_string(s), {.timestamp = at(s)})));
  }
  const auto first = [&](absl::Time time) { return TextOf(Consume({.from = From::Time(time)}).Next(kNow)); };
  EXPECT_EQ(first(absl::InfinitePast()), "10");
  EXPECT_EQ(first(at(10)), "10");
  EXPECT_EQ(first(at(11)), "20");
  EXPECT_EQ(first(at(21)), "30");
  EXPECT_TRUE(Fails(Consume({.from = From::Time(at(31))}).Next(kNow), StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(Fails(Consume({.from = From::Time(absl::InfiniteFuture())}).Next(kNow), StatusCode::kDeadlineExceeded));
}

TEST_F(ConsumerTest, FromLastCountsAcrossSegments) {
  Publish(350);
  for (const uint64_t n : {0, 1, 49, 50, 51, 100, 149, 150, 151, 250, 349, 350}) {
    EXPECT_EQ(Rest(*std::make_unique<Consumer>(Consume({.from = From::Last(n)}))), Numbers(350 - n, 350)) << n;
  }
  Consumer more = Consume({.from = From::Last(351)});
  EXPECT_EQ(Rest(more), Numbers(0, 350));
}

TEST_F(ConsumerTest, FromLastCountsARecordBeyondASegmentOnce) {
  Publish(10);
  ASSERT_TRUE(Succeeds(producer_->Publish(std::string(20'000, 'L'))));
  ASSERT_TRUE(Succeeds(producer_->Publish("after")));
  Consumer consumer = Consume({.from = From::Last(3)});
  EXPECT_EQ(Rest(consumer), (Texts{Number(9), std::string(20'000, 'L'), "after"}));
}

TEST_F(ConsumerTest, FromSequenceCountsFromZero) {
  Publish(250);
  for (const uint64_t n : {0, 1, 99, 100, 249}) {
    Consumer consumer = Consume({.from = From::Sequence(n)});
    const auto record = consumer.Next(kNow);
    EXPECT_EQ(TextOf(record), Number(n));
    EXPECT_EQ(record->sequence(), n);
  }
  EXPECT_TRUE(Fails(Consume({.from = From::Sequence(250)}).Next(kNow), StatusCode::kDeadlineExceeded));
}

TEST_F(ConsumerTest, ToIsTheFirstPositionNotRead) {
  Publish(150);
  const auto range = [&](From from, From to) {
    Consumer consumer = Consume({.from = from, .to = to});
    Texts texts = Rest(consumer);
    EXPECT_TRUE(Fails(consumer.status(), StatusCode::kOutOfRange, "end of the range"));
    EXPECT_TRUE(Fails(consumer.Next(), StatusCode::kOutOfRange)) << "again";
    return texts;
  };
  EXPECT_EQ(range(From::Start(), From::At(PositionOf(120))), Numbers(0, 120));
  EXPECT_EQ(range(From::At(PositionOf(90)), From::At(PositionOf(100))), Numbers(90, 100));
  EXPECT_EQ(range(From::Sequence(5), From::Sequence(7)), Numbers(5, 7));
  EXPECT_EQ(range(From::Last(20), From::Last(10)), Numbers(130, 140));
  EXPECT_EQ(range(From::Start(), From::Start()), Texts());
  EXPECT_EQ(range(From::At(PositionOf(7)), From::At(PositionOf(7))), Texts());
  EXPECT_EQ(range(From::Start(), From::End()), Numbers(0, 150));
}

TEST_F(ConsumerTest, ToEndStopsThoughMoreComes) {
  Publish(5);
  Consumer consumer = Consume({.to = From::End()});
  Publish(5);
  EXPECT_EQ(Rest(consumer), Numbers(0, 5));
}

TEST_F(ConsumerTest, ToMayLieAhead) {
  Publish(1);
  Consumer consumer = Consume({.to = From::At(PositionOf(3))});
  EXPECT_EQ(Rest(consumer), Numbers(0, 1));
  EXPECT_TRUE(Fails(consumer.status(), StatusCode::kDeadlineExceeded));
  Publish(5);
  EXPECT_EQ(Rest(consumer), Numbers(1, 3));
  EXPECT_TRUE(Fails(consumer.status(), StatusCode::kOutOfRange));
}

TEST_F(ConsumerTest, ARangeThatEndsBeforeItBeginsIsRefused) {
  Publish(10);
  const auto expect = [&](From from, From to) {
    EXPECT_TRUE(
        Fails(topic_->NewConsumer({.from = from, .to = to}), StatusCode::kInvalidArgument, "ends before it begins"));
  };
  expect(From::At(PositionOf(5)), From::At(PositionOf(4)));
  expect(From::At({1 << 20}), From::At(PositionOf(4)));
  expect(From::At(PositionOf(5)), From::Start());
  expect(From::Last(1), From::Last(2));
  expect(From::End(), From::Sequence(3));
}

TEST_F(ConsumerTest, TwoConsumersShareNothing) {
  Publish(3);
  Consumer first = Consume();
  Consumer second = Consume();
  EXPECT_EQ(Rest(first), Numbers(0, 3));
  EXPECT_EQ(TextOf(second.Next(kNow)), Number(0));
  ASSERT_TRUE(Succeeds(first.Seek(From::At(PositionOf(2)))));
  EXPECT_EQ(TextOf(second.Next(kNow)), Number(1));
  EXPECT_EQ(TextOf(first.Next(kNow)), Number(2));
}

// --- next, poll, records ---------------------------------------------------------------------------------------------

TEST_F(ConsumerTest, NextAtTheEndTimesOut) {
  Publish(1);
  for (const Wait wait : {Wait::kSpinThenPark, Wait::kSpin, Wait::kPark}) {
    Consumer consumer = Consume({.from = From::End(), .wait = wait});
    EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDeadlineExceeded, std::to_string(PositionOf(1).offset)));
    const absl::Time begin = absl::Now();
    EXPECT_TRUE(Fails(consumer.Next(absl::Milliseconds(5)), StatusCode::kDeadlineExceeded));
    EXPECT_GE(absl::Now() - begin, absl::Milliseconds(4));
    EXPECT_TRUE(Fails(consumer.Next(-absl::InfiniteDuration()), StatusCode::kDeadlineExceeded));
  }
}

TEST_F(ConsumerTest, PollHandsOutWhatIsThere) {
  Consumer consumer = Consume();
  EXPECT_TRUE(consumer.Poll(10)->empty());
  Publish(150);
  Texts texts;
  for (int calls = 0; texts.size() < 150 && calls < 100; ++calls) {
    const auto batch = consumer.Poll(7);
    ASSERT_TRUE(Succeeds(batch));
    ASSERT_LE(batch->size(), 7u);
    // All views of a batch are valid at once.
    for (const RecordView& record : *batch) texts.push_back(TextOf(record));
  }
  EXPECT_EQ(texts, Numbers(0, 150));
  EXPECT_TRUE(consumer.Poll(10)->empty());
}

TEST_F(ConsumerTest, PollKeepsAllItsSegmentsMapped) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Succeeds(producer_->Publish(std::string(3000, static_cast<char>('a' + i)))));
  Consumer consumer = Consume();
  const auto batch = consumer.Poll(100);
  ASSERT_TRUE(Succeeds(batch));
  ASSERT_FALSE(batch->empty());
  for (size_t i = 0; i < batch->size(); ++i) {
    EXPECT_EQ((*batch)[i].text(), std::string(3000, static_cast<char>('a' + i)));
  }
}

TEST_F(ConsumerTest, PollOfNothingGivesNothing) {
  Publish(1);
  Consumer consumer = Consume();
  EXPECT_TRUE(consumer.Poll(0)->empty());
  EXPECT_EQ(consumer.Poll(1)->size(), 1u);
}

TEST_F(ConsumerTest, PollTellsTheEndOfTheRangeAfterTheRecords) {
  Publish(5);
  Consumer consumer = Consume({.to = From::At(PositionOf(3))});
  EXPECT_EQ(consumer.Poll(100)->size(), 3u);
  EXPECT_TRUE(Fails(consumer.Poll(100), StatusCode::kOutOfRange));
}

TEST_F(ConsumerTest, RecordsEndsWithTheReason) {
  Publish(3);
  Consumer consumer = Consume();
  EXPECT_TRUE(Succeeds(consumer.status()));
  EXPECT_EQ(Rest(consumer), Numbers(0, 3));
  EXPECT_TRUE(Fails(consumer.status(), StatusCode::kDeadlineExceeded));
  Publish(2);
  for (const RecordView& record : consumer.Records(kNow)) {
    EXPECT_EQ(record.text(), Number(3));
    break;
  }
  EXPECT_TRUE(Succeeds(consumer.status())) << "left early";
  EXPECT_EQ(TextOf(consumer.Next(kNow)), Number(4));
}

TEST_F(ConsumerTest, ASegmentStaysMappedAsLongAsAViewOfItIsValid) {
  Publish(101);
  Consumer consumer = Consume({.from = From::At(PositionOf(99))});
  const auto last = consumer.Next(kNow);
  ASSERT_TRUE(Succeeds(last));
  producer_ = absl::UnknownError("gone");
  topic_ = absl::UnknownError("gone");
  std::filesystem::remove_all(bus_);
  EXPECT_EQ(last->text(), Number(99));
}

#ifndef LIBBUS_TEST_SHARED_MAPPING  // under the thread sanitizer there is one mapping for all
TEST_F(ConsumerTest, TheMappingOfAReaderIsReadOnly) {
  Publish(1);
  producer_ = absl::UnknownError("gone");
  topic_ = OpenReadOnly();
  Consumer consumer = Consume();
  const auto record = consumer.Next(kNow);
  const auto at = reinterpret_cast<uintptr_t>(record->payload().data());
  std::ifstream maps("/proc/self/maps");
  std::string line;
  std::string rights;
  while (std::getline(maps, line)) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    char how[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, how) == 3 && begin <= at && at < end) rights = how;
  }
  EXPECT_EQ(rights, "r--s");
}
#endif

// --- sequence --------------------------------------------------------------------------------------------------------

TEST_F(ConsumerTest, SequenceIsKnownWhereItWasCounted) {
  Publish(3);
  EXPECT_EQ(Consume().Next(kNow)->sequence(), 0u);
  EXPECT_EQ(Consume({.from = From::At(PositionOf(1))}).Next(kNow)->sequence(), 1u);
  EXPECT_EQ(Consume({.from = From::Last(1)}).Next(kNow)->sequence(), 2u);
  Consumer end = Consume({.from = From::End()});
  Publish(1);
  EXPECT_EQ(end.Next(kNow)->sequence(), 3u);
}

TEST_F(ConsumerTest, GapsCountInSequences) {
  Publish(1);
  ASSERT_TRUE(Succeeds(std::move(*producer_->Claim(10)).Abandon()));
  ASSERT_TRUE(Succeeds(producer_->Publish("x")));
  Consumer consumer = Consume();
  EXPECT_EQ(consumer.Next(kNow)->sequence(), 0u);
  EXPECT_EQ(consumer.Next(kNow)->sequence(), 2u);
  EXPECT_EQ(TextOf(Consume({.from = From::Sequence(2)}).Next(kNow)), "x");
  EXPECT_EQ(Consume({.gaps = Gaps::kAll}).Poll(3)->at(1).sequence(), 1u);
}

// --- gaps ------------------------------------------------------------------------------------------------------------

TEST_F(ConsumerTest, ARottenPayloadIsAGapOfItsOwnSize) {
  Publish(5);
  FlipAt(PositionOf(2).offset + 24 + 5, 1);
  Consumer consumer = Consume();
  EXPECT_EQ(consumer.Poll(2)->size(), 2u);
  const auto gap = consumer.Next(kNow);
  ASSERT_TRUE(Succeeds(gap));
  ASSERT_EQ(gap->kind(), RecordKind::kGap);
  EXPECT_TRUE(gap->payload().empty());
  EXPECT_EQ(gap->gap(), (Gap{GapCause::kDamage, PositionOf(2), PositionOf(3), 1}));
  EXPECT_EQ(gap->sequence(), 2u);
  const auto next = consumer.Next(kNow);
  EXPECT_EQ(TextOf(next), Number(3));
  EXPECT_EQ(next->sequence(), 3u) << "its word survived, so it still counts as one";
}

TEST_F(ConsumerTest, EveryByteOfARecordIsCovered) {
  Publish(3);
  for (uint64_t byte = 0; byte < 24 + 10; ++byte) {
    FlipAt(PositionOf(1).offset + byte, 0x10);
    Consumer consumer = Consume();
    EXPECT_EQ(Rest(consumer), (Texts{Number(0), "<damage>", Number(2)})) << byte;
    FlipAt(PositionOf(1).offset + byte, 0x10);
  }
  Consumer consumer = Consume();
  EXPECT_EQ(Rest(consumer), Numbers(0, 3));
}

TEST_F(ConsumerTest, ARottenWordIsAGapUpToTheNextRecord) {
  Publish(5);
  FlipAt(PositionOf(2).offset + 6, 1);
  Consumer consumer = Consume();
  EXPECT_EQ(consumer.Poll(2)->size(), 2u);
  const auto gap = consumer.Next(kNow);
  ASSERT_TRUE(Succeeds(gap));
  EXPECT_EQ(gap->gap(), (Gap{GapCause::kDamage, PositionOf(2), PositionOf(3), std::nullopt}));
  const auto next = consumer.Next(kNow);
  EXPECT_EQ(TextOf(next), Number(3));
  EXPECT_EQ(next->sequence(), std::nullopt) << "nobody knows how many records stood there";
}

TEST_F(ConsumerTest, DamageAtTheEndIsNotTheEnd) {
  Publish(3);
  FlipAt(PositionOf(2).offset + 1, 1);
  Consumer consumer = Consume();
  EXPECT_EQ(consumer.Poll(2)->size(), 2u);
  EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDataLoss, std::to_string(PositionOf(2).offset)));
  EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDataLoss)) << "and stays so";
}

TEST_F(ConsumerTest, AProducerTouchesNothingBehindDamage) {
  Publish(3);
  auto late = topic_->NewProducer();
  FlipAt(PositionOf(2).offset + 1, 1);
  const std::string before = ReadFile(Path(SegmentName(0)));
  EXPECT_TRUE(Fails(late->Publish("x"), StatusCode::kDataLoss, std::to_string(PositionOf(2).offset)));
  EXPECT_EQ(ReadFile(Path(SegmentName(0))), before);
}

TEST_F(ConsumerTest, AZeroedRecordBelowTheHintIsFoundWhileWaiting) {
  Publish(96);
  Patch(Path(SegmentName(0)), PositionOf(2).offset, std::string(kSize, '\0'));
  Consumer consumer = Consume();
  EXPECT_EQ(consumer.Poll(2)->size(), 2u);
  const auto gap = consumer.Next(kLong);
  ASSERT_TRUE(Succeeds(gap));
  EXPECT_EQ(gap->gap().cause, GapCause::kDamage);
  EXPECT_EQ(gap->next_position(), PositionOf(3));
  EXPECT_EQ(Rest(consumer), Numbers(3, 96));
}

TEST_F(ConsumerTest, PolicyLossHandsOutLossesOnly) {
  Publish(2);
  ASSERT_TRUE(Succeeds(std::move(*producer_->Claim(10)).Abandon()));
  ASSERT_TRUE(Succeeds(producer_->Publish("x")));
  FlipAt(PositionOf(1).offset + 24, 1);
  Consumer loss = Consume({.gaps = Gaps::kLoss});
  EXPECT_EQ(Rest(loss), (Texts{Number(0), "<damage>", "x"}));
  Consumer all = Consume({.gaps = Gaps::kAll});
  EXPECT_EQ(Rest(all), (Texts{Number(0), "<damage>", "<aborted>", "x"}));
}

TEST_F(ConsumerTest, PolicyErrorMakesALossAnErrorAndGoesOnBehindIt) {
  Publish(3);
  ASSERT_TRUE(Succeeds(std::move(*producer_->Claim(10)).Abandon()));
  FlipAt(PositionOf(1).offset + 24, 1);
  Consumer consumer = Consume({.gaps = Gaps::kError});
  EXPECT_EQ(TextOf(consumer.Next(kNow)), Number(0));
  EXPECT_TRUE(
      Fails(consumer.Next(kNow), StatusCode::kDataLoss,
            "lost from " + std::to_string(PositionOf(1).offset) + " to " + std::to_string(PositionOf(2).offset)));
  EXPECT_EQ(TextOf(consumer.Next(kNow)), Number(2));
  EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDeadlineExceeded)) << "an abandoned claim is no loss";
  ASSERT_TRUE(Succeeds(consumer.Seek(From::Start())));
  EXPECT_EQ(consumer.Poll(10)->size(), 1u);
  EXPECT_TRUE(Fails(consumer.Poll(10), StatusCode::kDataLoss)) << "after the records before it";
  EXPECT_EQ(consumer.Poll(10)->size(), 1u);
}

TEST_F(ConsumerTest, ASeekThatFailsKeepsWhatPollMet) {
  Publish(3);
  FlipAt(PositionOf(1).offset + 24, 1);
  Consumer consumer = Consume({.gaps = Gaps::kError});
  EXPECT_EQ(consumer.Poll(10)->size(), 1u);
  EXPECT_TRUE(Fails(consumer.Seek(From::At({1 << 20})), StatusCode::kOutOfRange));
  EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDataLoss));
  EXPECT_EQ(TextOf(consumer.Next(kNow)), Number(2));
}

TEST_F(ConsumerTest, APositionInsideAGapHandsOutThatGapFirst) {
  Publish(1);
  ASSERT_TRUE(Succeeds(std::move(*producer_->Claim(100)).Abandon()));
  ASSERT_TRUE(Succeeds(producer_->Publish("x")));
  const Position gap = PositionOf(1);
  for (const Gaps gaps : {Gaps::kLoss, Gaps::kAll, Gaps::kError}) {
    Consumer consumer = Consume({.from = From::At({gap.offset + 50}), .gaps = gaps});
    EXPECT_EQ(consumer.position(), gap);
    EXPECT_EQ(TextOf(consumer.Next(kNow)), "<aborted>");
    EXPECT_EQ(TextOf(consumer.Next(kNow)), "x");
    ASSERT_TRUE(Succeeds(consumer.Seek(From::At({gap.offset + 8}))));
    EXPECT_EQ(TextOf(consumer.Next(kNow)), "<aborted>");
    EXPECT_EQ(TextOf(consumer.Next(kNow)), "x");
  }
}

TEST_F(ConsumerTest, APositionInsideADamagedRangeHandsOutTheGapFirst) {
  Publish(4);
  FlipAt(PositionOf(1).offset + 6, 1);
  FlipAt(PositionOf(2).offset + 30, 1);
  for (const uint64_t inside : {PositionOf(1).offset + 8, PositionOf(2).offset, PositionOf(2).offset + 16}) {
    Consumer consumer = Consume({.from = From::At({inside})});
    const auto gap = consumer.Next(kNow);
    ASSERT_TRUE(Succeeds(gap)) << inside;
    EXPECT_EQ(TextOf(gap), "<damage>");
    EXPECT_LE(gap->gap().from.offset, inside);
    EXPECT_GT(gap->gap().to.offset, inside);
    EXPECT_EQ(Rest(consumer).back(), Number(3));
  }
}

TEST_F(ConsumerTest, DamageBeforeTheEndDoesNotHideTheEnd) {
  Publish(4);
  FlipAt(PositionOf(1).offset + 6, 1);
  const Texts all = {Number(0), "<damage>", Number(2), Number(3)};
  EXPECT_EQ(ReadAll(*topic_), all);
  EXPECT_EQ(topic_->Stats()->end, PositionOf(4));
  Consumer end = Consume({.from = From::End()});
  EXPECT_EQ(end.position(), PositionOf(4));
  Consumer last = Consume({.from = From::Last(2)});
  EXPECT_EQ(Rest(last), (Texts{Number(2), Number(3)}));
  Consumer third = Consume({.from = From::Time(absl::InfinitePast())});
  EXPECT_EQ(Rest(third), all);
}

// --- waiting ---------------------------------------------------------------------------------------------------------

struct Waiting {
  Wait wait;
  bool no_waitv;
};

class ConsumerWaits : public ConsumerTest, public testing::WithParamInterface<Waiting> {
 protected:
  ConsumerWaits() {
    seam_control.no_waitv = GetParam().no_waitv;
    // Nothing but a wake-up ends a sleep.
    seam_control.no_bounds = true;
  }
  // Parked: it has gone to sleep in the kernel. Spinning: nothing to see, it is in Next() soon.
  void AwaitWaiting(uint64_t sleeps_before) const {
    if (GetParam().wait == Wait::kSpin) return;
    while (seam_control.sleeps == sleeps_before) sched_yield();
  }
};

TEST_P(ConsumerWaits, ForARecord) {
  Consumer consumer = Consume({.wait = GetParam().wait});
  for (uint64_t n = 0; n < 110; ++n) {
    const uint64_t sleeps = seam_control.sleeps;
    std::thread publisher([&] {
      AwaitWaiting(sleeps);
      Publish(1);
    });
    EXPECT_EQ(TextOf(consumer.Next(kLong)), Number(n));
    publisher.join();
  }
}

TEST_P(ConsumerWaits, ForAClaimToBeCommittedOrAbandoned) {
  Consumer consumer = Consume({.wait = GetParam().wait, .gaps = Gaps::kAll});
  for (const bool commit : {true, false}) {
    ClaimedRecord claim = producer_->Claim(1).value();
    claim.bytes()[0] = std::byte{'c'};
    const uint64_t sleeps = seam_control.sleeps;
    std::thread owner([&] {
      AwaitWaiting(sleeps);
      if (commit) {
        EXPECT_TRUE(Succeeds(std::move(claim).Commit()));
      } else {
        EXPECT_TRUE(Succeeds(std::move(claim).Abandon()));
      }
    });
    EXPECT_EQ(TextOf(consumer.Next(kLong)), commit ? "c" : "<aborted>");
    owner.join();
  }
}

TEST_P(ConsumerWaits, UntilInterrupted) {
  Consumer consumer = Consume({.wait = GetParam().wait});
  const uint64_t sleeps = seam_control.sleeps;
  std::thread other([&] {
    AwaitWaiting(sleeps);
    consumer.Interrupt();
  });
  EXPECT_TRUE(Fails(consumer.Next(), StatusCode::kCancelled));
  other.join();
  EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDeadlineExceeded)) << "once";
  consumer.Interrupt();
  Publish(1);
  EXPECT_EQ(TextOf(consumer.Next(kNow)), Number(0)) << "who does not wait is not interrupted";
  EXPECT_TRUE(Fails(consumer.Next(), StatusCode::kCancelled));
}

std::string NameOf(const testing::TestParamInfo<Waiting>& info) {
  const std::string wait = info.param.wait == Wait::kSpin   ? "Spinning"
                           : info.param.wait == Wait::kPark ? "Parked"
                                                            : "SpinningThenParked";
  return wait + (info.param.no_waitv ? "WithoutWaitv" : "");
}

INSTANTIATE_TEST_SUITE_P(Modes, ConsumerWaits,
                         testing::Values(Waiting{Wait::kSpin, false}, Waiting{Wait::kPark, false},
                                         Waiting{Wait::kSpinThenPark, false}, Waiting{Wait::kPark, true}),
                         NameOf);

#ifndef LIBBUS_TEST_SHARED_MAPPING  // the thread sanitizer puts handlers off as long as a thread sleeps in a bare
                                    // syscall
Consumer* interrupted_by_signal = nullptr;

TEST_F(ConsumerTest, ASignalHandlerMayInterrupt) {
  seam_control.no_bounds = true;
  Consumer consumer = Consume({.wait = Wait::kPark});
  interrupted_by_signal = &consumer;
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted_by_signal->Interrupt(); };
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  const pthread_t self = pthread_self();
  const uint64_t sleeps = seam_control.sleeps;
  std::thread other([&] {
    while (seam_control.sleeps == sleeps) sched_yield();
    pthread_kill(self, SIGUSR1);
  });
  EXPECT_TRUE(Fails(consumer.Next(), StatusCode::kCancelled));
  other.join();
}
#endif

TEST_F(ConsumerTest, ASignalWithoutInterruptDoesNotEndTheWait) {
  Consumer consumer = Consume({.wait = Wait::kPark});
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  const pthread_t self = pthread_self();
  const uint64_t sleeps = seam_control.sleeps;
  std::thread other([&] {
    while (seam_control.sleeps == sleeps) sched_yield();
    pthread_kill(self, SIGUSR1);
    while (seam_control.sleeps == sleeps + 1) sched_yield();
    Publish(1);
  });
  EXPECT_EQ(TextOf(consumer.Next(kLong)), Number(0));
  other.join();
}

TEST_F(ConsumerTest, AnEndlessSpinIsASpin) {
  Consumer consumer = Consume({.spin = absl::InfiniteDuration()});
  const uint64_t sleeps = seam_control.sleeps;
  EXPECT_TRUE(Fails(consumer.Next(absl::Milliseconds(3)), StatusCode::kDeadlineExceeded));
  EXPECT_EQ(seam_control.sleeps, sleeps);
}

TEST_F(ConsumerTest, ParkingDoesNotSpinAndSpinningDoesNotPark) {
  const uint64_t sleeps = seam_control.sleeps;
  EXPECT_TRUE(Fails(Consume({.wait = Wait::kSpin}).Next(absl::Milliseconds(3)), StatusCode::kDeadlineExceeded));
  EXPECT_EQ(seam_control.sleeps, sleeps);
  EXPECT_TRUE(Fails(Consume({.wait = Wait::kPark}).Next(absl::Milliseconds(3)), StatusCode::kDeadlineExceeded));
  EXPECT_GT(seam_control.sleeps, sleeps);
}

TEST_F(ConsumerTest, NobodySleepsNobodyIsWoken) {
  const uint64_t wakes = seam_control.wakes;
  Publish(50);
  EXPECT_EQ(seam_control.wakes, wakes);
}

// --- the topic goes away ---------------------------------------------------------------------------------------------

TEST_F(ConsumerTest, ARemovedTopicIsSaidAndNotSleptThrough) {
  producer_ = absl::UnknownError("gone");
  Consumer consumer = Consume({.wait = Wait::kPark});
  const uint64_t sleeps = seam_control.sleeps;
  std::thread remover([&] {
    while (seam_control.sleeps == sleeps) sched_yield();
    std::filesystem::remove_all(bus_ + "/t");
  });
  EXPECT_TRUE(Fails(consumer.Next(kLong), StatusCode::kNotFound, "removed"));
  remover.join();
}

TEST_F(ConsumerTest, ATopicMadeAnewIsSaid) {
  Consumer consumer = Consume({.wait = Wait::kSpinThenPark});
  producer_ = absl::UnknownError("gone");
  std::filesystem::rename(bus_ + "/t", bus_ + "/old");
  ASSERT_TRUE(Succeeds(Make()));
  EXPECT_TRUE(Fails(consumer.Next(kLong), StatusCode::kFailedPrecondition, "replaced"));
}

TEST_F(ConsumerTest, PollNoticesTooInTime) {
  Consumer consumer = Consume();
  producer_ = absl::UnknownError("gone");
  std::filesystem::remove_all(bus_ + "/t");
  ASSERT_TRUE(Succeeds(consumer.Poll(1)));
  seam_control.clock_offset = 1'000'000'000;
  EXPECT_TRUE(Fails(consumer.Poll(1), StatusCode::kNotFound, "removed"));
}

TEST_F(ConsumerTest, OutlivesTheTopicHandle) {
  Publish(1);
  Consumer consumer = Consume();
  producer_ = absl::UnknownError("gone");
  topic_ = absl::UnknownError("gone");
  Consumer moved = std::move(consumer);
  EXPECT_EQ(TextOf(moved.Next(kNow)), Number(0));
  consumer = std::move(moved);
  EXPECT_TRUE(Fails(consumer.Next(kNow), StatusCode::kDeadlineExceeded));
}

TEST_F(ConsumerTest, OfAReadOnlyBusNeverSwapsARecordWord) {
  Publish(20);
  const ClaimedRecord claim = producer_->Claim(10).value();
  auto reader = OpenReadOnly();
  auto consumer = reader->NewConsumer();
  const uint64_t writes = seam_control.record_writes;
  const std::string before = ReadFile(Path(SegmentName(0)));
  EXPECT_EQ(Rest(*consumer), Numbers(0, 20));
  EXPECT_TRUE(Fails(consumer->Next(absl::Milliseconds(10)), StatusCode::kDeadlineExceeded, "slot 1"));
  EXPECT_EQ(seam_control.record_writes, writes);
  EXPECT_EQ(ReadFile(Path(SegmentName(0))), before);
}

}  // namespace
}  // namespace libbus::test
