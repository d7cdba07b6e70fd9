// A disk below a page cache, as the kernel keeps them apart when a sync fails.
//
// The files that the library maps and writes are the page cache. Beside them stands what the disk has of each, page by
// page, and what each page was when it was last written, or was to be: a page that differs from that, or was written or
// added 0 to since, is dirty. A sync that succeeds brings the dirty pages of its file to the disk. One that fails
// brings none, and they are clean all the same: later syncs succeed and write nothing of them, unless they are made
// dirty again. So it is with the names in a directory, where there is no journal; where there is one, the first error
// of it ends all syncs until the mount is gone. A power cut leaves what the disk has, and of what is dirty anything.
// The cache may give up a clean page: then it reads as the disk has it.
//
// All of it lies in memory that forked processes share, so that a process that is killed leaves it as it is.
// Not modelled: an error that an older descriptor is told as well, sectors within a page, two processes that sync at
// once. sync_error_test.cc and its likes have the kernel's own page cache below them.
#ifndef LIBBUS_TESTS_CRASH_PAGE_DISK_H_
#define LIBBUS_TESTS_CRASH_PAGE_DISK_H_

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "libbus/format/layout.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"

namespace libbus::test {

// What fails, and what happens then.
struct SyncFault {
  uint64_t at = 0;     // the sync that fails, from 1; 0: none
  bool kill = false;   // the process that is told so is killed before it can do anything
  bool evict = false;  // the page cache gives up every clean page at once
  bool abort = false;  // names are in a journal: when they cannot be written, no sync succeeds until the power is cut
};

class PageDisk final : public platform::SeamWatcher {
 public:
  using Names = std::map<std::string, ino_t>;

  // Watches the files directly in these directories, as they are now on the disk. `stash`: an empty directory beside
  // them. Made by the parent; in effect in each child that calls Watch().
  PageDisk(std::vector<std::string> directories, std::string stash)
      : paths_(std::move(directories)), stash_(std::move(stash)) {
    for (size_t i = 0; i < paths_.size(); ++i) {
      shared_->directories.at(i).inode = Stat(paths_[i]).st_ino;
      for (const auto& [name, inode] : List(paths_[i])) AddNamed(paths_[i] + "/" + name);
      SetNames(i, List(paths_[i]), true);
    }
  }
  ~PageDisk() override { platform::seam_control.watcher = nullptr; }

  void Watch(const SyncFault& fault) {
    counts_ = true;
    fault_ = fault;
    platform::seam_control.watcher = this;
  }
  // One whose syncs do not fail, and are not counted.
  void WatchOnly() { platform::seam_control.watcher = this; }

  uint64_t syncs() const { return shared_->syncs; }
  // The file whose sync failed.
  std::string failed_file() const { return shared_->failed.data(); }
  bool failed() const { return fault_.at != 0 && shared_->syncs >= fault_.at; }
  // The sync that failed was a named segment's, and the power was not cut since.
  bool segment_failed() const { return shared_->segment_failed; }
  // Nothing can be synced any more.
  bool aborted() const { return shared_->aborted; }
  void ForgetFailure() { shared_->segment_failed = false; }

  // Nobody has a file open. `random`: decides about what is dirty.
  void CutPower(std::mt19937_64& random) {
    for (size_t i = 0; i < paths_.size(); ++i) RestoreNames(i, random);
    const int mix = static_cast<int>(random() % 3);  // of what is dirty: nothing, all, each page for itself
    for (uint32_t i = 0; i < shared_->count; ++i) {
      const auto keeps = [&] { return mix == 1 || (mix == 2 && random() % 2 == 0); };
      RestoreFile(shared_->files.at(i), keeps);
    }
    shared_->segment_failed = false;
    shared_->aborted = false;
  }

  // Every clean page is read back from the disk.
  void Evict() {
    for (uint32_t i = 0; i < shared_->count; ++i) {
      File& file = shared_->files.at(i);
      if (!file.on_disk) continue;
      const int fd = OpenStashed(file);
      ReadCache(fd);
      for (uint64_t at = 0; at < std::min<uint64_t>(file.disk_size, cache_.size()); at += kPage) {
        if (IsDirty(file, at) || std::memcmp(&cache_[at], file.disk + at, kPage) == 0) continue;
        Require(pwrite(fd, file.disk + at, kPage, static_cast<off_t>(at)) == kPage, "pwrite");
        std::memcpy(file.clean + at, file.disk + at, kPage);
      }
      close(fd);
    }
  }

 private:
  static constexpr uint64_t kPage = 4096;
  static constexpr uint64_t kMost = 256 << 10;  // bytes of a file
  static constexpr size_t kFiles = 128;

  struct File {
    File() {}  // the bytes stay as the kernel gave them, zeros: nothing is touched that is not used
    ino_t inode = 0;
    bool on_disk = false;
    uint64_t disk_size = 0;
    uint64_t clean_size = 0;
    std::array<bool, kMost / kPage> touched = {};
    unsigned char disk[kMost];
    unsigned char clean[kMost];
  };
  struct Name {
    std::array<char, 160> text = {};
    ino_t inode = 0;
  };
  struct NameList {
    uint32_t count = 0;
    std::array<Name, 64> all = {};
  };
  struct Directory {
    ino_t inode = 0;
    NameList disk;
    NameList clean;
  };
  struct State {
    State() {}
    uint64_t syncs = 0;
    bool segment_failed = false;
    bool aborted = false;
    uint32_t count = 0;
    std::array<char, 300> failed = {};
    std::array<Directory, 2> directories;
    std::array<File, kFiles> files;
  };

  static void Require(bool done, const std::string& what) {
    if (!done) throw std::runtime_error("page disk: " + what + ": " + std::strerror(errno));
  }
  static struct stat Stat(const std::string& path) {
    struct stat info = {};
    Require(stat(path.c_str(), &info) == 0, path);
    return info;
  }
  static struct stat Stat(int fd) {
    struct stat info = {};
    Require(fstat(fd, &info) == 0, "fstat");
    return info;
  }

  static Names List(const std::string& path) {
    Names names;
    DIR* const dir = opendir(path.c_str());
    Require(dir != nullptr, path);
    while (const dirent* const entry = readdir(dir)) {
      if (entry->d_type == DT_REG) names[entry->d_name] = entry->d_ino;
    }
    closedir(dir);
    return names;
  }

  static Names FromShared(const NameList& list) {
    Names names;
    for (uint32_t i = 0; i < list.count; ++i) names[list.all.at(i).text.data()] = list.all.at(i).inode;
    return names;
  }
  static void ToShared(NameList& list, const Names& names) {
    list.count = 0;
    for (const auto& [name, inode] : names) {
      Name& to = list.all.at(list.count++);
      std::snprintf(to.text.data(), to.text.size(), "%s", name.c_str());
      to.inode = inode;
    }
  }
  void SetNames(size_t directory, const Names& names, bool on_disk) {
    ToShared(shared_->directories.at(directory).clean, names);
    if (on_disk) ToShared(shared_->directories.at(directory).disk, names);
  }

  // --- files ---

  std::string StashedName(ino_t inode) const { return fmt::format("{}/{}", stash_, inode); }
  int OpenStashed(const File& file) const {
    const int fd = open(StashedName(file.inode).c_str(), O_RDWR | O_CLOEXEC);
    Require(fd >= 0, StashedName(file.inode));
    return fd;
  }

  File* Find(ino_t inode) {
    for (uint32_t i = 0; i < shared_->count; ++i) {
      if (shared_->files.at(i).inode == inode) return &shared_->files.at(i);
    }
    return nullptr;
  }
  // A file is kept by one more name of it, so that a power cut can give it back.
  File& FindOrAdd(int fd) {
    const ino_t inode = Stat(fd).st_ino;
    if (File* const known = Find(inode)) return *known;
    const std::string from = fmt::format("/proc/self/fd/{}", fd);
    Require(linkat(AT_FDCWD, from.c_str(), AT_FDCWD, StashedName(inode).c_str(), AT_SYMLINK_FOLLOW) == 0, "link");
    File& file = shared_->files.at(shared_->count++);
    file.inode = inode;
    return file;
  }
  void AddNamed(const std::string& path) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    Require(fd >= 0, path);
    WriteBack(FindOrAdd(fd), fd, 0);
    close(fd);
  }

  void ReadCache(int fd) {
    cache_.assign(static_cast<size_t>(Stat(fd).st_size), 0);
    Require(cache_.size() <= kMost, "a file is too large");
    for (size_t done = 0; done < cache_.size();) {
      const ssize_t got = pread(fd, &cache_[done], cache_.size() - done, static_cast<off_t>(done));
      Require(got > 0, "pread");
      done += static_cast<size_t>(got);
    }
    cache_.resize((cache_.size() + kPage - 1) / kPage * kPage);
  }
  bool IsDirty(const File& file, uint64_t at) const {
    return at >= file.clean_size || file.touched.at(at / kPage) ||
           std::memcmp(&cache_[at], file.clean + at, kPage) != 0;
  }

  void WriteBack(File& file, int fd, int error) {
    ReadCache(fd);
    for (uint64_t at = 0; at < cache_.size(); at += kPage) {
      if (IsDirty(file, at) && error == 0) std::memcpy(file.disk + at, &cache_[at], kPage);
      std::memcpy(file.clean + at, &cache_[at], kPage);
    }
    file.touched = {};
    file.clean_size = cache_.size();
    if (error != 0) return;
    file.on_disk = true;
    file.disk_size = static_cast<uint64_t>(Stat(fd).st_size);
  }

  template <typename Keeps>
  void RestoreFile(File& file, Keeps keeps) {
    const int fd = OpenStashed(file);
    ReadCache(fd);
    for (uint64_t at = 0; at < cache_.size(); at += kPage) {
      if (file.on_disk && at < file.disk_size && IsDirty(file, at) && keeps())
        std::memcpy(file.disk + at, &cache_[at], kPage);
    }
    Require(ftruncate(fd, static_cast<off_t>(file.disk_size)) == 0, "ftruncate");
    Require(pwrite(fd, file.disk, file.disk_size, 0) == static_cast<ssize_t>(file.disk_size), "pwrite");
    close(fd);
    file.clean_size = (file.disk_size + kPage - 1) / kPage * kPage;
    std::memcpy(file.clean, file.disk, file.clean_size);
    file.touched = {};
  }

  // What was changed since the last sync that was tried may be there or not, each name for itself.
  void RestoreNames(size_t i, std::mt19937_64& random) {
    const Directory& directory = shared_->directories.at(i);
    const Names now = List(paths_[i]);
    const Names clean = FromShared(directory.clean);
    Names wanted = FromShared(directory.disk);
    std::map<std::string, ino_t> changed = now;
    changed.insert(clean.begin(), clean.end());
    for (const auto& [name, ignored] : changed) {
      const auto before = clean.find(name);
      const auto after = now.find(name);
      const ino_t was = before == clean.end() ? 0 : before->second;
      const ino_t is = after == now.end() ? 0 : after->second;
      if (was == is || random() % 2 == 0) continue;
      wanted.erase(name);
      if (is != 0) wanted[name] = is;
    }
    for (const auto& [name, inode] : now) {
      if (wanted.count(name) == 0 || wanted[name] != inode) unlink((paths_[i] + "/" + name).c_str());
    }
    for (const auto& [name, inode] : wanted) {
      const auto is = now.find(name);
      if (is != now.end() && is->second == inode) continue;
      Require(link(StashedName(inode).c_str(), (paths_[i] + "/" + name).c_str()) == 0, "link " + name);
    }
    SetNames(i, wanted, true);
  }

  // --- what the library does ---

  void BeforeSync(int fd) override {
    if (S_ISREG(Stat(fd).st_mode)) FindOrAdd(fd);
    const bool fails = (counts_ && ++shared_->syncs == fault_.at) || shared_->aborted;
    if (fails) platform::seam_control.fail_sync_at = platform::seam_control.syncs + 1;
  }

  void AfterSync(int fd, int error) override {
    const struct stat info = Stat(fd);
    if (S_ISREG(info.st_mode)) WriteBack(FindOrAdd(fd), fd, error);
    for (size_t i = 0; i < paths_.size(); ++i) {
      if (shared_->directories.at(i).inode != info.st_ino) continue;
      const Names names = List(paths_[i]);
      SetNames(i, names, error == 0 && names != FromShared(shared_->directories.at(i).clean));
    }
    if (error == 0 || shared_->aborted) return;
    shared_->failed.fill('\0');
    (void)!readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), shared_->failed.data(), shared_->failed.size() - 1);
    NoteFailure(info.st_ino);
    shared_->aborted = fault_.abort && S_ISDIR(info.st_mode);
    if (fault_.evict) Evict();
    if (fault_.kill) raise(SIGKILL);
  }
  void NoteFailure(ino_t inode) {
    for (const auto& [name, named] : List(paths_[0])) {
      if (named == inode && name.ends_with(".seg")) shared_->segment_failed = true;
    }
  }

  void AtWrite(int fd, uint64_t offset, size_t size) override {
    File* const file = Find(Stat(fd).st_ino);
    if (file == nullptr) return;
    for (uint64_t at = offset / kPage; at * kPage < offset + size && at < file->touched.size(); ++at)
      file->touched.at(at) = true;
  }

  void AtTouch(const void* word) override {
    const auto address = reinterpret_cast<uintptr_t>(word);
    std::FILE* const maps = std::fopen("/proc/self/maps", "re");
    Require(maps != nullptr, "/proc/self/maps");
    char line[1024];
    while (std::fgets(line, sizeof(line), maps) != nullptr) {
      uintptr_t begin = 0;
      uintptr_t end = 0;
      uint64_t offset = 0;
      uint64_t inode = 0;
      if (std::sscanf(line, "%lx-%lx %*s %lx %*s %lu", &begin, &end, &offset, &inode) != 4) continue;
      File* const file = address >= begin && address < end ? Find(inode) : nullptr;
      if (file != nullptr) file->touched.at((address - begin + offset) / kPage) = true;
    }
    std::fclose(maps);
  }

  const Shared<State> shared_;
  const std::vector<std::string> paths_;
  const std::string stash_;
  SyncFault fault_;
  bool counts_ = false;
  std::vector<unsigned char> cache_;  // of the file that is looked at
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_PAGE_DISK_H_
