#include "tools/bus/input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "tools/bus/signals.h"

namespace bustool {
namespace {

constexpr size_t kPart = 64 << 10;

}  // namespace

absl::StatusOr<Input> Input::Open(const std::string& path) {
  if (path == "-") return Input("stdin", STDIN_FILENO);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return absl::NotFoundError(fmt::format("{}: cannot open: {}: check the path", path, std::strerror(errno)));
  return Input(path, fd);
}

Input::Input(Input&& other) noexcept
    : name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)),
      before_waits_(std::move(other.before_waits_)),
      count_(other.count_),
      buffer_(std::move(other.buffer_)),
      used_(other.used_) {}

Input::~Input() {
  if (fd_ > STDIN_FILENO) ::close(fd_);
}

// False if a read would wait. Files and the end of an input do not.
bool Input::HasMore() const {
  pollfd ready = {.fd = fd_, .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, 0) != 0;
}

// Reads what is there; false at the end.
absl::StatusOr<bool> Input::More() {
  if (before_waits_ && !HasMore()) {
    if (auto status = before_waits_(); !status.ok()) return status;
  }
  buffer_.erase(0, std::exchange(used_, 0));
  const size_t before = buffer_.size();
  buffer_.resize(before + kPart);
  ssize_t got = -1;
  do {
    if (Interrupted()) return absl::CancelledError(fmt::format("{}: interrupted", name_));
    got = ::read(fd_, buffer_.data() + before, kPart);
  } while (got < 0 && errno == EINTR);
  const int error = errno;
  buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return absl::UnavailableError(fmt::format("{}: cannot read: {}", name_, std::strerror(error)));
  return got > 0;
}

void Input::Take(size_t size, std::string& piece) {
  piece.assign(buffer_, used_, size);
  used_ += size;
  ++count_;
}

absl::StatusOr<bool> Input::Line(std::string& piece) {
  size_t searched = 0;
  while (true) {
    const size_t newline = buffer_.find('\n', used_ + searched);
    if (newline != std::string::npos) {
      Take(newline - used_, piece);
      ++used_;
      return true;
    }
    searched = buffer_.size() - used_;
    const auto more = More();
    if (!more.ok()) return more.status();
    if (*more) continue;
    if (buffer_.empty()) return false;
    Take(buffer_.size(), piece);
    return true;
  }
}

// True if `size` bytes are in the buffer; false at the end of the input.
absl::StatusOr<bool> Input::Have(size_t size) {
  while (buffer_.size() - used_ < size) {
    const auto more = More();
    if (!more.ok()) return more.status();
    if (!*more) return false;
  }
  return true;
}

absl::StatusOr<bool> Input::Frame(std::string& piece) {
  const auto cut_off = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        fmt::format("{}: frame {}: its {} is cut off: the frames before it were published", name_, count_ + 1, what));
  };
  uint32_t size = 0;
  const auto head = Have(sizeof(size));
  if (!head.ok()) return head.status();
  if (!*head && buffer_.size() == used_) return false;
  if (!*head) return cut_off("length");
  std::memcpy(&size, buffer_.data() + used_, sizeof(size));
  const auto body = Have(sizeof(size) + size_t{size});
  if (!body.ok()) return body.status();
  if (!*body) return cut_off(fmt::format("payload of {} bytes", size));
  used_ += sizeof(size);
  Take(size, piece);
  return true;
}

absl::StatusOr<bool> Input::All(std::string& piece) {
  if (count_ > 0) return false;
  while (true) {
    const auto more = More();
    if (!more.ok()) return more.status();
    if (!*more) break;
  }
  Take(buffer_.size(), piece);
  return true;
}

}  // namespace bustool
