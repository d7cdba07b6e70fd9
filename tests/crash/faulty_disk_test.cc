// The disk that fails, and what the kernel makes of it: a failed sync is told once, then the lost bytes look written.
// These are the facts that the library's handling of failed syncs rests on; where a kernel changes them, this says so.
#include "tests/crash/faulty_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "tests/crash/on_faulty_disk.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

constexpr size_t kSize = 4096;
const std::string kOld(kSize, 'o');
const std::string kNew(kSize, 'n');

class FaultyDiskTest : public OnFaultyDisk {
 protected:
  void MakeDisk(const DiskOptions& options) override {
    ASSERT_NO_FATAL_FAILURE(OnFaultyDisk::MakeDisk(options));
    file_ = disk_->path() + "/file";
  }

  void ExpectToldOnceAndLost();

  std::string file_;
};

// A file of one page, mapped, with what fdatasync said.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    struct stat found = {};
    if (fd_ < 0 || fstat(fd_, &found) != 0) return;
    if (found.st_size == 0 && ftruncate(fd_, kSize) != 0) return;
    void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (memory != MAP_FAILED) bytes_ = static_cast<char*>(memory);
  }
  ~MappedFile() {
    if (bytes_ != nullptr) munmap(bytes_, kSize);
    if (fd_ >= 0) close(fd_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  bool ok() const { return bytes_ != nullptr; }
  void Store(const std::string& text) { std::memcpy(bytes_, text.data(), text.size()); }
  std::string Load() const { return {bytes_, kSize}; }
  // Changes nothing, but the page counts as written to.
  void DirtyAgain() { __atomic_fetch_add(bytes_, 0, __ATOMIC_SEQ_CST); }
  // 0 or an errno.
  int Sync() const { return fdatasync(fd_) == 0 ? 0 : errno; }
  // Begins to write, and does not ask how it went.
  bool StartWriting() const { return sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE) == 0; }

 private:
  int fd_;
  char* bytes_ = nullptr;
};

int SyncByNewDescriptor(const std::string& path) { return MappedFile(path).Sync(); }

// Old bytes on the disk, known to be there, with the file's name and inode.
void WriteOld(const FaultyDisk& disk, const std::string& path) {
  MappedFile file(path);
  ASSERT_TRUE(file.ok());
  file.Store(kOld);
  ASSERT_EQ(file.Sync(), 0);
  ASSERT_TRUE(disk.WriteAll().ok());
}

std::string Content(const std::string& path) {
  const MappedFile file(path);
  return file.ok() ? file.Load() : "";
}

// "old" or "new", for a report.
const char* Which(const std::string& bytes) { return bytes == kOld ? "old" : bytes == kNew ? "new" : "neither"; }

bool Attached(const std::string& device) {
  const std::string name = device.substr(std::strlen("/dev/"));
  return access(("/sys/block/" + name + "/loop/backing_file").c_str(), F_OK) == 0;
}

// Waits for what the kernel does in the background; the test's time-out is the watchdog.
template <typename Condition>
void WaitFor(Condition condition) {
  while (!condition()) usleep(1000);
}

TEST_F(FaultyDiskTest, KeepsWhatIsSynced) {
  WriteOld(*disk_, file_);
  MappedFile(file_).Store(kNew);
  EXPECT_EQ(*disk_->OnDisk(file_), kOld);
  EXPECT_EQ(SyncByNewDescriptor(file_), 0);
  EXPECT_EQ(*disk_->OnDisk(file_), kNew);
  ASSERT_TRUE(disk_->Remount().ok());
  EXPECT_EQ(Content(file_), kNew);
  const auto stats = disk_->Stats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->writes, 0u);
  EXPECT_GT(stats->flushes, 0u);
  EXPECT_EQ(stats->failed_writes + stats->failed_flushes, 0u);
}

// After an EIO the second fdatasync succeeds, whoever opens later sees success and the new bytes, and the disk has the
// old ones.
void FaultyDiskTest::ExpectToldOnceAndLost() {
  WriteOld(*disk_, file_);
  std::string seen_before;
  {
    MappedFile first(file_);
    const MappedFile second(file_);
    ASSERT_TRUE(first.ok() && second.ok());
    first.Store(kNew);
    ASSERT_TRUE(disk_->FailFile(file_).ok());
    EXPECT_EQ(first.Sync(), EIO);
    EXPECT_EQ(first.Sync(), 0) << "told twice";
    EXPECT_EQ(second.Sync(), EIO) << "not told to a descriptor that is older than the failure";
    EXPECT_EQ(second.Sync(), 0);
    EXPECT_EQ(SyncByNewDescriptor(file_), 0) << "told to a descriptor that is younger than the first report";
    seen_before = Content(file_);
    EXPECT_EQ(disk_->Stats()->failed_writes, 1u) << "the page was written once more";

    // It is not that the disk is still broken: nobody tries to write these bytes again.
    ASSERT_TRUE(disk_->Heal().ok());
    EXPECT_EQ(first.Sync(), 0);
    EXPECT_EQ(SyncByNewDescriptor(file_), 0);
    EXPECT_FALSE(disk_->WriteAll().ok()) << "syncfs has an account of its own, and tells what fdatasync told before";
    EXPECT_TRUE(disk_->WriteAll().ok());
    EXPECT_EQ(*disk_->OnDisk(file_), kOld) << "the lost page was written again by itself";
  }
  ASSERT_TRUE(disk_->Remount().ok());
  EXPECT_EQ(Content(file_), kOld);
  std::printf("after EIO: page cache %s, after remount %s\n", Which(seen_before), Which(Content(file_)));
}

TEST_F(FaultyDiskTest, AFailedSyncIsToldOnceAndThenLooksLikeSuccess) { ExpectToldOnceAndLost(); }

TEST_F(FaultyDiskTest, AFailedSyncIsToldOnceWithoutAJournalToo) {
  MakeDisk({.journal = false});
  ExpectToldOnceAndLost();
}

// Where the inode cannot be written either, that is one more failure to tell; then all looks well while nothing is.
TEST_F(FaultyDiskTest, WhenNothingCanBeWrittenSyncSucceedsAllTheSame) {
  MakeDisk({.journal = false});
  WriteOld(*disk_, file_);
  {
    MappedFile file(file_);
    file.Store(kNew);
    ASSERT_TRUE(disk_->FailWrites().ok());
    int failures = 0;
    while (failures < 10 && file.Sync() == EIO) ++failures;
    EXPECT_GE(failures, 1);
    EXPECT_LT(failures, 10);
    std::printf("every write fails: EIO %d times, then success\n", failures);
    EXPECT_EQ(*disk_->OnDisk(file_), kOld);
  }
  ASSERT_TRUE(disk_->Remount().ok());
  EXPECT_EQ(Content(file_), kOld);
}

int SyncFileOrDirectory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error;
}

// A file made while its directory cannot be written is there until the mount ends.
TEST_F(FaultyDiskTest, ANameMadeWhileNothingCanBeWrittenIsLost) {
  MakeDisk({.journal = false});
  ASSERT_TRUE(disk_->WriteAll().ok());
  ASSERT_TRUE(disk_->FailWrites().ok());
  ASSERT_TRUE(MappedFile(file_).ok());
  EXPECT_EQ(SyncFileOrDirectory(file_), EIO);
  EXPECT_EQ(SyncFileOrDirectory(disk_->path()), EIO);
  ASSERT_TRUE(disk_->Heal().ok());
  EXPECT_EQ(SyncFileOrDirectory(disk_->path()), 0);
  EXPECT_EQ(access(file_.c_str(), F_OK), 0);
  ASSERT_TRUE(disk_->Remount().ok());
  EXPECT_NE(access(file_.c_str(), F_OK), 0);
}

// An aborted journal stays aborted, whatever the disk does then. What was open goes on in memory; the file whose fsync
// failed is gone, though a second fsync of it may say otherwise.
TEST_F(FaultyDiskTest, AnAbortedJournalStaysAborted) {
  ASSERT_TRUE(disk_->WriteAll().ok());
  ASSERT_TRUE(disk_->FailWrites().ok());
  ASSERT_TRUE(MappedFile(file_).ok());
  EXPECT_EQ(SyncFileOrDirectory(file_), EIO);
  ASSERT_TRUE(disk_->Heal().ok());
  std::printf("aborted journal: second sync of the file: %s\n", std::strerror(SyncFileOrDirectory(file_)));
  EXPECT_FALSE(MappedFile(disk_->path() + "/later").ok());
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(SyncFileOrDirectory(disk_->path()), EROFS);
  EXPECT_EQ(access(file_.c_str(), F_OK), 0);
  ASSERT_TRUE(disk_->Remount().ok());
  EXPECT_NE(access(file_.c_str(), F_OK), 0);
}

// What mends it while the page cache still has the bytes: dirty the page again.
TEST_F(FaultyDiskTest, DirtyingThePageAgainWritesIt) {
  WriteOld(*disk_, file_);
  MappedFile file(file_);
  ASSERT_TRUE(file.ok());
  file.Store(kNew);
  ASSERT_TRUE(disk_->FailFile(file_).ok());
  EXPECT_EQ(file.Sync(), EIO);
  ASSERT_TRUE(disk_->Heal().ok());
  EXPECT_EQ(file.Load(), kNew) << "the page cache gave the bytes up";
  file.DirtyAgain();
  EXPECT_EQ(file.Sync(), 0);
  EXPECT_EQ(*disk_->OnDisk(file_), kNew);
}

// An error that nobody has been told yet is told to the next who asks, even if he opened the file after it.
TEST_F(FaultyDiskTest, AnErrorNobodyWasToldIsToldToTheNextOpener) {
  WriteOld(*disk_, file_);
  MappedFile first(file_);
  ASSERT_TRUE(first.ok());
  first.Store(kNew);
  ASSERT_TRUE(disk_->FailFile(file_).ok());
  ASSERT_TRUE(first.StartWriting());
  WaitFor([&] { return disk_->Stats()->failed_writes > 0; });
  const MappedFile younger(file_);
  EXPECT_EQ(younger.Sync(), EIO);
  EXPECT_EQ(SyncByNewDescriptor(file_), 0);
  EXPECT_EQ(first.Sync(), EIO);
}

TEST_F(FaultyDiskTest, OnlyTheNextWritesFail) {
  WriteOld(*disk_, file_);
  MappedFile file(file_);
  file.Store(kNew);
  ASSERT_TRUE(disk_->FailWrites(1).ok());
  EXPECT_EQ(file.Sync(), EIO);
  file.Store(kNew);
  EXPECT_EQ(file.Sync(), 0);
  EXPECT_EQ(*disk_->OnDisk(file_), kNew);
  EXPECT_EQ(disk_->Stats()->failed_writes, 1u);
}

TEST_F(FaultyDiskTest, OnlyOneFileFails) {
  const std::string other = disk_->path() + "/other";
  WriteOld(*disk_, file_);
  WriteOld(*disk_, other);
  MappedFile bad(file_);
  MappedFile good(other);
  bad.Store(kNew);
  good.Store(kNew);
  ASSERT_TRUE(disk_->FailFile(file_).ok());
  EXPECT_EQ(bad.Sync(), EIO);
  EXPECT_EQ(good.Sync(), 0);
  EXPECT_EQ(*disk_->OnDisk(file_), kOld);
  EXPECT_EQ(*disk_->OnDisk(other), kNew);
}

// A bad sector: what the same request writes beside it arrives.
TEST_F(FaultyDiskTest, OnlyPartOfAFileFails) {
  constexpr size_t kSector = 512;
  WriteOld(*disk_, file_);
  std::filesystem::resize_file(file_, 2 * kSize);
  ASSERT_TRUE(disk_->WriteAll().ok());
  EXPECT_FALSE(disk_->FailFile(file_, kSize).ok()) << "a hole has no place on the disk";
  ASSERT_TRUE(disk_->FailFile(file_, kSector, 1).ok());
  MappedFile file(file_);
  file.Store(kNew);
  EXPECT_EQ(file.Sync(), EIO);
  const std::string found = disk_->OnDisk(file_)->substr(0, kSize);
  EXPECT_EQ(found.substr(kSector, kSector), kOld.substr(0, kSector));
  EXPECT_EQ(found.substr(0, kSector) + found.substr(2 * kSector), kNew.substr(kSector));
}

TEST_F(FaultyDiskTest, AFailedFlushIsAFailedSync) {
  WriteOld(*disk_, file_);
  MappedFile file(file_);
  file.Store(kNew);
  ASSERT_TRUE(disk_->FailFlushes().ok());
  EXPECT_EQ(file.Sync(), EIO);
  EXPECT_GT(disk_->Stats()->failed_flushes, 0u);
  ASSERT_TRUE(disk_->Heal().ok());
  EXPECT_EQ(file.Sync(), 0);
}

TEST_F(FaultyDiskTest, UnmountsBelowOpenFilesOfADeadDisk) {
  const std::string device = disk_->device();
  {
    MappedFile file(file_);
    ASSERT_TRUE(file.ok());
    file.Store(kNew);
    ASSERT_TRUE(disk_->FailWrites().ok());
    EXPECT_FALSE(disk_->Remount().ok());
    disk_.reset();
    EXPECT_NE(access(file_.c_str(), F_OK), 0);
  }
  WaitFor([&] { return !Attached(device); });
}

TEST(FaultyDisk, NothingIsLeftWhenTheTestIsKilled) {
  if (const std::string missing = FaultyDisk::WhyNot(); !missing.empty()) GTEST_SKIP() << missing;
  const Scratch scratch;
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  Shared<std::array<char, 64>> device;
  Child victim([&] {
    setenv("TMPDIR", scratch.path().c_str(), 1);
    auto disk = FaultyDisk::Make();
    if (!disk.ok()) return 1;
    WriteOld(**disk, (*disk)->path() + "/file");
    if (!(*disk)->FailWrites().ok()) return 2;
    MappedFile((*disk)->path() + "/file").Store(kNew);
    std::snprintf(device->data(), device->size(), "%s", (*disk)->device().c_str());
    raise(Attached((*disk)->device()) ? SIGKILL : SIGABRT);
    return 3;
  });
  EXPECT_EQ(victim.Join(), -SIGKILL);
  while (wait(nullptr) > 0) {
  }  // who served the disk ends too
  WaitFor([&] { return !Attached(device->data()); });
}

}  // namespace
}  // namespace libbus::test
