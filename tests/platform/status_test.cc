#include "libbus/platform/status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace libbus::platform {
namespace {

TEST(ErrnoStatus, SaysWhereWhatAndWhatToDo) {
  const absl::Status status = ErrnoStatus(ENOSPC, "/bus/t", "cannot allocate 4096 bytes");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "/bus/t: cannot allocate 4096 bytes: No space left on device (free some space)");
}

TEST(ErrnoStatus, MapsToTheCodesThatCallersTellApart) {
  const auto code = [](int error) { return ErrnoStatus(error, "", "").code(); };
  EXPECT_EQ(code(ENOENT), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(EEXIST), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(code(EACCES), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code(EROFS), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code(EFBIG), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(code(EMFILE), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(code(ELOOP), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(EIO), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(EDOM), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace libbus::platform
