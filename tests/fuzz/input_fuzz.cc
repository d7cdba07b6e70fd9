// The tool's input formats. input: format (1 byte: lines, NDJSON, frames, all), longest piece (1: a power of two), the
// bytes that are read
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tools/bus/input.h"
#include "tools/bus/record_parser.h"

namespace libbus::fuzz {
namespace {

// A file in memory with these bytes.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    Require(fd_ >= 0 && write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()), "a memory file");
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  int fd_;
};

// Puts together again what was read; the same as `bytes`, as far as it went.
template <typename F>
void ReadAll(bustool::Input& input, std::string_view bytes, uint64_t longest, F read) {
  std::string_view piece;
  std::string together;
  uint64_t count = 0;
  for (;;) {
    const auto more = read(piece);
    if (!more.ok()) {
      Require(absl::IsInvalidArgument(more.status()), "bad input is INVALID_ARGUMENT");
      Require(more.status().message().find('\n') == std::string::npos, "an error is one line");
      break;
    }
    if (!*more) break;
    Require(++count == input.count(), "pieces are counted");
    Require(piece.size() <= longest, "no piece is longer than the limit");
    together += piece;
  }
  Require(together.size() <= bytes.size(), "nothing is made up");
}

void Lines(bustool::Input& input, std::string_view bytes, uint64_t longest) {
  std::string together;
  std::string_view line;
  bool ended = false;
  for (;;) {
    const auto more = input.Line(line);
    if (!more.ok()) return Require(absl::IsInvalidArgument(more.status()), "bad input is INVALID_ARGUMENT");
    if (!*more) break;
    Require(line.size() <= longest && line.find('\n') == std::string_view::npos, "a line has no newline");
    together += line;
    together += '\n';
    ended = true;
  }
  if (ended && !bytes.ends_with('\n')) together.pop_back();
  Require(together == bytes, "the lines are the input");
}

void Ndjson(bustool::Input& input) {
  static bustool::RecordParser parser;
  std::string_view line;
  for (;;) {
    const auto more = input.Line(line);
    if (!more.ok() || !*more) return;
    const auto record = parser.Parse(line);
    Require(record.ok() || absl::IsInvalidArgument(record.status()), "a line that is wrong is INVALID_ARGUMENT");
  }
}

}  // namespace
}  // namespace libbus::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace libbus::fuzz;  // NOLINT(google-build-using-namespace)
  Input taken(data, size);
  const uint64_t format = taken.Number(1);
  const uint64_t longest = uint64_t{1} << taken.Number(1) % 20;
  const std::string_view bytes = taken.rest();
  const MemoryFile file(bytes);
  auto input = bustool::Input::Open(file.path(), longest);
  Require(input.ok(), "a file can be opened");
  switch (format % 4) {
    case 0:
      Lines(*input, bytes, longest);
      break;
    case 1:
      Ndjson(*input);
      break;
    case 2:
      ReadAll(*input, bytes, longest, [&](std::string_view& piece) { return input->Frame(piece); });
      break;
    default:
      ReadAll(*input, bytes, longest, [&](std::string_view& piece) { return input->All(piece); });
  }
  return 0;
}
