// Reads stdin or a file piece by piece: lines, frames, or all of it. A SIGINT ends a wait for more with CANCELLED. What
// is kept in memory is one piece, and no piece is longer than a limit: an input without a newline does not grow for
// ever.
#ifndef LIBBUS_TOOLS_BUS_INPUT_H_
#define LIBBUS_TOOLS_BUS_INPUT_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace bustool {

class Input {
 public:
  // "-" is stdin. `longest`: of a piece, in bytes.
  static absl::StatusOr<Input> Open(const std::string& path, uint64_t longest);
  Input(Input&& other) noexcept;
  Input& operator=(Input&&) = delete;
  ~Input();

  // Called whenever nothing is there to be read yet, before waiting for it. What is not OK ends the reading.
  void BeforeWaits(std::function<absl::Status()> action) { before_waits_ = std::move(action); }

  const std::string& name() const { return name_; }
  // How many pieces were read, for messages: the number of the one read last.
  uint64_t count() const { return count_; }
  // Bytes that were handed out, with what stands between the pieces.
  uint64_t taken() const { return read_ - (buffer_.size() - used_); }

  // Each puts the next piece into `piece`, where it stays until the next call; false at the end. INVALID_ARGUMENT: it
  // is longer than the limit. A line, without its newline; a last one without a newline counts.
  absl::StatusOr<bool> Line(std::string_view& piece);
  // u32 little-endian length, then so many bytes. INVALID_ARGUMENT: a frame that is cut off.
  absl::StatusOr<bool> Frame(std::string_view& piece);
  // Everything that is left, once.
  absl::StatusOr<bool> All(std::string_view& piece);

 private:
  Input(std::string name, int fd, uint64_t longest) : name_(std::move(name)), fd_(fd), longest_(longest) {}
  absl::StatusOr<bool> More();
  bool HasMore() const;
  absl::StatusOr<bool> Have(size_t size);
  std::string_view Take(size_t size);
  absl::Status TooLong(std::string_view what) const;

  std::string name_;
  int fd_;
  uint64_t longest_;
  std::function<absl::Status()> before_waits_;
  uint64_t count_ = 0;
  uint64_t read_ = 0;  // bytes
  std::string buffer_;
  size_t used_ = 0;  // bytes of buffer_ that were handed out
};

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_INPUT_H_
