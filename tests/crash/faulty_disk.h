// A real file system on a disk that fails, or loses its power, when it is told to: ext4, xfs or btrfs over a loop
// device over a file that a program of ours serves (faulty_file_main, FUSE), so that page cache, writeback and
// fdatasync are the kernel's own.
//
// Which writes fail matters (measured on Linux 6.18; faulty_disk_test.cc shows each):
//   - FailFile(), a disk with a bad spot: the blocks of one file fail. Names, inodes and the journal do not: what is
//   seen
//     is how the kernel treats lost data, with and without a journal alike. After sync(), so that the file has its
//     blocks.
//   - FailWrites() with a journal: the first commit aborts it, and until the mount is gone nothing can be made durable
//     any more, whatever is healed.
//   - FailWrites() without one: the mount goes on, but names and inodes that were to be written are lost as well: a
//   file
//     made meanwhile is there until the mount ends, and gone afterwards.
//
// A power cut: Record(), work, Unmount(), and Cut() puts in place what a cut at any moment since may have left (see
// write_log.h); Mount() then, as a machine that comes back does. Record() on top of an image and Drop() are for a
// second cut, while somebody recovers from the first.
#ifndef LIBBUS_TESTS_CRASH_FAULTY_DISK_H_
#define LIBBUS_TESTS_CRASH_FAULTY_DISK_H_

#include <absl/status/statusor.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tests/crash/write_log.h"
#include "tests/support/scratch.h"

namespace libbus::test {

struct DiskStats {
  uint64_t writes = 0;  // requests, failed ones included
  uint64_t flushes = 0;
  uint64_t failed_writes = 0;
  uint64_t failed_flushes = 0;
  uint64_t log = 0;    // requests answered since Record()
  uint64_t cut = 0;    // of the image: after how many requests,
  uint64_t flush = 0;  // how many of them end with the last flush,
  uint64_t stale = 0;  // and how many sectors are older than what was written last before the cut
};

enum class FileSystem { kExt4, kXfs, kBtrfs };
std::string FileSystemName(FileSystem file_system);

struct DiskOptions {
  uint64_t size = 64 << 20;  // bytes, at least; as much as the file system needs
  bool journal = true;       // ext4
  FileSystem file_system = FileSystem::kExt4;
};

// Used by the process that made it and by children forked from it. Everything is mounted in a mount namespace that this
// process gets at the first Make(), so that nothing is left mounted when it is killed. Make it before the first thread.
class FaultyDisk {
 public:
  // Empty if a disk can be made here, else what is missing: the text of a skip.
  static std::string WhyNot(FileSystem file_system = FileSystem::kExt4);

  // A disk with an empty file system, mounted at path().
  static absl::StatusOr<std::unique_ptr<FaultyDisk>> Make(const DiskOptions& options = {});

  // Unmounts, even below open files, and ends everything that belongs to the disk.
  ~FaultyDisk();
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  const std::string& path() const { return mount_; }
  const std::string& device() const { return loop_path_; }  // /dev/loopN

  // What fails from now on; each adds to what fails already.
  absl::Status FailWrites() { return Control("fail-writes"); }
  absl::Status FailWrites(uint64_t next) { return Control("fail-writes " + std::to_string(next)); }
  absl::Status FailRange(uint64_t offset, uint64_t length) {
    return Control("fail-range " + std::to_string(offset) + " " + std::to_string(length));
  }
  absl::Status FailFlushes() { return Control("fail-flush"); }
  // Only the `n`th write or flush from now on, the first is 1.
  absl::Status FailRequest(uint64_t n) { return Control("fail-request " + std::to_string(n)); }
  // Every write to the blocks that these bytes of the file have now, which must not be waiting for a place on the disk.
  // (What the same request writes to other blocks arrives, and is told as failed with it.)
  absl::Status FailFile(const std::string& file, uint64_t offset = 0, uint64_t length = UINT64_MAX);
  // Nothing fails any more.
  absl::Status Heal() { return Control("ok"); }

  absl::StatusOr<DiskStats> Stats() const;

  // Writes all that is waiting: everything has its place on the disk then.
  absl::Status WriteAll() const;

  // Unmounts, heals the disk, without which it would not mount, and mounts again: what is read then comes from the
  // disk. FAILED_PRECONDITION: a file is still open.
  absl::Status Remount();

  // FAILED_PRECONDITION: a file is still open. The loop device keeps nothing of it.
  absl::Status Unmount() const;
  absl::Status Mount() const;

  // Logs from now on what the disk is asked to write; what was written until now counts as flushed.
  absl::Status Record() const { return Control("record"); }
  // REQUIRES: not mounted. Puts in place what a power cut after `cut` of the logged requests, or close to that, may
  // leave, and logs no more. The same seed gives the same image. OK: where the cut is, and more about it.
  absl::StatusOr<DiskStats> Cut(uint64_t cut, Leaves leaves, uint64_t seed) const;
  // REQUIRES: not mounted. Puts back what was there at the last Record() and forgets what was logged since.
  absl::Status Drop() const { return Control("drop"); }
  // Copies what is on the disk now to a file, which can be mounted.
  absl::Status Save(const std::string& path) const;
  // How many requests were logged: what was answered before this was called is among them. In any process, also while
  // others write; a system call.
  uint64_t LogNumber() const;

  // The content of a file as it is on the disk now, whatever the page cache has.
  absl::StatusOr<std::string> OnDisk(const std::string& file) const;

 private:
  FaultyDisk() = default;

  absl::Status Control(const std::string& command) const;
  absl::Status StartFile(uint64_t size);
  absl::Status AttachLoop();
  absl::Status MakeFileSystem() const;

  Scratch scratch_;
  const std::string backing_ = scratch_ / "backing";  // FUSE: disk, control
  const std::string mount_ = scratch_ / "disk";       // the file system
  DiskOptions options_;
  int control_ = -1;
  const pid_t owner_ = getpid();
  pid_t server_ = -1;
  int loop_ = -1;
  std::string loop_path_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_FAULTY_DISK_H_
