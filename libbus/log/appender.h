// Appending: reserve, fill, commit. The heart of what a producer does.
//
// The states of one append, and what a death leaves in each:
//   1 floor set                         nothing in the log; the next holder of the slot, or a watcher, clears the floor
//   2 FREE -> RESERVED                  a claim whose length is known: whoever meets it steps over it by its length;
//                                       who may write proves the owner dead and makes it a GAP(dead)
//   3 header, attributes, payload, checksum being written     as 2: nobody reads them
//   4 RESERVED -> DATA                  committed: every reader sees all of it, whatever dies now
//   5 floor cleared, sleepers woken     not cleared: longer walks until somebody cleans it. Not woken: a sleeper's
//   bound
// The word is the only commit point: there is no other store whose order matters to a reader. On exclusive topics the
// words are stored, not swapped (log/word_changes.h): the states are the same.
#ifndef LIBBUS_LOG_APPENDER_H_
#define LIBBUS_LOG_APPENDER_H_

#include <absl/base/attributes.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "libbus/format/record.h"
#include "libbus/log/log.h"
#include "libbus/log/slot.h"
#include "libbus/log/word_changes.h"

namespace libbus::log {

// One producer's end of the log. Not thread-safe. At most one claim is open at a time.
class Appender {
 public:
  // `near_end` is called when the tail nears pages that are not populated or a segment was entered: the background
  // thread should look. May be empty.
  static absl::StatusOr<Appender> Make(Log& log, SlotHold slot, std::function<void()> near_end);

  // Claims `length` bytes behind the header. See Producer::Publish for the errors; on error nothing is claimed.
  // DATA_LOSS also when a page of the file could not be had (see log/segment.h, poisoned). ABORTED: ownership lost.
  absl::Status Reserve(uint8_t flags, uint32_t length);

  // Where the open claim's attributes and payload go, length bytes. REQUIRES: has_claim().
  std::byte* body() const { return place_.segment->at(place_.position) + format::kRecordHeaderSize; }

  // Publishes the open claim: the first `size` bytes of body() are attributes and payload, the rest is slack.
  // OK: its position. ABORTED: it was revoked, or ownership lost. DATA_LOSS: a page of the file could not be had, so
  // nobody is promised that it was published. Whatever it returns, no claim is open then.
  absl::StatusOr<uint64_t> Commit(uint32_t type, int64_t timestamp, uint32_t size);

  // Gives the open claim up. REQUIRES: has_claim().
  void Abandon();
  void KeepAlive() { log_->control().slot(slot_.owner()).keep_alive().Bump(); }

  // Where the next walk begins: behind what was committed last.
  uint64_t position() const { return place_.position; }
  bool has_claim() const { return !claim_.is_free(); }
  uint32_t owner() const { return slot_.owner(); }
  // Keeps the open claim's bytes mapped. REQUIRES: has_claim().
  const SegmentPtr& segment() const { return place_.segment; }

  // Gives the slot back. REQUIRES: no open claim.
  void Release() { slot_.Release(); }

 private:
  Appender(Log& log, SlotHold slot, Place place, std::function<void()> near_end)
      : log_(&log),
        slot_(std::move(slot)),
        words_(log, slot_),
        place_(std::move(place)),
        near_end_(std::move(near_end)) {}

  platform::Floor floor() const { return log_->control().slot(slot_.owner()).floor(); }
  ABSL_ATTRIBUTE_ALWAYS_INLINE inline absl::Status WalkAndClaim(uint8_t flags, uint32_t length);
  // Ends the segment at the FREE word where the walk stands, and goes on in the next one.
  absl::Status Roll(uint64_t size);
  // Steps over `seen`; jumps to the hint now and then.
  absl::Status Pass(format::Word seen, int& steps);
  // DATA_LOSS if a page of the segment or of the control file could not be had.
  absl::Status CheckIntact() const;
  // Gives the open claim up, and says why.
  absl::Status DropClaim(absl::Status why);
  // Why a commit found another word than its own.
  absl::Status NotCommitted(uint64_t position) const;
  // ABORTED: the topic is somebody else's by now; DATA_LOSS if the page that says so could not be had.
  absl::Status OwnershipLost() const;
  ABSL_ATTRIBUTE_ALWAYS_INLINE inline void Finish();
  void CallAhead();

  Log* log_;
  SlotHold slot_;
  WordChanges words_;
  Place place_;         // where the open claim is, or the next walk begins
  format::Word claim_;  // the RESERVED word of the open claim, or FREE
  std::function<void()> near_end_;
  uint32_t since_hint_ = 0;
  uint64_t call_at_ = 0;  // the position from which on the background thread is called again
};

// Prepares the next segment behind the one that holds the tail, and makes the pages ahead of the tail present.
absl::Status PrepareAhead(Log& log);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_APPENDER_H_
