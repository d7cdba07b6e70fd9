// Child processes of a run: started by fork, watched, and never left behind.
#ifndef LIBBUS_BENCH_PROCESSES_H_
#define LIBBUS_BENCH_PROCESSES_H_

#include <absl/status/status.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace libbus::bench {

// How long a run may take; longer is a hang.
inline constexpr uint64_t kRunLimitNs = 120'000'000'000;

// A group that succeeds or ends as a whole. The children die with their parent.
class ProcessGroup {
 public:
  ProcessGroup() = default;
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;
  ~ProcessGroup();  // kills what still runs

  // Runs `body` in a new process, whose exit code is its result. REQUIRES: this process has one thread.
  absl::Status Start(std::string name, const std::function<int()>& body);

  // OK: all ended with 0. The first to end otherwise ends the group: INTERNAL that names it. CANCELLED: `stopped`
  // said so. DEADLINE_EXCEEDED.
  absl::Status Wait(const std::function<bool()>& stopped);

 private:
  struct Child {
    std::string name;
    pid_t pid;
    int handle;  // pidfd
    bool running;
  };

  absl::Status Step();
  absl::Status Reap(Child& child);
  bool AnyRunning() const;

  std::vector<Child> children_;
};

// Runs `body` in a process of its own and returns its status.
absl::Status RunInProcess(const std::function<absl::Status()>& body);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_PROCESSES_H_
