#include "tests/cli/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace libbus::test {
namespace {

constexpr int kPatienceMs = 60'000;

void CloseOnce(int& fd) {
  if (fd >= 0) close(std::exchange(fd, -1));
}

// The two ends of a terminal, master first.
std::pair<int, int> OpenTerminal(const TerminalOptions& options) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) throw std::runtime_error("no pseudo-terminal");
  const int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) throw std::runtime_error("no pseudo-terminal: TIOCGPTPEER");
  const winsize size = {.ws_row = options.rows, .ws_col = options.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  ioctl(slave, TIOCSWINSZ, &size);
  return {master, slave};
}

// A pipe instead of the terminal; both ends stay with the parent alone until the child takes its own.
std::pair<int, int> Pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {ends[0], ends[1]};
}

void SetEnvironment(const TerminalOptions& options) {
  for (const char* name : {"NO_COLOR", "PAGER", "BUS_PAGER", "LESS", "COLUMNS", "LINES"}) unsetenv(name);
  setenv("TERM", "xterm-256color", 1);
  setenv("BUS_PATH", "b", 1);
  const char* path = getenv("PATH");
  setenv("PATH", (std::string(LIBBUS_BIN_DIR) + ":" + (path == nullptr ? "/usr/bin:/bin" : path)).c_str(), 1);
  for (const auto& [name, value] : options.environment) {
    value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  }
}

[[noreturn]] void Exec(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

// The terminal ends lines with \r\n.
std::string WithoutReturns(std::string text) {
  for (size_t at = text.find("\r\n"); at != std::string::npos; at = text.find("\r\n", at)) text.erase(at, 1);
  return text;
}

}  // namespace

Terminal::Terminal(const std::vector<std::string>& words, const std::string& directory,
                   const TerminalOptions& options) {
  const auto [master, slave] = OpenTerminal(options);
  master_ = master;
  sources_.push_back({master_, &seen_.screen});
  Start(words, directory, options, slave);
  close(slave);
}

void Terminal::Start(const std::vector<std::string>& words, const std::string& directory,
                     const TerminalOptions& options, int slave) {
  const auto in = options.in ? std::pair(slave, -1) : Pipe();
  const auto out = options.out ? std::pair(-1, slave) : Pipe();
  const auto err = options.err ? std::pair(-1, slave) : Pipe();
  pid_ = fork();
  if (pid_ == 0) {
    alarm(240);  // the watchdog: a tool that hangs ends the test
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    dup2(in.first, STDIN_FILENO);
    dup2(out.second, STDOUT_FILENO);
    dup2(err.second, STDERR_FILENO);
    if (chdir(directory.c_str()) != 0) _exit(126);
    SetEnvironment(options);
    Exec(words);
  }
  if (!options.in) close(in.first);
  input_ = in.second;
  if (!options.out) close(out.second), sources_.push_back({out.first, &seen_.out});
  if (!options.err) close(err.second), sources_.push_back({err.first, &seen_.err});
}

Terminal::~Terminal() {
  if (pid_ > 0) {
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);  // where it had no time to make the group
    waitpid(pid_, nullptr, 0);
  }
  CloseInput();
  for (Source& source : sources_) CloseOnce(source.fd);
}

void Terminal::Type(std::string_view keys) const {
  ASSERT_EQ(write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

void Terminal::Write(std::string_view bytes) const {
  signal(SIGPIPE, SIG_IGN);  // a tool that stops early reads no more
  while (!bytes.empty()) {
    const ssize_t written = write(input_, bytes.data(), bytes.size());
    if (written <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void Terminal::CloseInput() { CloseOnce(input_); }

void Terminal::Signal(int signal) const {
  if (pid_ > 0) kill(pid_, signal);  // kill(-1) would be all there are
}

// At its end a pipe reads nothing, and a terminal that nobody has open any more fails with EIO.
void Terminal::Take(Source& source) {
  char buffer[4096];
  const ssize_t got = read(source.fd, buffer, sizeof(buffer));
  if (got <= 0) return CloseOnce(source.fd);
  *source.text = WithoutReturns(source.text->append(buffer, static_cast<size_t>(got)));
}

// False: nothing is left to be read, or nothing came for a minute.
bool Terminal::ReadMore() {
  std::vector<pollfd> ready;
  for (const Source& source : sources_) ready.push_back({.fd = source.fd, .events = POLLIN, .revents = 0});
  if (std::all_of(ready.begin(), ready.end(), [](const pollfd& one) { return one.fd < 0; })) return false;
  if (poll(ready.data(), ready.size(), kPatienceMs) <= 0) return false;
  for (size_t i = 0; i < ready.size(); ++i) {
    if (ready[i].revents != 0) Take(sources_[i]);
  }
  return true;
}

bool Terminal::Seen(std::string_view text) const {
  const auto has = [&](const std::string& seen) { return seen.find(text) != std::string::npos; };
  return has(seen_.screen) || has(seen_.out) || has(seen_.err);
}

bool Terminal::ReadUntil(std::string_view text) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (!Seen(text) && std::chrono::steady_clock::now() < end && ReadMore()) {
  }
  if (Seen(text)) return true;
  ADD_FAILURE() << "never seen: " << text << "\nscreen: " << seen_.screen << "\nstdout: " << seen_.out
                << "\nstderr: " << seen_.err;
  return false;
}

TerminalResult Terminal::Wait() {
  CloseInput();
  while (ReadMore()) {
  }
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  seen_.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return seen_;
}

}  // namespace libbus::test
