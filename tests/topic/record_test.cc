#include "libbus/record.h"

#include <gtest/gtest.h>

#include <sstream>

#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

TEST(Position, OrdersAndPrintsAsADecimal) {
  std::ostringstream out;
  out << Position{18446744073709551615u};
  EXPECT_EQ(out.str(), "18446744073709551615");
  EXPECT_LT(Position{9}, Position{10});
  EXPECT_EQ(Position{}, Position{0});
}

TEST(GapCause, HasANameAndSaysWhetherSomethingWasLost) {
  const auto loss = [](GapCause cause) { return Gap{.cause = cause}.loss(); };
  EXPECT_EQ(GapCauseName(GapCause::kDead), "dead");
  EXPECT_EQ(GapCauseName(GapCause::kRevoked), "revoked");
  EXPECT_EQ(GapCauseName(GapCause::kAborted), "aborted");
  EXPECT_EQ(GapCauseName(GapCause::kTorn), "torn");
  EXPECT_EQ(GapCauseName(GapCause::kDamage), "damage");
  EXPECT_EQ(GapCauseName(static_cast<GapCause>(17)), "unknown");
  EXPECT_FALSE(loss(GapCause::kDead) || loss(GapCause::kRevoked) || loss(GapCause::kAborted));
  EXPECT_TRUE(loss(GapCause::kTorn) && loss(GapCause::kDamage) && loss(static_cast<GapCause>(17)));
}

TEST(AsBytes, AreTheBytesOfTheText) {
  const std::string_view text("a\0b", 3);
  ASSERT_EQ(AsBytes(text).size(), 3u);
  EXPECT_EQ(static_cast<const void*>(AsBytes(text).data()), text.data());
}

class RecordViewTest : public TopicTest {
 protected:
  RecordViewTest() : topic_(Make()), producer_(topic_->NewProducer()), consumer_(topic_->NewConsumer()) {}
  RecordView Read() { return consumer_->Next(absl::ZeroDuration()).value(); }

  absl::StatusOr<Topic> topic_;
  absl::StatusOr<Producer> producer_;
  absl::StatusOr<Consumer> consumer_;
};

TEST_F(RecordViewTest, ARecordWithoutAttributesHasNone) {
  ASSERT_TRUE(Succeeds(producer_->Publish("text")));
  const RecordView view = Read();
  EXPECT_EQ(view.kind(), RecordKind::kData);
  EXPECT_EQ(view.text(), "text");
  EXPECT_EQ(view.payload().size(), 4u);
  EXPECT_EQ(view.key(), "");
  EXPECT_TRUE(view.headers().empty());
  EXPECT_EQ(view.type(), 0u);
  EXPECT_EQ(view.source(), std::nullopt);
  EXPECT_EQ(view.producer(), "");
  EXPECT_EQ(view.producer_sequence(), 0u);
  EXPECT_EQ(view.sequence(), 0u);
  EXPECT_EQ(view.position(), Position{64});
  EXPECT_EQ(view.next_position(), Position{64 + 32});
}

TEST_F(RecordViewTest, AllAttributesComeBack) {
  const std::string binary("k\0\n\xff", 4);
  const Header headers[] = {{"name", "value"}, {"name", ""}, {"", binary}};
  const absl::Time time = absl::FromUnixNanos(-123456789);
  ASSERT_TRUE(Succeeds(producer_->Publish("payload", {.key = binary,
                                                      .headers = headers,
                                                      .type = 0xFFFFFFFF,
                                                      .timestamp = time,
                                                      .source = Position{77},
                                                      .producer = "loader",
                                                      .producer_sequence = ~uint64_t{0}})));
  const RecordView view = Read();
  EXPECT_EQ(view.text(), "payload");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(view.payload().data()) % 8, 0u);
  EXPECT_EQ(view.key(), binary);
  EXPECT_EQ(view.headers(), std::vector<Header>(std::begin(headers), std::end(headers)));
  EXPECT_EQ(view.type(), 0xFFFFFFFF);
  EXPECT_EQ(view.timestamp(), time);
  EXPECT_EQ(view.timestamp_nanos(), -123456789);
  EXPECT_EQ(view.source(), Position{77});
  EXPECT_EQ(view.producer(), "loader");
  EXPECT_EQ(view.producer_sequence(), ~uint64_t{0});
}

TEST_F(RecordViewTest, EachAttributeStandsAlone) {
  const Header header[] = {{"h", "v"}};
  ASSERT_TRUE(Succeeds(producer_->Publish("", {.key = "k"})));
  ASSERT_TRUE(Succeeds(producer_->Publish("", {.headers = header})));
  ASSERT_TRUE(Succeeds(producer_->Publish("", {.source = Position{0}})));
  ASSERT_TRUE(Succeeds(producer_->Publish("", {.producer = "p"})));
  ASSERT_TRUE(Succeeds(producer_->Publish("", {.producer_sequence = 5})));
  const std::vector<std::string> wanted = {"k:0::", ":1::", ":0:0:", ":0::p", ":0::"};
  for (const std::string& each : wanted) {
    const RecordView view = Read();
    const std::string source = view.source() ? std::to_string(view.source()->offset) : "";
    EXPECT_EQ(std::string(view.key()) + ":" + std::to_string(view.headers().size()) + ":" + source + ":" +
                  std::string(view.producer()),
              each);
    EXPECT_TRUE(view.payload().empty());
    EXPECT_EQ(view.producer_sequence(), 0u);
  }
}

TEST_F(RecordViewTest, AttributesLargerThanThePayloadAndASegment) {
  const std::string key(5000, 'k');
  std::vector<Header> headers(300, Header{"name", "value"});
  ASSERT_TRUE(Succeeds(producer_->Publish("p", {.key = key, .headers = headers})));
  const RecordView view = Read();
  EXPECT_EQ(view.key(), key);
  EXPECT_EQ(view.headers(), headers);
  EXPECT_EQ(view.text(), "p");
}

TEST_F(RecordViewTest, AClaimHasAttributesToo) {
  auto claim = producer_->Claim(10, {.key = "key", .type = 9, .source = Position{5}});
  std::memcpy(claim->bytes().data(), "1234567890", 10);
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit(3)));
  const RecordView view = Read();
  EXPECT_EQ(view.text(), "123");
  EXPECT_EQ(view.key(), "key");
  EXPECT_EQ(view.type(), 9u);
  EXPECT_EQ(view.source(), Position{5});
}

TEST_F(RecordViewTest, AnOwnedCopyOutlivesItsConsumer) {
  const Header header[] = {{"h", "v"}};
  ASSERT_TRUE(Succeeds(producer_->Publish(
      "payload",
      {.key = "k", .headers = header, .type = 3, .source = Position{9}, .producer = "p", .producer_sequence = 4})));
  const OwnedRecord copy = Read().ToOwned();
  consumer_ = absl::UnknownError("gone");
  EXPECT_EQ(copy.kind, RecordKind::kData);
  EXPECT_EQ(copy.payload, "payload");
  EXPECT_EQ(copy.key, "k");
  EXPECT_EQ(copy.headers, (std::vector<std::pair<std::string, std::string>>{{"h", "v"}}));
  EXPECT_EQ(copy.type, 3u);
  EXPECT_EQ(copy.position, Position{64});
  EXPECT_GT(copy.next_position, copy.position);
  EXPECT_EQ(copy.sequence, 0u);
  EXPECT_EQ(copy.source, Position{9});
  EXPECT_EQ(copy.producer, "p");
  EXPECT_EQ(copy.producer_sequence, 4u);
}

TEST_F(RecordViewTest, AnOwnedGapKeepsItsRange) {
  auto claim = producer_->Claim(8);
  ASSERT_TRUE(Succeeds(std::move(*claim).Abandon()));
  auto consumer = topic_->NewConsumer({.gaps = Gaps::kAll});
  const OwnedRecord copy = consumer->Next()->ToOwned();
  EXPECT_EQ(copy.kind, RecordKind::kGap);
  EXPECT_EQ(copy.gap.cause, GapCause::kAborted);
  EXPECT_EQ(copy.gap.from, copy.position);
  EXPECT_EQ(copy.gap.to, copy.next_position);
  EXPECT_EQ(copy.gap.owner, 1u);
  EXPECT_EQ(copy.payload, "");
}

TEST_F(RecordViewTest, CopiesOfAViewSeeTheSameBytes) {
  ASSERT_TRUE(Succeeds(producer_->Publish("payload")));
  const RecordView view = Read();
  const RecordView copy = view;
  EXPECT_EQ(copy.payload().data(), view.payload().data());
}

#ifndef NDEBUG
using RecordViewDeathTest = RecordViewTest;

TEST_F(RecordViewDeathTest, AUseAfterTheNextCallFailsLoudly) {
  ASSERT_TRUE(Succeeds(producer_->Publish("1")));
  ASSERT_TRUE(Succeeds(producer_->Publish("2")));
  constexpr char kSays[] = "used after its consumer moved on";
  const RecordView first = Read();
  const RecordView second = Read();
  EXPECT_EQ(second.text(), "2");
  EXPECT_DEATH(first.text(), kSays);
  ASSERT_TRUE(Succeeds(consumer_->Poll(1)));
  EXPECT_DEATH(second.key(), kSays);
  ASSERT_TRUE(Succeeds(consumer_->Seek(From::Start())));
  const RecordView third = Read();
  consumer_ = absl::UnknownError("gone");
  EXPECT_DEATH(third.payload(), kSays);
}
#endif

}  // namespace
}  // namespace libbus::test
