#include "tests/cli/tool.h"

#include <absl/strings/str_split.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <utility>

namespace libbus::test {
namespace {

// By descriptor: whom `prepare` made of the child may not see the directory.
void Exec(int tool, const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>("bus")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  fexecve(tool, argv.data(), environ);
  _exit(127);
}

void CloseOnce(int& fd) {
  if (fd >= 0) close(std::exchange(fd, -1));
}

}  // namespace

RunningTool::RunningTool(const std::vector<std::string>& arguments, const std::string& directory,
                         const std::function<void()>& prepare) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  error_ = memfd_create("stderr", MFD_CLOEXEC);
  pid_ = fork();
  if (pid_ == 0) {
    alarm(240);  // the watchdog: a tool that hangs ends the test
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(error_, STDERR_FILENO);
    if (chdir(directory.c_str()) != 0) _exit(126);
    setenv("BUS_PATH", "b", 1);
    const int tool = open(LIBBUS_BIN_DIR "/bus", O_RDONLY | O_CLOEXEC);
    if (prepare) prepare();
    Exec(tool, arguments);
  }
  close(in[0]);
  close(out[1]);
  input_ = in[1];
  output_ = out[0];
}

RunningTool::~RunningTool() {
  CloseInput();
  CloseOutput();
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(error_);
}

void RunningTool::Write(std::string_view bytes) const {
  signal(SIGPIPE, SIG_IGN);  // a tool that stops early reads no more
  while (!bytes.empty()) {
    const ssize_t written = write(input_, bytes.data(), bytes.size());
    if (written <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void RunningTool::CloseInput() { CloseOnce(input_); }
void RunningTool::CloseOutput() { CloseOnce(output_); }

const std::string& RunningTool::ReadUntil(std::string_view text) {
  char buffer[4096];
  while (text.empty() || !out_.ends_with(text)) {
    const ssize_t got = read(output_, buffer, sizeof(buffer));
    if (got <= 0) break;
    out_.append(buffer, static_cast<size_t>(got));
  }
  return out_;
}

size_t RunningTool::Pending() const {
  int bytes = 0;
  return ioctl(output_, FIONREAD, &bytes) == 0 ? static_cast<size_t>(bytes) : 0;
}

void RunningTool::Signal(int signal) const {
  if (pid_ > 0) kill(pid_, signal);  // kill(-1) would be all there are
}

Result RunningTool::Wait() {
  CloseInput();
  if (output_ >= 0) ReadUntil("");
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  std::string error(static_cast<size_t>(lseek(error_, 0, SEEK_END)), '\0');
  error.resize(static_cast<size_t>(pread(error_, error.data(), error.size(), 0)));
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), .out = out_, .err = error};
}

CliTest::CliTest() { Out({"init", "b"}); }
CliTest::CliTest(const std::string& parent) : scratch_(parent) { Out({"init", "b"}); }

Result CliTest::Run(const std::vector<std::string>& arguments, std::string_view input,
                    const std::function<void()>& prepare) const {
  RunningTool tool(arguments, scratch_.path(), prepare);
  tool.Write(input);
  return tool.Wait();
}

std::string CliTest::Out(const std::vector<std::string>& arguments, std::string_view input) const {
  const Result result = Run(arguments, input);
  EXPECT_EQ(result.code, 0) << fmt::format("{}", fmt::join(arguments, " ")) << "\n" << result.err;
  EXPECT_EQ(result.err, "");
  return result.out;
}

void CliTest::ExpectError(const std::vector<std::string>& arguments, int code, const std::string& line) const {
  SCOPED_TRACE(fmt::format("{}", fmt::join(arguments, " ")));
  const Result result = Run(arguments);
  EXPECT_EQ(result.code, code);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "bus: " + line + "\n");
}

std::vector<std::vector<std::string>> CliTest::Commands() const {
  std::vector<std::vector<std::string>> commands;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(Out({"help", "--json"}), '\n'))) {
    constexpr std::string_view kBefore = "{\"command\":\"bus ";
    if (!line.starts_with(kBefore) || line.find("\"runs\":true") == std::string::npos) continue;
    const std::string words = line.substr(kBefore.size(), line.find('"', kBefore.size()) - kBefore.size());
    commands.push_back(absl::StrSplit(words, ' '));
  }
  return commands;
}

void CliTest::MakeTopic() const {
  Out({"topic", "create", "t", "--segment-size", "64K"});
  Out({"pub", "t"}, "one\ntwo\nthree\n");
}

std::string CliTest::Read(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void CliTest::Patch(const std::string& path, uint64_t offset, std::string_view bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace libbus::test
