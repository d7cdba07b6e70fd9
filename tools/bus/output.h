// Data for stdout, buffered. Knows when nobody reads any more.
#ifndef LIBBUS_TOOLS_BUS_OUTPUT_H_
#define LIBBUS_TOOLS_BUS_OUTPUT_H_

#include <absl/status/status.h>

#include <string>
#include <string_view>

namespace bustool {

class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}

  // False: there is no sense in going on (closed, failed, or interrupted while it waited). What is large is not copied.
  bool Write(std::string_view bytes);
  bool Flush();
  // What follows goes through a pager, if stdout is a terminal.
  void Page();

  // The reader went away.
  bool closed() const { return closed_; }
  const absl::Status& status() const { return status_; }

 private:
  // Writes the one and then the other; returns how many bytes of both were written.
  size_t Push(std::string_view first, std::string_view second);
  bool usable() const { return !closed_ && status_.ok(); }

  int fd_;
  std::string buffer_;
  bool closed_ = false;
  absl::Status status_;
};

Output& Stdout();

// Writes to stderr at once. What cannot be written is lost: there is nobody left to tell.
void ToStderr(std::string_view text);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_OUTPUT_H_
