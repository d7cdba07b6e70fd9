// A consumer's named cursor: what of it was handed out, what of that is committed, and when it is due.
#ifndef LIBBUS_TOPIC_CURSOR_KEEPER_H_
#define LIBBUS_TOPIC_CURSOR_KEEPER_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>

#include "libbus/log/cursor_file.h"
#include "libbus/log/sync.h"
#include "libbus/options.h"
#include "libbus/topic/topic_impl.h"

namespace libbus::internal {

// Not thread-safe. Lives as long as its consumer.
class CursorKeeper {
 public:
  // Takes the cursor that the options name. `start`: where one begins that is not there yet.
  static absl::StatusOr<CursorKeeper> Take(TopicImpl& topic, const ConsumerOptions& options,
                                           const log::CursorFile::Start& start);

  // What is committed.
  const log::CursorPlace& committed() const { return file_.content().place; }

  // Everything before this was handed out.
  void Tell(uint64_t position, std::optional<uint64_t> sequence) { told_ = {position, sequence}; }
  const log::CursorPlace& told() const { return told_; }

  absl::Status Commit() { return Commit(told_); }
  absl::Status Commit(const log::CursorPlace& place);

  // What was handed out, if that is due.
  absl::Status CommitWhatIsDue();
  // Monotonic ns; log::kNoDeadline: never.
  int64_t due() const { return Waits() ? committed_at_ + *interval_ : log::kNoDeadline; }
  // The consumer goes.
  void Finish();

 private:
  CursorKeeper(log::CursorFile file, const ConsumerOptions& options);
  // Something was handed out that is to be committed without being asked for.
  bool Waits() const { return interval_ && told_.position != committed().position; }

  log::CursorFile file_;
  bool durable_;
  std::optional<int64_t> interval_;  // ns
  int64_t committed_at_;             // monotonic ns
  log::CursorPlace told_;
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_CURSOR_KEEPER_H_
