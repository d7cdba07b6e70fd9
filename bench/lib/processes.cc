#include "bench/lib/processes.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "bench/lib/shared.h"

namespace libbus::bench {
namespace {

// How often a wait looks at what no descriptor tells: the flag and the clock.
constexpr int kLookMs = 50;

[[noreturn]] void RunChild(pid_t parent, const std::function<int()>& body) {
  // A terminal's Ctrl-C reaches the whole group: the parent cleans up, the children just go.
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  _exit(body());
}

std::string DescribeEnd(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with code {}", WEXITSTATUS(status));
}

}  // namespace

ProcessGroup::~ProcessGroup() {
  for (Child& child : children_) {
    if (!child.running) continue;
    kill(child.pid, SIGKILL);
    while (waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    close(child.handle);
  }
}

absl::Status ProcessGroup::Start(std::string name, const std::function<int()>& body) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ResourceExhaustedError(fmt::format("cannot start {}: {}", name, std::strerror(errno)));
  if (pid == 0) RunChild(parent, body);
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  const int error = errno;
  children_.push_back({std::move(name), pid, handle, true});
  if (handle < 0) return absl::ResourceExhaustedError(fmt::format("pidfd_open: {}", std::strerror(error)));
  return absl::OkStatus();
}

absl::Status ProcessGroup::Wait(const std::function<bool()>& stopped) {
  const uint64_t limit = NowNs() + kRunLimitNs;
  while (AnyRunning()) {
    if (stopped && stopped()) return absl::CancelledError("interrupted");
    if (NowNs() > limit) return absl::DeadlineExceededError("the processes of a run hang");
    if (auto stepped = Step(); !stepped.ok()) return stepped;
  }
  return absl::OkStatus();
}

// Waits a moment for any child to end.
absl::Status ProcessGroup::Step() {
  std::vector<pollfd> handles;
  for (const Child& child : children_) handles.push_back({child.running ? child.handle : -1, POLLIN, 0});
  if (poll(handles.data(), handles.size(), kLookMs) <= 0) return absl::OkStatus();
  for (size_t i = 0; i < children_.size(); ++i) {
    if ((handles[i].revents & POLLIN) == 0) continue;
    if (auto reaped = Reap(children_[i]); !reaped.ok()) return reaped;
  }
  return absl::OkStatus();
}

absl::Status ProcessGroup::Reap(Child& child) {
  int status = 0;
  if (waitpid(child.pid, &status, 0) != child.pid) return absl::OkStatus();
  child.running = false;
  close(child.handle);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("{} {}", child.name, DescribeEnd(status)));
}

bool ProcessGroup::AnyRunning() const {
  return std::any_of(children_.begin(), children_.end(), [](const Child& child) { return child.running; });
}

absl::Status RunInProcess(const std::function<absl::Status()>& body) {
  auto memory = Mapping::Anonymous(4096);
  if (!memory.ok()) return memory.status();
  char* text = reinterpret_cast<char*>(memory->data());
  ProcessGroup group;
  auto status = group.Start("the preparation", [&] {
    const absl::Status result = body();
    if (!result.ok()) std::strncpy(text, std::string(result.message()).c_str(), 4095);
    return static_cast<int>(result.code());
  });
  if (status.ok()) status = group.Wait({});
  return status.ok() || text[0] == 0 ? status : absl::Status(status.code(), text);
}

}  // namespace libbus::bench
