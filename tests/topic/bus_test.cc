// Opening and making: a bus, its identity, its topics, and everything that may be wrong with them.
#include "libbus/bus.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/topic/fixture.h"

namespace libbus::test {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;

mode_t ModeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

class BusTest : public TopicTest {
 protected:
  absl::StatusOr<Bus> Create() const { return Bus::Open(bus_, {.create = true, .background = false}); }
  std::string identity() const { return bus_ + "/bus"; }
};

TEST_F(BusTest, CreateMakesAnEmptyBusForItsOwnerOnly) {
  auto bus = Create();
  ASSERT_TRUE(Succeeds(bus));
  EXPECT_EQ(bus->ListTopics().value(), std::vector<std::string>());
  EXPECT_EQ(ModeOf(bus_), 0700u);
  EXPECT_EQ(ModeOf(identity()), 0600u);
  EXPECT_EQ(bus->path(), fs::canonical(bus_));
  const std::string uuid = bus->uuid();
  EXPECT_EQ(uuid.size(), 36u);
  EXPECT_EQ(uuid.find_first_not_of("0123456789abcdef-"), std::string::npos) << uuid;
}

TEST_F(BusTest, ModesDoNotHangOnTheUmask) {
  const mode_t before = umask(0777);
  auto topic = Make();
  umask(before);
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_EQ(ModeOf(Path("control")), 0600u);
  EXPECT_EQ(ModeOf(Path(SegmentName(0))), 0600u);
}

TEST_F(BusTest, OpensAgainWithTheSameIdentity) {
  const std::string uuid = Create()->uuid();
  EXPECT_EQ(Bus::Open(bus_)->uuid(), uuid);
  EXPECT_EQ(Bus::Open(bus_, {.create = true})->uuid(), uuid);
  EXPECT_EQ(Bus::Open(bus_, {.read_only = true})->uuid(), uuid);
}

TEST_F(BusTest, TwoBusesHaveTwoIdentities) {
  EXPECT_NE(Create()->uuid(), Bus::Open(scratch_ / "other", {.create = true})->uuid());
}

TEST_F(BusTest, MissingPathIsNotFoundAndNotMade) {
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kNotFound, bus_));
  EXPECT_FALSE(fs::exists(bus_));
  EXPECT_TRUE(Fails(Bus::Open(scratch_ / "a/b", {.create = true}), StatusCode::kNotFound, "a/b"));
  EXPECT_TRUE(Fails(Bus::Open(""), StatusCode::kNotFound));
}

TEST_F(BusTest, AFileIsNotABus) {
  WriteFile(bus_, "text");
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kFailedPrecondition, bus_));
  EXPECT_TRUE(Fails(Bus::Open(bus_, {.create = true}), StatusCode::kFailedPrecondition, bus_));
  EXPECT_EQ(ReadFile(bus_), "text");
}

TEST_F(BusTest, ADirectoryWithoutIdentityIsNotABus) {
  fs::create_directory(bus_);
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kFailedPrecondition, "not a bus"));
  EXPECT_TRUE(fs::is_empty(bus_));
}

TEST_F(BusTest, AForeignDirectoryIsNotTakenOver) {
  fs::create_directory(bus_);
  fs::permissions(bus_, fs::perms::owner_all);
  WriteFile(bus_ + "/letter.txt", "mine");
  EXPECT_TRUE(Fails(Bus::Open(bus_, {.create = true}), StatusCode::kFailedPrecondition, "letter.txt"));
  EXPECT_FALSE(fs::exists(identity()));
}

TEST_F(BusTest, AnEmptyDirectoryBecomesABus) {
  fs::create_directory(bus_);
  fs::permissions(bus_, fs::perms::owner_all);
  // What a maker that died left on a file system without nameless files.
  WriteFile(bus_ + "/.making-1-2", "");
  EXPECT_TRUE(Succeeds(Create()));
}

TEST_F(BusTest, ADirectoryThatOthersMayWriteIsRefusedUntouched) {
  fs::create_directory(bus_);
  ASSERT_EQ(chmod(bus_.c_str(), 0777), 0);
  EXPECT_TRUE(Fails(Create(), StatusCode::kFailedPrecondition, "others may write"));
  EXPECT_TRUE(fs::is_empty(bus_));
}

TEST_F(BusTest, CreateAndReadOnlyContradict) {
  EXPECT_TRUE(Fails(Bus::Open(bus_, {.create = true, .read_only = true}), StatusCode::kFailedPrecondition));
  EXPECT_FALSE(fs::exists(bus_));
}

TEST_F(BusTest, APathWithNulIsRefused) {
  EXPECT_TRUE(Fails(Bus::Open(bus_ + std::string("\0x", 2), {.create = true}), StatusCode::kInvalidArgument, "NUL"));
  EXPECT_FALSE(fs::exists(bus_));
}

TEST_F(BusTest, ARelativePathStaysRightWhenTheProcessMoves) {
  const int code = Child([&] {
                     if (chdir(scratch_.path().c_str()) != 0) return 1;
                     auto bus = Bus::Open("bus", {.create = true, .background = false});
                     if (!bus.ok() || chdir("/") != 0) return 2;
                     return bus->OpenTopic("t", {.create = true, .segment_size = 4096}).ok() ? 0 : 3;
                   }).Join();
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(fs::exists(Path("control")));
}

TEST_F(BusTest, ANewerVersionIsRefusedByName) {
  ASSERT_TRUE(Succeeds(Create()));
  ChangeHeader<format::BusFile>(identity(), [](auto& file) { file.header.version = format::kFormatVersion + 1; });
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kUnimplemented, identity()));
  EXPECT_TRUE(Fails(Create(), StatusCode::kUnimplemented, "newer"));
}

TEST_F(BusTest, ANewerVersionMayComputeItsChecksumOtherwise) {
  ASSERT_TRUE(Succeeds(Create()));
  Patch(identity(), offsetof(format::FileHeader, version), std::string("\x07\x00", 2));
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kUnimplemented, identity()));
}

TEST_F(BusTest, AnUnknownIncompatibleFeatureIsRefusedAndACompatibleOneIsNot) {
  ASSERT_TRUE(Succeeds(Create()));
  ChangeHeader<format::BusFile>(identity(), [](auto& file) { file.header.compatible = 0x8001; });
  EXPECT_TRUE(Succeeds(Bus::Open(bus_)));
  ChangeHeader<format::BusFile>(identity(), [](auto& file) { file.header.incompatible = 0x8000; });
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kUnimplemented, identity()));
}

TEST_F(BusTest, ADamagedIdentityIsDataLossAndNeverMadeAnew) {
  ASSERT_TRUE(Succeeds(Create()));
  const std::string good = ReadFile(identity());
  const auto expect = [&](const std::string& bytes, StatusCode code, std::string_view text) {
    WriteFile(identity(), bytes);
    EXPECT_TRUE(Fails(Bus::Open(bus_), code, text));
    EXPECT_TRUE(Fails(Create(), code, text));
    EXPECT_EQ(ReadFile(identity()), bytes);
  };
  std::string flipped = good;
  flipped[20] = static_cast<char>(flipped[20] ^ 5);
  expect(flipped, StatusCode::kDataLoss, "damaged");
  expect("", StatusCode::kDataLoss, "empty");
  expect(good.substr(0, 100), StatusCode::kDataLoss, "truncated");
  expect(std::string(256, '\0'), StatusCode::kDataLoss, "zeros");
  expect("#!/bin/sh" + good.substr(9), StatusCode::kFailedPrecondition, "not a libbus bus");
}

TEST_F(BusTest, ASymbolicLinkIsNoIdentity) {
  ASSERT_TRUE(Succeeds(Create()));
  fs::rename(identity(), scratch_ / "elsewhere");
  fs::create_symlink(scratch_ / "elsewhere", identity());
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kFailedPrecondition, identity()));
}

// --- rights ----------------------------------------------------------------------------------------------------------

// Runs `body` as an ordinary user in a directory of his own.
int RunUnprivileged(const std::string& directory, const std::function<int()>& body) {
  constexpr uid_t kNobody = 65534;
  if (geteuid() == 0 && chown(directory.c_str(), kNobody, kNobody) != 0) return -1;
  return Child([&] {
           if (geteuid() == 0 &&
               (setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0)) {
             return 100;
           }
           return body();
         })
      .Join();
}

TEST_F(BusTest, NothingIsMadeWhereOneMayNotWrite) {
  const int code = RunUnprivileged(scratch_.path(), [&] {
    if (chmod(scratch_.path().c_str(), 0500) != 0) return 1;
    const bool denied = Fails(Create(), StatusCode::kPermissionDenied, bus_);
    chmod(scratch_.path().c_str(), 0700);
    return denied ? 0 : 2;
  });
  EXPECT_EQ(code, 0);
  EXPECT_FALSE(fs::exists(bus_));
}

TEST_F(BusTest, NoTopicIsMadeWhereOneMayNotWrite) {
  const int code = RunUnprivileged(scratch_.path(), [&] {
    auto bus = Create();
    if (!bus.ok() || chmod(bus_.c_str(), 0500) != 0) return 1;
    const bool denied = Fails(bus->OpenTopic("t", {.create = true}), StatusCode::kPermissionDenied, bus_);
    chmod(bus_.c_str(), 0700);
    return denied ? 0 : 2;
  });
  EXPECT_EQ(code, 0);
  EXPECT_FALSE(fs::exists(bus_ + "/t"));
}

TEST_F(BusTest, AFullTopicWhereOneMayNotWriteAnyMoreKeepsWhatItHas) {
  const int code = RunUnprivileged(scratch_.path(), [&] {
    auto topic = Make();
    auto producer = topic->NewProducer();
    if (!producer->Publish("small").ok() || chmod(Path("").c_str(), 0500) != 0) return 1;
    const bool denied = Fails(producer->Publish(std::string(4000, 'x')), StatusCode::kPermissionDenied, bus_ + "/t");
    const bool goes_on = producer->Publish("more").ok();
    chmod(Path("").c_str(), 0700);
    return denied && goes_on && ReadAll(*topic) == std::vector<std::string>{"small", "more"} ? 0 : 2;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(BusTest, SomebodyElsesBusIsNotWritten) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: a bus of another user";
  ASSERT_TRUE(Succeeds(Make()));
  ASSERT_EQ(chmod(scratch_.path().c_str(), 0755), 0);
  const int code = Child([&] {
                     if (setresuid(65534, 65534, 65534) != 0) return 1;
                     return Fails(Bus::Open(bus_), StatusCode::kPermissionDenied, bus_) ? 0 : 2;
                   }).Join();
  EXPECT_EQ(code, 0);
  ASSERT_EQ(chown(bus_.c_str(), 65534, 65534), 0);
  EXPECT_TRUE(Fails(Bus::Open(bus_), StatusCode::kFailedPrecondition, "belongs to uid 65534"));
  EXPECT_TRUE(Succeeds(Bus::Open(bus_, {.read_only = true})));
}

// --- topics ----------------------------------------------------------------------------------------------------------

TEST_F(BusTest, BadTopicNamesAreRefusedAndNothingIsMade) {
  auto bus = Create();
  const std::string names[] = {"",
                               "a/b",
                               "/a",
                               "../a",
                               ".",
                               "..",
                               "a.b",
                               ".hidden",
                               "a b",
                               "bus",
                               "a\nb",
                               "\xc3\xa4",
                               std::string("a\0b", 3),
                               std::string(kMaxTopicName + 1, 'n')};
  for (const std::string& name : names) {
    EXPECT_TRUE(Fails(bus->OpenTopic(name, {.create = true}), StatusCode::kInvalidArgument, "topic name")) << name;
    EXPECT_TRUE(Fails(bus->OpenTopic(name), StatusCode::kInvalidArgument, "topic name")) << name;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(bus_), {}), 1);
}

TEST_F(BusTest, GoodTopicNamesAreKeptAndListedInOrder) {
  auto bus = Create();
  const std::string longest(kMaxTopicName, 'z');
  for (const std::string& name : {longest, std::string("A-Z_9"), std::string("bus2"), std::string("-")}) {
    auto topic = bus->OpenTopic(name, {.create = true, .segment_size = 4096});
    ASSERT_TRUE(Succeeds(topic));
    EXPECT_EQ(topic->name(), name);
  }
  EXPECT_EQ(bus->ListTopics().value(), (std::vector<std::string>{"-", "A-Z_9", "bus2", longest}));
}

TEST_F(BusTest, ListTopicsLeavesOutWhatIsNoTopic) {
  auto bus = Create();
  ASSERT_TRUE(Succeeds(Make()));
  fs::create_directory(bus_ + "/folder");
  fs::create_directory(bus_ + "/.making-topic-1-2");
  WriteFile(bus_ + "/file", "");
  EXPECT_EQ(bus->ListTopics().value(), std::vector<std::string>{"t"});
}

TEST_F(BusTest, WhatADeadMakerLeftIsRemovedByTheNext) {
  auto bus = Create();
  fs::create_directory(bus_ + "/.making-topic-1-2");
  WriteFile(bus_ + "/.making-topic-1-2/control", "half");
  ASSERT_TRUE(Succeeds(Make()));
  EXPECT_FALSE(fs::exists(bus_ + "/.making-topic-1-2"));
}

TEST_F(BusTest, ATopicIsMadeOnlyWhenAskedFor) {
  auto bus = Create();
  EXPECT_TRUE(Fails(bus->OpenTopic("t"), StatusCode::kNotFound, bus_ + "/t"));
  EXPECT_FALSE(fs::exists(bus_ + "/t"));
  ASSERT_TRUE(Succeeds(bus->OpenTopic("t", {.create_new = true, .segment_size = 4096})));
  EXPECT_TRUE(Fails(bus->OpenTopic("t", {.create_new = true}), StatusCode::kAlreadyExists, bus_ + "/t"));
  EXPECT_TRUE(Succeeds(bus->OpenTopic("t", {.create = true})));
  EXPECT_TRUE(Succeeds(bus->OpenTopic("t")));
}

TEST_F(BusTest, SettingsAreThoseOfTheTopicUnlessTheyContradict) {
  ASSERT_TRUE(
      Succeeds(Make({.segment_size = 8000, .timestamps = Timestamps::kPrecise, .claim_timeout = absl::Seconds(3)})));
  auto topic = OpenTopic(bus_);
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_EQ(topic->options().segment_size, 8192u);  // whole pages
  EXPECT_EQ(topic->options().timestamps, Timestamps::kPrecise);
  EXPECT_EQ(topic->options().claim_timeout, absl::Seconds(3));
  EXPECT_TRUE(Succeeds(OpenTopic(
      bus_,
      {.create = true, .segment_size = 8192, .timestamps = Timestamps::kPrecise, .claim_timeout = absl::Seconds(3)})));
  constexpr auto kContradicts = StatusCode::kFailedPrecondition;
  EXPECT_TRUE(Fails(OpenTopic(bus_, {.segment_size = 4096}), kContradicts, "segment size 8192, opened with 4096"));
  EXPECT_TRUE(Fails(OpenTopic(bus_, {.timestamps = Timestamps::kNone}), kContradicts, "timestamps"));
  EXPECT_TRUE(
      Fails(OpenTopic(bus_, {.claim_timeout = absl::Seconds(4)}), kContradicts, "claim timeout 3s, opened with 4s"));
  EXPECT_TRUE(Fails(OpenTopic(bus_, {.segment_size = 4096}, {.read_only = true}), kContradicts, "segment size"));
}

TEST_F(BusTest, DefaultsAreThoseOfTheHeader) {
  auto topic = OpenTopic(bus_, {.create = true}, {.create = true, .background = false});
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_EQ(topic->options().segment_size, kDefaultSegmentSize);
  EXPECT_EQ(topic->options().timestamps, Timestamps::kCoarse);
  EXPECT_EQ(topic->options().claim_timeout, absl::Seconds(10));
}

TEST_F(BusTest, SettingsOutOfBoundsAreRefusedAndNothingIsMade) {
  auto bus = Create();
  for (const uint64_t size : {uint64_t{0}, kMinSegmentSize - 1, kMaxSegmentSize + 1, ~uint64_t{0}}) {
    EXPECT_TRUE(Fails(bus->OpenTopic("t", {.create = true, .segment_size = size}), StatusCode::kInvalidArgument,
                      "segment size"));
  }
  EXPECT_TRUE(Fails(bus->OpenTopic("t", {.create = true, .claim_timeout = absl::Seconds(-1)}),
                    StatusCode::kInvalidArgument, "claim timeout"));
  EXPECT_FALSE(fs::exists(bus_ + "/t"));
}

TEST_F(BusTest, AnInfiniteClaimTimeoutNeverRevokes) {
  ASSERT_TRUE(Succeeds(Make({.claim_timeout = absl::InfiniteDuration()})));
  EXPECT_EQ(OpenTopic(bus_)->options().claim_timeout, absl::ZeroDuration());
}

TEST_F(BusTest, ReadOnlyMakesAndWritesNothing) {
  ASSERT_TRUE(Succeeds(Make()));
  auto bus = Bus::Open(bus_, {.read_only = true});
  EXPECT_TRUE(Fails(bus->OpenTopic("new", {.create = true}), StatusCode::kFailedPrecondition, "read-only"));
  auto topic = bus->OpenTopic("t");
  ASSERT_TRUE(Succeeds(topic));
  EXPECT_TRUE(Fails(topic->NewProducer(), StatusCode::kFailedPrecondition, "read-only"));
  EXPECT_TRUE(Fails(topic->Maintain(), StatusCode::kFailedPrecondition, "read-only"));
}

TEST_F(BusTest, TopicsOutliveTheirBus) {
  absl::StatusOr<Topic> topic = absl::UnknownError("");
  {
    auto bus = Create();
    topic = bus->OpenTopic("t", {.create = true, .segment_size = 4096});
  }
  auto producer = topic->NewProducer();
  ASSERT_TRUE(Succeeds(producer));
  EXPECT_TRUE(Succeeds(producer->Publish("x")));
}

TEST_F(BusTest, WorksOnTheDiskAndInMemory) {
  if (access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "needs a tmpfs at /dev/shm";
  for (const std::string& parent : {std::string("/tmp"), std::string("/dev/shm")}) {
    const Scratch scratch(parent);
    for (int round = 0; round < 2; ++round) {
      auto topic = OpenTopic(scratch / "bus", {.create = true, .segment_size = 4096}, {.create = true});
      ASSERT_TRUE(Succeeds(topic)) << parent;
      ASSERT_TRUE(Succeeds(topic->NewProducer()->Publish(std::string(5000, 'x'))));
    }
    auto topic = OpenTopic(scratch / "bus", {}, {.read_only = true});
    ASSERT_TRUE(Succeeds(topic)) << parent;
    EXPECT_EQ(ReadAll(*topic).size(), 2u);
  }
}

TEST_F(BusTest, StatsTellWhatIsThere) {
  auto topic = Make();
  auto first = topic->NewProducer();
  auto second = topic->NewProducer();
  ASSERT_TRUE(Succeeds(topic->Stats()));
  EXPECT_EQ(topic->Stats()->segments, 1u);
  EXPECT_EQ(topic->Stats()->bytes, 4096u);
  EXPECT_EQ(topic->Stats()->first, Position{64});
  EXPECT_EQ(topic->Stats()->end, Position{64});
  EXPECT_EQ(topic->Stats()->producers, 2u);
  ASSERT_TRUE(Succeeds(first->Publish("12345678")));
  ASSERT_TRUE(Succeeds(second->Close()));
  EXPECT_EQ(topic->Stats()->end, Position{64 + 32});
  EXPECT_EQ(topic->Stats()->producers, 1u);
  ASSERT_TRUE(Succeeds(topic->Maintain()));
  EXPECT_EQ(topic->Stats()->segments, 2u);
}

TEST_F(BusTest, StatsEndStopsAtAnOpenClaim) {
  auto topic = Make();
  auto first = topic->NewProducer();
  auto second = topic->NewProducer();
  auto claim = first->Claim(8);
  ASSERT_TRUE(Succeeds(second->Publish("12345678")));
  EXPECT_EQ(topic->Stats()->end, Position{64});
  ASSERT_TRUE(Succeeds(std::move(*claim).Commit()));
  EXPECT_GT(topic->Stats()->end, Position{64 + 32});
}

// --- many at once ----------------------------------------------------------------------------------------------------

// Runs `body` in `count` processes that begin at the same moment; their exit codes.
std::vector<int> RunTogether(int count, const std::function<int()>& body) {
  Shared<std::atomic<int>> ready;
  std::vector<Child> children;
  for (int i = 0; i < count; ++i) {
    children.emplace_back([&] {
      ++*ready;
      while (ready->load() < count) {
      }
      return body();
    });
  }
  std::vector<int> codes;
  for (Child& child : children) codes.push_back(child.Join());
  return codes;
}

constexpr int kMakers = 4;
constexpr int kRounds = 25;

TEST_F(BusTest, ManyMakersMakeOneBusAndOneTopic) {
  for (int round = 0; round < kRounds; ++round) {
    const Scratch scratch(FastParent());
    const std::string path = scratch / "bus";
    const auto codes = RunTogether(kMakers, [&] {
      auto topic = OpenTopic(path, {.create = true, .segment_size = 4096}, {.create = true, .background = false});
      if (!topic.ok()) std::fprintf(stderr, "%s\n", topic.status().ToString().c_str());
      if (!topic.ok()) return 1;
      auto producer = topic->NewProducer();
      return producer.ok() && producer->Publish("x").ok() ? 0 : 2;
    });
    ASSERT_EQ(codes, std::vector<int>(kMakers, 0)) << "round " << round;
    auto topic = OpenTopic(path);
    ASSERT_TRUE(Succeeds(topic));
    EXPECT_EQ(ReadAll(*topic).size(), static_cast<size_t>(kMakers));
    EXPECT_EQ(std::distance(fs::directory_iterator(path), {}), 2) << "bus and t, nothing half-made";
  }
}

TEST_F(BusTest, ManyMakersOfManyTopicsDoNotHinderEachOther) {
  for (int round = 0; round < 5; ++round) {
    const Scratch scratch(FastParent());
    const auto codes = RunTogether(kMakers, [&] {
      auto bus = Bus::Open(scratch / "bus", {.create = true, .background = false});
      if (!bus.ok()) return 1;
      for (int n = 0; n < 20; ++n) {
        const std::string name = std::to_string(getpid()) + "-" + std::to_string(n);
        if (!Succeeds(bus->OpenTopic(name, {.create_new = true, .segment_size = 4096}))) return 2;
      }
      return 0;
    });
    ASSERT_EQ(codes, std::vector<int>(kMakers, 0));
    EXPECT_EQ(Bus::Open(scratch / "bus")->ListTopics()->size(), 20u * kMakers);
  }
}

TEST_F(BusTest, OfManyWhoMakeATopicNewOneWins) {
  for (int round = 0; round < kRounds; ++round) {
    const Scratch scratch(FastParent());
    const std::string path = scratch / "bus";
    ASSERT_TRUE(Succeeds(Bus::Open(path, {.create = true})));
    auto codes = RunTogether(kMakers, [&] {
      auto topic = OpenTopic(path, {.create_new = true, .segment_size = 4096});
      return static_cast<int>(topic.status().code());
    });
    std::sort(codes.begin(), codes.end());
    std::vector<int> wanted(kMakers, static_cast<int>(StatusCode::kAlreadyExists));
    wanted.front() = static_cast<int>(StatusCode::kOk);
    ASSERT_EQ(codes, wanted) << "round " << round;
  }
}

}  // namespace
}  // namespace libbus::test
