#include "libbus/log/cursor_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/cursor.h"
#include "libbus/log/cursor_directory.h"
#include "libbus/log/cursors.h"
#include "tests/seam/seam.h"
#include "tests/support/durable_topic.h"
#include "tests/support/processes.h"

namespace libbus::log {
namespace {

using absl::StatusCode;
using format::CursorRecord;
using platform::seam_control;
using test::Child;

// Both copies of a cursor as its file has them.
struct Bytes {
  CursorRecord copy[2] = {};
};

bool SameBytes(const CursorRecord& a, const CursorRecord& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

class CursorFileTest : public test::DurableTopic {
 protected:
  CursorFileTest() {
    EXPECT_TRUE(Open().ok());
    auto log = Log::Open(bus_ + "/t", false);
    EXPECT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
  }
  ~CursorFileTest() override {
    seam_control.kill_at = 0;
    seam_control.tear_writes = false;
    seam_control.write_error = 0;
    seam_control.fail_sync_at = 0;
  }

  std::string File(const std::string& name) const { return Path("cursors/" + name); }

  absl::StatusOr<CursorFile> Take(const std::string& name = "c", uint64_t from = 64) const {
    return CursorFile::Take(*log_, name, [from] { return CursorPlace{from, 0}; });
  }
  // Of a cursor that is there.
  absl::StatusOr<CursorFile> TakeAgain(const std::string& name = "c") const {
    return CursorFile::Take(*log_, name, []() -> absl::StatusOr<CursorPlace> {
      return absl::InternalError("a cursor that is there was to be made");
    });
  }
  CursorDirectory Directory() const {
    auto directory = CursorDirectory::Ensure(*log_);
    EXPECT_TRUE(directory.ok()) << directory.status();
    return *std::move(directory);
  }
  absl::StatusOr<CursorContent> Read(const std::string& name = "c") const {
    return ReadCursor(*log_, Directory(), name);
  }
  uint64_t PositionOf(const std::string& name = "c") const {
    const auto content = Read(name);
    EXPECT_TRUE(content.ok()) << content.status();
    return content.ok() ? content->place.position : 0;
  }

  Bytes ReadBytes(const std::string& name = "c") const {
    Bytes bytes;
    std::ifstream in(File(name), std::ios::binary);
    for (const int i : {0, 1}) {
      in.seekg(static_cast<std::streamoff>(format::kCursorCopyOffset[i]));
      in.read(reinterpret_cast<char*>(&bytes.copy[i]), sizeof(CursorRecord));
    }
    return bytes;
  }
  void WriteBytes(uint64_t offset, const void* bytes, size_t size, const std::string& name = "c") const {
    const int fd = open(File(name).c_str(), O_WRONLY);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(pwrite(fd, bytes, size, static_cast<off_t>(offset)), static_cast<ssize_t>(size));
    close(fd);
  }

  std::unique_ptr<Log> log_;
};

// --- names -----------------------------------------------------------------------------------------------------------

TEST_F(CursorFileTest, NamesAreThoseOfTopics) {
  for (const std::string& name : {std::string("a"), std::string("A-z_0"), std::string(128, 'x'), std::string("bus")}) {
    EXPECT_TRUE(CheckCursorName(name).ok()) << name;
  }
  for (const std::string& name : {std::string(), std::string("a.b"), std::string("a/b"), std::string(".."),
                                  std::string(129, 'x'), std::string("a\nb"), std::string("\xc3\xa4")}) {
    const absl::Status status = CheckCursorName(name);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  }
}

// --- what is committed -----------------------------------------------------------------------------------------------

TEST_F(CursorFileTest, IsMadeWhereItStartsAndStandsWhereItWasCommitted) {
  {
    auto cursor = Take("c", 4160);
    ASSERT_TRUE(cursor.ok()) << cursor.status();
    EXPECT_EQ(cursor->content().place.position, 4160u);
    ASSERT_TRUE(cursor->Commit({5000, 7}, false).ok());
    EXPECT_EQ(PositionOf(), 5000u);  // by another, while it is held
  }
  auto again = TakeAgain();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->content().place.position, 5000u);
  EXPECT_EQ(again->content().place.sequence, 7u);
  ASSERT_TRUE(again->Commit({6000, {}}, false).ok());
  EXPECT_EQ(Read("c")->place.sequence, std::nullopt);
}

TEST_F(CursorFileTest, ASequenceOfAnotherEpochIsNotBelieved) {
  {
    auto cursor = Take();
    ASSERT_TRUE(cursor->Commit({5000, 7}, false).ok());
  }
  Bytes bytes = ReadBytes();
  CursorRecord& holding = bytes.copy[*format::HoldingCopy(log_->uuid(), bytes.copy)];
  ++holding.epoch;
  holding.checksum = format::CursorChecksum(log_->uuid(), holding);
  WriteBytes(format::kCursorCopyOffset[*format::HoldingCopy(log_->uuid(), bytes.copy)], &holding, sizeof(holding));
  const auto content = Read("c");
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(content->place.position, 5000u);
  EXPECT_EQ(content->place.sequence, std::nullopt);
}

// The copy that is known to be on disk is never written, however many commits come (within a segment of log).
TEST_F(CursorFileTest, PlainCommitsLeaveTheSyncedCopyAlone) {
  auto cursor = Take();
  const CursorRecord base = ReadBytes().copy[0];
  ASSERT_TRUE(format::IsValid(log_->uuid(), base));
  for (uint64_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(cursor->Commit({100 * i, i}, false).ok());
    EXPECT_TRUE(SameBytes(ReadBytes().copy[0], base));
    EXPECT_EQ(ReadBytes().copy[1].position, 100 * i);
  }
  ASSERT_TRUE(cursor->Commit({30000, {}}, true).ok());
  const CursorRecord second = ReadBytes().copy[1];
  EXPECT_EQ(second.position, 30000u);
  ASSERT_TRUE(cursor->Commit({31000, {}}, false).ok());
  ASSERT_TRUE(cursor->Commit({32000, {}}, false).ok());
  EXPECT_TRUE(SameBytes(ReadBytes().copy[1], second));
  EXPECT_EQ(ReadBytes().copy[0].position, 32000u);
}

TEST_F(CursorFileTest, AFailedSyncChangesNoRoles) {
  auto cursor = Take();
  const CursorRecord base = ReadBytes().copy[0];
  seam_control.sync_error = EIO;
  const absl::Status status = cursor->Commit({5000, {}}, true);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  seam_control.sync_error = 0;
  ASSERT_TRUE(cursor->Commit({6000, {}}, false).ok());
  EXPECT_TRUE(SameBytes(ReadBytes().copy[0], base));
  EXPECT_EQ(PositionOf(), 6000u);
}

TEST_F(CursorFileTest, AFullDiskRefusesTheCommitAndKeepsTheOneBefore) {
  auto cursor = Take();
  ASSERT_TRUE(cursor->Commit({5000, {}}, false).ok());
  seam_control.write_error = ENOSPC;
  EXPECT_EQ(cursor->Commit({6000, {}}, false).code(), StatusCode::kResourceExhausted);
  seam_control.write_error = 0;
  EXPECT_EQ(PositionOf(), 5000u);
  ASSERT_TRUE(cursor->Commit({6000, {}}, false).ok());
  EXPECT_EQ(PositionOf(), 6000u);
}

// --- torn ------------------------------------------------------------------------------------------------------------

// A commit torn after each of its bytes, over a copy that was never written and over an older one.
TEST_F(CursorFileTest, ATornCopyIsTheCommitBeforeOrThisOne) {
  auto cursor = Take();
  ASSERT_TRUE(cursor->Commit({2000, 2}, true).ok());  // base: B
  ASSERT_TRUE(cursor->Commit({3000, 3}, false).ok());
  const Bytes before = ReadBytes();
  ASSERT_TRUE(cursor->Commit({4000, 4}, false).ok());
  const Bytes after = ReadBytes();
  const CursorRecord never = {};
  for (const CursorRecord* under : {&before.copy[0], &never}) {
    for (size_t cut = 0; cut <= sizeof(CursorRecord); ++cut) {
      for (const bool head : {true, false}) {
        char torn[sizeof(CursorRecord)];
        std::memcpy(torn, head ? &after.copy[0] : under, cut);
        std::memcpy(torn + cut, reinterpret_cast<const char*>(head ? under : &after.copy[0]) + cut, sizeof(torn) - cut);
        WriteBytes(format::kCursorCopyOffset[0], torn, sizeof(torn));
        const uint64_t position = PositionOf();
        const bool whole = std::memcmp(torn, &after.copy[0], sizeof(torn)) == 0;
        const bool old = std::memcmp(torn, &before.copy[0], sizeof(torn)) == 0;
        EXPECT_EQ(position, whole ? 4000u : old ? 3000u : 2000u) << "torn at " << cut;
        EXPECT_EQ(Read("c")->lowest, 2000u);
      }
    }
  }
}

// Each flipped bit of the holding copy: the other one holds.
TEST_F(CursorFileTest, AFlippedBitIsFound) {
  auto cursor = Take();
  ASSERT_TRUE(cursor->Commit({2000, 2}, false).ok());
  const CursorRecord whole = ReadBytes().copy[1];
  for (size_t bit = 0; bit < 8 * sizeof(whole); ++bit) {
    CursorRecord flipped = whole;
    reinterpret_cast<unsigned char*>(&flipped)[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    WriteBytes(format::kCursorCopyOffset[1], &flipped, sizeof(flipped));
    EXPECT_EQ(PositionOf(), 64u) << "bit " << bit;
  }
}

// --- deaths ----------------------------------------------------------------------------------------------------------

struct Told {
  std::atomic<uint64_t> began{0};
  std::atomic<uint64_t> committed{0};
  std::atomic<uint64_t> durable{0};
};

class KilledCursor : public CursorFileTest {
 protected:
  // Takes it twice, and commits plain and durably in turn.
  int Work(const std::string& name, Told& told) const {
    for (int round = 0; round < 2; ++round) {
      auto cursor = Take(name);
      if (!cursor.ok()) return 1;
      told.durable = cursor->content().place.position;  // it was settled
      for (int i = 0; i < 4; ++i) {
        const bool durable = i % 2 == 1;
        const uint64_t next = told.began += 1000;
        if (!cursor->Commit({next, {}}, durable).ok()) return 2;
        told.committed = next;
        if (durable) told.durable = next;
      }
    }
    return 0;
  }

  // Kills it before each point in turn. The next one finds what was acknowledged, or the commit that was under way;
  // where writes are torn, at least what was durable.
  void KillEverywhere(bool torn) {
    uint64_t points = 0;
    for (uint64_t point = 1;; ++point) {
      SCOPED_TRACE("killed before point " + std::to_string(point));
      const std::string name = (torn ? "t" : "c") + std::to_string(point);
      test::Shared<Told> told;
      const int code = Child([&] {
                         seam_control.tear_writes = torn;
                         seam_control.points = 0;
                         seam_control.kill_at = point;
                         return Work(name, *told);
                       }).Join();
      auto next = Take(name);
      ASSERT_TRUE(next.ok()) << next.status();
      const uint64_t position = next->content().place.position;
      const bool made = told->committed == 0 && position == 64;
      const bool back = torn && position == told->durable;
      EXPECT_TRUE(position == told->began || position == told->committed || made || back) << position;
      ASSERT_TRUE(next->Commit({100'000, {}}, true).ok());
      EXPECT_EQ(PositionOf(name), 100'000u);
      if (code == 0) break;
      ASSERT_EQ(code, -SIGKILL);
      ++points;
    }
    EXPECT_GT(points, 20u);
  }
};

TEST_F(KilledCursor, AtEachPoint) { KillEverywhere(false); }
// Sterner than a kernel, which lets a write of so few bytes finish.
TEST_F(KilledCursor, AtEachPointAndInsideWrites) { KillEverywhere(true); }

// The same of moving and removing: it stands where it stood, or there, or is gone.
TEST_F(CursorFileTest, KilledAtEachPointOfMovingAndRemoving) {
  for (const bool removes : {false, true}) {
    uint64_t points = 0;
    for (uint64_t point = 1;; ++point) {
      SCOPED_TRACE("killed before point " + std::to_string(point));
      const std::string name = (removes ? "r" : "m") + std::to_string(point);
      { ASSERT_TRUE(Take(name)->Commit({9000, {}}, false).ok()); }
      const int code = Child([&] {
                         seam_control.points = 0;
                         seam_control.kill_at = point;
                         if (removes) return RemoveCursor(*log_, name).ok() ? 0 : 1;
                         return MoveCursor(*log_, name, {2000, {}}).ok() ? 0 : 1;
                       }).Join();
      const auto content = Read(name);
      if (removes && absl::IsNotFound(content.status())) {
        ASSERT_TRUE(Take(name).ok());  // made anew
      } else {
        ASSERT_TRUE(content.ok()) << content.status();
        EXPECT_TRUE(content->place.position == 9000 || (!removes && content->place.position == 2000));
        ASSERT_TRUE(MoveCursor(*log_, name, {3000, {}}).ok());
        EXPECT_EQ(PositionOf(name), 3000u);
      }
      ASSERT_TRUE(RemoveCursor(*log_, name).ok());
      EXPECT_EQ(Read(name).status().code(), StatusCode::kNotFound);
      if (code == 0) break;
      ASSERT_EQ(code, -SIGKILL);
      ++points;
    }
    EXPECT_GT(points, 3u);
  }
  for (const auto& entry : std::filesystem::directory_iterator(Path("cursors"))) ADD_FAILURE() << entry.path();
}

// --- who holds it ----------------------------------------------------------------------------------------------------

TEST_F(CursorFileTest, HasOneHolder) {
  auto held = Take();
  ASSERT_TRUE(held.ok());
  for (const absl::Status& status :
       {TakeAgain().status(), MoveCursor(*log_, "c", {64, {}}), RemoveCursor(*log_, "c")}) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    const std::string text(status.message());
    EXPECT_NE(text.find("held by process " + std::to_string(getpid()) + " (since "), std::string::npos) << text;
  }
  const auto holder = FindCursorHolder(Directory(), "c");
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->pid, static_cast<uint64_t>(getpid()));
  EXPECT_TRUE(Take("other").ok());
}

TEST_F(CursorFileTest, TheDeadHoldNothing) {
  EXPECT_EQ(Child([&] {
              auto cursor = Take();
              if (!cursor.ok() || !cursor->Commit({5000, {}}, false).ok()) return 1;
              raise(SIGKILL);
              return 2;
            }).Join(),
            -SIGKILL);
  EXPECT_FALSE(FindCursorHolder(Directory(), "c").has_value());
  auto again = TakeAgain();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->content().place.position, 5000u);
}

TEST_F(CursorFileTest, AChildHoldsNothing) {
  auto held = Take();
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(Child([&] { return TakeAgain().ok() ? 1 : 0; }).Join(), 0);
  { const auto gone = std::move(held); }
  EXPECT_TRUE(TakeAgain().ok());
}

// By hand, while it is held: the holder is told, and a new one may come.
TEST_F(CursorFileTest, ARemovedCursorTakesNoCommits) {
  auto held = Take();
  ASSERT_TRUE(std::filesystem::remove(File("c")));
  const absl::Status status = held->Commit({5000, {}}, false);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  ASSERT_TRUE(std::filesystem::remove(File("c.lock")));
  EXPECT_TRUE(Take().ok());
}

// --- what is no cursor of this topic ---------------------------------------------------------------------------------

class BadCursor : public CursorFileTest {
 protected:
  // Nobody reads it, nobody skips it, moving it mends it, and removing it removes it.
  void ExpectRefused(StatusCode code, const std::string& what) {
    const auto taken = TakeAgain().status();
    EXPECT_EQ(taken.code(), code) << taken;
    EXPECT_NE(std::string(taken.message()).find(what), std::string::npos) << taken;
    EXPECT_NE(std::string(taken.message()).find("`bus cursor seek t c POSITION`"), std::string::npos) << taken;
    EXPECT_EQ(Read("c").status(), taken);
    EXPECT_FALSE(LowestNeeded(*log_).ok());
    const auto listed = ListCursors(*log_);
    ASSERT_TRUE(listed.ok() && listed->size() == 1);
    EXPECT_FALSE(listed->front().content.ok());
    ASSERT_TRUE(MoveCursor(*log_, "c", {4160, 3}).ok());
    EXPECT_EQ(PositionOf(), 4160u);
    EXPECT_TRUE(TakeAgain().ok());
  }
  void MakeOne() { ASSERT_TRUE(Take()->Commit({5000, {}}, true).ok()); }
};

TEST_F(BadCursor, OfZeros) {
  MakeOne();
  const std::vector<char> zeros(format::kCursorSize);
  WriteBytes(0, zeros.data(), zeros.size());
  ExpectRefused(StatusCode::kDataLoss, "begins with zeros");
}

TEST_F(BadCursor, OfGarbage) {
  MakeOne();
  const std::vector<char> garbage(format::kCursorSize, 'x');
  WriteBytes(0, garbage.data(), garbage.size());
  ExpectRefused(StatusCode::kDataLoss, "not a libbus cursor");
}

TEST_F(BadCursor, WhoseHeaderIsDamaged) {
  MakeOne();
  WriteBytes(40, "x", 1);
  ExpectRefused(StatusCode::kDataLoss, "header of this cursor is damaged");
}

TEST_F(BadCursor, WithBothCopiesDamaged) {
  MakeOne();
  for (const uint64_t offset : format::kCursorCopyOffset) WriteBytes(offset + 8, "xx", 2);
  ExpectRefused(StatusCode::kDataLoss, "neither of its copies verifies");
}

TEST_F(BadCursor, Truncated) {
  MakeOne();
  for (const size_t size : {size_t{8200}, size_t{5000}, size_t{100}, size_t{0}}) {
    std::filesystem::resize_file(File("c"), size);
    ExpectRefused(StatusCode::kDataLoss, size == 0 ? "empty" : "truncated");
  }
}

TEST_F(BadCursor, OfAnotherTopic) {
  MakeOne();
  auto bus = Bus::Open(bus_);
  ASSERT_TRUE(bus->OpenTopic("other", {.create = true, .segment_size = 4096}).ok());
  auto other = Log::Open(bus_ + "/other", false);
  {
    ASSERT_TRUE(CursorFile::Take(**other, "c", [] { return CursorPlace{64, 0}; }).ok());
  }
  std::filesystem::copy_file(bus_ + "/other/cursors/c", File("c"), std::filesystem::copy_options::overwrite_existing);
  ExpectRefused(StatusCode::kFailedPrecondition, "a cursor of another topic");
  // Not even a copy of it that is put into a cursor of this one.
  char bytes[sizeof(CursorRecord)];
  std::ifstream in(bus_ + "/other/cursors/c", std::ios::binary);
  in.seekg(4096);
  in.read(bytes, sizeof(bytes));
  WriteBytes(4096, bytes, sizeof(bytes));
  ExpectRefused(StatusCode::kDataLoss, "neither of its copies verifies");
}

TEST_F(BadCursor, ASymbolicLink) {
  MakeOne();
  std::filesystem::rename(File("c"), scratch_ / "elsewhere");
  std::filesystem::create_symlink(scratch_ / "elsewhere", File("c"));
  ExpectRefused(StatusCode::kFailedPrecondition, "symbolic links are not followed");
}

TEST_F(BadCursor, AFifo) {
  ASSERT_EQ(mkfifo(File("c").c_str(), 0600), 0);
  ExpectRefused(StatusCode::kFailedPrecondition, "not a regular file");
}

TEST_F(BadCursor, OfANewerVersion) {
  MakeOne();
  const uint16_t version = 2;
  WriteBytes(8, &version, sizeof(version));
  EXPECT_EQ(TakeAgain().status().code(), StatusCode::kUnimplemented);
  EXPECT_FALSE(LowestNeeded(*log_).ok());
}

// --- all of them -----------------------------------------------------------------------------------------------------

TEST_F(CursorFileTest, ListsThem) {
  ASSERT_TRUE(Take("b")->Commit({5000, 5}, false).ok());
  ASSERT_TRUE(Take("a").ok());
  std::ofstream(File("not.a.cursor")) << "x";
  const auto listed = ListCursors(*log_);
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 2u);
  EXPECT_EQ((*listed)[0].name, "a");
  EXPECT_EQ((*listed)[0].uid, geteuid());
  EXPECT_EQ((*listed)[1].name, "b");
  EXPECT_EQ((*listed)[1].content->place.position, 5000u);
}

// What a power loss may take it back to counts, and a cursor of nobody's does not.
TEST_F(CursorFileTest, WhatIsNeeded) {
  EXPECT_EQ(*LowestNeeded(*log_), std::nullopt);
  auto cursor = Take("c", 1000);
  ASSERT_TRUE(cursor->Commit({3000, {}}, true).ok());
  ASSERT_TRUE(cursor->Commit({4000, {}}, true).ok());
  ASSERT_TRUE(cursor->Commit({5000, {}}, false).ok());
  EXPECT_EQ(*LowestNeeded(*log_), 4000u);
  ASSERT_TRUE(Take("low", 2000).ok());
  EXPECT_EQ(*LowestNeeded(*log_), 2000u);
  ASSERT_TRUE(RemoveCursor(*log_, "low").ok());
  EXPECT_EQ(*LowestNeeded(*log_), 4000u);
  seam_control.sync_error = EIO;
  EXPECT_FALSE(LowestNeeded(*log_).ok());
}

// An older version's topic has no such directory.
TEST_F(CursorFileTest, TheDirectoryIsMadeWhenItIsMissing) {
  ASSERT_TRUE(std::filesystem::remove(Path("cursors")));
  EXPECT_TRUE(ListCursors(*log_)->empty());
  EXPECT_EQ(*LowestNeeded(*log_), std::nullopt);
  ASSERT_TRUE(Take().ok());
  EXPECT_EQ(PositionOf(), 64u);
}

}  // namespace
}  // namespace libbus::log
