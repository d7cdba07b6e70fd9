// Publishing: sizes, claims, timestamps, slots, and a full disk.
#include "libbus/producer.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "tests/seam/seam.h"
#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;
using Texts = std::vector<std::string>;

std::string PayloadOf(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + size);
  return text;
}

class ProducerTest : public TopicTest {
 protected:
  ~ProducerTest() override { seam_control.allocate_error = 0; }
};

// --- publish ---------------------------------------------------------------------------------------------------------

TEST_F(ProducerTest, EverySizeComesBackWhole) {
  std::vector<size_t> sizes = {0, 1, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097, 12345, 65536, 1 << 20, 3};
  // Around what fits a segment of one page: header, record header, END.
  for (size_t size = 4096 - 64 - 24 - 8 - 9; size <= 4096 - 64 - 24 + 9; ++size) sizes.push_back(size);
  auto topic = Make();
  auto producer = topic->NewProducer();
  Position last;
  for (const size_t size : sizes) {
    const auto position = producer->Publish(PayloadOf(size));
    ASSERT_TRUE(Succeeds(position)) << size;
    EXPECT_GT(*position, last);
    EXPECT_EQ(position->offset % 8, 0u);
    last = *position;
  }
  auto consumer = topic->NewConsumer();
  for (const size_t size : sizes) {
    const auto record = consumer->Next(absl::ZeroDuration());
    ASSERT_TRUE(Succeeds(record)) << size;
    ASSERT_EQ(record->text(), PayloadOf(size)) << size;
  }
  EXPECT_TRUE(Fails(consumer->Next(absl::ZeroDuration()), StatusCode::kDeadlineExceeded));
}

TEST_F(ProducerTest, SegmentsAreFilledToTheLastByteThatFits) {
  // Of a page: 64 of header, then a record of 24 + payload, then 8 for END.
  auto topic = Make();
  auto producer = topic->NewProducer();
  EXPECT_EQ(producer->Publish(std::string(4096 - 64 - 24 - 8, 'x')).value(), Position{64});
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(producer->Publish(std::string(4096 - 64 - 24 - 7, 'x')).value(), Position{4096 + 4096 + 64})
      << "one byte more needs a segment of its own size, behind the prepared one";
}

TEST_F(ProducerTest, SmallRecordsFollowALargeOneIntoItsSegment) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  const Position large = producer->Publish(std::string(10'000, 'x')).value();
  const Position small = producer->Publish("small").value();
  EXPECT_EQ(small.offset, large.offset + 24 + 10'000);
}

TEST_F(ProducerTest, ManyProducersShareOneLog) {
  auto topic = Make();
  std::vector<Producer> producers;
  for (int i = 0; i < 5; ++i) producers.push_back(topic->NewProducer().value());
  std::vector<std::string> wanted;
  for (int n = 0; n < 300; ++n) {
    wanted.push_back(std::to_string(n));
    ASSERT_TRUE(Succeeds(producers[static_cast<size_t>(n * 7 % 5)].Publish(wanted.back())));
  }
  EXPECT_EQ(ReadAll(*topic), wanted);
}

TEST_F(ProducerTest, AFreshProducerFindsALongLogsTail) {
  auto topic = Make();
  auto first = topic->NewProducer();
  Position last;
  for (int n = 0; n < 1000; ++n) last = first->Publish("12345678").value();
  auto second = topic->NewProducer();
  EXPECT_GT(second->Publish("x").value(), last);
  // The first one has not walked since.
  EXPECT_TRUE(Succeeds(first->Publish("y")));
  EXPECT_EQ(ReadAll(*topic).size(), 1002u);
}

TEST_F(ProducerTest, AProducerLeftBehindJumpsAhead) {
  auto topic = Make();
  auto idle = topic->NewProducer();
  ASSERT_TRUE(Succeeds(idle->Publish("0")));
  auto busy = topic->NewProducer();
  Position last;
  for (int n = 0; n < 5000; ++n) last = busy->Publish("12345678").value();
  EXPECT_GT(idle->Publish("x").value(), last);
}

TEST_F(ProducerTest, ASegmentRemovedInTheMiddleIsNotMadeAnew) {
  auto topic = Make();
  auto idle = topic->NewProducer();
  auto busy = topic->NewProducer();
  ASSERT_TRUE(Succeeds(idle->Publish(std::string(3000, 'a'))));
  Position last;
  for (const char c : {'b', 'c', 'd'}) last = busy->Publish(std::string(3000, c)).value();
  std::filesystem::remove(Path(SegmentName(4096)));
  const auto position = idle->Publish("after");
  ASSERT_TRUE(Succeeds(position));
  EXPECT_GT(*position, last);
  EXPECT_FALSE(std::filesystem::exists(Path(SegmentName(4096))));
}

TEST_F(ProducerTest, APayloadBeyondTheLimitIsRefusedUnread) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  // Never read: it could not be.
  const auto* nowhere = reinterpret_cast<const std::byte*>(uintptr_t{4096});
  for (const uint64_t size : {uint64_t{5} << 30, uint64_t{1} << 32, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    EXPECT_TRUE(Fails(producer->Publish(Bytes(nowhere, size)), StatusCode::kInvalidArgument, "too long")) << size;
    EXPECT_TRUE(Fails(producer->Claim(size), StatusCode::kInvalidArgument, "too long")) << size;
  }
  EXPECT_TRUE(Fails(producer->Publish(Bytes(nowhere, 0xFFFFFFFF), {.key = "k"}), StatusCode::kInvalidArgument));
  EXPECT_EQ(producer->Publish("x").value(), Position{64});
}

TEST_F(ProducerTest, TimestampsAreOfTheTopicsKind) {
  for (const Timestamps kind : {Timestamps::kCoarse, Timestamps::kPrecise, Timestamps::kNone}) {
    const Scratch scratch(FastParent());
    auto topic =
        OpenTopic(scratch / "bus", {.create = true, .segment_size = 4096, .timestamps = kind}, {.create = true});
    // The coarse clock may be a tick behind.
    const absl::Time before = absl::Now() - absl::Milliseconds(20);
    ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish("x")));
    const absl::Time stored = topic->NewConsumer()->Next()->timestamp();
    if (kind == Timestamps::kNone) {
      EXPECT_EQ(stored, absl::UnixEpoch());
    } else {
      EXPECT_GE(stored, before);
      EXPECT_LE(stored, absl::Now());
    }
  }
}

TEST_F(ProducerTest, AGivenTimestampWins) {
  auto topic = Make({.timestamps = Timestamps::kNone});
  ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish("x", {.timestamp = absl::FromUnixSeconds(5)})));
  EXPECT_EQ(topic->NewConsumer()->Next()->timestamp(), absl::FromUnixSeconds(5));
}

TEST_F(ProducerTest, CopiesAreOneToPublishAndNoneToClaimOrRead) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  seam_control.copies = 0;
  seam_control.copied_bytes = 0;
  ASSERT_TRUE(Succeeds(producer->Publish(std::string(1000, 'x'))));
  EXPECT_EQ(seam_control.copies, 1u);
  EXPECT_EQ(seam_control.copied_bytes, 1000u);
  auto claim = producer->Claim(1000);
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  EXPECT_EQ(seam_control.copied_bytes, 1000u);
  auto consumer = topic->NewConsumer();
  const auto record = consumer->Next();
  ASSERT_EQ(record->payload().size(), 1000u);
  EXPECT_EQ(seam_control.copied_bytes, 1000u);
  // What is read is the log itself: the same bytes as another consumer of this process reads.
  EXPECT_EQ(topic->NewConsumer()->Next()->payload().data(), record->payload().data());
}

// --- close -----------------------------------------------------------------------------------------------------------

TEST_F(ProducerTest, CloseGivesTheSlotBack) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Close()));
  EXPECT_EQ(topic->Stats()->producers, 0u);
  EXPECT_TRUE(Succeeds(producer->Close()));
  EXPECT_TRUE(Fails(producer->Publish("x"), StatusCode::kFailedPrecondition, "closed"));
  EXPECT_TRUE(Fails(producer->Claim(1), StatusCode::kFailedPrecondition, "closed"));
}

TEST_F(ProducerTest, TheDestructorAndAssignmentCloseToo) {
  auto topic = Make();
  {
    auto producer = topic->NewProducer();
    EXPECT_EQ(topic->Stats()->producers, 1u);
  }
  EXPECT_EQ(topic->Stats()->producers, 0u);
  Producer first = topic->NewProducer().value();
  Producer second = topic->NewProducer().value();
  first = std::move(second);
  EXPECT_EQ(topic->Stats()->producers, 1u);
  EXPECT_TRUE(Succeeds(first.Publish("x")));
}

TEST_F(ProducerTest, OutlivesItsTopicAndBus) {
  std::optional<Producer> producer;
  {
    auto topic = Make();
    producer = topic->NewProducer().value();
  }
  EXPECT_TRUE(Succeeds(producer->Publish("x")));
  producer.reset();
  auto topic = OpenReadOnly();
  EXPECT_EQ(ReadAll(*topic), std::vector<std::string>{"x"});
}

TEST_F(ProducerTest, NamesThatDoNotFitAreRefused) {
  auto topic = Make();
  EXPECT_TRUE(
      Fails(topic->NewProducer({.name = std::string(kMaxProducerName + 1, 'n')}), StatusCode::kInvalidArgument));
  EXPECT_TRUE(Fails(topic->NewProducer({.name = std::string("a\0b", 3)}), StatusCode::kInvalidArgument, "NUL"));
  EXPECT_TRUE(Succeeds(topic->NewProducer({.name = std::string(kMaxProducerName, 'n')})));
}

// --- claims ----------------------------------------------------------------------------------------------------------

class ClaimedRecordTest : public ProducerTest {
 protected:
  ClaimedRecordTest() : topic_(Make()), producer_(topic_->NewProducer()) {}
  ClaimedRecord Claim(std::string_view text) {
    ClaimedRecord claim = producer_->Claim(text.size()).value();
    std::memcpy(claim.bytes().data(), text.data(), text.size());
    return claim;
  }
  std::vector<std::string> Read() { return ReadAll(*topic_); }

  absl::StatusOr<Topic> topic_;
  absl::StatusOr<Producer> producer_;
};

TEST_F(ClaimedRecordTest, IsAlignedAndZeroAtFirst) {
  for (const size_t size : {0, 1, 100, 5000}) {
    auto claim = producer_->Claim(size, {.key = "some key"});
    ASSERT_TRUE(Succeeds(claim));
    ASSERT_EQ(claim->bytes().size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(claim->bytes().data()) % 8, 0u);
    for (const std::byte byte : claim->bytes()) ASSERT_EQ(byte, std::byte{0});
    std::memset(claim->bytes().data(), 0xFF, size);
  }
}

TEST_F(ClaimedRecordTest, CommitPublishesAllOrLess) {
  EXPECT_TRUE(Succeeds(Claim("all of it").Commit()));
  EXPECT_TRUE(Succeeds(Claim("some of it").Commit(4)));
  EXPECT_TRUE(Succeeds(Claim("nothing").Commit(0)));
  EXPECT_TRUE(Succeeds(Claim("").Commit()));
  EXPECT_EQ(Read(), (Texts{"all of it", "some", "", ""}));
}

TEST_F(ClaimedRecordTest, CommitOfTooMuchKeepsItOpen) {
  ClaimedRecord claim = Claim("12345");
  EXPECT_TRUE(Fails(std::move(claim).Commit(6), StatusCode::kInvalidArgument, "5 bytes were claimed"));
  EXPECT_EQ(claim.bytes().size(), 5u);
  EXPECT_TRUE(Fails(std::move(claim).Commit(~size_t{0}), StatusCode::kInvalidArgument));
  EXPECT_TRUE(Succeeds(std::move(claim).Commit(5)));
  EXPECT_EQ(Read(), Texts{"12345"});
}

TEST_F(ClaimedRecordTest, AbandonLeavesAGapThatIsNoLoss) {
  EXPECT_TRUE(Succeeds(Claim("gone").Abandon()));
  EXPECT_TRUE(Succeeds(producer_->Publish("after")));
  EXPECT_EQ(Read(), (Texts{"<aborted>", "after"}));
  EXPECT_EQ(ReadAll(*topic_, Gaps::kLoss), Texts{"after"});
}

TEST_F(ClaimedRecordTest, TheDestructorAbandons) {
  { const ClaimedRecord claim = Claim("gone"); }
  EXPECT_EQ(Read(), Texts{"<aborted>"});
}

TEST_F(ClaimedRecordTest, AssignmentAbandonsWhatItReplaces) {
  auto other = topic_->NewProducer();
  ClaimedRecord claim = Claim("first");
  ClaimedRecord second = other->Claim(1).value();
  second.bytes()[0] = std::byte{'2'};
  claim = std::move(second);
  EXPECT_TRUE(Succeeds(std::move(claim).Commit()));
  EXPECT_EQ(Read(), (Texts{"<aborted>", "2"}));
}

TEST_F(ClaimedRecordTest, IsOverAfterCommitAbandonOrMove) {
  ClaimedRecord committed = Claim("1");
  ASSERT_TRUE(Succeeds(std::move(committed).Commit()));
  ClaimedRecord abandoned = Claim("2");
  ASSERT_TRUE(Succeeds(std::move(abandoned).Abandon()));
  ClaimedRecord moved = Claim("3");
  const ClaimedRecord holder = std::move(moved);
  for (ClaimedRecord* claim : {&committed, &abandoned, &moved}) {
    EXPECT_TRUE(claim->bytes().empty());
    EXPECT_TRUE(Fails(std::move(*claim).Commit(), StatusCode::kFailedPrecondition));
    EXPECT_TRUE(Fails(std::move(*claim).Abandon(), StatusCode::kFailedPrecondition));
    claim->KeepAlive();
  }
}

TEST_F(ClaimedRecordTest, OneIsOpenAtATime) {
  ClaimedRecord claim = Claim("open");
  EXPECT_TRUE(Fails(producer_->Claim(1), StatusCode::kFailedPrecondition, "claim of this producer is open"));
  EXPECT_TRUE(Fails(producer_->Publish("x"), StatusCode::kFailedPrecondition, "claim of this producer is open"));
  EXPECT_TRUE(Succeeds(std::move(claim).Commit()));
  EXPECT_TRUE(Succeeds(producer_->Publish("x")));
  EXPECT_EQ(Read(), (Texts{"open", "x"}));
}

TEST_F(ClaimedRecordTest, ClosingTheProducerAbandonsIt) {
  ClaimedRecord claim = Claim("gone");
  ASSERT_TRUE(Succeeds(producer_->Close()));
  EXPECT_EQ(Read(), Texts{"<aborted>"});
  EXPECT_TRUE(Fails(std::move(claim).Commit(), StatusCode::kFailedPrecondition, "closed"));
}

TEST_F(ClaimedRecordTest, ItsBytesStayMappedWhenTheProducerAndTheTopicAreGone) {
  ClaimedRecord claim = Claim("gone");
  producer_ = absl::UnknownError("gone");
  topic_ = absl::UnknownError("gone");
  std::memset(claim.bytes().data(), 'x', claim.bytes().size());
  EXPECT_TRUE(Fails(std::move(claim).Abandon(), StatusCode::kFailedPrecondition));
  topic_ = OpenTopic(bus_);
  EXPECT_EQ(Read(), Texts{"<aborted>"});
}

TEST_F(ClaimedRecordTest, MayBeLargerThanASegment) {
  const std::string text = PayloadOf(100'000);
  EXPECT_TRUE(Succeeds(Claim(text).Commit()));
  EXPECT_EQ(Read(), Texts{text});
}

TEST_F(ClaimedRecordTest, HoldsUpReadersAndNotProducers) {
  auto other = topic_->NewProducer({.name = "other"});
  ClaimedRecord claim = Claim("first");
  ASSERT_TRUE(Succeeds(other->Publish("second")));
  auto consumer = topic_->NewConsumer();
  EXPECT_TRUE(
      Fails(consumer->Next(absl::ZeroDuration()), StatusCode::kDeadlineExceeded, "not committed yet by slot 1"));
  ASSERT_TRUE(Succeeds(std::move(claim).Commit()));
  EXPECT_EQ(TextOf(consumer->Next(absl::ZeroDuration())), "first");
  EXPECT_EQ(TextOf(consumer->Next(absl::ZeroDuration())), "second");
}

// --- slots -----------------------------------------------------------------------------------------------------------

TEST_F(ProducerTest, WhenAllSlotsAreHeldTheHoldersAreNamed) {
  constexpr rlim_t kWanted = 2048;
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < kWanted) GTEST_SKIP() << "needs a hard limit of " << kWanted << " open files";
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = std::max(before, kWanted);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);

  auto topic = Make();
  std::vector<Producer> producers;
  for (int i = 0; i < 1023; ++i) {
    auto producer = topic->NewProducer({.name = "holder " + std::to_string(i)});
    ASSERT_TRUE(Succeeds(producer)) << i;
    producers.push_back(*std::move(producer));
  }
  const auto refused = topic->NewProducer();
  EXPECT_TRUE(Fails(refused, StatusCode::kResourceExhausted, "holder 0 (pid " + std::to_string(getpid()) + ")"));
  EXPECT_TRUE(Fails(refused, StatusCode::kResourceExhausted, "1023"));
  EXPECT_TRUE(Succeeds(producers[500].Publish("x")));
  ASSERT_TRUE(Succeeds(producers[700].Close()));
  EXPECT_TRUE(Succeeds(topic->NewProducer()));
}

TEST_F(ProducerTest, WithoutDescriptorsNobodyGetsASlotAndOthersGoOn) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {3, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto refused = topic->NewProducer();
  const auto published = producer->Publish("x");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(Fails(refused, StatusCode::kResourceExhausted, "ulimit -n"));
  EXPECT_TRUE(Succeeds(published));
  EXPECT_EQ(topic->Stats()->producers, 1u);
}

// --- no room ---------------------------------------------------------------------------------------------------------

std::vector<std::string> SegmentsOf(const std::string& topic) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(topic)) {
    if (entry.path().extension() == ".seg") names.push_back(entry.path().filename());
  }
  return names;
}

// Fills the topic until a large record does not fit, checks that nothing was touched, that a small one does, and that
// `make_room` lets it go on. Every record is read again. True, or what went wrong.
testing::AssertionResult MeetsAFullDisk(Topic& topic, const std::string& directory, std::string_view cure,
                                        const std::function<void()>& make_room) {
  auto producer = topic.NewProducer();
  if (!producer.ok()) return Succeeds(producer);
  uint64_t published = 0;
  absl::Status status;
  while (published < 10'000) {
    const auto before = topic.Stats()->end;
    const auto files = SegmentsOf(directory);
    status = producer->Publish(std::string(1500, 'L')).status();
    if (status.ok()) {
      ++published;
      continue;
    }
    if (topic.Stats()->end != before) return testing::AssertionFailure() << "the log changed";
    if (SegmentsOf(directory) != files) return testing::AssertionFailure() << "a segment was left behind";
    break;
  }
  if (auto full = Fails(status, StatusCode::kResourceExhausted, cure); !full) return full;
  if (auto again = Fails(producer->Claim(1500), StatusCode::kResourceExhausted, cure); !again) return again;
  if (auto small = Succeeds(producer->Publish("small")); !small) return small << " (small)";
  make_room();
  if (auto large = Succeeds(producer->Publish(std::string(1500, 'L'))); !large) return large << " (after)";
  published += 2;
  auto consumer = topic.NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
  uint64_t read = 0;
  for (const RecordView& record : consumer->Records()) read += record.kind() == RecordKind::kData ? 1 : 1'000'000;
  if (read != published) return testing::AssertionFailure() << "published " << published << ", read " << read;
  return testing::AssertionSuccess();
}

TEST_F(ProducerTest, AFullDiskTouchesNothingAndPassesOver) {
  auto topic = Make();
  seam_control.allocate_error = ENOSPC;
  EXPECT_TRUE(MeetsAFullDisk(*topic, Path(""), "free some space", [] { seam_control.allocate_error = 0; }));
}

TEST_F(ProducerTest, MaintainSaysThatTheDiskIsFull) {
  auto topic = Make();
  seam_control.allocate_error = ENOSPC;
  EXPECT_TRUE(Fails(topic->Maintain(), StatusCode::kResourceExhausted, "free some space"));
  seam_control.allocate_error = 0;
  EXPECT_TRUE(Succeeds(topic->Maintain()));
}

TEST_F(ProducerTest, ATopicIsNotMadeOnAFullDisk) {
  ASSERT_TRUE(Succeeds(Bus::Open(bus_, {.create = true})));
  seam_control.allocate_error = ENOSPC;
  EXPECT_TRUE(Fails(Make(), StatusCode::kResourceExhausted, bus_));
  seam_control.allocate_error = 0;
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(bus_), {}), 1) << "only the identity";
  EXPECT_TRUE(Succeeds(Make()));
}

TEST_F(ProducerTest, AFileSizeLimitIsAnErrorAndNoDeath) {
  // SIGXFSZ would kill. Segments of 256 KiB fit, one of a large record's own size does not.
  const int code = Child([&] {
                     auto topic = Make({.segment_size = 256 << 10});
                     auto producer = topic->NewProducer();
                     const rlimit limit = {512 << 10, RLIM_INFINITY};
                     if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
                     const std::string large(1 << 20, 'x');
                     if (!Fails(producer->Publish(large), StatusCode::kResourceExhausted, "ulimit -f")) return 2;
                     if (!producer->Publish("small").ok()) return 3;
                     sigset_t pending;
                     sigpending(&pending);
                     if (sigismember(&pending, SIGXFSZ) != 0) return 4;
                     const rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
                     if (setrlimit(RLIMIT_FSIZE, &none) != 0) return 5;
                     if (!producer->Publish(large).ok()) return 6;
                     return ReadAll(*topic) == Texts{"small", large} ? 0 : 7;
                   }).Join();
  EXPECT_EQ(code, 0);
}

TEST_F(ProducerTest, AFullFileSystemTouchesNothingAndPassesOver) {
  const std::string disk = scratch_ / "disk";
  std::filesystem::create_directory(disk);
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=512k,mode=700") != 0) {
    GTEST_SKIP() << "needs root that may mount a tmpfs: " << std::strerror(errno);
  }
  const auto unmount = [&](int*) { umount2(disk.c_str(), MNT_DETACH); };
  int guard = 0;
  const std::unique_ptr<int, decltype(unmount)> mounted(&guard, unmount);
  WriteFile(disk + "/ballast", std::string(64 << 10, 'b'));
  auto topic = OpenTopic(disk + "/bus", {.create = true, .segment_size = 16384}, {.create = true, .background = false});
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_TRUE(
      MeetsAFullDisk(*topic, disk + "/bus/t", "free some space", [&] { std::filesystem::remove(disk + "/ballast"); }));
}

// --- without a thread of the library's own ---------------------------------------------------------------------------

size_t Threads() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}));
}

TEST_F(ProducerTest, WithoutBackgroundNoThreadStartsAndMaintainPrepares) {
  const size_t threads = Threads();
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer->Publish("x")));
  EXPECT_EQ(Threads(), threads);
  EXPECT_EQ(SegmentsOf(Path("")).size(), 1u);
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(SegmentsOf(Path("")).size(), 2u);
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(SegmentsOf(Path("")).size(), 2u) << "one ahead is enough";
}

TEST_F(ProducerTest, WithBackgroundOneThreadLivesAsLongAsProducersDo) {
  const size_t threads = Threads();
  auto topic = Make({}, {.background = true});
  auto consumer = topic->NewConsumer();
  EXPECT_EQ(Threads(), threads) << "never for consumers";
  {
    auto first = topic->NewProducer();
    auto second = topic->NewProducer();
    EXPECT_EQ(Threads(), threads + 1);
    // It prepares the next segment without being asked by hand.
    ASSERT_TRUE(Succeeds(first->Publish("x")));
    while (SegmentsOf(Path("")).size() < 2) sched_yield();
  }
  EXPECT_EQ(Threads(), threads);
}

TEST_F(ProducerTest, RollingOntoPreparedSegmentsAllocatesNothing) {
  auto topic = Make();
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  seam_control.allocate_error = ENOSPC;
  uint64_t published = 0;
  while (producer->Publish(std::string(1000, 'x')).ok()) ++published;
  EXPECT_EQ(published, 6u) << "three to a page, two pages";
}

}  // namespace
}  // namespace libbus::test
