// When a topic's sync policy wants a sync. The background thread asks, or Topic::Maintain, or publishes where there is
// no such thread.
#ifndef LIBBUS_TOPIC_SYNC_SCHEDULE_H_
#define LIBBUS_TOPIC_SYNC_SCHEDULE_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <mutex>

#include "libbus/log/reader.h"
#include "libbus/log/sync.h"
#include "libbus/platform/local_word.h"

namespace libbus::internal {

// Thread-safe. All times are monotonic ns: the wall clock may step as it likes.
//
// By time: a look every half interval. A look that finds something new notes it; the next one syncs, unless somebody's
// sync has covered it by then. So a sync begins at most one interval after a record was published, and many processes
// with the same topic sync about as often as one.
class SyncSchedule {
 public:
  SyncSchedule(log::Log& log, log::Syncer& syncer) : log_(log), syncer_(syncer), options_(log.options()) {}

  // Syncs what is due: by the policy, and a segment that was left for the next one. OK also if nothing is.
  absl::Status Run();

  // After how many ns Run wants to be called again, at the latest; -1: when something was published.
  int64_t Again() const { return options_.sync_policy == log::kSyncByTime ? HalfInterval() : -1; }

  // True if what was published up to `position` makes a sync due. Cheap.
  bool IsDue(uint64_t position);

  // Syncs what the policy has promised to sync later: nobody may be left who does. OK also if that is nothing.
  absl::Status Finish();

 private:
  int64_t HalfInterval() const;
  // Up to where everything that could be synced is.
  uint64_t Synced() const;
  bool TimeIsUp(const log::Ends& ends);
  bool IsNews(const log::Ends& ends) const;

  log::Log& log_;
  log::Syncer& syncer_;
  const log::LogOptions options_;

  platform::LocalMark synced_;  // where the tail was when this process synced last: an open claim in front holds D back

  std::mutex mutex_;  // what follows
  bool pending_ = false;
  uint64_t ticket_ = 0;     // of what is pending
  int64_t since_ = 0;       // when that was noted
  uint64_t seen_tail_ = 0;  // what was there when it was noted last
  uint64_t seen_committed_ = 0;
  uint64_t left_ = 0;   // the base of the segment that was the tail's when the ones before were synced
  int64_t looked_ = 0;  // when IsDue last said so by time
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_SYNC_SCHEDULE_H_
