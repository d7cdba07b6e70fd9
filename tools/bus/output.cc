#include "tools/bus/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/bus/pager.h"
#include "tools/bus/signals.h"

namespace bustool {
namespace {

constexpr size_t kEnough = 64 << 10;

}  // namespace

bool Output::Write(std::string_view bytes) {
  if (closed_ || !status_.ok()) return false;
  buffer_ += bytes;
  return buffer_.size() < kEnough || Flush();
}

bool Output::Flush() {
  size_t done = 0;
  while (done < buffer_.size() && !closed_ && status_.ok()) {
    const ssize_t written = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (written >= 0) {
      done += static_cast<size_t>(written);
    } else if (errno == EPIPE) {
      closed_ = true;
    } else if (errno != EINTR) {
      status_ = absl::UnavailableError(
          fmt::format("stdout: cannot write: {}: what was written last may be cut off", std::strerror(errno)));
    } else if (Interrupted()) {
      break;
    }
  }
  buffer_.erase(0, done);
  return buffer_.empty() && !closed_ && status_.ok();
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
