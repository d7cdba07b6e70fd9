// Batches: what a consumer reads of them, from every place, and what is refused.
#include "libbus/batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libbus/format/layout.h"
#include "tests/seam/seam.h"
#include "tests/support/disk.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;
using Texts = std::vector<std::string>;

constexpr absl::Duration kNow = absl::ZeroDuration();

class BatchTest : public TopicTest {
 protected:
  ~BatchTest() override {
    seam_control.allocate_error = 0;
    seam_control.pretend_durable = false;
    seam_control.sync_error = 0;
  }

  void Open(TopicOptions options = {}) {
    auto topic = Make(options);
    ASSERT_TRUE(Succeeds(topic));
    topic_.emplace(*std::move(topic));
    auto producer = topic_->NewProducer();
    ASSERT_TRUE(Succeeds(producer));
    producer_.emplace(*std::move(producer));
  }

  Position Commit(const Texts& texts) {
    Batch batch = producer_->NewBatch();
    for (const std::string& text : texts) EXPECT_TRUE(Succeeds(batch.Add(text)));
    const auto position = batch.Commit();
    EXPECT_TRUE(Succeeds(position));
    return position.value_or(Position{});
  }

  // What a consumer with these options reads until the end.
  std::vector<OwnedRecord> Read(ConsumerOptions options = {}) {
    if (!options.to) options.to = From::End();
    options.gaps = Gaps::kAll;
    std::vector<OwnedRecord> all;
    auto consumer = topic_->NewConsumer(options);
    EXPECT_TRUE(Succeeds(consumer));
    if (!consumer.ok()) return all;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) all.push_back(record.ToOwned());
    EXPECT_TRUE(Fails(consumer->status(), StatusCode::kOutOfRange));
    return all;
  }

  static Texts TextsOf(const std::vector<OwnedRecord>& records) {
    Texts texts;
    for (const OwnedRecord& record : records) {
      const bool gap = record.kind == RecordKind::kGap;
      texts.push_back(gap ? "<" + std::string(GapCauseName(record.gap.cause)) + ">" : record.payload);
    }
    return texts;
  }

  // Single records and batches in turns, over several segments.
  std::vector<OwnedRecord> Mixed() {
    for (int i = 0; i < 12; ++i) {
      Texts texts;
      for (int k = 0; k <= i * 3; ++k) texts.push_back("batch " + std::to_string(i) + "." + std::to_string(k));
      Commit(texts);
      EXPECT_TRUE(Succeeds(producer_->Publish("single " + std::to_string(i))));
    }
    return Read();
  }

  std::optional<Topic> topic_;
  std::optional<Producer> producer_;
};

// --- what comes out --------------------------------------------------------------------------------------------------

TEST_F(BatchTest, RecordsComeOutAsTheyWentIn) {
  Open();
  const std::vector<Header> headers = {{"a", "1"}, {"a", ""}};
  const auto when = absl::FromUnixSeconds(1'234'567'890);
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("one", {.key = "k", .headers = headers, .type = 7, .timestamp = when})));
  ASSERT_TRUE(Succeeds(batch.Add("")));
  ASSERT_TRUE(Succeeds(batch.Add("three", {.source = Position{4160}, .producer = "etl", .producer_sequence = 17})));
  const auto position = batch.Commit();
  ASSERT_TRUE(Succeeds(position));
  const auto all = Read();
  ASSERT_EQ(TextsOf(all), (Texts{"one", "", "three"}));
  EXPECT_EQ(all[0].position, *position);
  EXPECT_EQ(all[0].key, "k");
  EXPECT_EQ(all[0].headers, (std::vector<std::pair<std::string, std::string>>{{"a", "1"}, {"a", ""}}));
  EXPECT_EQ(all[0].type, 7u);
  EXPECT_EQ(all[0].timestamp, when);
  EXPECT_EQ(all[1].key, "");
  EXPECT_EQ(all[1].type, 0u);
  EXPECT_EQ(all[2].source, Position{4160});
  EXPECT_EQ(all[2].producer, "etl");
  EXPECT_EQ(all[2].producer_sequence, 17u);
}

TEST_F(BatchTest, EverythingIsCopiedWhenItIsAdded) {
  Open();
  Batch batch = producer_->NewBatch();
  std::string payload = "payload", key = "key";
  ASSERT_TRUE(Succeeds(batch.Add(payload, {.key = key})));
  payload = key = "xxxxxxx";
  ASSERT_TRUE(Succeeds(batch.Commit()));
  const auto all = Read();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].payload, "payload");
  EXPECT_EQ(all[0].key, "key");
}

TEST_F(BatchTest, RecordsWithoutATimeGetThatOfTheCommit) {
  Open({.timestamps = Timestamps::kPrecise});
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("a")));
  ASSERT_TRUE(Succeeds(batch.Add("b", {.timestamp = absl::FromUnixSeconds(5)})));
  ASSERT_TRUE(Succeeds(batch.Add("c")));
  const absl::Time before = absl::Now();
  ASSERT_TRUE(Succeeds(batch.Commit()));
  const auto all = Read();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_GE(all[0].timestamp, before);
  EXPECT_EQ(all[2].timestamp, all[0].timestamp);
  EXPECT_EQ(all[1].timestamp, absl::FromUnixSeconds(5));
}

TEST_F(BatchTest, NothingStandsInTheLogBeforeTheCommit) {
  Open();
  const Position end = topic_->Stats()->end;
  Batch batch = producer_->NewBatch();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(Succeeds(batch.Add("x")));
  EXPECT_EQ(topic_->Stats()->end, end);
  // Another record goes first, and nobody waits for the batch.
  ASSERT_TRUE(Succeeds(producer_->Publish("first")));
  { const Batch dropped = std::move(batch); }
  EXPECT_EQ(ReadAll(*topic_), Texts{"first"});
}

TEST_F(BatchTest, IsEmptyAfterCommitAndIsFilledAgain) {
  Open();
  Batch batch = producer_->NewBatch();
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.bytes(), 0u);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Succeeds(batch.Add("a" + std::to_string(round))));
    ASSERT_TRUE(Succeeds(batch.Add("b", {.durable = false})));
    EXPECT_EQ(batch.size(), 2u);
    const Position end = topic_->Stats()->end;
    const uint64_t bytes = batch.bytes();
    ASSERT_TRUE(Succeeds(batch.Commit()));
    EXPECT_EQ(topic_->Stats()->end.offset, end.offset + bytes) << "bytes() is what the log grows by";
    EXPECT_TRUE(batch.empty());
  }
  EXPECT_EQ(ReadAll(*topic_), (Texts{"a0", "b", "a1", "b", "a2", "b"}));
}

TEST_F(BatchTest, ClearDropsTheRecords) {
  Open();
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("dropped")));
  batch.Clear();
  EXPECT_EQ(batch.size(), 0u);
  ASSERT_TRUE(Succeeds(batch.Add("kept")));
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_EQ(ReadAll(*topic_), Texts{"kept"});
}

TEST_F(BatchTest, LargerThanASegmentGetsOneOfItsOwn) {
  Open();
  Texts wanted = {"before"};
  ASSERT_TRUE(Succeeds(producer_->Publish("before")));
  Texts large;
  for (int i = 0; i < 500; ++i) large.push_back(std::string(100, static_cast<char>('a' + i % 26)));
  Commit(large);
  ASSERT_TRUE(Succeeds(producer_->Publish("behind")));
  wanted.insert(wanted.end(), large.begin(), large.end());
  wanted.push_back("behind");
  EXPECT_EQ(ReadAll(*topic_), wanted);
}

TEST_F(BatchTest, WakesWhoSleepsOnIt) {
  Open();
  auto consumer = topic_->NewConsumer({.from = From::End(), .wait = Wait::kPark});
  seam_control.no_bounds = true;
  const uint64_t sleeps = seam_control.sleeps;
  std::thread thread([&] {
    while (seam_control.sleeps == sleeps) std::this_thread::yield();
    Commit({"a", "b"});
  });
  EXPECT_EQ(TextOf(consumer->Next(absl::Seconds(60))), "a");
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "b");
  thread.join();
  seam_control.no_bounds = false;
}

TEST_F(BatchTest, OfManyThreadsStayTogether) {
  Open({.segment_size = 1 << 16});
  constexpr int kThreads = 3, kBatches = 60, kRecords = 7;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      auto producer = topic_->NewProducer();
      Batch batch = producer->NewBatch();
      for (int b = 0; b < kBatches; ++b) {
        for (int r = 0; r < kRecords; ++r) {
          EXPECT_TRUE(Succeeds(batch.Add(std::to_string(t) + " " + std::to_string(b) + " " + std::to_string(r))));
        }
        EXPECT_TRUE(Succeeds(batch.Commit()));
        EXPECT_TRUE(Succeeds(producer->Publish("-")));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Texts all = ReadAll(*topic_);
  std::erase(all, "-");
  ASSERT_EQ(all.size(), size_t{kThreads * kBatches * kRecords});
  for (size_t i = 0; i < all.size(); i += kRecords) {
    const std::string begin = all[i].substr(0, all[i].rfind(' ') + 1);
    for (size_t r = 0; r < kRecords; ++r) ASSERT_EQ(all[i + r], begin + std::to_string(r));
  }
}

// --- where one can read from -----------------------------------------------------------------------------------------

TEST_F(BatchTest, EveryRecordCanBeReadFrom) {
  Open();
  const auto all = Mixed();
  ASSERT_EQ(all.size(), 12u + 12 * 11 / 2 * 3 + 12);
  const Texts texts = TextsOf(all);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto rest = Read({.from = From::At(all[i].position)});
    ASSERT_EQ(TextsOf(rest), Texts(texts.begin() + static_cast<ptrdiff_t>(i), texts.end())) << all[i].position;
    ASSERT_EQ(rest[0].position, all[i].position);
    // And by where the one before says that it is: at a batch's start that is its first record.
    if (i == 0) continue;
    ASSERT_EQ(TextsOf(Read({.from = From::At(all[i - 1].next_position)}))[0], texts[i]);
  }
}

TEST_F(BatchTest, EveryRecordEndsARange) {
  Open();
  const auto all = Mixed();
  const Texts texts = TextsOf(all);
  for (size_t i = 0; i < all.size(); ++i) {
    const Texts wanted(texts.begin(), texts.begin() + static_cast<ptrdiff_t>(i));
    ASSERT_EQ(TextsOf(Read({.to = From::At(all[i].position)})), wanted);
    ASSERT_EQ(TextsOf(Read({.to = From::Sequence(i)})), wanted);
  }
}

TEST_F(BatchTest, SequencesCountItsRecords) {
  Open();
  const auto all = Mixed();
  const Texts texts = TextsOf(all);
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].sequence, i);
    const auto from = Read({.from = From::Sequence(i)});
    ASSERT_EQ(TextsOf(from), Texts(texts.begin() + static_cast<ptrdiff_t>(i), texts.end()));
    ASSERT_EQ(from[0].sequence, i);
    const auto last = Read({.from = From::Last(i)});
    ASSERT_EQ(TextsOf(last), Texts(texts.end() - static_cast<ptrdiff_t>(i), texts.end())) << i;
  }
}

TEST_F(BatchTest, TimesAreFoundInside) {
  Open();
  Batch batch = producer_->NewBatch();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Succeeds(batch.Add(std::to_string(i), {.timestamp = absl::FromUnixSeconds(100 + i)})));
  }
  ASSERT_TRUE(Succeeds(batch.Commit()));
  for (int i = 0; i < 10; ++i) {
    const auto all = Read({.from = From::Time(absl::FromUnixSeconds(100 + i))});
    ASSERT_EQ(all.size(), size_t(10 - i));
    ASSERT_EQ(all[0].payload, std::to_string(i));
  }
}

TEST_F(BatchTest, ThePositionBehindTheLastRecordIsTheNextWord) {
  Open();
  Commit({"a", "b"});
  const auto single = producer_->Publish("single");
  const auto all = Read();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].next_position, all[1].position);
  EXPECT_EQ(all[1].next_position, *single);
  auto consumer = topic_->NewConsumer();
  ASSERT_TRUE(Succeeds(consumer->Next(kNow)));
  EXPECT_EQ(consumer->position(), all[1].position);
}

TEST_F(BatchTest, PositionsBetweenItsRecordsAreRefusedByTheNameOfTheStart) {
  Open();
  ASSERT_TRUE(Succeeds(producer_->Publish("single")));
  Commit({"a", "bb", "ccc"});
  const auto all = Read();
  ASSERT_EQ(all.size(), 4u);
  const Position start = all[0].next_position;
  for (uint64_t at = start.offset; at < all[3].next_position.offset; ++at) {
    const bool begins = at == start.offset || std::any_of(all.begin(), all.end(), [&](const OwnedRecord& each) {
                          return each.position.offset == at;
                        });
    const auto consumer = topic_->NewConsumer({.from = From::At({at})});
    if (begins) {
      EXPECT_TRUE(Succeeds(consumer)) << at;
      continue;
    }
    size_t in = 3;
    while (in > 0 && all[in].position.offset > at) --in;
    const std::string what = in == 0 ? "inside the batch that starts at " + std::to_string(start.offset)
                                     : "inside the record that starts at " + std::to_string(all[in].position.offset);
    EXPECT_TRUE(Fails(consumer, StatusCode::kInvalidArgument, what)) << at;
  }
}

TEST_F(BatchTest, PollStopsInsideAndGoesOn) {
  Open();
  Commit({"a", "b", "c", "d", "e"});
  auto consumer = topic_->NewConsumer();
  for (const Texts& wanted : {Texts{"a", "b"}, Texts{"c", "d"}, Texts{"e"}}) {
    const auto batch = consumer->Poll(2);
    ASSERT_TRUE(Succeeds(batch));
    Texts got;
    for (const RecordView& record : *batch) got.push_back(TextOf(record));
    EXPECT_EQ(got, wanted);
  }
  ASSERT_TRUE(Succeeds(consumer->Seek(From::Last(4))));
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "b");
}

// --- damage ----------------------------------------------------------------------------------------------------------

TEST_F(BatchTest, ARottenRecordLosesItselfAlone) {
  Open();
  ASSERT_TRUE(Succeeds(producer_->Publish("single")));
  Commit({"first", "second", "third"});
  ASSERT_TRUE(Succeeds(producer_->Publish("behind")));
  const auto whole = Read();
  const Texts texts = TextsOf(whole);
  for (size_t hit = 1; hit <= 3; ++hit) {
    // The word, the checksum, the payload.
    for (const uint64_t at : {0, 3, 8, 20, 26}) {
      Flip(Path(SegmentName(0)), whole[hit].position.offset + at, 1);
      const auto all = Read();
      Texts wanted = texts;
      wanted[hit] = "<damage>";
      ASSERT_EQ(TextsOf(all), wanted) << hit << " at " << at;
      EXPECT_EQ(all[hit].gap.from, whole[hit].position);
      EXPECT_EQ(all[hit].gap.to, whole[hit].next_position);
      EXPECT_EQ(all[hit].gap.owner, 1u);
      EXPECT_EQ(all.back().sequence, 4u) << "it still counts as one";
      // From its place, and from all others.
      for (size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(TextsOf(Read({.from = From::At(whole[i].position)})),
                  Texts(wanted.begin() + static_cast<ptrdiff_t>(i), wanted.end()));
        EXPECT_EQ(TextsOf(Read({.from = From::Last(i)})),
                  Texts(wanted.end() - static_cast<ptrdiff_t>(i), wanted.end()));
      }
      Flip(Path(SegmentName(0)), whole[hit].position.offset + at, 1);
    }
  }
  EXPECT_EQ(TextsOf(Read()), texts);
}

TEST_F(BatchTest, ARottenTableLosesTheWhole) {
  Open();
  ASSERT_TRUE(Succeeds(producer_->Publish("single")));
  const Position first = Commit({"a", "b"});
  ASSERT_TRUE(Succeeds(producer_->Publish("behind")));
  const uint64_t start = Read()[0].next_position.offset;
  for (uint64_t at = start + 8; at < first.offset; ++at) {
    Flip(Path(SegmentName(0)), at, 4);
    const auto all = Read();
    ASSERT_EQ(TextsOf(all), (Texts{"single", "<damage>", "behind"})) << at;
    EXPECT_EQ(all[1].gap.from.offset, start);
    EXPECT_EQ(all[1].gap.to, all[2].position);
    EXPECT_FALSE(all[2].sequence) << "nobody knows how many are lost";
    Flip(Path(SegmentName(0)), at, 4);
  }
}

// A lost word is resynchronised at the next batch, even where a record of that one is rotten.
TEST_F(BatchTest, ReadingGoesOnAtABatchBehindDamage) {
  Open();
  ASSERT_TRUE(Succeeds(producer_->Publish("single")));
  const Position first = Commit({"a", "b"});
  Flip(Path(SegmentName(0)), 64, 1);
  EXPECT_EQ(TextsOf(Read()), (Texts{"<damage>", "a", "b"}));
  Flip(Path(SegmentName(0)), first.offset + 24, 1);
  EXPECT_EQ(TextsOf(Read()), (Texts{"<damage>", "<damage>", "b"}));
}

// --- what is refused -------------------------------------------------------------------------------------------------

TEST_F(BatchTest, AnEmptyOneIsNotCommitted) {
  Open();
  Batch batch = producer_->NewBatch();
  EXPECT_TRUE(Fails(batch.Commit(), StatusCode::kInvalidArgument, "empty"));
  EXPECT_EQ(ReadAll(*topic_), Texts{});
}

TEST_F(BatchTest, ARecordThatMakesItTooLongIsRefusedAndTheOthersStay) {
  Open();
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("kept")));
  const uint64_t room = format::kMaxBatchSize - batch.bytes() - 8 - 24;
  // Never looked at.
  const auto* nothing = reinterpret_cast<const std::byte*>(this);
  for (const uint64_t size : {room + 1, uint64_t{1} << 32, uint64_t{1} << 40, UINT64_MAX - 64}) {
    EXPECT_TRUE(Fails(batch.Add(Bytes(nothing, size)), StatusCode::kInvalidArgument, "too long")) << size;
  }
  EXPECT_EQ(batch.size(), 1u);
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_EQ(ReadAll(*topic_), Texts{"kept"});
}

TEST_F(BatchTest, AnOpenClaimKeepsItWaitingWithAllItsRecords) {
  Open();
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("a")));
  auto claim = producer_->Claim(1);
  EXPECT_TRUE(Fails(batch.Commit(), StatusCode::kFailedPrecondition, "claim"));
  EXPECT_EQ(batch.size(), 1u);
  ASSERT_TRUE(Succeeds(std::move(*claim).Abandon()));
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_EQ(ReadAll(*topic_), (Texts{"<aborted>", "a"}));
}

TEST_F(BatchTest, IsOfNoUseOnceItsProducerIsClosed) {
  Open();
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("a")));
  producer_.reset();
  EXPECT_TRUE(Fails(batch.Add("b"), StatusCode::kFailedPrecondition, "closed"));
  EXPECT_TRUE(Fails(batch.Commit(), StatusCode::kFailedPrecondition, "closed"));
  batch.Clear();
  EXPECT_EQ(ReadAll(*topic_), Texts{});
}

TEST_F(BatchTest, MovedFromItRefuses) {
  Open();
  Batch from = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(from.Add("a")));
  Batch to = std::move(from);
  // NOLINTBEGIN(bugprone-use-after-move)
  EXPECT_TRUE(Fails(from.Add("b"), StatusCode::kFailedPrecondition, "moved"));
  EXPECT_TRUE(Fails(from.Commit(), StatusCode::kFailedPrecondition, "moved"));
  EXPECT_EQ(from.size(), 0u);
  from.Clear();
  // NOLINTEND(bugprone-use-after-move)
  ASSERT_TRUE(Succeeds(to.Commit()));
  EXPECT_EQ(ReadAll(*topic_), Texts{"a"});
}

TEST_F(BatchTest, IsRefusedInAForkedChild) {
  Open();
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("a")));
  const int code = Child([&] {
                     if (!Fails(batch.Add("b"), StatusCode::kFailedPrecondition, "fork")) return 1;
                     if (!Fails(batch.Commit(), StatusCode::kFailedPrecondition, "fork")) return 2;
                     return 0;
                   }).Join();
  EXPECT_EQ(code, 0);
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_EQ(ReadAll(*topic_), Texts{"a"});
}

TEST_F(BatchTest, AFullDiskTouchesNothingAndTheRecordsStay) {
  Open();
  Batch batch = producer_->NewBatch();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Succeeds(batch.Add(std::string(100, 'x'))));
  const Position end = topic_->Stats()->end;
  seam_control.allocate_error = ENOSPC;
  EXPECT_TRUE(Fails(batch.Commit(), StatusCode::kResourceExhausted));
  EXPECT_EQ(topic_->Stats()->end, end);
  EXPECT_EQ(batch.size(), 100u);
  EXPECT_TRUE(Succeeds(producer_->Publish("a small one still fits")));
  seam_control.allocate_error = 0;
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_EQ(ReadAll(*topic_).size(), 101u);
}

// Stopped inside the commit for longer than claim_timeout, with half of the bytes in the log.
TEST_F(BatchTest, ARevokedOneHasAllItsRecordsStillAndMayBeCommittedAgain) {
  Open({.claim_timeout = absl::Seconds(10)});
  Batch batch = producer_->NewBatch();
  for (const char* text : {"a", "b", "c"}) ASSERT_TRUE(Succeeds(batch.Add(text)));
  auto opened = topic_->NewConsumer({.gaps = Gaps::kAll});
  ASSERT_TRUE(Succeeds(opened));
  static Consumer* watcher;
  static uint64_t copies;
  watcher = &*opened;
  copies = seam_control.copies;
  seam_control.at_point = [](uint64_t) {
    if (seam_control.copies == copies) return;  // not yet in the middle of the copy
    seam_control.at_point = nullptr;
    for (int i = 0; i < 100; ++i) {
      const auto seen = watcher->Poll(1);
      if (!seen.ok() || !seen->empty()) break;
      seam_control.clock_offset += 1'000'000'000;
    }
  };
  const auto revoked = batch.Commit();
  seam_control.at_point = nullptr;
  EXPECT_TRUE(Fails(revoked, StatusCode::kAborted, "revoked"));
  EXPECT_EQ(batch.size(), 3u);
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_EQ(ReadAll(*topic_), (Texts{"<revoked>", "a", "b", "c"}));
  seam_control.clock_offset = 0;
}

// --- with what else there is -----------------------------------------------------------------------------------------

TEST_F(BatchTest, GoesIntoAnExclusiveTopicToo) {
  Open({.exclusive = true});
  const auto all = Mixed();
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i].sequence, i);
  EXPECT_TRUE(Fails(topic_->NewProducer(), StatusCode::kFailedPrecondition));
}

TEST_F(BatchTest, ACursorMayStandInside) {
  Open();
  Commit({"a", "b", "c"});
  for (const std::string wanted : {"a", "b", "c"}) {
    auto consumer = topic_->NewConsumer({.cursor = "worker"});
    ASSERT_TRUE(Succeeds(consumer));
    EXPECT_EQ(TextOf(consumer->Next(kNow)), wanted);
    ASSERT_TRUE(Succeeds(consumer->Commit()));
  }
  auto consumer = topic_->NewConsumer({.cursor = "worker"});
  EXPECT_TRUE(Fails(consumer->Next(kNow), StatusCode::kDeadlineExceeded));
}

// --- durable ---------------------------------------------------------------------------------------------------------

TEST_F(BatchTest, ADurableRecordMakesTheWholeDurable) {
  seam_control.pretend_durable = true;
  Open();
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("a")));
  ASSERT_TRUE(Succeeds(batch.Add("b", {.durable = true})));
  ASSERT_TRUE(Succeeds(batch.Add("c")));
  const uint64_t syncs = seam_control.data_syncs;
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_GT(seam_control.data_syncs, syncs);
  EXPECT_EQ(topic_->durable(), topic_->Stats()->end);
  // Only that one.
  ASSERT_TRUE(Succeeds(batch.Add("d")));
  const uint64_t after = seam_control.data_syncs;
  ASSERT_TRUE(Succeeds(batch.Commit()));
  EXPECT_EQ(seam_control.data_syncs, after);
}

TEST_F(BatchTest, EachOfItsPositionsCanBeWaitedFor) {
  seam_control.pretend_durable = true;
  Open();
  // Behind an open claim: no consumer gets there yet, and the batch is durable all the same.
  auto other = topic_->NewProducer();
  auto claim = other->Claim(1);
  ASSERT_TRUE(Succeeds(claim));
  const Position first = Commit({"a", "b", "c"});
  const uint64_t start = first.offset - 24 - 8 - 3 * 8;
  for (const uint64_t at : {start, first.offset, first.offset + 32, first.offset + 64}) {
    EXPECT_TRUE(Succeeds(topic_->WaitDurable({at}))) << at;
  }
  for (const uint64_t at : {start + 8, start + 24, first.offset + 8, first.offset + 40}) {
    EXPECT_FALSE(topic_->WaitDurable({at}).ok()) << at;
  }
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  for (const uint64_t at : {start + 8, start + 24, first.offset + 8, first.offset + 40}) {
    EXPECT_TRUE(Fails(topic_->WaitDurable({at}), StatusCode::kInvalidArgument, "inside")) << at;
  }
}

TEST_F(BatchTest, ADurableConsumerGetsItOnceItIsSynced) {
  seam_control.pretend_durable = true;
  Open();
  auto consumer = topic_->NewConsumer({.limit = Limit::kDurable});
  Commit({"a", "b"});
  EXPECT_TRUE(Fails(consumer->Next(kNow), StatusCode::kDeadlineExceeded));
  ASSERT_TRUE(Succeeds(topic_->Sync()));
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "a");
  EXPECT_EQ(TextOf(consumer->Next(kNow)), "b");
  EXPECT_TRUE(Fails(consumer->Next(kNow), StatusCode::kDeadlineExceeded));
}

TEST_F(BatchTest, AFailedSyncLeavesItPublishedAndEmpty) {
  seam_control.pretend_durable = true;
  Open();
  Batch batch = producer_->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("a", {.durable = true})));
  seam_control.sync_error = EIO;
  EXPECT_TRUE(Fails(batch.Commit(), StatusCode::kUnavailable, "is published"));
  seam_control.sync_error = 0;
  EXPECT_EQ(batch.size(), 0u);
  EXPECT_EQ(ReadAll(*topic_), Texts{"a"});
}

TEST(VolatileBatchTest, ADurableRecordIsRefused) {
  if (MemoryParent().empty()) GTEST_SKIP() << "needs a tmpfs at /dev/shm";
  const Scratch scratch(MemoryParent());
  auto topic = OpenTopic(scratch / "bus", {.create = true}, {.create = true, .background = false});
  ASSERT_TRUE(Succeeds(topic));
  auto producer = topic->NewProducer();
  Batch batch = producer->NewBatch();
  ASSERT_TRUE(Succeeds(batch.Add("kept")));
  EXPECT_TRUE(Fails(batch.Add("durable", {.durable = true}), StatusCode::kFailedPrecondition, "volatile"));
  EXPECT_TRUE(Succeeds(batch.Commit()));
}

}  // namespace
}  // namespace libbus::test
