#include "libbus/topic/cursor_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::internal {
namespace {

using platform::Seam;

// Longer than any process lives, and far from an overflow.
constexpr int64_t kLongest = int64_t{1} << 60;

std::optional<int64_t> IntervalOf(const ConsumerOptions& options) {
  if (!options.auto_commit) return std::nullopt;
  return std::min(absl::ToInt64Nanoseconds(*options.auto_commit), kLongest);
}

}  // namespace

CursorKeeper::CursorKeeper(log::CursorFile file, const ConsumerOptions& options)
    : file_(std::move(file)),
      durable_(options.durable_commits),
      interval_(IntervalOf(options)),
      committed_at_(Seam::MonotonicNow()),
      told_(file_.content().place) {}

absl::StatusOr<CursorKeeper> CursorKeeper::Take(TopicImpl& topic, const ConsumerOptions& options,
                                                const log::CursorFile::Start& start) {
  LIBBUS_RETURN_IF_ERROR(log::CheckCursorName(options.cursor));
  if (options.auto_commit && *options.auto_commit < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("auto_commit: cannot be negative");
  }
  if (options.durable_commits) LIBBUS_RETURN_IF_ERROR(log::CheckNotVolatile(topic.log()));
  LIBBUS_ASSIGN_OR_RETURN(log::CursorFile file, log::CursorFile::Take(topic.log(), options.cursor, start));
  return CursorKeeper(std::move(file), options);
}

absl::Status CursorKeeper::Commit(const log::CursorPlace& place) {
  LIBBUS_RETURN_IF_ERROR(file_.Commit(place, durable_));
  if (interval_) committed_at_ = Seam::MonotonicNow();
  return absl::OkStatus();
}

absl::Status CursorKeeper::CommitWhatIsDue() {
  if (!Waits()) return absl::OkStatus();
  if (*interval_ > 0 && Seam::MonotonicNow() < due()) return absl::OkStatus();
  return Commit();
}

void CursorKeeper::Finish() {
  // What fails here comes again.
  if (Waits()) (void)Commit();
}

}  // namespace libbus::internal
