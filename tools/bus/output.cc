#include "tools/bus/output.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tools/bus/pager.h"
#include "tools/bus/signals.h"

namespace bustool {
namespace {

constexpr size_t kEnough = 128 << 10;
// So much at once costs less to write at once than to copy first.
constexpr size_t kLarge = 16 << 10;

}  // namespace

bool Output::Write(std::string_view bytes) {
  if (!usable()) return false;
  if (bytes.size() < kLarge) {
    buffer_ += bytes;
    if (buffer_.size() >= kEnough) Flush();
    return usable();
  }
  const size_t buffered = buffer_.size();
  const size_t done = Push(buffer_, bytes);
  buffer_.erase(0, std::min(done, buffered));
  // An interrupt leaves the rest for the end.
  buffer_ += bytes.substr(done - std::min(done, buffered));
  return usable();
}

size_t Output::Push(std::string_view first, std::string_view second) {
  const size_t all = first.size() + second.size();
  size_t done = 0;
  // An interrupt may cut a write short, or end it with EINTR. What is written after one waits for the reader.
  const bool was_interrupted = Interrupted();
  while (done < all && usable() && (was_interrupted || !Interrupted())) {
    const std::string_view a = first.substr(std::min(done, first.size()));
    const std::string_view b = second.substr(done - std::min(done, first.size()));
    const iovec parts[2] = {{const_cast<char*>(a.data()), a.size()}, {const_cast<char*>(b.data()), b.size()}};
    const ssize_t written = ::writev(fd_, parts, 2);
    if (written >= 0) {
      done += static_cast<size_t>(written);
    } else if (errno == EPIPE) {
      closed_ = true;
    } else if (errno != EINTR) {
      status_ = absl::UnavailableError(
          fmt::format("stdout: cannot write: {}: what was written last may be cut off", std::strerror(errno)));
    }
  }
  return done;
}

bool Output::Flush() {
  buffer_.erase(0, Push(buffer_, {}));
  return buffer_.empty() && usable();
}

bool Output::ReaderIsGone() {
  pollfd reader = {.fd = fd_, .events = 0, .revents = 0};
  if (::poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR) != 0) closed_ = true;
  return closed_;
}

void Output::Page() {
  if (Flush()) StartPager();
}

Output& Stdout() {
  static Output output(STDOUT_FILENO);
  return output;
}

void ToStderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR && !Interrupted()) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace bustool
