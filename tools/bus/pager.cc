#include "tools/bus/pager.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "tools/bus/terminal.h"

namespace bustool {
namespace {

constexpr int kNotFound = 127;  // the shell's code for a command that is none

pid_t pager = -1;
std::string pager_command;

bool InPath(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    if (::access(fmt::format("{}/{}", rest.substr(0, colon), program).c_str(), X_OK) == 0) return true;
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return false;
}

// Empty: none is wanted.
std::string Command() {
  for (const char* name : {"BUS_PAGER", "PAGER"}) {
    if (const char* value = std::getenv(name); value != nullptr) return std::string(value) == "cat" ? "" : value;
  }
  return InPath("less") ? "less" : "";
}

[[noreturn]] void Become(int input) {
  ::dup2(input, STDIN_FILENO);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  // Leave at once what fits the screen, let colours through, do not clear the screen.
  ::setenv("LESS", "FRX", 0);
  ::execl("/bin/sh", "sh", "-c", pager_command.c_str(), static_cast<char*>(nullptr));
  ::_exit(kNotFound);
}

}  // namespace

void StartPager() {
  if (pager != -1 || !StdoutIsTerminal()) return;
  StdoutHasColours();  // both are asked before stdout is something else
  TerminalWidth();
  pager_command = Command();
  int ends[2];
  if (pager_command.empty() || ::pipe2(ends, O_CLOEXEC) != 0) return;
  pager = ::fork();
  if (pager == 0) Become(ends[0]);
  if (pager > 0) ::dup2(ends[1], STDOUT_FILENO);
  ::close(ends[0]);
  ::close(ends[1]);
  if (pager > 0) signal(SIGINT, SIG_IGN);  // is the pager's: it is left by its own key, which closes the pipe
}

bool PagerRuns() { return pager > 0; }

absl::Status WaitForPager() {
  if (pager <= 0) return absl::OkStatus();
  ::close(STDOUT_FILENO);
  int status = 0;
  while (::waitpid(pager, &status, 0) == -1 && errno == EINTR) continue;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != kNotFound) return absl::OkStatus();
  return absl::NotFoundError(
      fmt::format("{}: this pager cannot be run: set PAGER, or PAGER=cat for none", pager_command));
}

}  // namespace bustool
