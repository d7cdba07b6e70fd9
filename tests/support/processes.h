// Real processes in tests: forked before the library is used in the parent, or with nothing of it held.
#ifndef LIBBUS_TESTS_SUPPORT_PROCESSES_H_
#define LIBBUS_TESTS_SUPPORT_PROCESSES_H_

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <new>
#include <utility>

namespace libbus::test {

// A child that runs `body` and exits with what it returns. Killed and reaped when it goes out of scope.
class Child {
 public:
  // What is printed and not yet written is written first: the child would print it once more.
  explicit Child(const std::function<int()>& body) : pid_((std::fflush(stdout), fork())) {
    if (pid_ != 0) return;
    // The watchdog of a child whose parent is gone or stuck.
    alarm(300);
    const int code = body();
    std::fflush(nullptr);
    _exit(code);
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~Child() {
    if (pid_ > 0) Kill();
  }

  pid_t pid() const { return pid_; }
  // Nothing once it has ended and was reaped: to kill() a process -1 is all of them.
  void Signal(int signal) const {
    if (pid_ > 0) kill(pid_, signal);
  }

  // What waitpid says once it has ended.
  int Wait() {
    int status = -1;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }
  // Its exit code; -signal if it was killed.
  int Join() {
    const int status = Wait();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void Kill() {
    Signal(SIGKILL);
    Wait();
  }
  // Waits until it has stopped (SIGSTOP). False: it ended instead, and is reaped.
  bool WaitStopped() {
    int status = 0;
    while (waitpid(pid_, &status, WUNTRACED) < 0 && errno == EINTR) {
    }
    if (WIFSTOPPED(status)) return true;
    pid_ = -1;
    return false;
  }

 private:
  pid_t pid_;
};

// One object in memory that is shared with children forked later. T needs no destructor.
template <typename T>
class Shared {
 public:
  Shared() {
    void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    value_ = new (memory) T();
  }
  ~Shared() { munmap(value_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T* operator->() const { return value_; }
  T& operator*() const { return *value_; }

 private:
  T* value_;
};

// The seed of a random test: $LIBBUS_SEED, else from the clock; printed either way, so that a run can be repeated.
inline uint64_t Seed(const char* test) {
  const char* given = std::getenv("LIBBUS_SEED");
  const uint64_t seed = given != nullptr
                            ? std::strtoull(given, nullptr, 10)
                            : static_cast<uint64_t>(getpid()) * 2654435761u ^ static_cast<uint64_t>(time(nullptr));
  std::printf("%s: LIBBUS_SEED=%llu\n", test, static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_SUPPORT_PROCESSES_H_
