// What verify says that a reader sees is what a consumer gets there: over damage of every kind, and over random damage.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "libbus/inspect.h"
#include "tests/support/disk.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

// What a consumer gets that reads all of a topic.
struct Seen {
  absl::Status opened;            // bus, topic and consumer
  std::vector<std::string> gaps;  // of damage, as verify writes them
  uint64_t records = 0;
  absl::Status end;  // why it ended
  uint64_t at = 0;   // and where
};

class VerifyReaderTest : public ::testing::Test {
 protected:
  VerifyReaderTest() : scratch_(DiskParent()) { Make(); }

  std::string BusPath() const { return scratch_ / "bus"; }
  std::string TopicPath(const std::string& name) const { return BusPath() + "/t/" + name; }
  static std::string Segment(uint64_t base) { return fmt::format("{:020}.seg", base); }

  // Two full segments, and one that the log ends in.
  void Make() {
    auto bus = Bus::Open(BusPath(), {.create = true, .background = false});
    ASSERT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic("t", {.create = true, .segment_size = 4096});
    ASSERT_TRUE(topic.ok()) << topic.status();
    auto producer = topic->NewProducer();
    ASSERT_TRUE(producer.ok()) << producer.status();
    for (int i = 0; i < 60; ++i) {
      const auto position = producer->Publish(std::string(80 + static_cast<size_t>(i % 7), 'x'), {.key = "key"});
      ASSERT_TRUE(position.ok()) << position.status();
      positions_.push_back(position->offset);
      if (i % 20 != 9) continue;
      Batch batch = producer->NewBatch();
      for (int n = 0; n < 4; ++n) ASSERT_TRUE(batch.Add(std::string(static_cast<size_t>(n), 'b')).ok());
      const auto frame = batch.Commit();
      ASSERT_TRUE(frame.ok()) << frame.status();
      frames_.push_back(frame->offset - 64);  // what Commit tells is its first record
    }
    auto consumer = topic->NewConsumer({.cursor = "c"});
    ASSERT_TRUE(consumer.ok() && consumer->Commit().ok());
    ASSERT_GT(positions_.back(), 8192u);
  }

  void Change(const std::string& name, uint64_t offset, std::string_view bytes) {
    std::fstream file(TopicPath(name), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  std::vector<Finding> Damages() {
    std::vector<Finding> damages;
    const auto report = VerifyBus(BusPath(), [&](const Finding& finding) {
      if (finding.damage) damages.push_back(finding);
      return true;
    });
    EXPECT_TRUE(report.ok()) << report.status();
    return damages;
  }

  Seen Read(const ConsumerOptions& options = {.gaps = Gaps::kAll}) {
    Seen seen;
    auto bus = Bus::Open(BusPath(), {.read_only = true});
    if (!bus.ok()) return seen.opened = bus.status(), seen;
    auto topic = bus->OpenTopic("t");
    if (!topic.ok()) return seen.opened = topic.status(), seen;
    auto consumer = topic->NewConsumer(options);
    if (!consumer.ok()) return seen.opened = consumer.status(), seen;
    while (seen.end.ok()) {
      const auto view = consumer->Next(absl::ZeroDuration());
      if (!view.ok()) {
        seen.end = view.status();
      } else if (view->kind() == RecordKind::kData) {
        ++seen.records;
      } else if (view->gap().cause == GapCause::kDamage) {
        seen.gaps.push_back(
            fmt::format("a gap (damage) from {} to {}", view->gap().from.offset, view->gap().to.offset));
      }
    }
    seen.at = consumer->position().offset;
    return seen;
  }

  static bool Has(const std::vector<std::string>& gaps, const std::string& gap) {
    return std::find(gaps.begin(), gaps.end(), gap) != gaps.end();
  }

  // True if what verify says of the log itself is what was seen.
  static bool Fits(const std::string& reader, const Seen& seen) {
    if (reader.starts_with("a gap (damage)")) return Has(seen.gaps, reader);
    if (reader.starts_with("DATA_LOSS at ")) {
      return absl::IsDataLoss(seen.end) && reader.starts_with(fmt::format("DATA_LOSS at {}:", seen.at));
    }
    if (reader.starts_with("DATA_LOSS: ")) return absl::IsDataLoss(seen.end) || absl::IsDataLoss(seen.opened);
    if (reader.starts_with("the end of the log at ")) {
      return absl::IsDeadlineExceeded(seen.end) && reader.starts_with(fmt::format("the end of the log at {}", seen.at));
    }
    return false;
  }

  // What was damaged, and what a reader sees of it by verify, is what a reader sees.
  void ExpectSeen(const std::string& reader) {
    const auto damages = Damages();
    ASSERT_EQ(damages.size(), 1u);
    EXPECT_EQ(damages[0].reader, reader);
    const Seen seen = Read();
    EXPECT_TRUE(Fits(damages[0].reader, seen))
        << damages[0].reader << "\nopened: " << seen.opened << "\nend: " << seen.end << " at " << seen.at << "\n"
        << fmt::format("{}", fmt::join(seen.gaps, "\n"));
  }

  // Position of the word behind the last record of the first segment: its END.
  uint64_t EndOfFirst() {
    uint64_t end = 0;
    EXPECT_TRUE(DumpTopic(BusPath(), "t", {}, [&](const DumpItem& item) {
                  if (item.kind == DumpKind::kEnd && end == 0) end = item.position->offset;
                  return end == 0;
                }).ok());
    return end;
  }

  Scratch scratch_;
  std::vector<uint64_t> positions_;
  std::vector<uint64_t> frames_;
};

TEST_F(VerifyReaderTest, AWord) {
  Change(Segment(0), positions_[3] + 4, "\xff");
  ExpectSeen(fmt::format("a gap (damage) from {} to {}", positions_[3], positions_[4]));
}

TEST_F(VerifyReaderTest, APayload) {
  Change(Segment(4096), positions_[40] - 4096 + 60, "!");
  ExpectSeen(fmt::format("a gap (damage) from {} to {}", positions_[40], positions_[41]));
}

TEST_F(VerifyReaderTest, TheTableOfABatch) {
  ASSERT_LT(frames_[0], 4000u);
  Change(Segment(0), frames_[0] + 33, "\xee");
  ExpectSeen(fmt::format("a gap (damage) from {} to {}", frames_[0], positions_[10]));
}

TEST_F(VerifyReaderTest, OneRecordOfABatch) {
  Change(Segment(0), frames_[0] + 64 + 8, "\xee");
  ExpectSeen(fmt::format("a gap (damage) from {} to {}", frames_[0] + 64, frames_[0] + 64 + 24));
}

TEST_F(VerifyReaderTest, AWordBehindWhichNothingVerifiesInItsSegment) {
  const uint64_t end = EndOfFirst();
  const uint64_t last = *std::prev(std::lower_bound(positions_.begin(), positions_.end(), end));
  Change(Segment(0), last + 4, "\xff");
  ExpectSeen(fmt::format("a gap (damage) from {} to {}", last, 4096 + 64));
}

TEST_F(VerifyReaderTest, AWordBehindWhichNothingVerifiesAtAll) {
  const uint64_t last = positions_.back();
  Change(Segment(8192), last - 8192 + 4, "\xff");
  const auto damages = Damages();
  ASSERT_FALSE(damages.empty());
  const Seen seen = Read();
  for (const Finding& damage : damages) EXPECT_TRUE(Fits(damage.reader, seen)) << damage.what << ": " << damage.reader;
}

TEST_F(VerifyReaderTest, ARecordThatWasWiped) {
  Change(Segment(0), positions_[5], std::string(8, '\0'));
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  const Seen seen = Read({.to = From::End(), .gaps = Gaps::kAll});
  EXPECT_TRUE(Has(seen.gaps, fmt::format("a gap (damage) from {} to {}", positions_[5], positions_[6])));
  EXPECT_NE(damages[0].reader.find(seen.gaps.at(0)), std::string::npos) << damages[0].reader;
}

// The file has an older state of a record that was durable: a claim that nobody will ever commit. Not a dead
// producer's, which would be no loss, whoever reads.
TEST_F(VerifyReaderTest, AClaimBelowD) {
  Change(Segment(0), positions_[3], "\x0f");
  const std::string gap = fmt::format("a gap (damage) from {} to {}", positions_[3], positions_[4]);
  ExpectSeen(gap);
  auto bus = Bus::Open(BusPath(), {.background = false});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto topic = bus->OpenTopic("t");
  ASSERT_TRUE(topic.ok()) << topic.status();
  auto consumer = topic->NewConsumer({.from = From::At(Position{positions_[3]}), .gaps = Gaps::kAll});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  auto view = consumer->Next(absl::ZeroDuration());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->kind(), RecordKind::kGap);
  EXPECT_EQ(view->gap().cause, GapCause::kDamage);
  EXPECT_EQ(view->gap().to.offset, positions_[4]);
  view = consumer->Next(absl::ZeroDuration());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->sequence(), 4u);
}

TEST_F(VerifyReaderTest, ASegmentInTheMiddleIsMissing) {
  const uint64_t end = EndOfFirst();
  std::filesystem::remove(TopicPath(Segment(4096)));
  ExpectSeen(fmt::format("a gap (damage) from {} to {}", end, 8192 + 64));
}

TEST_F(VerifyReaderTest, TheFirstSegmentIsMissing) {
  std::filesystem::remove(TopicPath(Segment(0)));
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].reader, "a gap (damage) from 64 to 4160");
  const Seen seen = Read();
  EXPECT_EQ(seen.gaps, std::vector<std::string>{damages[0].reader});
  EXPECT_GT(seen.records, 10u);
}

TEST_F(VerifyReaderTest, TheLastSegmentIsMissing) {
  for (const auto& entry : std::filesystem::directory_iterator(BusPath() + "/t")) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".seg") && std::stoull(name) >= 8192) std::filesystem::remove(entry.path());
  }
  const auto damages = Damages();
  ASSERT_FALSE(damages.empty());
  const Seen seen = Read();
  EXPECT_TRUE(Fits(damages[0].reader, seen)) << damages[0].reader << "\n" << seen.end << " at " << seen.at;
}

TEST_F(VerifyReaderTest, AHeaderOfASegment) {
  Change(Segment(4096), 33, "x");
  ExpectSeen("DATA_LOSS: neither this segment nor what is behind it");
}

TEST_F(VerifyReaderTest, ATruncatedSegment) {
  std::filesystem::resize_file(TopicPath(Segment(4096)), 2048);
  const auto damages = Damages();
  ASSERT_FALSE(damages.empty());
  EXPECT_TRUE(Fits(damages[0].reader, Read())) << damages[0].reader;
}

TEST_F(VerifyReaderTest, ASegmentOfAnotherTopic) {
  auto bus = Bus::Open(BusPath(), {.background = false});
  ASSERT_TRUE(bus.ok() && bus->OpenTopic("other", {.create = true, .segment_size = 4096}).ok());
  std::filesystem::copy_file(BusPath() + "/other/" + Segment(0), TopicPath(Segment(0)),
                             std::filesystem::copy_options::overwrite_existing);
  const auto damages = Damages();
  ASSERT_FALSE(damages.empty());
  EXPECT_TRUE(Fits(damages[0].reader, Read())) << damages[0].reader;
}

TEST_F(VerifyReaderTest, ALongerSegment) {
  std::filesystem::resize_file(TopicPath(Segment(0)), 8192);
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].reader, "nothing: the rest is not read");
  const Seen seen = Read();
  EXPECT_TRUE(seen.gaps.empty());
  EXPECT_EQ(seen.records, 72u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(seen.end)) << seen.end;
}

// The files beside the log: does a reader go on, does a writer?
TEST_F(VerifyReaderTest, FilesThatHoldNoRecords) {
  const auto writer = [&] {
    auto bus = Bus::Open(BusPath(), {.background = false});
    return bus.ok() ? bus->OpenTopic("t").status() : bus.status();
  };
  const auto backup = scratch_ / "backup";
  for (const std::string name : {"control", "locks", "sleep", "../bus"}) {
    for (const std::string how : {"header", "cut", "missing"}) {
      SCOPED_TRACE(name + " " + how);
      const std::string path = TopicPath(name);
      std::ifstream in(path, std::ios::binary);
      const std::string whole{std::istreambuf_iterator<char>(in), {}};
      if (how == "header") Change(name, 14, "\x77\x77");
      if (how == "cut") std::filesystem::resize_file(path, 40);
      if (how == "missing") std::filesystem::rename(path, backup);
      if (name != "../bus" || how != "missing") {
        const auto damages = Damages();
        ASSERT_FALSE(damages.empty());
        const Seen seen = Read();
        const bool reads = seen.opened.ok() && seen.records == 72;
        const std::string& reader = damages[0].reader;
        EXPECT_EQ(reader.starts_with("readers"), reads) << reader << seen.opened;
        EXPECT_EQ(reader.find("writers are refused") != std::string::npos || reader.find("nothing: ") == 0,
                  !writer().ok())
            << reader << "\n"
            << writer();
      }
      if (how == "missing") std::filesystem::rename(backup, path);
      // In place: it keeps its inode.
      std::filesystem::resize_file(path, whole.size());
      Change(name, 0, whole);
    }
  }
  EXPECT_TRUE(Damages().empty());
}

TEST_F(VerifyReaderTest, ACursor) {
  Change("cursors/c", 4096 + 3, "\x77");
  Change("cursors/c", 8192 + 3, "\x77");
  const auto damages = Damages();
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_TRUE(damages[0].reader.starts_with("its consumer cannot go on")) << damages[0].reader;
  EXPECT_TRUE(absl::IsDataLoss(Read({.cursor = "c"}).opened));
}

// Each gap that a consumer gets is told by verify, and the other way round, as far as the consumer comes.
TEST_F(VerifyReaderTest, RandomDamage) {
  std::mt19937_64 random(Seed("VerifyReaderTest.RandomDamage"));
  std::map<std::string, std::string> whole;
  for (const uint64_t base : {0, 4096, 8192}) {
    std::ifstream in(TopicPath(Segment(base)), std::ios::binary);
    whole[Segment(base)] = {std::istreambuf_iterator<char>(in), {}};
  }
  for (int round = 0; round < 150; ++round) {
    for (const auto& [name, bytes] : whole) Change(name, 0, bytes);
    for (uint64_t hits = 1 + random() % 4; hits > 0; --hits) {
      const std::string name = Segment(random() % 3 * 4096);
      const std::string bytes(1 + random() % 12, static_cast<char>(random() % 3 == 0 ? 0 : random()));
      Change(name, 64 + random() % 1500, bytes);
    }
    const auto damages = Damages();
    const Seen seen = Read();
    ASSERT_TRUE(seen.opened.ok()) << seen.opened;
    SCOPED_TRACE(fmt::format("round {}: {}", round, fmt::join(seen.gaps, "; ")));
    for (const std::string& gap : seen.gaps) {
      EXPECT_TRUE(std::any_of(damages.begin(), damages.end(), [&](const Finding& d) { return d.reader == gap; }))
          << gap;
    }
    for (const Finding& damage : damages) {
      EXPECT_FALSE(damage.reader.empty()) << damage.what;
      const bool met = damage.position && damage.position->offset < seen.at;
      EXPECT_TRUE(!met || Fits(damage.reader, seen)) << damage.what << ": " << damage.reader << "\n" << seen.end;
    }
  }
}

}  // namespace
}  // namespace libbus::test
