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

absl::Status CannotRead(const std::string& name, int error) {
  const std::string_view what = error == EISDIR  ? "name the files in it"
                                : error == EBADF ? "it is closed: give a file, or a pipe"
                                                 : "what was read before is published";
  return absl::UnavailableError(fmt::format("{}: cannot read: {}: {}", name, std::strerror(error), what));
}

}  // namespace

absl::StatusOr<Input> Input::Open(const std::string& path, uint64_t longest) {
  if (path == "-") return Input("stdin", STDIN_FILENO, longest);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == EINTR && Interrupted()) return absl::CancelledError(fmt::format("{}: interrupted", path));
  if (fd < 0)
    return absl::NotFoundError(fmt::format("{}: cannot open: {}: check the path", path, std::strerror(errno)));
  return Input(path, fd, longest);
}

Input::Input(Input&& other) noexcept
    : name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)),
      longest_(other.longest_),
      before_waits_(std::move(other.before_waits_)),
      count_(other.count_),
      read_(other.read_),
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
  if (got < 0) return CannotRead(name_, error);
  read_ += static_cast<uint64_t>(got);
  return got > 0;
}

std::string_view Input::Take(size_t size) {
  const auto piece = std::string_view(buffer_).substr(used_, size);
  used_ += size;
  ++count_;
  return piece;
}

absl::Status Input::TooLong(std::string_view what) const {
  return absl::InvalidArgumentError(fmt::format(
      "{}: {} is longer than {} bytes: raise --max-record, or split it; what stands before it was published", name_,
      what, longest_));
}

absl::StatusOr<bool> Input::Line(std::string_view& piece) {
  size_t searched = 0;
  while (true) {
    const size_t newline = buffer_.find('\n', used_ + searched);
    const bool found = newline != std::string::npos;
    const size_t size = (found ? newline : buffer_.size()) - used_;
    if (size > longest_) return TooLong(fmt::format("line {}", count_ + 1));
    if (found) {
      piece = Take(size);
      ++used_;
      return true;
    }
    searched = size;
    const auto more = More();
    if (!more.ok()) return more.status();
    if (*more) continue;
    if (buffer_.empty()) return false;
    piece = Take(buffer_.size());
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

absl::StatusOr<bool> Input::Frame(std::string_view& piece) {
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
  if (size > longest_) return TooLong(fmt::format("frame {} of {} bytes", count_ + 1, size));
  const auto body = Have(sizeof(size) + size_t{size});
  if (!body.ok()) return body.status();
  if (!*body) return cut_off(fmt::format("payload of {} bytes", size));
  used_ += sizeof(size);
  piece = Take(size);
  return true;
}

absl::StatusOr<bool> Input::All(std::string_view& piece) {
  if (count_ > 0) return false;
  while (true) {
    const auto more = More();
    if (!more.ok()) return more.status();
    if (!*more) break;
    if (buffer_.size() > longest_) return TooLong("it");
  }
  piece = Take(buffer_.size());
  return true;
}

}  // namespace bustool
