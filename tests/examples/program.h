// Starting the example programs, for tests: real processes, with what they print and how they end.
#ifndef TESTS_EXAMPLES_PROGRAM_H_
#define TESTS_EXAMPLES_PROGRAM_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace libbus_test {

struct Ended {
  int exit_code = 0;   // 128 + N: killed by signal N
  std::string output;  // stdout
  std::string errors;  // stderr
};

// A running example. One that runs for longer than two minutes is killed: a hang is a failure.
class Program {
 public:
  Program(const std::string& name, std::vector<std::string> arguments, const std::string& input = "");
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();

  // Waits for one more line on stdout, without its end; empty at the end of the output.
  std::string Line();
  void Signal(int number) const;
  // Waits for the end; the output is what Line() has not taken.
  Ended Wait();

 private:
  bool FillMore();

  pid_t pid_ = 0;
  int output_ = -1;
  int errors_ = -1;
  std::string text_;
};

// From start to end.
Ended RunToEnd(const std::string& name, std::vector<std::string> arguments, const std::string& input = "");

// A directory that goes away with the object.
class TempDir {
 public:
  TempDir();
  // In `parent`.
  explicit TempDir(const std::string& parent);
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Makes a file and returns its path.
std::string Write(const std::string& path, const std::string& text);

// The last line of a text.
std::string LastLine(const std::string& text);

// LIBBUS_SEED, or a new one; printed, so that a failure can be run again.
uint64_t Seed();

}  // namespace libbus_test

#endif  // TESTS_EXAMPLES_PROGRAM_H_
