#include "bench/lib/scratch.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace libbus::bench {

absl::StatusOr<ScratchDirectory> ScratchDirectory::Make(const std::string& parent) {
  std::string path = parent + "/bus-bench-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    const auto text = fmt::format("{}: cannot make a directory: {}", parent, std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
  }
  return ScratchDirectory(std::move(path));
}

ScratchDirectory::ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace libbus::bench
