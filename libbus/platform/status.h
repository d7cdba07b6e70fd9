// System errors as absl::Status: one line that says what, where, and what to do.
#ifndef LIBBUS_PLATFORM_STATUS_H_
#define LIBBUS_PLATFORM_STATUS_H_

#include <absl/status/status.h>

#include <string_view>

namespace libbus::platform {

// "where: what: the system's word (what to do)". The code follows the error number: ENOENT is NOT_FOUND, ENOSPC and its
// kin RESOURCE_EXHAUSTED, EACCES and its kin PERMISSION_DENIED, EIO UNAVAILABLE, and so on.
absl::Status ErrnoStatus(int error, std::string_view where, std::string_view what);

}  // namespace libbus::platform

// Returns the error of an expression of type absl::Status.
#define LIBBUS_RETURN_IF_ERROR(expression)                                  \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define LIBBUS_CONCAT_INNER_(a, b) a##b
#define LIBBUS_CONCAT_(a, b) LIBBUS_CONCAT_INNER_(a, b)
// Declares `left` with the value of an expression of type StatusOr, or returns its error.
#define LIBBUS_ASSIGN_OR_RETURN(left, expression) \
  LIBBUS_ASSIGN_OR_RETURN_(LIBBUS_CONCAT_(result_, __LINE__), left, expression)
#define LIBBUS_ASSIGN_OR_RETURN_(result, left, expression) \
  auto result = (expression);                              \
  if (!result.ok()) return std::move(result).status();     \
  left = *std::move(result)

#endif  // LIBBUS_PLATFORM_STATUS_H_
