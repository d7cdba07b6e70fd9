// Making what is committed durable, and telling who waits for it.
//
// A sync has a number n, drawn before it looks for the tail. It writes every segment from D's to the tail's, names
// first, oldest first; when all of that is on stable storage, `sync_done` rises to n and D to c, the first claim that
// was open or else the tail. Who has committed (or seen committed) a record and then reads `sync_started` as s knows it
// durable once `sync_done` > s: a sync with a higher number than s looked for the tail behind the commit. A sync that
// had begun before may have missed the record's page: its number is not enough.
//
// One sync serves all who wait. The sync lock (byte 1024 of the locks file) only saves work: whoever has waited 50 ms
// and sees neither counter move goes ahead without it. Everybody sleeps on `sync_event`, read before the lock is tried
// and raised after every sync, failed or not.
//
// Died after                     leaves
//   number drawn, before done    nothing: the next sync draws a higher number and does all of it again
//   done raised, D not           D a sync behind: a lower bound
//   D raised, not noted          the control record a sync behind: a lower bound as well
//   all of it, nobody woken      waiters look again after kLook
//
// A failed sync is sticky and shared. After an error the kernel takes the pages for clean and tells later openers
// nothing, while the disk has the old bytes. So the segment is marked in the control page and by a file of its own, and
// from then on no sync of this topic succeeds, in any process, until the segment was written anew (log/repair.h). The
// first sync through a descriptor that was not there before the first record looks itself: every record from D to the
// tail must verify (a page that was dropped reads as it was before), and every page is made dirty again.
#ifndef LIBBUS_LOG_SYNC_H_
#define LIBBUS_LOG_SYNC_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "libbus/log/log.h"
#include "libbus/platform/ofd_lock.h"

namespace libbus::log {

// Writes everything that is committed now to stable storage, without a lock and without waking anybody.
// OK: the new D. UNAVAILABLE: a sync failed, now or before. DATA_LOSS: the log cannot be walked.
absl::StatusOr<uint64_t> SyncOnce(Log& log);
// The same for the segments before the tail's only: D gets as far as the tail's segment, `sync_done` stays. So pages
// that are prepared ahead of the tail and not written yet are left alone.
absl::StatusOr<uint64_t> SyncSealed(Log& log);

// Makes one segment durable: its name, and its bytes up to `to`. `from`: D or where the segment begins.
enum class Check : uint8_t {
  kRecords,  // through a descriptor that is not trusted: every record in the range must verify
  kNothing,  // the caller has read them since TouchPages
};
// Makes every page of a range dirty, so that the kernel writes it again and does not drop it before.
void TouchPages(const Segment& segment, uint64_t from, uint64_t to);
absl::Status SyncSegment(Log& log, const SegmentPtr& segment, uint64_t from, uint64_t to, Check check);

// UNAVAILABLE if a segment of the topic is marked, with what to do; else OK.
absl::Status CheckSyncFailed(const Log& log);
// Marks a segment: nothing on it is called durable again. `error`: errno, or 0 if a record does not stand there any
// more. Returns what CheckSyncFailed says from now on.
absl::Status MarkSyncFailed(Log& log, uint64_t base, int error);
// Marks left in files by earlier processes count again.
absl::Status LearnSyncFailed(Log& log);
// How many segments are marked.
absl::StatusOr<uint64_t> CountSyncFailed(Log& log);
// "%020d.failed"
std::string SyncFailedName(uint64_t base);

// FAILED_PRECONDITION if the topic lies on a file system that forgets everything.
absl::Status CheckNotVolatile(const Log& log);

// A deadline that never comes, for the functions below; deadlines are monotonic ns.
inline constexpr int64_t kNoDeadline = INT64_MAX;

// Wakes all who wait for a sync or for D. Behind every change of either.
void RaiseSyncEvent(const Log& log);

// Waits until `sync_done` is beyond `ticket` or D beyond `position`; somebody else must sync. OK, UNAVAILABLE,
// DEADLINE_EXCEEDED, or what Log::CheckStillThere says. Works on read-only mappings.
absl::Status AwaitSync(const Log& log, uint64_t ticket, uint64_t position, int64_t deadline);

// What of the counters a publisher keeps.
inline uint64_t TakeTicket(const Log& log) { return log.control().sync_started().Read(); }

// A process's hand in the syncs of one topic that it may write. Thread-safe.
class Syncer {
 public:
  // `log` outlives it.
  static absl::StatusOr<std::unique_ptr<Syncer>> Make(Log& log);

  // Returns when everything committed before `ticket` was taken is durable; syncs if nobody else does. OK, UNAVAILABLE,
  // DEADLINE_EXCEEDED, DATA_LOSS, FAILED_PRECONDITION (volatile).
  absl::Status Wait(uint64_t ticket, int64_t deadline);

  // One sync now, for policies. False: somebody else is at it; if nothing has moved for 50 ms, that is no reason.
  absl::StatusOr<bool> Try();
  absl::StatusOr<bool> TrySealed();

  // Runs `work` with the sync lock held: it may write the control record. What it returns, or DEADLINE_EXCEEDED: the
  // lock was not had, nothing was done.
  absl::Status UnderLock(const std::function<absl::Status()>& work, int64_t deadline);

 private:
  using Work = absl::StatusOr<uint64_t> (*)(Log& log);

  // How long neither counter has moved.
  class Patience {
   public:
    bool IsOver(const Control& control);

   private:
    uint64_t seen_ = 0;
    int64_t since_ = 0;
  };

  explicit Syncer(Log& log) : log_(log) {}
  absl::StatusOr<bool> TryWork(Work work);
  // False: somebody else is at it.
  absl::StatusOr<bool> Run(Work work, bool without_lock);

  Log& log_;
  platform::LockFile locks_;
  // The lock of the file does not tell threads of one process apart, and two of them in one sync would share its
  // descriptors: the kernel tells an error to one of the two. So this one is always taken.
  std::mutex mutex_;
  std::mutex try_mutex_;
  Patience patience_;  // of Try and TrySealed
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_SYNC_H_
