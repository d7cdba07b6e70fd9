#include "tests/crash/faulty_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "libbus/platform/status.h"
#include "tests/support/processes.h"

namespace libbus::test {
namespace {

constexpr char kServer[] = LIBBUS_TEST_BIN_DIR "/faulty_file_main";

absl::Status Errno(const std::string& what) {
  return absl::InternalError(fmt::format("{}: {}", what, std::strerror(errno)));
}

// A descriptor, closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// --- programs and namespaces -----------------------------------------------------------------------------------------

std::string MkfsPath(FileSystem file_system) {
  for (const char* folder : {"/usr/sbin/mkfs.", "/sbin/mkfs."}) {
    const std::string path = folder + FileSystemName(file_system);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

// The least that its mkfs takes, and some room.
uint64_t LeastSize(FileSystem file_system) {
  constexpr uint64_t kMega = 1 << 20;
  return file_system == FileSystem::kXfs ? 320 * kMega : file_system == FileSystem::kBtrfs ? 256 * kMega : 0;
}

// Nothing is discarded: what a mkfs or a file system gives up keeps its bytes, as on a disk. Inode tables of ext4 are
// written now: otherwise the kernel does it in the background, and those writes would fail too.
std::vector<std::string> MkfsWords(const DiskOptions& options) {
  const std::string path = MkfsPath(options.file_system);
  if (options.file_system == FileSystem::kXfs) return {path, "-q", "-f", "-K"};
  if (options.file_system == FileSystem::kBtrfs) return {path, "-q", "-f", "-K"};
  return {path,
          "-q",
          "-F",
          "-b",
          "4096",
          "-N",
          "1024",
          "-m",
          "0",
          "-O",
          options.journal ? "has_journal" : "^has_journal",
          "-e",
          "continue",
          "-E",
          "nodiscard,lazy_itable_init=0"};
}

const char* MountOptions(FileSystem file_system) {
  return file_system == FileSystem::kXfs ? "" : file_system == FileSystem::kBtrfs ? "nodiscard" : "errors=continue";
}

// True unless the kernel says that it has no such file system. (Nothing is mounted: there is no such device.)
bool KernelKnows(FileSystem file_system) {
  const std::string name = FileSystemName(file_system);
  return Child([&] {
           if (unshare(CLONE_NEWNS) != 0) return 0;
           return mount("none", "/", name.c_str(), 0, "") != 0 && errno == ENODEV ? 1 : 0;
         }).Join() == 0;
}

// Else the kernel remembers which generation of a file system it saw on a device, and an image is older than that.
void ForgetBtrfs(const std::string& device) {
  const Descriptor control("/dev/btrfs-control", O_RDWR);
  btrfs_ioctl_vol_args arguments = {};
  device.copy(arguments.name, sizeof(arguments.name) - 1);
  if (control.ok()) ioctl(control.get(), BTRFS_IOC_FORGET_DEV, &arguments);
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

[[noreturn]] void Execute(std::vector<std::string> words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

// Runs a program to its end; what it prints goes to the file `log`.
absl::Status Run(const std::vector<std::string>& words, const std::string& log) {
  const int code = Child([&] {
                     const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                     dup2(out, STDOUT_FILENO);
                     dup2(out, STDERR_FILENO);
                     Execute(words);
                     return 127;
                   }).Join();
  if (code == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("{} ended with {}: {}", words[0], code, ReadAll(log)));
}

// The namespace from before the first disk. Who serves a disk lives there: were it in the namespace of the mounts and
// the last one of it to end, the kernel would unmount at its exit, while it still seems to serve, and wait for ever.
int outer_namespace = -1;
pid_t namespace_of = -1;

// A child that makes a disk of its own leaves its parent's mounts: copies of them would keep those mounted.
absl::Status EnterOwnNamespace() {
  if (namespace_of == getpid()) return absl::OkStatus();
  if (outer_namespace < 0) outer_namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (outer_namespace < 0) return Errno("/proc/self/ns/mnt");
  if (setns(outer_namespace, CLONE_NEWNS) != 0) return Errno("setns");
  if (unshare(CLONE_NEWNS) != 0) return Errno("unshare(CLONE_NEWNS)");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return Errno("make mounts private");
  namespace_of = getpid();
  return absl::OkStatus();
}

[[noreturn]] void BecomeServer(pid_t parent, int fuse, uint64_t size) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  if (setns(outer_namespace, CLONE_NEWNS) != 0 || fcntl(fuse, F_SETFD, 0) != 0) _exit(126);
  Execute({kServer, std::to_string(fuse), std::to_string(size)});
}

// --- where a file's blocks are ---------------------------------------------------------------------------------------

struct Extent {
  uint64_t logical = 0;
  uint64_t physical = 0;
  uint64_t length = 0;
  bool unwritten = false;  // allocated, reads as zeros
};

absl::StatusOr<std::vector<Extent>> ExtentsOf(const std::string& file) {
  constexpr uint32_t kMost = 256;
  const Descriptor opened(file, O_RDONLY);
  if (!opened.ok()) return Errno(file);
  std::vector<uint64_t> room((sizeof(fiemap) + kMost * sizeof(fiemap_extent)) / sizeof(uint64_t));
  auto* map = reinterpret_cast<fiemap*>(room.data());
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_extent_count = kMost;
  if (ioctl(opened.get(), FS_IOC_FIEMAP, map) != 0) return Errno(file + ": FIEMAP");
  std::vector<Extent> extents;
  for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
    const fiemap_extent& found = map->fm_extents[i];
    if ((found.fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC)) != 0) {
      return absl::FailedPreconditionError(file + ": has no place on the disk yet; sync it first");
    }
    extents.push_back(
        {found.fe_logical, found.fe_physical, found.fe_length, (found.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0});
  }
  if (extents.size() == kMost) return absl::ResourceExhaustedError(file + ": in too many pieces");
  return extents;
}

}  // namespace

std::string FileSystemName(FileSystem file_system) {
  return file_system == FileSystem::kXfs ? "xfs" : file_system == FileSystem::kBtrfs ? "btrfs" : "ext4";
}

std::string FaultyDisk::WhyNot(FileSystem file_system) {
  if (geteuid() != 0) return "needs root";
  if (access(kServer, X_OK) != 0) return "faulty_file_main was not built: needs libfuse3-dev";
  if (MkfsPath(file_system).empty()) return "needs mkfs." + FileSystemName(file_system);
  if (!Descriptor("/dev/fuse", O_RDWR).ok()) return "needs /dev/fuse";
  const Descriptor control("/dev/loop-control", O_RDWR);
  if (!control.ok()) return "needs /dev/loop-control";
  const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
  if (number < 0) return "no loop device is free";
  if (!Descriptor(fmt::format("/dev/loop{}", number), O_RDWR).ok()) return "the free loop device cannot be opened";
  const int may_mount = Child([] { return unshare(CLONE_NEWNS) == 0 ? 0 : 1; }).Join();
  if (may_mount != 0) return "needs the right to mount";
  return KernelKnows(file_system) ? "" : "needs a kernel with " + FileSystemName(file_system);
}

absl::StatusOr<std::unique_ptr<FaultyDisk>> FaultyDisk::Make(const DiskOptions& options) {
  LIBBUS_RETURN_IF_ERROR(EnterOwnNamespace());
  std::unique_ptr<FaultyDisk> disk(new FaultyDisk);
  mkdir(disk->backing_.c_str(), 0700);
  mkdir(disk->mount_.c_str(), 0755);
  disk->options_ = options;
  LIBBUS_RETURN_IF_ERROR(disk->StartFile(std::max(options.size, LeastSize(options.file_system))));
  LIBBUS_RETURN_IF_ERROR(disk->AttachLoop());
  LIBBUS_RETURN_IF_ERROR(disk->MakeFileSystem());
  LIBBUS_RETURN_IF_ERROR(disk->Mount());
  return disk;
}

// The mount comes first and is made here; whoever looks into it waits until the server answers, or is gone.
absl::Status FaultyDisk::StartFile(uint64_t size) {
  const Descriptor fuse("/dev/fuse", O_RDWR);
  if (!fuse.ok()) return Errno("/dev/fuse");
  const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", fuse.get());
  if (mount("faulty_file", backing_.c_str(), "fuse", MS_NODEV | MS_NOSUID, options.c_str()) != 0) {
    return Errno(backing_ + ": mount");
  }
  const pid_t parent = getpid();
  server_ = fork();
  if (server_ < 0) return Errno("fork");
  if (server_ == 0) BecomeServer(parent, fuse.get(), size);
  return absl::OkStatus();
}

absl::Status FaultyDisk::AttachLoop() {
  const Descriptor file(backing_ + "/disk", O_RDWR);
  if (!file.ok()) return Errno(backing_ + "/disk");
  control_ = open((backing_ + "/control").c_str(), O_RDONLY | O_CLOEXEC);
  if (control_ < 0) return Errno(backing_ + "/control");
  const Descriptor control("/dev/loop-control", O_RDWR);
  if (!control.ok()) return Errno("/dev/loop-control");
  loop_config config = {};
  config.fd = static_cast<uint32_t>(file.get());
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR;  // detached when the last one closes it, whoever dies
  // Somebody else may take the free device first.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return Errno("LOOP_CTL_GET_FREE");
    loop_path_ = fmt::format("/dev/loop{}", number);
    Descriptor loop(loop_path_, O_RDWR);
    if (!loop.ok()) return Errno(loop_path_);
    if (ioctl(loop.get(), LOOP_CONFIGURE, &config) == 0) {
      loop_ = loop.Release();
      return absl::OkStatus();
    }
    if (errno != EBUSY) return Errno(loop_path_ + ": LOOP_CONFIGURE");
  }
  return absl::ResourceExhaustedError("every free loop device was taken by somebody else");
}

absl::Status FaultyDisk::MakeFileSystem() const {
  std::vector<std::string> words = MkfsWords(options_);
  words.push_back(loop_path_);
  return Run(words, scratch_ / "mkfs.log");
}

absl::Status FaultyDisk::Mount() const {
  const unsigned long flags = MS_NODEV | MS_NOSUID | MS_NOATIME;
  const std::string type = FileSystemName(options_.file_system);
  if (mount(loop_path_.c_str(), mount_.c_str(), type.c_str(), flags, MountOptions(options_.file_system)) != 0)
    return Errno(mount_ + ": mount");
  return absl::OkStatus();
}

absl::Status FaultyDisk::Unmount() const {
  if (umount2(mount_.c_str(), 0) != 0) {
    return absl::FailedPreconditionError(fmt::format("{}: umount: {}", mount_, std::strerror(errno)));
  }
  ioctl(loop_, BLKFLSBUF, 0);
  if (options_.file_system == FileSystem::kBtrfs) ForgetBtrfs(loop_path_);
  return absl::OkStatus();
}

// Whatever still waits for the disk when its server is gone gets an error, so nothing here can hang.
FaultyDisk::~FaultyDisk() {
  if (getpid() != owner_) return;
  if (umount2(mount_.c_str(), 0) != 0) umount2(mount_.c_str(), MNT_DETACH);
  if (control_ >= 0) close(control_);
  if (loop_ >= 0) close(loop_);
  if (server_ > 0) kill(server_, SIGKILL);
  while (server_ > 0 && waitpid(server_, nullptr, 0) < 0 && errno == EINTR) {
  }
  umount2(backing_.c_str(), MNT_DETACH);
}

absl::Status FaultyDisk::Control(const std::string& command) const {
  const Descriptor control(backing_ + "/control", O_WRONLY);
  if (!control.ok()) return Errno(backing_ + "/control");
  if (write(control.get(), command.data(), command.size()) < 0) return Errno(command);
  return absl::OkStatus();
}

absl::StatusOr<DiskStats> FaultyDisk::Stats() const {
  std::istringstream words(ReadAll(backing_ + "/control"));
  DiskStats stats;
  std::string name;
  for (uint64_t* const number : {&stats.writes, &stats.flushes, &stats.failed_writes, &stats.failed_flushes, &stats.log,
                                 &stats.cut, &stats.flush, &stats.stale}) {
    words >> name >> *number;
  }
  if (!words) return absl::InternalError(backing_ + "/control: not readable");
  return stats;
}

absl::StatusOr<DiskStats> FaultyDisk::Cut(uint64_t cut, Leaves leaves, uint64_t seed) const {
  // What the loop device still has of another image.
  if (ioctl(loop_, BLKFLSBUF, 0) != 0) return Errno(loop_path_ + ": BLKFLSBUF");
  LIBBUS_RETURN_IF_ERROR(Control(fmt::format("cut {} {} {}", cut, static_cast<int>(leaves), seed)));
  return Stats();
}

absl::Status FaultyDisk::Save(const std::string& path) const {
  std::ifstream from(backing_ + "/disk", std::ios::binary);
  std::ofstream to(path, std::ios::binary | std::ios::trunc);
  std::string piece(1 << 20, '\0');
  uint64_t size = 0;
  for (; from.read(piece.data(), static_cast<std::streamsize>(piece.size())); size += piece.size()) {
    if (piece.find_first_not_of('\0') == std::string::npos) {
      to.seekp(static_cast<std::streamoff>(piece.size()), std::ios::cur);  // a hole
    } else {
      to.write(piece.data(), static_cast<std::streamsize>(piece.size()));
    }
  }
  to.close();
  if (size == 0 || !to || truncate(path.c_str(), static_cast<off_t>(size)) != 0) return Errno(path);
  return absl::OkStatus();
}

uint64_t FaultyDisk::LogNumber() const {
  char line[256] = {};
  const ssize_t got = pread(control_, line, sizeof(line) - 1, 0);
  const char* const number = got > 0 ? std::strstr(line, " log ") : nullptr;
  if (number == nullptr) std::abort();  // the server is gone
  return std::strtoull(number + std::strlen(" log "), nullptr, 10);
}

absl::Status FaultyDisk::FailFile(const std::string& file, uint64_t offset, uint64_t length) {
  const uint64_t end = length < UINT64_MAX - offset ? offset + length : UINT64_MAX;
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<Extent> extents, ExtentsOf(file));
  bool found = false;
  for (const Extent& extent : extents) {
    const uint64_t from = std::max(extent.logical, offset);
    const uint64_t to = std::min(extent.logical + extent.length, end);
    if (from >= to) continue;
    LIBBUS_RETURN_IF_ERROR(FailRange(extent.physical + (from - extent.logical), to - from));
    found = true;
  }
  return found ? absl::OkStatus() : absl::FailedPreconditionError(file + ": has no blocks there");
}

absl::Status FaultyDisk::WriteAll() const {
  const Descriptor root(mount_, O_RDONLY);
  if (!root.ok() || syncfs(root.get()) != 0) return Errno(mount_ + ": syncfs");
  return absl::OkStatus();
}

absl::Status FaultyDisk::Remount() {
  LIBBUS_RETURN_IF_ERROR(Unmount());
  // What cannot be written now is as lost as what could not be before.
  LIBBUS_RETURN_IF_ERROR(Heal());
  return Mount();
}

absl::StatusOr<std::string> FaultyDisk::OnDisk(const std::string& file) const {
  struct stat found;
  if (stat(file.c_str(), &found) != 0) return Errno(file);
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<Extent> extents, ExtentsOf(file));
  const Descriptor disk(backing_ + "/disk", O_RDONLY);
  if (!disk.ok()) return Errno(backing_ + "/disk");
  std::string content(static_cast<size_t>(found.st_size), '\0');
  for (const Extent& extent : extents) {
    if (extent.unwritten || extent.logical >= content.size()) continue;
    uint64_t left = std::min(extent.length, content.size() - extent.logical);
    for (uint64_t done = 0; left > 0;) {
      const ssize_t got =
          pread(disk.get(), content.data() + extent.logical + done, left, static_cast<off_t>(extent.physical + done));
      if (got <= 0) return Errno(file + ": read from the disk");
      done += static_cast<uint64_t>(got);
      left -= static_cast<uint64_t>(got);
    }
  }
  return content;
}

}  // namespace libbus::test
