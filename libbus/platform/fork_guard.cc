#include "libbus/platform/fork_guard.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace libbus::platform {
namespace {

// One per process, never destroyed: handles may be used while static destructors run.
class ForkState {
 public:
  static ForkState& Get() {
    static ForkState* state = new ForkState;
    return *state;
  }

  const uint64_t* page() const { return page_; }

  // The generation of this process; a child that begins to use the library gets a new one.
  uint64_t Generation() {
    const std::lock_guard lock(mutex_);
    if (*page_ == 0) *page_ = ++generation_;
    return *page_;
  }

  void Add(int fd) {
    const std::lock_guard lock(mutex_);
    fds_.push_back(fd);
  }
  void CloseAndRemove(int fd) {
    const std::lock_guard lock(mutex_);
    std::erase(fds_, fd);
    close(fd);
  }

 private:
  ForkState() {
    void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) page = &fallback_;  // then only atfork below tells
    page_ = static_cast<uint64_t*>(page);
    if (page != &fallback_) madvise(page, 4096, MADV_WIPEONFORK);
    pthread_atfork([] { Get().mutex_.lock(); }, [] { Get().mutex_.unlock(); }, [] { Get().InChild(); });
  }

  void InChild() {
    for (const int fd : fds_) close(fd);
    fds_.clear();
    *page_ = 0;
    mutex_.unlock();
  }

  std::mutex mutex_;
  std::vector<int> fds_;
  uint64_t* page_;
  uint64_t fallback_ = 0;
  uint64_t generation_ = 0;
};

}  // namespace

ForkGuard::ForkGuard() : page_(ForkState::Get().page()), generation_(ForkState::Get().Generation()) {}

absl::Status ForkGuard::InChild(const char* what) {
  return absl::FailedPreconditionError(
      fmt::format("{}: made before fork(), of no use in the child: open the bus anew there", what));
}

ForkClosedFd::ForkClosedFd(int fd) : fd_(fd) { ForkState::Get().Add(fd); }

ForkClosedFd::ForkClosedFd(ForkClosedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)), guard_(other.guard_) {}

ForkClosedFd& ForkClosedFd::operator=(ForkClosedFd&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    guard_ = other.guard_;
  }
  return *this;
}

void ForkClosedFd::Close() {
  const int fd = std::exchange(fd_, -1);
  // In a child the number was closed already and may be somebody else's by now.
  if (fd >= 0 && guard_.InMaker()) ForkState::Get().CloseAndRemove(fd);
}

}  // namespace libbus::platform
