#include "tests/examples/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string_view>

namespace libbus_test {
namespace {

constexpr int kWatchdogMs = 120'000;

// An unnamed file is a stdin that is never full and a stderr that never blocks.
int UnnamedFile(const std::string& text) {
  std::FILE* file = std::tmpfile();
  if (file == nullptr) throw std::runtime_error("tmpfile");
  const int fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 3);
  std::fclose(file);
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) throw std::runtime_error("write");
  lseek(fd, 0, SEEK_SET);
  return fd;
}

std::string Contents(int fd) {
  std::string text;
  char block[4096];
  lseek(fd, 0, SEEK_SET);
  for (ssize_t got; (got = read(fd, block, sizeof block)) > 0;) text.append(block, static_cast<size_t>(got));
  return text;
}

}  // namespace

Program::Program(const std::string& name, std::vector<std::string> arguments, const std::string& input) {
  const std::string path = std::string(LIBBUS_BIN_DIR) + "/" + name;
  arguments.insert(arguments.begin(), path);
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const int in = UnnamedFile(input);
  errors_ = UnnamedFile("");
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in, STDIN_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    dup2(errors_, STDERR_FILENO);
    execv(path.c_str(), pointers.data());
    _exit(127);
  }
  close(in);
  close(ends[1]);
  output_ = ends[0];
}

Program::~Program() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
  close(errors_);
}

bool Program::FillMore() {
  pollfd ready{output_, POLLIN, 0};
  if (poll(&ready, 1, kWatchdogMs) == 0) Signal(SIGKILL);
  char block[4096];
  const ssize_t got = read(output_, block, sizeof block);
  if (got > 0) text_.append(block, static_cast<size_t>(got));
  return got > 0;
}

std::string Program::Line() {
  size_t end;
  while ((end = text_.find('\n')) == std::string::npos) {
    if (!FillMore()) return "";
  }
  std::string line = text_.substr(0, end);
  text_.erase(0, end + 1);
  return line;
}

void Program::Signal(int number) const {
  if (pid_ > 0) kill(pid_, number);  // kill(-1) would be all there are
}

Ended Program::Wait() {
  while (FillMore()) {
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), text_, Contents(errors_)};
}

Ended RunToEnd(const std::string& name, std::vector<std::string> arguments, const std::string& input) {
  return Program(name, std::move(arguments), input).Wait();
}

TempDir::TempDir() : TempDir(std::filesystem::temp_directory_path()) {}

TempDir::TempDir(const std::string& parent) : path_(parent + "/libbus-examples-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
}

TempDir::~TempDir() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

std::string LastLine(const std::string& text) {
  std::string_view lines = text;
  if (lines.ends_with('\n')) lines.remove_suffix(1);
  return std::string(lines.substr(lines.rfind('\n') + 1));
}

uint64_t Seed() {
  const char* given = std::getenv("LIBBUS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::cout << "LIBBUS_SEED=" << seed << "\n";
  return seed;
}

}  // namespace libbus_test
