#include "libbus/log/log.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/log/control.h"
#include "tests/support/scratch.h"

namespace libbus {
namespace {

using test::Scratch;

// The hint to the tail stands in a page that others write too: whatever stands there, it is a hint.
class Hint : public testing::Test {
 public:
  static constexpr uint64_t kSize = format::kRecordHeaderSize + 8;  // of each record that is published here

  void SetUp() override {
    auto bus = Bus::Open(scratch_ / "bus", {.create = true, .background = false});
    ASSERT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic("t", {.create = true, .segment_size = uint64_t{1} << 20});
    ASSERT_TRUE(topic.ok()) << topic.status();
    topic_.emplace(*std::move(topic));
    const std::string path = scratch_ / "bus/t";
    const auto directory = platform::OpenDirectory(path);
    ASSERT_TRUE(directory.ok()) << directory.status();
    auto control = log::Control::Open(*directory, path, true);
    ASSERT_TRUE(control.ok()) << control.status();
    control_.emplace(*std::move(control));
  }

  // By a producer who comes anew, and looks for the tail.
  uint64_t Publish(const std::string& text) {
    auto producer = topic_->NewProducer();
    const auto position = producer->Publish(text);
    EXPECT_TRUE(position.ok()) << position.status();
    published_.push_back(text);
    return position.ok() ? position->offset : 0;
  }
  // The next record stands where it should.
  void PublishWithHint(uint64_t hint) {
    control_->tail_hint().Set(hint);
    ASSERT_EQ(Publish(std::to_string(10'000'000 + published_.size())), next_) << "with the hint " << hint;
    next_ += kSize;
  }
  void ReadAll() {
    auto consumer = topic_->NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
    ASSERT_TRUE(consumer.ok()) << consumer.status();
    size_t read = 0;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
      ASSERT_LT(read, published_.size());
      ASSERT_EQ(record.text(), published_[read++]);
    }
    EXPECT_EQ(read, published_.size());
  }

  const Scratch scratch_;
  std::optional<Topic> topic_;
  std::optional<log::Control> control_;
  std::vector<std::string> published_;
  uint64_t next_ = 0;  // where the next record should stand
};

TEST_F(Hint, AnyNumberWillDo) {
  const uint64_t first = Publish("12345678");
  next_ = first + kSize;
  for (uint64_t hint = 0; hint < 1000; ++hint) PublishWithHint(hint);
  for (const uint64_t hint : {next_, next_ + 8, next_ + 4096, uint64_t{1} << 20, ~uint64_t{7}, ~uint64_t{0}}) {
    PublishWithHint(hint);
  }
  ReadAll();
}

// Bytes of a record that pass for a word, right check and all, and lead past the tail.
TEST_F(Hint, AWordAloneIsNoRecord) {
  const auto seed = format::TopicSeed::Of(control_->header().header.uuid);
  const uint64_t word_at = Publish("12345678") + kSize + format::kRecordHeaderSize;
  const auto word = format::MakeWord(seed, word_at, format::State::kData, 0, 1, 4000);
  std::string text(64, 'x');
  const uint64_t bits = word.bits();
  std::memcpy(text.data(), &bits, sizeof(bits));
  next_ = Publish(text) + format::kRecordHeaderSize + text.size();
  PublishWithHint(word_at);
  control_->tail_hint().Set(word_at);
  ReadAll();
}

}  // namespace
}  // namespace libbus
