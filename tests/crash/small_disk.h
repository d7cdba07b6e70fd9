// A real file system that is small enough to be filled: ext4, xfs or btrfs on a loop device over a sparse file, or
// tmpfs. Mounted in a mount namespace of this process's own, so that nothing is left mounted when it is killed.
#ifndef LIBBUS_TESTS_CRASH_SMALL_DISK_H_
#define LIBBUS_TESTS_CRASH_SMALL_DISK_H_

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/disk.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::test {

class SmallDisk {
 public:
  // Empty if one of this kind can be made here, else what is missing: the text of a skip.
  static std::string WhyNot(std::string_view kind) {
    if (geteuid() != 0) return "needs root";
    if (Child([] { return unshare(CLONE_NEWNS) == 0 ? 0 : 1; }).Join() != 0) return "needs the right to mount";
    if (kind == "tmpfs") return "";
    if (access(MkfsOf(kind).c_str(), X_OK) != 0) return fmt::format("needs mkfs.{}", kind);
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) return "needs /dev/loop-control";
    const int number = ioctl(control, LOOP_CTL_GET_FREE);
    close(control);
    if (number < 0 || access(fmt::format("/dev/loop{}", number).c_str(), R_OK | W_OK) != 0) {
      return "no loop device is free";
    }
    return "";
  }

  // "ext4", "xfs", "btrfs" or "tmpfs". What the machine cannot do ends the test.
  // `mixed`: a btrfs whose data and names share the room, so that both come back with what is deleted.
  explicit SmallDisk(std::string_view kind, bool mixed = false) : kind_(kind), scratch_(DiskParent()) {
    std::filesystem::create_directory(path_);
    EnterOwnNamespace();
    if (kind == "tmpfs") {
      Require(mount("none", path_.c_str(), "tmpfs", 0, "size=8m,mode=700") == 0, "mount tmpfs");
      return;
    }
    // As small as each can be made.
    const int fd = open(image_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    Require(fd >= 0 && ftruncate(fd, (kind == "ext4" ? 16 : kind == "xfs" ? 300 : 112) << 20) == 0, image_);
    MakeFileSystem(kind == "btrfs" && mixed ? " --mixed" : "");
    Attach(fd);
    close(fd);
    Require(mount(loop_path_.c_str(), path_.c_str(), kind_.c_str(), MS_NOATIME, "") == 0, "mount " + kind_);
  }
  ~SmallDisk() {
    if (umount2(path_.c_str(), 0) != 0) umount2(path_.c_str(), MNT_DETACH);
    if (loop_ >= 0) close(loop_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  const std::string& path() const { return path_; }
  std::string ballast() const { return path_ + "/ballast"; }

  // What is read then comes from the disk. Nothing may be open there.
  void Remount() const {
    Require(umount2(path_.c_str(), 0) == 0, "umount");
    Require(mount(loop_path_.c_str(), path_.c_str(), kind_.c_str(), MS_NOATIME, "") == 0, "mount " + kind_);
  }

  uint64_t Free() const {
    Commit();
    struct statvfs info = {};
    Require(statvfs(path_.c_str(), &info) == 0, "statvfs");
    return uint64_t{info.f_bavail} * info.f_frsize;
  }

  // Takes all room but about `left` bytes. The ballast is removed by who wants it back.
  void Fill(uint64_t left) const {
    MakeRoom();
    const int fd = open(ballast().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    Require(fd >= 0, ballast());
    uint64_t size = 0;
    for (uint64_t piece = uint64_t{64} << 20; piece >= 4096;) {
      if (fallocate(fd, 0, static_cast<off_t>(size), static_cast<off_t>(piece)) == 0) {
        size += piece;
      } else {
        piece /= 2;
      }
    }
    Require(ftruncate(fd, static_cast<off_t>(size - std::min(size, left))) == 0, "ftruncate");
    Require(syncfs(fd) == 0, "syncfs");
    close(fd);
  }
  void MakeRoom() const {
    unlink(ballast().c_str());
    Commit();
  }

 private:
  // btrfs gives room back at a commit only.
  void Commit() const {
    const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    (void)syncfs(fd);
    close(fd);
  }

  static void Require(bool done, const std::string& what) {
    if (!done) throw std::runtime_error("small disk: " + what + ": " + std::strerror(errno));
  }
  static std::string MkfsOf(std::string_view kind) {
    for (const char* folder : {"/usr/sbin", "/sbin"}) {
      std::string path = fmt::format("{}/mkfs.{}", folder, kind);
      if (access(path.c_str(), X_OK) == 0) return path;
    }
    return "";
  }

  static void EnterOwnNamespace() {
    static pid_t entered = -1;
    if (entered == getpid()) return;
    Require(unshare(CLONE_NEWNS) == 0, "unshare");
    Require(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private");
    entered = getpid();
  }

  void MakeFileSystem(std::string_view more) const {
    const std::string options = kind_ == "ext4"  ? "-q -F -b 4096 -N 512 -m 0 -E nodiscard,lazy_itable_init=0"
                                : kind_ == "xfs" ? "-q -f -K"
                                                 : "-q -f -K";
    const std::string command = fmt::format("{} {}{} {} > /dev/null 2>&1", MkfsOf(kind_), options, more, image_);
    Require(std::system(command.c_str()) == 0, command);
  }

  void Attach(int file) {
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    Require(control >= 0, "/dev/loop-control");
    loop_config config = {};
    config.fd = static_cast<uint32_t>(file);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;  // detached when the last one closes it, whoever dies
    // Somebody else may take the free device first.
    for (int attempt = 0; attempt < 100 && loop_ < 0; ++attempt) {
      loop_path_ = fmt::format("/dev/loop{}", ioctl(control, LOOP_CTL_GET_FREE));
      loop_ = open(loop_path_.c_str(), O_RDWR | O_CLOEXEC);
      Require(loop_ >= 0, loop_path_);
      if (ioctl(loop_, LOOP_CONFIGURE, &config) == 0) break;
      Require(errno == EBUSY, loop_path_ + ": LOOP_CONFIGURE");
      close(std::exchange(loop_, -1));
    }
    close(control);
    Require(loop_ >= 0, "every free loop device was taken by somebody else");
  }

  const std::string kind_;
  const Scratch scratch_;
  const std::string image_ = scratch_ / "image";
  const std::string path_ = scratch_ / "disk";
  int loop_ = -1;
  std::string loop_path_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_SMALL_DISK_H_
