// A process that is walked one instruction at a time, and killed after the n-th point.
//
// A point is an instruction behind which the bytes of the watched files differ from those at the last point, or which
// is a system call. Deaths between two points are the same death, so there is one for each. What is compared are the
// pages that the dead leave to the living: the files of a directory, mapped shared. Memory of a file that has no name
// yet is not compared (nobody else can find it); its system calls count.
//
// The way to a late point is shortened: a walk to the end notes which point each system call was, and a later walk runs
// freely up to the last system call before its point. Where the two differ (a clock, an address) the point found is
// another one of the same operation, or the end of it.
#ifndef LIBBUS_TESTS_CRASH_STEPPER_H_
#define LIBBUS_TESTS_CRASH_STEPPER_H_

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/support/processes.h"

namespace libbus::test {

// The files below a directory as they are in memory, and a copy of what they held at the last look.
class WatchedFiles {
 public:
  explicit WatchedFiles(std::string root) : root_(std::move(root)) { Scan(); }
  ~WatchedFiles() {
    for (auto& [path, file] : files_) Unmap(file);
  }
  WatchedFiles(const WatchedFiles&) = delete;
  WatchedFiles& operator=(const WatchedFiles&) = delete;

  // Names and sizes may have changed: behind system calls.
  void Scan() {
    std::map<std::string, File> before = std::move(files_);
    files_.clear();
    ScanFolder(root_, before);
    for (auto& [path, file] : before) Unmap(file);
  }

  // True if a byte differs from the last look.
  bool Changed() {
    bool changed = false;
    for (auto& [path, file] : files_) {
      if (file.size == 0 || std::memcmp(file.memory, file.copy.data(), file.size) == 0) continue;
      std::memcpy(file.copy.data(), file.memory, file.size);
      changed = true;
    }
    return changed;
  }

 private:
  struct File {
    ino_t inode = 0;
    size_t size = 0;
    void* memory = nullptr;
    std::vector<char> copy;
  };

  static void Unmap(File& file) {
    if (file.memory != nullptr) munmap(file.memory, file.size);
  }

  void ScanFolder(const std::string& folder, std::map<std::string, File>& before) {
    DIR* const open = opendir(folder.c_str());
    if (open == nullptr) return;
    while (const dirent* const entry = readdir(open)) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      const std::string path = folder + "/" + entry->d_name;
      if (entry->d_type == DT_DIR) {
        ScanFolder(path, before);
      } else {
        Keep(path, before);
      }
    }
    closedir(open);
  }

  void Keep(const std::string& path, std::map<std::string, File>& before) {
    struct stat now;
    if (stat(path.c_str(), &now) != 0) return;
    if (const auto found = before.find(path); found != before.end()) {
      if (found->second.inode == now.st_ino && found->second.size == static_cast<size_t>(now.st_size)) {
        files_.insert(before.extract(found));
        return;
      }
    }
    File file;
    file.inode = now.st_ino;
    file.size = static_cast<size_t>(now.st_size);
    if (file.size != 0) {
      const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      file.memory = fd < 0 ? MAP_FAILED : mmap(nullptr, file.size, PROT_READ, MAP_SHARED, fd, 0);
      if (fd >= 0) close(fd);
      if (file.memory == MAP_FAILED) return;
      const char* const bytes = static_cast<const char*>(file.memory);
      file.copy.assign(bytes, bytes + file.size);
    }
    files_.emplace(path, std::move(file));
  }

  const std::string root_;
  std::map<std::string, File> files_;
};

// What a walker says of itself, in memory shared with who walks it.
struct Walker {
  std::atomic<bool> done{false};

  // Where the walk begins.
  static void Start() { kill(getpid(), SIGSTOP); }
  // Where it ends: one last point, and then it waits to be killed.
  void End() {
    done = true;
    for (;;) pause();
  }
};

// What was met on the way to the end.
struct Route {
  uint64_t points = 0;
  uint64_t steps = 0;           // instructions
  std::vector<uint64_t> calls;  // which point each system call was, from 1
};

// A process that is forked meanwhile runs on the core of this one, and so does this one: where the two take turns at
// each instruction, waking another core is most of the cost.
class OneCore {
 public:
  OneCore() {
    sched_getaffinity(0, sizeof(before_), &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(std::max(sched_getcpu(), 0)), &one);
    sched_setaffinity(0, sizeof(one), &one);
  }
  ~OneCore() { sched_setaffinity(0, sizeof(before_), &before_); }
  OneCore(const OneCore&) = delete;
  OneCore& operator=(const OneCore&) = delete;

 private:
  cpu_set_t before_;
};

// One process: forked, walked, killed.
class Stepper {
 public:
  static constexpr uint64_t kToTheEnd = std::numeric_limits<uint64_t>::max();

  // `body` calls walker.Start() and, unless it is to be taken for a failure, walker.End().
  Stepper(const std::string& watched, Walker& walker, const std::function<int()>& body)
      : watched_(watched), walker_(walker) {
    walker_.done = false;
    // What stands in a buffer would be written by the child as well.
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(99);
      alarm(300);
      const int code = body();
      std::fflush(nullptr);
      _exit(code);
    }
    started_ = WaitFor(SIGSTOP);
    if (!started_) return;
    ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    files_ = std::make_unique<WatchedFiles>(watched_);
  }
  ~Stepper() { Kill(); }
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  // It came as far as walker.Start(). If not, code() says how it ended.
  bool started() const { return started_; }
  int code() const { return code_; }
  const Route& route() const { return route_; }

  // Walks until `point` is behind it. False: it came to its end before, or ended otherwise.
  bool WalkTo(uint64_t point, const Route& known = {}) {
    if (!Hurry(point, known)) return false;
    while (route_.points < point && !walker_.done) {
      if (!Step()) return false;
    }
    return route_.points >= point;
  }

  // Runs freely to the end: how many system calls there are on the way.
  uint64_t CountCalls() {
    uint64_t calls = 0;
    while (PassCall()) ++calls;
    return calls;
  }
  // Runs freely through so many system calls, then walks until so many points are behind it. As WalkTo.
  bool WalkPast(uint64_t calls, uint64_t points) {
    for (uint64_t i = 0; i < calls; ++i) {
      if (!PassCall()) return false;
    }
    files_ = std::make_unique<WatchedFiles>(watched_);
    while (route_.points < points && !walker_.done) {
      if (!Step()) return false;
    }
    return route_.points >= points;
  }

  // Lets it go on by itself, up to its end: how that was, as Child::Join() says it.
  int Release() {
    if (pid_ <= 0) return code_;
    ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    Reap();
  }

 private:
  // Runs freely up to the last system call whose point is not behind `point`.
  bool Hurry(uint64_t point, const Route& known) {
    size_t calls = 0;
    while (calls < known.calls.size() && known.calls[calls] <= point) ++calls;
    for (size_t i = 0; i < calls; ++i) {
      if (!PassCall()) return false;
    }
    if (calls > 0) {
      route_.points = known.calls[calls - 1];
      files_ = std::make_unique<WatchedFiles>(watched_);
    }
    return true;
  }

  // Runs freely into and out of the next system call. False: there is none before the end.
  bool PassCall() {
    ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr);
    if (!WaitFor(SIGTRAP | 0x80) || walker_.done) return false;
    ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr);
    return WaitFor(SIGTRAP | 0x80);
  }

  bool Step() {
    const bool call = AtSystemCall();
    if (ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0 || !WaitFor(SIGTRAP)) return false;
    ++route_.steps;
    const bool changed = files_->Changed();
    if (call) files_->Scan();
    if (!changed && !call) return true;
    ++route_.points;
    if (call) route_.calls.push_back(route_.points);
    return true;
  }

#if defined(__x86_64__)
  // The opcode at its next instruction: 0F 05. Code does not change, so each page of it is read once.
  bool AtSystemCall() {
    const uint64_t at = static_cast<uint64_t>(ptrace(PTRACE_PEEKUSER, pid_, offsetof(user, regs.rip), nullptr));
    return CodeAt(at) == 0x0f && CodeAt(at + 1) == 0x05;
  }
#else
  bool AtSystemCall() { return false; }
#endif
  uint8_t CodeAt(uint64_t address) {
    const uint64_t page = address / 4096;
    if (page != page_number_ || page_ == nullptr) {
      const auto [found, added] = code_pages_.try_emplace(page);
      if (added) {
        const iovec to = {found->second.data(), 4096};
        const iovec from = {reinterpret_cast<void*>(page * 4096), 4096};
        (void)process_vm_readv(pid_, &to, 1, &from, 1, 0);
      }
      page_ = &found->second;
      page_number_ = page;
    }
    return (*page_)[address % 4096];
  }

  // Waits until it has stopped with `signal`; other signals are handed on. False: it ended.
  bool WaitFor(int signal) {
    while (pid_ > 0) {
      int status = 0;
      if (waitpid(pid_, &status, 0) < 0) {
        if (errno == EINTR) continue;
        pid_ = -1;
        return false;
      }
      if (!WIFSTOPPED(status)) {
        code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        pid_ = -1;
        return false;
      }
      if (WSTOPSIG(status) == signal) return true;
      const int other = WSTOPSIG(status) & 0x7f;
      const auto request = signal == SIGTRAP ? PTRACE_SINGLESTEP : signal == SIGSTOP ? PTRACE_CONT : PTRACE_SYSCALL;
      ptrace(request, pid_, nullptr, other == SIGTRAP ? 0 : other);
    }
    return false;
  }
  void Reap() {
    int status = 0;
    while (waitpid(pid_, &status, __WALL) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

  const OneCore one_core_;
  const std::string watched_;
  Walker& walker_;
  pid_t pid_ = -1;
  bool started_ = false;
  int code_ = 0;
  Route route_;
  std::unique_ptr<WatchedFiles> files_;
  std::unordered_map<uint64_t, std::array<uint8_t, 4096>> code_pages_;
  std::array<uint8_t, 4096>* page_ = nullptr;
  uint64_t page_number_ = 0;
};

// Why no process can be walked here; empty: it can.
inline std::string WhyNoSteps() {
#if !defined(__x86_64__)
  return "instructions are walked on x86-64 only";
#else
  const pid_t child = fork();
  if (child == 0) _exit(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "ptrace is refused here";
#endif
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_STEPPER_H_
