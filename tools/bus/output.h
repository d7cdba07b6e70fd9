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

  // True: all of it is written, or will be with what follows, or at the end. False: closed or failed. What is large is
  // not copied. An interrupt ends a wait for the reader, once; the rest is kept.
  bool Write(std::string_view bytes);
  // False: something is not written yet: closed, failed, or interrupted while it waited.
  bool Flush();
  // What follows goes through a pager, if stdout is a terminal.
  void Page();

  // Looks whether the reader of a pipe went away, without writing.
  bool ReaderIsGone();
  // The reader went away, as far as is known.
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
