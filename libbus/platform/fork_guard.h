// fork(): a child shares its parent's open file descriptions, and with them the OFD locks that prove the parent alive.
// So the child closes (never unlocks) them at once, and whatever handle came from the parent is dead there: a page that
// the kernel wipes in children tells.
#ifndef LIBBUS_PLATFORM_FORK_GUARD_H_
#define LIBBUS_PLATFORM_FORK_GUARD_H_

#include <absl/status/status.h>

#include <cstdint>

namespace libbus::platform {

// Remembers the process it was made in.
class ForkGuard {
 public:
  ForkGuard();

  // False in a child of the process that made it. One load of a private page.
  bool InMaker() const { return *page_ == generation_; }

  // FAILED_PRECONDITION in a child.
  absl::Status Check(const char* what) const { return InMaker() ? absl::OkStatus() : InChild(what); }

 private:
  static absl::Status InChild(const char* what);

  const uint64_t* page_;
  uint64_t generation_;
};

// A descriptor that fork() must not pass on: closed in children before fork() returns there.
class ForkClosedFd {
 public:
  ForkClosedFd() = default;
  explicit ForkClosedFd(int fd);
  ForkClosedFd(ForkClosedFd&& other) noexcept;
  ForkClosedFd& operator=(ForkClosedFd&& other) noexcept;
  ~ForkClosedFd() { Close(); }

  int fd() const { return fd_; }
  // False also in a child.
  bool is_open() const { return fd_ >= 0 && guard_.InMaker(); }
  void Close();

 private:
  int fd_ = -1;
  ForkGuard guard_;
};

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_FORK_GUARD_H_
