#include "libbus/platform/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::platform {
namespace {

// Every descriptor of a file of a bus is made here. Never 0, 1 or 2: a program that was started with its stdout closed
// would print into a segment. -1 and errno, as openat(2).
int OpenDescriptor(int directory, const std::string& name, int flags, uint32_t mode = 0) {
  int fd;
  do {
    fd = openat(directory, name.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno;
  close(fd);
  errno = error;
  return above;
}

absl::StatusOr<File> OpenAt(int directory, const std::string& name, const std::string& path, int flags) {
  const int fd = OpenDescriptor(directory, name, flags | O_NOFOLLOW);
  if (fd < 0) return ErrnoStatus(errno, path, "cannot open");
  return File(fd);
}

absl::StatusOr<File> Open(const std::string& path, int flags) { return OpenAt(AT_FDCWD, path, path, flags); }

// O_NONBLOCK: a FIFO put in the place of a file must not hang the opener.
int FileFlags(bool writable) { return (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK; }

absl::StatusOr<File> CheckRegular(File file, const std::string& path) {
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat");
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(fmt::format("{}: not a regular file", path));
  }
  return file;
}

absl::StatusOr<std::vector<std::string>> ReadNames(DIR* opened, const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opened, closedir);
  if (dir == nullptr) return ErrnoStatus(errno, path, "cannot list");
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

// A file without a name in `directory`; where the file system has no such thing, one with a name nobody looks for.
struct Nameless {
  File file;
  std::string temporary;  // empty: truly nameless
};

absl::StatusOr<Nameless> OpenNameless(const File& directory, const std::string& directory_path, uint32_t mode) {
  int fd = OpenDescriptor(directory.fd(), ".", O_TMPFILE | O_RDWR, mode);
  if (fd >= 0) return Nameless{File(fd), ""};
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    return ErrnoStatus(errno, directory_path, "cannot create a file");
  }
  const auto name = fmt::format(".making-{}-{}", getpid(), Seam::MonotonicNow());
  fd = OpenDescriptor(directory.fd(), name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, mode);
  if (fd < 0) return ErrnoStatus(errno, directory_path, "cannot create a file");
  return Nameless{File(fd), name};
}

absl::Status Give(const Nameless& made, const File& directory, const std::string& directory_path,
                  const std::string& name) {
  const auto from = fmt::format("/proc/self/fd/{}", made.file.fd());
  const int error = Seam::Link(from.c_str(), directory.fd(), name.c_str());
  if (error != 0) return ErrnoStatus(error, directory_path + "/" + name, "cannot link");
  return absl::OkStatus();
}

absl::Status Fill(const Nameless& made, const std::string& path, uint64_t size, uint32_t mode,
                  const std::function<absl::Status(const File&)>& fill) {
  // The mode that was asked for, whatever the umask.
  if (fchmod(made.file.fd(), mode) != 0) return ErrnoStatus(errno, path, "cannot set the mode");
  if (const int error = Seam::Allocate(made.file.fd(), size); error != 0) {
    return ErrnoStatus(error, path, fmt::format("cannot allocate {} bytes", size));
  }
  LIBBUS_RETURN_IF_ERROR(fill(made.file));
  return SyncFile(made.file, path);
}

}  // namespace

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = other.Release();
  }
  return *this;
}

int File::Release() { return std::exchange(fd_, -1); }

void File::Close() {
  if (fd_ >= 0) close(Release());
}

absl::StatusOr<File> OpenFile(const std::string& path, bool writable) {
  LIBBUS_ASSIGN_OR_RETURN(File file, Open(path, FileFlags(writable)));
  return CheckRegular(std::move(file), path);
}

absl::StatusOr<File> OpenFileAt(const File& directory, const std::string& directory_path, const std::string& name,
                                bool writable) {
  const std::string path = directory_path + "/" + name;
  LIBBUS_ASSIGN_OR_RETURN(File file, OpenAt(directory.fd(), name, path, FileFlags(writable)));
  return CheckRegular(std::move(file), path);
}

absl::StatusOr<File> OpenDirectory(const std::string& path) { return Open(path, O_RDONLY | O_DIRECTORY); }

absl::StatusOr<File> OpenDirectoryAt(const File& directory, const std::string& directory_path,
                                     const std::string& name) {
  return OpenAt(directory.fd(), name, directory_path + "/" + name, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<FileIdentity> Identify(const File& file, std::string_view path) {
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat");
  return FileIdentity{info.st_dev, info.st_ino};
}

absl::StatusOr<uint64_t> FileSize(const File& file, std::string_view path) {
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat");
  return static_cast<uint64_t>(info.st_size);
}

absl::StatusOr<int64_t> LastWritten(const File& file, std::string_view path) {
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat");
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

void SetWritten(const File& file) { (void)futimens(file.fd(), nullptr); }

absl::StatusOr<FileIdentity> IdentifyPath(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat");
  return FileIdentity{info.st_dev, info.st_ino};
}

absl::StatusOr<FileIdentity> IdentifyAt(const File& directory, const std::string& directory_path,
                                        const std::string& name) {
  struct stat info;
  if (fstatat(directory.fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, directory_path + "/" + name, "cannot stat");
  }
  return FileIdentity{info.st_dev, info.st_ino};
}

absl::StatusOr<size_t> ReadAt(const File& file, std::string_view path, uint64_t offset, void* to, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = pread(file.fd(), static_cast<char*>(to) + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path, fmt::format("cannot read at {}", offset + done));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

absl::Status WriteAt(const File& file, std::string_view path, uint64_t offset, const void* from, size_t size) {
  const int error = Seam::Write(file.fd(), offset, from, size);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, path, fmt::format("cannot write at {}", offset));
}

absl::StatusOr<File> CreateWhole(const File& directory, const std::string& directory_path, const std::string& name,
                                 uint64_t size, uint32_t mode, const std::function<absl::Status(const File&)>& fill) {
  LIBBUS_ASSIGN_OR_RETURN(Nameless made, OpenNameless(directory, directory_path, mode));
  absl::Status status = Fill(made, directory_path + "/" + name, size, mode, fill);
  if (status.ok()) status = Give(made, directory, directory_path, name);
  if (!made.temporary.empty()) unlinkat(directory.fd(), made.temporary.c_str(), 0);
  LIBBUS_RETURN_IF_ERROR(status);
  LIBBUS_RETURN_IF_ERROR(SyncFile(directory, directory_path));
  return std::move(made.file);
}

void LeaveMark(const File& directory, const std::string& name, const void* bytes, size_t size) {
  const File file(OpenDescriptor(directory.fd(), name, O_CREAT | O_RDWR | O_NOFOLLOW | O_NONBLOCK, S_IRUSR | S_IWUSR));
  if (!file.is_open()) return;
  (void)WriteAt(file, name, 0, bytes, size);
  (void)Seam::Sync(file.fd());
  (void)Seam::Sync(directory.fd());
}

absl::Status SyncFile(const File& file, std::string_view path) {
  const int error = Seam::Sync(file.fd());
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, path, "cannot sync");
}

std::optional<uint64_t> DirtyBytes(const File& file, uint64_t offset, uint64_t size) {
  // Headers of before Linux 6.5 have no name for these; the number is the same on all architectures that have it.
  constexpr long kCacheStat = 451;
  struct Range {
    uint64_t offset;
    uint64_t size;
  } range = {offset, size};
  struct Counts {
    uint64_t cached;
    uint64_t dirty;
    uint64_t writeback;
    uint64_t evicted;
    uint64_t recently_evicted;
  } counts = {};
  if (syscall(kCacheStat, file.fd(), &range, &counts, 0) != 0) return std::nullopt;
  return counts.dirty * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

bool TakenForUnwritten(const File& file, uint64_t offset, uint64_t size) {
  struct statfs info;
  if (fstatfs(file.fd(), &info) != 0 || info.f_type != EXT4_SUPER_MAGIC) return false;
  constexpr uint32_t kExtents = 64;
  alignas(fiemap) std::array<std::byte, sizeof(fiemap) + kExtents * sizeof(fiemap_extent)> bytes;
  const uint64_t end = offset + size;
  while (offset < end) {
    bytes = {};
    auto* const map = reinterpret_cast<fiemap*>(bytes.data());
    map->fm_start = offset;
    map->fm_length = end - offset;
    map->fm_extent_count = kExtents;
    if (ioctl(file.fd(), FS_IOC_FIEMAP, map) != 0 || map->fm_mapped_extents == 0) return false;
    for (uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
      const fiemap_extent& extent = map->fm_extents[i];
      if ((extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0) return true;
      offset = std::max<uint64_t>(offset, extent.fe_logical + extent.fe_length);
    }
  }
  return false;
}

absl::Status SyncData(const File& file, std::string_view path) {
  const int error = Seam::DataSync(file.fd());
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, path, "cannot sync");
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  return ReadNames(opendir(path.c_str()), path);
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const File& directory, const std::string& path) {
  // Opened anew: a description that is shared would share its place in the list as well.
  LIBBUS_ASSIGN_OR_RETURN(File own, OpenAt(directory.fd(), ".", path, O_RDONLY | O_DIRECTORY));
  DIR* const dir = fdopendir(own.fd());
  if (dir != nullptr) own.Release();
  return ReadNames(dir, path);
}

absl::Status CheckFileSystem(const File& directory, std::string_view path) {
  struct statfs info;
  if (fstatfs(directory.fd(), &info) != 0) return ErrnoStatus(errno, path, "cannot stat the file system");
  std::string_view kind;
  switch (static_cast<uint32_t>(info.f_type)) {
    case NFS_SUPER_MAGIC:
      kind = "NFS";
      break;
    case FUSE_SUPER_MAGIC:
      kind = "FUSE";
      break;
    case SMB_SUPER_MAGIC:
    case 0xFF534D42:  // CIFS
    case 0xFE534D42:  // SMB2
      kind = "SMB";
      break;
    case V9FS_MAGIC:
      kind = "9p";
      break;
    default:
      return absl::OkStatus();
  }
  return absl::FailedPreconditionError(fmt::format(
      "{}: mappings on {} are not shared by all who open the file (use ext4, xfs, btrfs or tmpfs)", path, kind));
}

SignalBlocker::SignalBlocker(int signal) {
  sigset_t pending;
  sigpending(&pending);
  was_pending_ = sigismember(&pending, signal) == 1;
  sigemptyset(&set_);
  sigaddset(&set_, signal);
  pthread_sigmask(SIG_BLOCK, &set_, &before_);
}

SignalBlocker::~SignalBlocker() {
  const int saved = errno;
  const timespec at_once = {};
  if (!was_pending_) sigtimedwait(&set_, nullptr, &at_once);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  errno = saved;
}

}  // namespace libbus::platform
