// A second uid: what --access lets others do, what it does not, and what a hostile one of them can do to the rest.
#include <absl/time/clock.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using absl::StatusCode;
using platform::seam_control;

constexpr uid_t kStranger = 65534;
constexpr gid_t kStrangersGroup = 65534;
constexpr gid_t kGroup = 54321;
constexpr uint64_t kSegmentSize = 65536;
constexpr int kRecords = 60;

// For ever, in a child: nothing of root is left.
bool Become(uid_t uid, const std::vector<gid_t>& groups) {
  return setgroups(groups.size(), groups.data()) == 0 &&
         setresgid(kStrangersGroup, kStrangersGroup, kStrangersGroup) == 0 && setresuid(uid, uid, uid) == 0 &&
         setuid(0) != 0;
}

// The code of a child with that uid; -1: could not become it.
int AsStranger(const std::function<int()>& body, const std::vector<gid_t>& groups = {}) {
  return Child([&] { return Become(kStranger, groups) ? body() : -1; }).Join();
}

std::string TextOf(int i) { return fmt::format("{:>4000}", i); }

class AccessTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: there is no second uid to become";
    ASSERT_EQ(chmod(scratch_.path().c_str(), 0755), 0);
  }

  // In a directory of that group.
  Topic Make(Access access, bool background = true) const {
    EXPECT_EQ(mkdir(path_.c_str(), 0700), 0);
    EXPECT_EQ(chown(path_.c_str(), 0, kGroup), 0);
    auto bus = Bus::Open(path_, {.create = true, .background = background, .access = access});
    EXPECT_TRUE(bus.ok()) << bus.status();
    auto topic = bus->OpenTopic(kTopic, {.create = true, .segment_size = kSegmentSize});
    EXPECT_TRUE(topic.ok()) << topic.status();
    return *std::move(topic);
  }
  std::string In(const std::string& name) const { return path_ + "/" + kTopic + "/" + name; }
  std::string Segment(uint64_t base) const { return In(fmt::format("{:020}.seg", base)); }

  // Reads what Publish publishes.
  int ReadAll(Wait wait, const std::function<void()>& ready) const {
    auto topic = OpenForReading(path_);
    if (!topic.ok()) return Complain("reader", topic.status().ToString());
    auto consumer = topic->NewConsumer({.wait = wait});
    if (!consumer.ok()) return Complain("reader", consumer.status().ToString());
    ready();
    for (int i = 0; i < kRecords; ++i) {
      const auto record = consumer->Next();
      if (!record.ok()) return Complain("reader", record.status().ToString());
      if (record->kind() != RecordKind::kData || record->text() != TextOf(i)) return Complain("reader", "wrong record");
    }
    return 0;
  }
  static void PublishAll(Topic& topic, const std::function<void(int)>& between) {
    auto producer = topic.NewProducer();
    ASSERT_TRUE(producer.ok()) << producer.status();
    for (int i = 0; i < kRecords; ++i) {
      const auto published = producer->Publish(TextOf(i));
      ASSERT_TRUE(published.ok()) << published.status();
      between(i);
    }
  }
  // Without mending the sleep page, as who opens the topic anew would.
  void DieWithAClaim() const {
    const std::string sleep = In("sleep");
    const auto size = std::filesystem::file_size(sleep);
    EXPECT_EQ(Child([&] {
                auto bus = Bus::Open(path_);
                auto own = bus->OpenTopic(kTopic);
                auto producer = own->NewProducer();
                auto claim = producer->Claim(10);
                std::filesystem::resize_file(sleep, size);
                raise(SIGKILL);
                return 0;
              }).Join(),
              -SIGKILL);
  }
  int ReadAGap() const {
    auto own = OpenForReading(path_);
    auto consumer = own->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
    const auto gap = consumer->Next(absl::Seconds(20));
    if (!gap.ok()) return Complain("reader", gap.status().ToString());
    return gap->kind() == RecordKind::kGap ? 0 : 1;
  }
  static uint32_t ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }
  static gid_t GroupOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_gid;
  }

  const Scratch scratch_{FastParent()};
  const std::string path_ = scratch_ / "bus";
};

// --- modes -----------------------------------------------------------------------------------------------------------

struct Modes {
  Access access;
  uint32_t directory;
  uint32_t file;
  uint32_t sleep;
  uint32_t cursors;
};

class AccessModes : public AccessTest, public testing::WithParamInterface<Modes> {};

TEST_P(AccessModes, WhateverTheUmask) {
  const Modes& modes = GetParam();
  for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
    EXPECT_EQ(Child([&] {
                umask(mask);
                Topic topic = Make(modes.access);
                PublishAll(topic, [](int) {});
                return testing::Test::HasFailure() ? 1 : 0;
              }).Join(),
              0);
    EXPECT_EQ(ModeOf(path_), modes.directory);
    EXPECT_EQ(ModeOf(path_ + "/bus"), modes.file);
    EXPECT_EQ(ModeOf(In("")), modes.directory);
    EXPECT_EQ(ModeOf(In("control")), modes.file);
    EXPECT_EQ(ModeOf(In("locks")), 0600u);
    EXPECT_EQ(ModeOf(In("sleep")), modes.sleep);
    EXPECT_EQ(ModeOf(In("cursors")), modes.cursors);
    for (uint64_t base = 0; base < 3 * kSegmentSize; base += kSegmentSize) EXPECT_EQ(ModeOf(Segment(base)), modes.file);
    if (modes.access == Access::kGroup) {
      for (const std::string& path : {path_ + "/bus", In("control"), In("sleep"), Segment(0), Segment(kSegmentSize)}) {
        EXPECT_EQ(GroupOf(path), kGroup) << path;
      }
    }
    std::filesystem::remove_all(path_);
  }
}

INSTANTIATE_TEST_SUITE_P(All, AccessModes,
                         testing::Values(Modes{Access::kOwner, 0700, 0600, 0600, 0700},
                                         Modes{Access::kGroup, 02750, 0640, 0660, 03770},
                                         Modes{Access::kWorld, 0755, 0644, 0666, 01777}));

TEST_F(AccessTest, IsFixedWhenTheBusIsMade) {
  { Topic topic = Make(Access::kWorld); }
  EXPECT_TRUE(Bus::Open(path_).ok());
  EXPECT_TRUE(Bus::Open(path_, {.create = true, .access = Access::kWorld}).ok());
  for (const Access other : {Access::kOwner, Access::kGroup}) {
    const absl::Status status = Bus::Open(path_, {.create = true, .access = other}).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_NE(std::string(status.message()).find("made with access world"), std::string::npos) << status;
  }
  EXPECT_EQ(ModeOf(path_), 0755u);
}

// The maker died between the identity and the directory's mode, or somebody changed it.
TEST_F(AccessTest, TheDirectoryGetsItsModeWhenItIsAskedForAgain) {
  { Topic topic = Make(Access::kWorld); }
  ASSERT_EQ(chmod(path_.c_str(), 0700), 0);
  EXPECT_TRUE(Bus::Open(path_).ok());
  EXPECT_EQ(ModeOf(path_), 0700u);
  EXPECT_TRUE(Bus::Open(path_, {.create = true, .access = Access::kWorld}).ok());
  EXPECT_EQ(ModeOf(path_), 0755u);
}

// --- reading ---------------------------------------------------------------------------------------------------------

class AccessWait : public AccessTest, public testing::WithParamInterface<Wait> {};

// Across rolls, with the bounds of sleeps off: each wake-up comes from the producer, through the page that both write.
TEST_P(AccessWait, AnotherUidReadsAndWaits) {
  Topic topic = Make(Access::kWorld);
  Shared<std::atomic<int>> ready;
  Child reader([&] {
    seam_control.no_bounds = true;
    return Become(kStranger, {}) ? ReadAll(GetParam(), [&] { ++*ready; }) : -1;
  });
  ASSERT_TRUE(WaitUntil([&] { return *ready == 1; }));
  PublishAll(topic, [&](int i) {
    // Now and then it has caught up and waits.
    if (i % 10 == 0 && GetParam() == Wait::kPark) {
      EXPECT_TRUE(WaitUntil([&] { return IsAsleep(reader); }));
    }
  });
  EXPECT_EQ(JoinWhileMoving(
                reader, [] { return uint64_t{0}; }, [] { return std::string("it slept through a wake-up\n"); }),
            0);
}

INSTANTIATE_TEST_SUITE_P(Modes, AccessWait, testing::Values(Wait::kSpin, Wait::kPark, Wait::kSpinThenPark));

// The owner of a claim died; the reader may not repair it, and calls.
TEST_F(AccessTest, AnotherUidIsHelpedOverADeadClaim) {
  Topic topic = Make(Access::kWorld);
  auto idle = topic.NewProducer();
  ASSERT_TRUE(idle.ok());
  DieWithAClaim();
  EXPECT_EQ(AsStranger([&] { return ReadAGap(); }), 0);
}

// Nobody can call any more: the page in which he would do it is gone. The helper looks now and then all the same.
TEST_F(AccessTest, AnotherUidIsHelpedThoughSomebodySpoiledThePage) {
  Topic topic = Make(Access::kWorld);
  auto idle = topic.NewProducer();
  ASSERT_TRUE(idle.ok());
  absl::SleepFor(absl::Milliseconds(20));  // most likely its thread is asleep on that page by now
  EXPECT_EQ(AsStranger([&] { return truncate(In("sleep").c_str(), 0); }), 0);
  DieWithAClaim();
  EXPECT_EQ(AsStranger([&] { return ReadAGap(); }), 0);
}

TEST_F(AccessTest, AGroupLetsItsMembersReadAndNobodyElse) {
  Topic topic = Make(Access::kGroup);
  PublishAll(topic, [](int) {});
  const auto read = [&] { return ReadAll(Wait::kPark, [] {}); };
  EXPECT_EQ(AsStranger(read, {kGroup}), 0);
  const auto refused = [&] {
    const absl::Status status = Bus::Open(path_, {.read_only = true}).status();
    return status.code() == StatusCode::kPermissionDenied ? 0 : Complain("stranger", status.ToString());
  };
  EXPECT_EQ(AsStranger(refused), 0);
  EXPECT_EQ(AsStranger(refused, {kGroup + 1}), 0);
}

TEST_F(AccessTest, AnOwnersBusIsHisAlone) {
  Topic topic = Make(Access::kOwner);
  EXPECT_EQ(AsStranger(
                [&] {
                  const absl::Status status = Bus::Open(path_, {.read_only = true}).status();
                  if (status.code() != StatusCode::kPermissionDenied) return Complain("stranger", status.ToString());
                  return open(In("sleep").c_str(), O_RDONLY) < 0 && errno == EACCES ? 0 : 2;
                },
                {kGroup}),
            0);
}

// For a new bus its maker must be able to give it the group.
TEST_F(AccessTest, WhoIsNoMemberCannotGiveAGroupAccess) {
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  ASSERT_EQ(chown(path_.c_str(), kStranger, kGroup), 0);
  EXPECT_EQ(AsStranger([&] {
              const auto bus = Bus::Open(path_, {.create = true, .access = Access::kGroup});
              if (bus.status().code() != StatusCode::kFailedPrecondition)
                return Complain("maker", bus.status().ToString());
              return std::filesystem::is_empty(path_) ? 0 : 2;
            }),
            0);
  EXPECT_EQ(AsStranger(
                [&] {
                  const auto bus = Bus::Open(path_, {.create = true, .access = Access::kGroup});
                  return bus.ok() ? 0 : Complain("member", bus.status().ToString());
                },
                {kGroup}),
            0);
  EXPECT_EQ(GroupOf(path_ + "/bus"), kGroup);
}

// --- cursors ---------------------------------------------------------------------------------------------------------

class AccessCursors : public AccessTest {
 protected:
  static constexpr uid_t kOther = 65533;

  static int As(uid_t uid, const std::function<int()>& body, const std::vector<gid_t>& groups = {}) {
    return Child([&] { return Become(uid, groups) ? body() : -1; }).Join();
  }
  // Expects to go on at record `from`, and commits so many.
  int Read(const std::string& cursor, int from, int count) const {
    auto topic = OpenForReading(path_);
    if (!topic.ok()) return Complain("reader", topic.status().ToString());
    auto consumer = topic->NewConsumer({.cursor = cursor});
    if (!consumer.ok()) return Complain("reader", consumer.status().ToString());
    for (int i = from; i < from + count; ++i) {
      const auto record = consumer->Next();
      if (!record.ok() || record->text() != TextOf(i)) return Complain("reader", "wrong record");
    }
    const absl::Status committed = consumer->Commit();
    return committed.ok() ? 0 : Complain("reader", committed.ToString());
  }
  int IsRefused(const std::string& cursor) const {
    auto topic = OpenForReading(path_);
    for (const absl::Status& status : {topic->NewConsumer({.cursor = cursor}).status(),
                                       topic->SeekCursor(cursor, From::End()), topic->RemoveCursor(cursor)}) {
      const bool told = status.message().find("not to you (uid ") != absl::string_view::npos;
      if (status.code() != StatusCode::kPermissionDenied || !told) return Complain("other", status.ToString());
    }
    return 0;
  }
};

TEST_F(AccessCursors, AnotherUidKeepsItsOwn) {
  Topic topic = Make(Access::kWorld);
  PublishAll(topic, [](int) {});
  EXPECT_EQ(AsStranger([&] { return Read("c", 0, 10); }), 0);
  EXPECT_EQ(AsStranger([&] { return Read("c", 10, 10); }), 0);
  EXPECT_EQ(ModeOf(In("cursors/c")), 0644u);
  EXPECT_EQ(ModeOf(In("cursors/c.lock")), 0600u);
  // All see where it stands; nobody else moves it, or makes it his.
  EXPECT_EQ(As(kOther,
               [&] {
                 auto reading = OpenForReading(path_);
                 const auto cursors = reading->ListCursors();
                 if (!cursors.ok() || cursors->size() != 1) return 1;
                 const CursorInfo& cursor = cursors->front();
                 const bool right = cursor.problem.ok() && cursor.uid == kStranger && cursor.lag.records == 40u;
                 if (!right) return 2;
                 errno = 0;
                 if (unlink(In("cursors/c").c_str()) == 0 || open(In("cursors/c").c_str(), O_RDWR) >= 0) return 3;
                 if (open(In("cursors/c.lock").c_str(), O_RDONLY) >= 0) return 4;
                 return IsRefused("c");
               }),
            0);
  // Moved by root it is still its user's.
  ASSERT_TRUE(topic.SeekCursor("c", From::Last(5)).ok());
  EXPECT_EQ(AsStranger([&] { return Read("c", 55, 5); }), 0);
  ASSERT_TRUE(topic.RemoveCursor("c").ok());
  EXPECT_EQ(AsStranger([&] { return Read("c", 0, 1); }), 0);
}

// Open to all on purpose, so that its maker can move it under whoever takes it.
TEST_F(AccessCursors, OneThatAnotherUidMadeIsNotTaken) {
  Topic topic = Make(Access::kWorld);
  PublishAll(topic, [](int) {});
  EXPECT_EQ(AsStranger([&] {
              if (Read("trap", 0, 10) != 0) return 1;
              return chmod(In("cursors/trap").c_str(), 0666) + chmod(In("cursors/trap.lock").c_str(), 0666);
            }),
            0);
  EXPECT_EQ(As(kOther, [&] { return IsRefused("trap"); }), 0);
}

TEST_F(AccessCursors, MembersOfAGroupKeepThem) {
  Topic topic = Make(Access::kGroup);
  PublishAll(topic, [](int) {});
  EXPECT_EQ(AsStranger([&] { return Read("c", 0, 10); }, {kGroup}), 0);
  EXPECT_EQ(ModeOf(In("cursors/c")), 0640u);
  EXPECT_EQ(GroupOf(In("cursors/c")), kGroup);
  EXPECT_EQ(As(kOther, [&] { return IsRefused("c"); }, {kGroup}), 0);
}

// --- and nothing else ------------------------------------------------------------------------------------------------

// 0 if `call` fails with EACCES or EPERM.
int Refused(const char* what, const std::function<bool()>& call) {
  errno = 0;
  if (call()) return Complain(what, "was let in");
  return errno == EACCES || errno == EPERM ? 0 : Complain(what, std::strerror(errno));
}

TEST_F(AccessTest, AnotherUidWritesNothing) {
  Topic topic = Make(Access::kWorld);
  PublishAll(topic, [](int) {});
  EXPECT_EQ(AsStranger([&] {
              int faults = 0;
              const auto opens = [&](const std::string& path, int flags) {
                faults += Refused(path.c_str(), [&] { return open(path.c_str(), flags, 0600) >= 0; });
              };
              for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR}) opens(In("locks"), flags);
              for (const std::string& path : {In("control"), Segment(0), Segment(kSegmentSize), path_ + "/bus"}) {
                for (const int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC}) opens(path, flags);
                faults += Refused("truncate", [&] { return truncate(path.c_str(), 0) == 0; });
                faults += Refused("chmod", [&] { return chmod(path.c_str(), 0666) == 0; });
                faults += Refused("unlink", [&] { return unlink(path.c_str()) == 0; });
                faults += Refused("rename", [&] { return rename(path.c_str(), (path + "x").c_str()) == 0; });
              }
              for (const std::string& path : {In("control"), Segment(0)}) {
                const int fd = open(path.c_str(), O_RDONLY);
                faults += Refused("map", [&] {
                  return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
                });
                void* const mapped = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
                faults += Refused("mprotect", [&] { return mprotect(mapped, 4096, PROT_READ | PROT_WRITE) == 0; });
              }
              opens(In("new"), O_RDWR | O_CREAT);
              opens(path_ + "/new", O_RDWR | O_CREAT);
              faults += Refused("unlink", [&] { return unlink(In("sleep").c_str()) == 0; });
              faults += Refused("mkdir", [&] { return mkdir((path_ + "/new").c_str(), 0700) == 0; });
              return faults;
            }),
            0);
}

TEST_F(AccessTest, AnotherUidIsNoWriter) {
  Topic topic = Make(Access::kWorld);
  EXPECT_EQ(AsStranger([&] {
              for (const bool create : {false, true}) {
                const absl::Status status = Bus::Open(path_, {.create = create}).status();
                if (status.code() != StatusCode::kFailedPrecondition) return Complain("writer", status.ToString());
              }
              auto reading = OpenForReading(path_);
              return reading.ok() && !reading->NewProducer().ok() && !reading->Maintain().ok() ? 0 : 2;
            }),
            0);
}

// --- a hostile one ---------------------------------------------------------------------------------------------------

// Does to the sleep page whatever it may, until it is stopped.
int Vandalise(const std::string& path, std::atomic<int>& rounds) {
  const int fd = open(path.c_str(), O_RDWR);
  if (fd < 0) return 1;
  std::string noise(4096, '\xff');
  for (;; ++rounds) {
    if (ftruncate(fd, 0) != 0) return 2;
    absl::SleepFor(absl::Microseconds(rounds % 7 * 100));
    if (rounds % 3 != 0 && ftruncate(fd, 4096) != 0) return 3;
    if (rounds % 3 == 1 && pwrite(fd, noise.data(), noise.size(), 0) != 4096) return 4;
    absl::SleepFor(absl::Microseconds(300));
  }
}

TEST_F(AccessTest, WhoSpoilsTheSleepPageHarmsNobody) {
  Topic topic = Make(Access::kWorld);
  Shared<std::atomic<int>> ready;
  Shared<std::atomic<int>> rounds;
  const auto arrive = [&] { ++*ready; };
  const auto stranger = [&](Wait wait) {
    return Child([&, wait] { return Become(kStranger, {}) ? ReadAll(wait, arrive) : -1; });
  };
  std::vector<Child> readers;
  readers.push_back(stranger(Wait::kSpin));
  readers.push_back(stranger(Wait::kPark));
  readers.push_back(Child([&] { return ReadAll(Wait::kPark, arrive); }));
  // One that may write.
  readers.push_back(Child([&] {
    auto bus = Bus::Open(path_);
    auto own = bus->OpenTopic(kTopic);
    auto consumer = own->NewConsumer({.wait = Wait::kPark});
    arrive();
    for (int i = 0; i < kRecords; ++i) {
      if (const auto record = consumer->Next(); !record.ok() || record->text() != TextOf(i)) return 1;
    }
    return 0;
  }));
  ASSERT_TRUE(WaitUntil([&] { return *ready == 4; }));
  Child vandal([&] { return Become(kStranger, {}) ? Vandalise(In("sleep"), *rounds) : -1; });
  ASSERT_TRUE(WaitUntil([&] { return *rounds > 10; }));
  PublishAll(topic, [](int) { absl::SleepFor(absl::Milliseconds(3)); });
  // Late ones come while it goes on.
  readers.push_back(stranger(Wait::kPark));
  readers.push_back(Child([&] { return ReadAll(Wait::kPark, arrive); }));
  for (Child& reader : readers) EXPECT_EQ(reader.Join(), 0);
  // And a writer that comes anew.
  EXPECT_EQ(Child([&] {
              auto bus = Bus::Open(path_);
              auto own = bus->OpenTopic(kTopic);
              if (!own.ok()) return Complain("writer", own.status().ToString());
              auto producer = own->NewProducer();
              return producer->Publish("late").ok() ? 0 : 2;
            }).Join(),
            0);
  EXPECT_FALSE(HasEnded(vandal));
}

}  // namespace
}  // namespace libbus::test
