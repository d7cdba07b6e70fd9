#include "examples/etl/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/etl/common.h"

namespace etl {
namespace {

// In the child, between fork and exec: nothing but system calls. It must not outlive its parent.
[[noreturn]] void BecomeProgram(char* const* arguments, int input, int log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  dup2(input, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(arguments[0], arguments);
  constexpr char kMessage[] = "cannot be started\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(127);
}

pid_t Spawn(const std::vector<std::string>& command, int input, const std::string& log) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) Die(fmt::format("{}: {}", log, strerror(errno)));
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) BecomeProgram(arguments.data(), input, fd, parent);
  if (child < 0) Die(fmt::format("{}: {}", command.front(), strerror(errno)));
  close(fd);
  return child;
}

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was ended by signal {}", WTERMSIG(status));
  return fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

}  // namespace

Stage::~Stage() {
  End();
  if (stdin_ >= 0) close(stdin_);
}

// A socket, because a write to one whose reader has died can be told to be no signal.
void Stage::Start() {
  if (stdin_ >= 0) close(stdin_);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    Die(fmt::format("socketpair: {}", strerror(errno)));
  stdin_ = ends[0];
  handled_before_ = handled_;
  ++runs_;
  pid_ = Spawn(plan_.command, ends[1], plan_.log);
  close(ends[1]);
}

void Stage::Feed() {
  // Whether it is still there to read this is for Step() to find out.
  [[maybe_unused]] const ssize_t sent = send(stdin_, "\n", 1, MSG_NOSIGNAL);
}

absl::Status Stage::Reap(int options) {
  int status = 0;
  pid_t ended;
  do {
    ended = waitpid(pid_, &status, options);
  } while (ended < 0 && errno == EINTR);
  if (ended == 0) return absl::OkStatus();
  pid_ = 0;
  finished_ = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (finished_) return absl::OkStatus();
  return absl::UnknownError(fmt::format("{} {}: see {}", plan_.name, HowItEnded(status), plan_.log));
}

absl::StatusOr<bool> Stage::Step() {
  if (finished_) return false;
  if (pid_ == 0) {
    if (absl::Now() >= start_at_) Start();
    return false;
  }
  const absl::Status alive = Reap(WNOHANG);
  if (!alive.ok()) return alive;
  if (finished_ || !Due()) return false;
  End();
  return !finished_;  // it may have finished just before
}

// Dead for a moment, so that sometimes both are.
void Stage::Restart() {
  ++kills_done_;
  SkipEmpty();
  start_at_ = absl::Now() + absl::Microseconds(std::uniform_int_distribution<int>(0, 30'000)(random_));
}

void Stage::SkipEmpty() {
  while (kills_done_ < plan_.kills.size() && plan_.kills[kills_done_] == 0) ++kills_done_;
}

void Stage::End() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  Reap(0).IgnoreError();  // it was killed: that is no news
}

}  // namespace etl
