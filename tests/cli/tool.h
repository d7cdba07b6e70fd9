// Runs the built tool as a process of its own, and what it is run on.
#ifndef LIBBUS_TESTS_CLI_TOOL_H_
#define LIBBUS_TESTS_CLI_TOOL_H_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/scratch.h"

namespace libbus::test {

struct Result {
  int code = -1;  // exit code; -signal if it was killed
  std::string out;
  std::string err;
};

// A running tool with pipes to its stdin and from its stdout; stderr goes to memory. Killed when it goes out of scope.
class RunningTool {
 public:
  // `prepare` runs in the child before the tool does.
  RunningTool(const std::vector<std::string>& arguments, const std::string& directory,
              const std::function<void()>& prepare = nullptr);
  ~RunningTool();
  RunningTool(const RunningTool&) = delete;
  RunningTool& operator=(const RunningTool&) = delete;

  void Write(std::string_view bytes) const;
  void CloseInput();
  void CloseOutput();
  // Reads stdout until it ends with `text`, or is at its end; returns all that was read so far.
  const std::string& ReadUntil(std::string_view text);
  // Bytes of its stdout that nobody has read.
  size_t Pending() const;
  void Signal(int signal) const;
  // Waits for its end, reading the rest of its stdout.
  Result Wait();

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  int error_ = -1;
  std::string out_;
};

// A directory with a bus "b" in it, which the tool is run in with BUS_PATH=b.
class CliTest : public ::testing::Test {
 protected:
  CliTest();
  // `parent`: of the directory.
  explicit CliTest(const std::string& parent);

  std::string Path(const std::string& name) const { return scratch_ / name; }
  // Runs the tool to its end.
  Result Run(const std::vector<std::string>& arguments, std::string_view input = "",
             const std::function<void()>& prepare = nullptr) const;
  // The same; the test fails unless it ends with exit code 0 and says nothing on stderr.
  std::string Out(const std::vector<std::string>& arguments, std::string_view input = "") const;
  // Expects the exit code, nothing on stdout, and exactly one line on stderr.
  void ExpectError(const std::vector<std::string>& arguments, int code, const std::string& line) const;

  // The words of every command that does something: {"topic", "create"}, ...
  std::vector<std::vector<std::string>> Commands() const;

  // A topic "t" with the records one, two and three, at 64, 96 and 128.
  void MakeTopic() const;
  std::string SegmentPath() const { return Path("b/t/00000000000000000000.seg"); }
  static std::string Read(const std::string& path);
  static void Patch(const std::string& path, uint64_t offset, std::string_view bytes);

  Scratch scratch_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CLI_TOOL_H_
