// The batches that make_golden_batch_main.cc once wrote are read for ever. See golden_test.cc.
#include <absl/time/time.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/inspect.h"
#include "tests/docs/format_json.h"
#include "tests/docs/format_reader.h"
#include "tests/support/scratch.h"

namespace libbus::format {
namespace {

constexpr uint64_t kLarge = 40;  // records in the large batch

// What was published, in order. The positions follow from docs/format.md.
std::vector<ExpectedRecord> Expected() {
  std::vector<ExpectedRecord> all;
  uint64_t at = 64;
  const auto add = [&](std::string payload, uint64_t attributes = 0) {
    ExpectedRecord record;
    record.position = at;
    record.timestamp = 1'700'000'000'000'000'000 + static_cast<int64_t>(all.size()) * 1'000'000'001;
    record.next = at = (at + 24 + attributes + payload.size() + 7) / 8 * 8;
    record.payload = std::move(payload);
    all.push_back(record);
  };
  const auto table = [&](uint64_t count) { at += 24 + 8 + 8 * count; };
  add("single");
  table(3);
  add("one");
  add("");
  add("three", 64);  // 8 of the header, key 16, headers 40
  all.back().key = "user-42";
  all.back().headers = {{"content-type", "text/plain"}};
  all.back().type = 7;
  add("between");
  at = 4096 + 64;  // END, and the next segment is as large as it has to be
  table(kLarge);
  for (uint64_t i = 0; i < kLarge; ++i) add("record " + std::to_string(i) + std::string(120, '.'));
  table(1);
  add("alone");
  return all;
}

std::string ExpectedJson() {
  std::string text;
  for (const ExpectedRecord& record : Expected()) text += Json(record);
  return text;
}

class GoldenBatch : public testing::Test {
 protected:
  GoldenBatch() {
    using std::filesystem::perms;
    std::filesystem::copy(LIBBUS_SOURCE_DIR "/tests/golden/v1-batch", BusPath(),
                          std::filesystem::copy_options::recursive);
    std::filesystem::permissions(BusPath(), perms::owner_all);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(BusPath())) {
      const perms mode = entry.is_directory() ? perms::owner_all : perms::owner_read | perms::owner_write;
      std::filesystem::permissions(entry.path(), mode);
    }
  }
  std::string BusPath() const { return scratch_ / "bus"; }

  const test::Scratch scratch_;
};

TEST_F(GoldenBatch, ReaderOfThePageReadsIt) {
  const ReaderOutcome outcome = RunReader("topic", BusPath() + "/batches");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.output, ExpectedJson());
}

TEST_F(GoldenBatch, ConsumerReadsIt) {
  auto bus = Bus::Open(BusPath(), {.read_only = true});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto topic = bus->OpenTopic("batches");
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto consumer = topic->NewConsumer({.gaps = Gaps::kAll});
  std::string text;
  uint64_t sequence = 0;
  for (const RecordView& view : consumer->Records(absl::ZeroDuration())) {
    const OwnedRecord record = view.ToOwned();
    EXPECT_EQ(record.sequence, sequence++);
    ExpectedRecord found;
    found.position = record.position.offset;
    found.next = record.next_position.offset;
    found.type = record.type;
    found.timestamp = absl::ToUnixNanos(record.timestamp);
    found.payload = record.payload;
    found.key = record.key;
    found.headers = record.headers;
    text += Json(found);
  }
  EXPECT_EQ(text, ExpectedJson());
}

TEST_F(GoldenBatch, VerifyFindsNoDamage) {
  const auto report = VerifyTopic(BusPath(), "batches", [](const Finding& finding) {
    EXPECT_FALSE(finding.damage) << finding.file << ": " << finding.what;
    return true;
  });
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->records, Expected().size());
  EXPECT_EQ(report->batches, 3u);
}

}  // namespace
}  // namespace libbus::format
