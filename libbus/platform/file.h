// Descriptors, and the few ways in which libbus opens and makes files.
#ifndef LIBBUS_PLATFORM_FILE_H_
#define LIBBUS_PLATFORM_FILE_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace libbus::platform {

// What tells two files apart.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

// Owns a descriptor.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(other.Release()) {}
  File& operator=(File&& other) noexcept;
  ~File() { Close(); }

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int Release();
  void Close();

 private:
  int fd_ = -1;
};

// A regular file, never through a symbolic link. Errors: see ErrnoStatus; FAILED_PRECONDITION if it is something else.
absl::StatusOr<File> OpenFile(const std::string& path, bool writable);
// The same for `name` in a directory that is open already, whatever its path leads to by now; `directory_path` is for
// messages.
absl::StatusOr<File> OpenFileAt(const File& directory, const std::string& directory_path, const std::string& name,
                                bool writable);
// A directory, never through a symbolic link in the last component.
absl::StatusOr<File> OpenDirectory(const std::string& path);
absl::StatusOr<File> OpenDirectoryAt(const File& directory, const std::string& directory_path, const std::string& name);

absl::StatusOr<FileIdentity> Identify(const File& file, std::string_view path);
absl::StatusOr<uint64_t> FileSize(const File& file, std::string_view path);
// When the file was last written, ns since 1970, as far as the file system notes it: it does not see every store
// through a mapping. SetWritten: now; what fails is let be.
absl::StatusOr<int64_t> LastWritten(const File& file, std::string_view path);
void SetWritten(const File& file);
// What stands at `path` now; NOT_FOUND if nothing.
absl::StatusOr<FileIdentity> IdentifyPath(const std::string& path);
// The same for `name` in a directory that is open already.
absl::StatusOr<FileIdentity> IdentifyAt(const File& directory, const std::string& directory_path,
                                        const std::string& name);

// Up to `size` bytes at `offset`; fewer at the end of the file.
absl::StatusOr<size_t> ReadAt(const File& file, std::string_view path, uint64_t offset, void* to, size_t size);
absl::Status WriteAt(const File& file, std::string_view path, uint64_t offset, const void* from, size_t size);

// Makes `directory/name` appear whole and on disk, or not at all: the file has no name until `fill` is done with it and
// it is synced. `size` bytes are allocated. OK: the file. ALREADY_EXISTS: somebody made that name first.
// RESOURCE_EXHAUSTED: no room; nothing is left behind.
absl::StatusOr<File> CreateWhole(const File& directory, const std::string& directory_path, const std::string& name,
                                 uint64_t size, uint32_t mode, const std::function<absl::Status(const File&)>& fill);

// Makes a small file, as well as it can be done where the disk may refuse everything: what counts is that it is there.
void LeaveMark(const File& directory, const std::string& name, const void* bytes, size_t size);

absl::Status SyncFile(const File& file, std::string_view path);
absl::Status SyncData(const File& file, std::string_view path);

// How many bytes of [offset, offset + size) are in pages that were changed and not written yet, as the kernel counts
// (cachestat, Linux 6.5). Takes up to 20 us for 2 MiB. Nothing: it does not tell.
std::optional<uint64_t> DirtyBytes(const File& file, uint64_t offset, uint64_t size);

// Of a range that was written and synced: whether the file system takes a part of it for not written all the same, and
// will give zeros for it once it is no longer in memory. Only ext4 does: where a write to a place that was allocated
// and never written has failed, the next one to the same page goes to the disk and is told as a success, but the place
// is not marked as written (Linux 6.18). False also where nothing can be told.
bool TakenForUnwritten(const File& file, uint64_t offset, uint64_t size);

// The names in a directory, unsorted, without "." and "..".
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);
// The same for one that is open already.
absl::StatusOr<std::vector<std::string>> ListDirectory(const File& directory, const std::string& path);

// FAILED_PRECONDITION for a file system whose mappings are not shared with other openers (NFS, FUSE, SMB, 9p, ...).
absl::Status CheckFileSystem(const File& directory, std::string_view path);

// Blocks a signal in this thread; one that arrives meanwhile because of what this thread did is taken back.
class SignalBlocker {
 public:
  explicit SignalBlocker(int signal);
  ~SignalBlocker();
  SignalBlocker(const SignalBlocker&) = delete;
  SignalBlocker& operator=(const SignalBlocker&) = delete;

 private:
  sigset_t set_;
  sigset_t before_;
  bool was_pending_;
};

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_FILE_H_
