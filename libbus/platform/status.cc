#include "libbus/platform/status.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace libbus::platform {
namespace {

struct Meaning {
  absl::StatusCode code;
  std::string_view cure;  // empty: none is known
};

Meaning Explain(int error) {
  switch (error) {
    case ENOENT:
      return {absl::StatusCode::kNotFound, "check the path"};
    case ENOTDIR:
      return {absl::StatusCode::kFailedPrecondition, "a directory is expected there"};
    case EISDIR:
      return {absl::StatusCode::kFailedPrecondition, "a file is expected there"};
    case ELOOP:
      return {absl::StatusCode::kFailedPrecondition, "symbolic links are not followed here"};
    case EEXIST:
      return {absl::StatusCode::kAlreadyExists, ""};
    case EACCES:
    case EPERM:
      return {absl::StatusCode::kPermissionDenied, "check owner and mode"};
    case EROFS:
      return {absl::StatusCode::kPermissionDenied, "the file system is read-only"};
    case ENOSPC:
    case EDQUOT:
      return {absl::StatusCode::kResourceExhausted, "free some space"};
    case EFBIG:
      return {absl::StatusCode::kResourceExhausted, "raise the file size limit (ulimit -f)"};
    case EMFILE:
    case ENFILE:
      return {absl::StatusCode::kResourceExhausted, "raise the limit of open files (ulimit -n)"};
    case ENOMEM:
      return {absl::StatusCode::kResourceExhausted, "no memory or address space left"};
    case EIO:
      return {absl::StatusCode::kUnavailable, "the device failed"};
    case EOPNOTSUPP:
      return {absl::StatusCode::kFailedPrecondition, "use ext4, xfs, btrfs or tmpfs"};
    default:
      return {absl::StatusCode::kInternal, ""};
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view where, std::string_view what) {
  const Meaning meaning = Explain(error);
  std::string text = fmt::format("{}: {}: {}", where, what, std::strerror(error));
  if (!meaning.cure.empty()) text += fmt::format(" ({})", meaning.cure);
  return absl::Status(meaning.code, text);
}

}  // namespace libbus::platform
