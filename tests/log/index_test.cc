#include "libbus/log/index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/index.h"
#include "libbus/log/attach.h"
#include "libbus/log/reader.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using log::Reader;
using platform::seam_control;

// What a scan of the whole log finds, in order.
struct Seen {
  uint64_t position;
  uint64_t next;
  uint64_t sequence;  // counted
  bool exact;
  uint64_t ordinals;
  bool is_gap;
  int64_t timestamp;
};

struct Model {
  std::vector<Seen> items;
  uint64_t end = 0;
  uint64_t count = 0;

  uint64_t AtSequence(uint64_t n) const {
    for (const Seen& seen : items) {
      if (seen.sequence + seen.ordinals > n) return seen.position;
    }
    return end;
  }
  uint64_t AtTime(int64_t time) const {
    for (const Seen& seen : items) {
      if (!seen.is_gap && seen.timestamp >= time) return seen.position;
    }
    return end;
  }
  uint64_t AtLast(uint64_t n) const { return n >= count ? items.front().position : AtSequence(count - n); }
};

class IndexTest : public TopicTest {
 protected:
  ~IndexTest() override { seam_control.pretend_durable = false; }

  std::unique_ptr<log::Log> OpenLog(bool writable) const {
    auto opened = log::Log::Open(bus_ + "/t", writable);
    EXPECT_TRUE(Succeeds(opened));
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  // Records of random sizes with times that jump about, gaps, and a few rolls.
  void Fill(std::minstd_rand& random, int records) const {
    auto topic = Make({.segment_size = 256 << 10});
    ASSERT_TRUE(Succeeds(topic));
    auto producer = topic->NewProducer();
    ASSERT_TRUE(Succeeds(producer));
    for (int i = 0; i < records; ++i) {
      const size_t size = random() % (random() % 40 == 0 ? 9000 : 700);
      const absl::Time time = absl::FromUnixNanos(1000 * i + static_cast<int>(random() % 400'000));
      if (random() % 30 == 0) {
        auto claim = producer->Claim(size);
        ASSERT_TRUE(claim.ok() && std::move(*claim).Abandon().ok());
      }
      ASSERT_TRUE(Succeeds(producer->Publish(std::string(size, 'x'), {.timestamp = time})));
    }
    if (random() % 2 == 0) {
      ASSERT_TRUE(Succeeds(topic->Maintain()));
    }
  }

  void DamageSomewhere(std::minstd_rand& random) const {
    std::vector<std::string> segments;
    for (const auto& entry : std::filesystem::directory_iterator(bus_ + "/t")) {
      if (entry.path().extension() == ".seg") segments.push_back(entry.path());
    }
    std::sort(segments.begin(), segments.end());
    segments.resize(segments.size() - 2);  // neither the tail's nor the prepared one
    const std::string& path = segments[random() % segments.size()];
    const uint64_t offset = 64 + random() % ((256 << 10) - 64);
    Patch(path, offset, std::string(1 + random() % 64, static_cast<char>(1 + random() % 255)));
  }

  static Model Scan(log::Log& log) {
    Model model;
    auto reader = log::SeekStart(log, log.readable());
    EXPECT_TRUE(Succeeds(reader));
    auto end = log::CommittedEnd(log, log.readable());
    EXPECT_TRUE(Succeeds(end));
    model.end = *end;
    reader->KnowCommitted(*end);
    log::Item item;
    for (bool exact = true;;) {
      const auto found = reader->Read(item);
      if (!found.ok() || *found != Reader::Found::kItem || item.position >= *end) break;
      model.items.push_back({item.position, item.next, model.count, exact, item.ordinals, item.is_gap, item.timestamp});
      model.count += item.ordinals;
      exact &= reader->sequence().has_value();
    }
    return model;
  }

  static uint64_t PositionOf(const absl::StatusOr<Reader>& reader) {
    EXPECT_TRUE(Succeeds(reader));
    return reader.ok() ? reader->position() : 0;
  }

  // A reader that stands at an END stands at the record behind it as well.
  static ::testing::AssertionResult Leads(log::Log& log, const absl::StatusOr<Reader>& reader, uint64_t wanted,
                                          const Model& model) {
    if (!reader.ok()) return testing::AssertionFailure() << reader.status();
    if (reader->position() == wanted) return testing::AssertionSuccess();
    Reader copy = *reader;
    copy.KnowCommitted(model.end);
    log::Item item;
    const auto found = copy.Read(item);
    if (wanted == model.end && reader->position() >= wanted) return testing::AssertionSuccess();
    if (found.ok() && *found == Reader::Found::kItem && item.position == wanted) return testing::AssertionSuccess();
    return testing::AssertionFailure() << log.path() << ": " << reader->position() << " instead of " << wanted;
  }

  // Every kind of search gives what the scan gives.
  static void Compare(log::Log& log, const Model& model, std::minstd_rand& random, int rounds) {
    log::SegmentStore& store = log.readable();
    for (int i = 0; i < rounds; ++i) {
      const uint64_t n = random() % (model.count + 3);
      ASSERT_TRUE(Leads(log, log::SeekSequence(log, store, n), model.AtSequence(n), model)) << "+" << n;
      ASSERT_TRUE(Leads(log, log::SeekLast(log, store, n + 1), model.AtLast(n + 1), model)) << "-" << n + 1;
      const Seen& seen = model.items[random() % model.items.size()];
      const int64_t time = seen.timestamp + static_cast<int>(random() % 3) - 1;
      ASSERT_TRUE(Leads(log, log::SeekTime(log, store, time), model.AtTime(time), model)) << "@" << time;
      if (seen.is_gap && seen.ordinals == 0) continue;
      const auto sequence = log::SequenceAt(log, store, seen.position);
      ASSERT_EQ(sequence.has_value(), seen.exact) << seen.position;
      ASSERT_EQ(sequence.value_or(seen.sequence), seen.sequence) << seen.position;
    }
  }

  // The whole of the index, as it stands there.
  std::vector<format::IndexEntry> Entries() const {
    const std::string bytes = ReadFile(Path("index"));
    std::vector<format::IndexEntry> entries(bytes.size() < 64 ? 0 : (bytes.size() - 64) / sizeof(format::IndexEntry));
    if (!entries.empty()) std::memcpy(entries.data(), bytes.data() + 64, entries.size() * sizeof(entries[0]));
    return entries;
  }
};

TEST_F(IndexTest, EverySearchGivesWhatAScanGives) {
  std::minstd_rand random(static_cast<unsigned>(Seed("index")));
  for (int round = 0; round < 8; ++round) {
    std::filesystem::remove_all(bus_);
    seam_control.pretend_durable = round % 2 == 0;
    ASSERT_NO_FATAL_FAILURE(Fill(random, 4000));
    for (int damages = round % 4; damages > 0; --damages) DamageSomewhere(random);
    std::filesystem::remove(Path("index"));
    auto reader = OpenLog(false);
    const Model model = Scan(*reader);
    // Without an index, for who may not make one.
    ASSERT_NO_FATAL_FAILURE(Compare(*reader, model, random, 10));
    ASSERT_FALSE(std::filesystem::exists(Path("index")));
    auto writer = OpenLog(true);
    ASSERT_NO_FATAL_FAILURE(Compare(*writer, model, random, 100));
    ASSERT_GT(Entries().size(), 10u);
    ASSERT_NO_FATAL_FAILURE(Compare(*reader, model, random, 100));
  }
}

TEST_F(IndexTest, GrowsWithTheLogAndIsNotWrittenTwice) {
  std::minstd_rand random(7);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 2000));
  const auto before = Entries();
  ASSERT_GT(before.size(), 5u);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 2000));
  const auto after = Entries();
  ASSERT_GT(after.size(), before.size() + 5);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin(),
                         [](const auto& a, const auto& b) { return a.checksum == b.checksum; }));
  for (size_t i = 1; i < after.size(); ++i) {
    EXPECT_GE(after[i].position - after[i - 1].position, log::kIndexStride);
    EXPECT_LT(after[i].position - after[i - 1].position, log::kIndexStride + 20'000);
  }
}

// One bit at a time, in the header and in entries: who may not write passes over it, who may makes the entry anew.
TEST_F(IndexTest, AnyFlippedBitChangesNothing) {
  std::minstd_rand random(static_cast<unsigned>(Seed("index bits")));
  ASSERT_NO_FATAL_FAILURE(Fill(random, 3000));
  const std::string whole = ReadFile(Path("index"));
  auto reader = OpenLog(false);
  auto writer = OpenLog(true);
  const Model model = Scan(*reader);
  ASSERT_GT(whole.size(), 64u + 10 * 32);
  for (uint64_t bit = 0; bit < 8 * whole.size(); bit += 1 + random() % 13) {
    Flip(Path("index"), bit / 8, static_cast<char>(1 << bit % 8));
    ASSERT_NO_FATAL_FAILURE(Compare(*reader, model, random, 1)) << bit;
    if (bit % 16 == 0) {
      ASSERT_NO_FATAL_FAILURE(Compare(*writer, model, random, 2)) << bit;
      ASSERT_TRUE(Succeeds(log::ExtendIndex(*writer, log::kWholeIndex)));
    }
    WriteFile(Path("index"), whole);
  }
}

TEST_F(IndexTest, WhatIsDamagedIsMadeAnewByWhoMayWrite) {
  std::minstd_rand random(11);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 3000));
  const std::string whole = ReadFile(Path("index"));
  // The inode is another one after that: only the entries are compared.
  const auto entries = [](const std::string& bytes) { return bytes.substr(std::min<size_t>(64, bytes.size())); };
  auto writer = OpenLog(true);
  const auto becomes_whole = [&](const std::string& what) {
    ASSERT_TRUE(Succeeds(log::SeekSequence(*writer, writer->readable(), 1500))) << what;
    ASSERT_TRUE(Succeeds(log::ExtendIndex(*writer, log::kWholeIndex))) << what;
    EXPECT_EQ(entries(ReadFile(Path("index"))), entries(whole)) << what;
  };
  std::filesystem::remove(Path("index"));
  becomes_whole("deleted");
  WriteFile(Path("index"), "");
  becomes_whole("empty");
  WriteFile(Path("index"), std::string(whole.size(), '\0'));
  becomes_whole("zeros");
  std::filesystem::resize_file(Path("index"), 64 + 32 * 5 + 7);
  becomes_whole("truncated inside an entry");
  std::filesystem::resize_file(Path("index"), 20);
  becomes_whole("truncated inside the header");
  // The middle one is what a search asks for first.
  Flip(Path("index"), 64 + (whole.size() - 64) / 64 * 32 + 9, 4);
  becomes_whole("an entry in the middle");
  Flip(Path("index"), whole.size() - 3, 4);
  becomes_whole("the last entry");
  std::filesystem::copy_file(Path("index"), Path("other"));
  std::filesystem::rename(Path("other"), Path("index"));
  becomes_whole("a copy");
}

TEST_F(IndexTest, OfAnotherTopicIsNotUsed) {
  std::minstd_rand random(3);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 2000));
  const std::string foreign = ReadFile(Path("index"));
  std::filesystem::remove_all(bus_);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 3000));
  const std::string own = ReadFile(Path("index"));
  WriteFile(Path("index"), foreign);
  auto reader = OpenLog(false);
  EXPECT_TRUE(Fails(log::Index::Open(*reader), absl::StatusCode::kFailedPrecondition, "delete it"));
  const Model model = Scan(*reader);
  ASSERT_NO_FATAL_FAILURE(Compare(*reader, model, random, 20));
  // Nor are its entries, behind a header that is right.
  WriteFile(Path("index"), own.substr(0, 64) + foreign.substr(64));
  ASSERT_NO_FATAL_FAILURE(Compare(*reader, model, random, 20));
  auto writer = OpenLog(true);
  ASSERT_NO_FATAL_FAILURE(Compare(*writer, model, random, 20));
}

// A log keeps to the directory that it has open, whatever stands under its name by now.
TEST_F(IndexTest, IsThatOfTheOpenedTopicThoughItsNameIsAnothers) {
  std::minstd_rand random(7);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 2000));
  auto writer = OpenLog(true);
  const Model model = Scan(*writer);
  std::filesystem::rename(bus_ + "/t", bus_ + "/gone");
  ASSERT_NO_FATAL_FAILURE(Fill(random, 3000));
  const std::string others = ReadFile(Path("index"));
  EXPECT_TRUE(Succeeds(log::Index::Open(*writer)));
  ASSERT_NO_FATAL_FAILURE(Compare(*writer, model, random, 20));
  ASSERT_TRUE(Succeeds(log::CutIndex(*writer, model.end / 2)));
  ASSERT_TRUE(Succeeds(log::ExtendIndex(*writer, log::kWholeIndex)));
  ASSERT_NO_FATAL_FAILURE(Compare(*writer, model, random, 20));
  EXPECT_EQ(ReadFile(Path("index")), others);
}

TEST_F(IndexTest, OneAppendsAtATime) {
  std::minstd_rand random(5);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 2000));
  std::filesystem::remove(Path("index"));
  auto writer = OpenLog(true);
  {
    auto lock = platform::LockFile::Open(Path("locks"));
    ASSERT_TRUE(*lock->TryExclusive(format::kIndexByte));
    ASSERT_TRUE(Succeeds(log::ExtendIndex(*writer, log::kWholeIndex)));
    EXPECT_FALSE(std::filesystem::exists(Path("index")));
  }
  ASSERT_TRUE(Succeeds(log::ExtendIndex(*writer, log::kWholeIndex)));
  EXPECT_TRUE(std::filesystem::exists(Path("index")));
}

// Nothing from D on: a power loss may take it back.
TEST_F(IndexTest, TellsOfNothingThatIsNotDurable) {
  seam_control.pretend_durable = true;
  auto topic = Make({.segment_size = 1 << 20});
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer();
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::string(200, 'x'))));
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_TRUE(Entries().empty());
  ASSERT_TRUE(Succeeds(topic->Sync()));
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE(Succeeds(producer->Publish(std::string(200, 'x'))));
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  ASSERT_FALSE(Entries().empty());
  EXPECT_LT(Entries().back().position, topic->durable().offset);
}

TEST_F(IndexTest, ACutLeavesNothingBehindIt) {
  std::minstd_rand random(9);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 3000));
  const auto entries = Entries();
  auto writer = OpenLog(true);
  ASSERT_TRUE(Succeeds(log::CutIndex(*writer, entries[6].position)));
  EXPECT_EQ(Entries().size(), 7u);
  ASSERT_TRUE(Succeeds(log::CutIndex(*writer, entries[0].position - 1)));
  EXPECT_FALSE(std::filesystem::exists(Path("index")));
  ASSERT_TRUE(Succeeds(log::CutIndex(*writer, 0)));
}

// The disk loses what it had confirmed: what recovery seals off is told of by no entry.
TEST_F(IndexTest, IsCutBackByARecoveryThatSealsBeforeIt) {
  seam_control.pretend_durable = true;
  std::minstd_rand random(13);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 3000));
  const auto entries = Entries();
  const uint64_t lost = entries[entries.size() / 2].position;
  std::vector<uint64_t> bases;
  for (const auto& file : std::filesystem::directory_iterator(bus_ + "/t")) {
    if (file.path().extension() == ".seg") bases.push_back(std::stoull(file.path().stem()));
  }
  std::sort(bases.begin(), bases.end());
  const int killed = Child([&] {
                       auto topic = Make({.segment_size = 256 << 10});
                       return topic.ok() ? raise(SIGKILL) : 1;
                     }).Join();
  ASSERT_EQ(killed, -SIGKILL);
  const auto holds = std::prev(std::upper_bound(bases.begin(), bases.end(), lost));
  Patch(Path(SegmentName(*holds)), lost - *holds, std::string((256 << 10) - (lost - *holds), '\0'));
  for (auto behind = std::next(holds); behind != bases.end(); ++behind) {
    std::filesystem::remove(Path(SegmentName(*behind)));
  }
  ASSERT_TRUE(Succeeds(Make({.segment_size = 256 << 10})));
  for (const auto& entry : Entries()) EXPECT_LE(entry.position, lost);
  auto reader = OpenLog(false);
  const Model model = Scan(*reader);
  ASSERT_NO_FATAL_FAILURE(Compare(*reader, model, random, 20));
}

// Damage that comes later hides records, and changes the count of none.
TEST_F(IndexTest, TellsWhatStoodBehindLaterDamage) {
  std::minstd_rand random(21);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 3000));
  auto reader = OpenLog(false);
  const Model model = Scan(*reader);
  Patch(Path(SegmentName(0)), 100'000, std::string(20'000, 'z'));
  for (uint64_t n = model.AtSequence(1500) != 0 ? 1500 : 0; n < model.count; n += 100) {
    ASSERT_TRUE(Leads(*reader, log::SeekSequence(*reader, reader->readable(), n), model.AtSequence(n), model)) << n;
  }
}

// Killed before each change of a byte and each system call: the index is whole, or made whole by the next one.
TEST_F(IndexTest, KilledAtEveryStepOfAppending) {
  std::minstd_rand random(17);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 1500));
  auto reader = OpenLog(false);
  const Model model = Scan(*reader);
  const std::string whole = ReadFile(Path("index")).substr(64);
  for (const bool missing : {true, false}) {
    for (uint64_t point = 1;; ++point) {
      if (missing) {
        std::filesystem::remove(Path("index"));
      } else {
        std::filesystem::resize_file(Path("index"), 64 + 32 * 3 + 5);
      }
      const int code = Child([&] {
                         auto log = OpenLog(true);
                         seam_control.kill_at = seam_control.points + point;
                         return log::ExtendIndex(*log, log::kWholeIndex).ok() ? 0 : 1;
                       }).Join();
      ASSERT_TRUE(code == 0 || code == -SIGKILL) << code;
      ASSERT_NO_FATAL_FAILURE(Compare(*reader, model, random, 2)) << point;
      auto log = OpenLog(true);
      ASSERT_TRUE(Succeeds(log::ExtendIndex(*log, log::kWholeIndex)));
      ASSERT_EQ(ReadFile(Path("index")).substr(64), whole) << point;
      if (code == 0) break;
      ASSERT_LT(point, 200u);
    }
  }
}

// Counts the record words that are looked at.
class Looks : public platform::SeamWatcher {
 public:
  Looks() { seam_control.watcher = this; }
  ~Looks() override { seam_control.watcher = nullptr; }
  void AtLook() override { ++count; }
  uint64_t count = 0;
};

TEST_F(IndexTest, ASearchReadsAStrideOrTwo) {
  std::minstd_rand random(23);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 6000));
  auto reader = OpenLog(false);
  const Model model = Scan(*reader);
  // The floors of all slots are among what is looked at.
  const uint64_t most = 2 * (log::kIndexStride / 32) + 2 * format::kSlots;
  ASSERT_GT(model.items.size(), most);
  const auto looks = [&](auto search) {
    Looks watcher;
    EXPECT_TRUE(Succeeds(search()));
    return watcher.count;
  };
  log::SegmentStore& store = reader->readable();
  const Seen& seen = model.items[model.items.size() - 10];
  EXPECT_LT(looks([&] { return log::SeekSequence(*reader, store, seen.sequence); }), most);
  EXPECT_LT(looks([&] { return log::SeekLast(*reader, store, 4000); }), most);
  EXPECT_LT(looks([&] { return log::SeekTime(*reader, store, 1000 * 5000); }), most);
  std::filesystem::remove(Path("index"));
  EXPECT_GT(looks([&] { return log::SeekSequence(*reader, store, seen.sequence); }), most);
}

TEST_F(IndexTest, ConsumersKnowTheirSequenceWhereTheIndexDoes) {
  std::minstd_rand random(19);
  ASSERT_NO_FATAL_FAILURE(Fill(random, 2000));
  auto topic = OpenReadOnly();
  ASSERT_TRUE(Succeeds(topic));
  auto reader = OpenLog(false);
  const Model model = Scan(*reader);
  for (int i = 0; i < 20; ++i) {
    const Seen& seen = model.items[random() % model.items.size()];
    if (seen.is_gap) continue;
    auto consumer = topic->NewConsumer({.from = From::At({seen.position})});
    ASSERT_TRUE(Succeeds(consumer));
    const auto record = consumer->Next();
    ASSERT_TRUE(Succeeds(record));
    EXPECT_EQ(record->sequence(), seen.sequence);
    ASSERT_TRUE(Succeeds(consumer->Seek(From::Last(1))));
    EXPECT_EQ(consumer->Next()->sequence(), model.count - 1);
  }
}

}  // namespace
}  // namespace libbus::test
