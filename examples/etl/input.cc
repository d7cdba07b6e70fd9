#include "examples/etl/input.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace etl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAptHelper = "/usr/lib/apt/apt-helper";

bool Compressed(const fs::path& file) {
  constexpr std::string_view kEndings[] = {".lz4", ".gz", ".xz", ".bz2", ".zst", ".lzma"};
  const std::string ending = file.extension().string();
  return std::find(std::begin(kEndings), std::end(kEndings), ending) != std::end(kEndings);
}

bool IsPackageList(const fs::path& file) {
  const std::string name = (Compressed(file) ? file.stem() : file.filename()).string();
  return name.ends_with("_Packages");
}

absl::Status Problem(std::string_view file, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", file, what));
}

absl::StatusOr<std::string> ReadAll(int fd, const std::string& file) {
  std::string text;
  std::string block(1 << 18, '\0');
  for (;;) {
    const ssize_t got = read(fd, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Problem(file, strerror(errno));
    if (got == 0) return text;
    text.append(block, 0, static_cast<size_t>(got));
  }
}

absl::StatusOr<std::string> ReadPlain(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Problem(file, strerror(errno));
  absl::StatusOr<std::string> text = ReadAll(fd, file);
  close(fd);
  return text;
}

// apt's own reader knows every form of compression that apt writes.
absl::StatusOr<std::string> ReadCompressed(const std::string& file) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Problem(file, strerror(errno));
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    execl(kAptHelper, kAptHelper, "cat-file", file.c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  if (child < 0) return close(ends[0]), Problem(file, strerror(errno));
  absl::StatusOr<std::string> text = ReadAll(ends[0], file);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) return Problem(file, fmt::format("{} could not read it", kAptHelper));
  return text;
}

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view WithoutMark(std::string_view text) {
  return text.starts_with(kByteOrderMark) ? text.substr(kByteOrderMark.size()) : text;
}

// The form of the first file that is not empty.
Form FormOfFiles(const std::vector<std::string>& files, const std::vector<std::unique_ptr<std::string>>& texts) {
  for (size_t i = 0; i < files.size(); ++i) {
    if (!Trim(*texts[i]).empty()) return DetectForm(files[i], WithoutMark(*texts[i]));
  }
  return Form::kText;
}

void TakeColumns(Input& input) {
  if (input.form != Form::kCsv || input.records.empty()) return;
  input.columns = std::string(Trim(input.records.front()));
  input.records.erase(input.records.begin());
}

}  // namespace

absl::StatusOr<std::vector<std::string>> DefaultFiles(const std::string& status, const std::string& lists) {
  if (access(status.c_str(), R_OK) != 0) return absl::NotFoundError(fmt::format("{}: {}", status, strerror(errno)));
  const bool can_unpack = access(kAptHelper, X_OK) == 0;
  std::vector<std::string> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(lists, error)) {
    if (!IsPackageList(entry.path()) || access(entry.path().c_str(), R_OK) != 0) continue;
    if (can_unpack || !Compressed(entry.path())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  files.insert(files.begin(), status);
  return files;
}

absl::StatusOr<Input> ReadInput(const std::vector<std::string>& files) {
  Input input;
  for (const std::string& file : files) {
    absl::StatusOr<std::string> text = Compressed(file) ? ReadCompressed(file) : ReadPlain(file);
    if (!text.ok()) return text.status();
    input.bytes += text->size();
    input.texts.push_back(std::make_unique<std::string>(*std::move(text)));
  }
  input.form = FormOfFiles(files, input.texts);
  for (const auto& text : input.texts) {
    const std::vector<std::string_view> records = Split(input.form, WithoutMark(*text));
    input.records.insert(input.records.end(), records.begin(), records.end());
  }
  TakeColumns(input);
  if (input.records.empty()) return Problem(files.front(), "holds no records");
  return input;
}

}  // namespace etl
