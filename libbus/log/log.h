// The files of one topic, opened: what appender, reader, recovery and repair share.
#ifndef LIBBUS_LOG_LOG_H_
#define LIBBUS_LOG_LOG_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "libbus/log/consumer_table.h"
#include "libbus/log/control.h"
#include "libbus/log/segment.h"
#include "libbus/log/sleep_page.h"
#include "libbus/platform/file.h"
#include "libbus/platform/local_word.h"
#include "libbus/platform/ofd_lock.h"

namespace libbus::log {

// ControlHeader::sync_policy.
inline constexpr uint8_t kSyncNone = 0;
inline constexpr uint8_t kSyncEach = 1;
inline constexpr uint8_t kSyncByTime = 2;
inline constexpr uint8_t kSyncByBytes = 3;

// What is fixed when a topic is made.
struct LogOptions {
  uint64_t segment_size = 0;  // bytes, whole pages
  int64_t claim_timeout = 0;  // ns, 0: never revoke
  uint8_t timestamps = 0;     // as in ControlHeader
  uint8_t sync_policy = 0;    // kSync...
  uint64_t sync_every = 0;    // ns or bytes
  uint8_t access = 0;         // kAccess... (log/access.h)
  bool exclusive = false;     // one producer at a time
  uint64_t retain_bytes = 0;  // 0: all
  int64_t retain_age = 0;     // ns, 0: all
};

// Thread-safe.
class Log {
 public:
  // Makes a topic's directory `bus_path/name`, whole or not at all. ALREADY_EXISTS: there is one.
  static absl::Status Create(const std::string& bus_path, const std::string& name, const LogOptions& options);

  // Opens the files; attaching (log/attach.h) is another step. NOT_FOUND: no such topic.
  // `bus_errors`: of all its mappings.
  static absl::StatusOr<std::unique_ptr<Log>> Open(const std::string& path, bool writable,
                                                   platform::BusErrors bus_errors = platform::BusErrors::kGuarded);

  const std::string& path() const { return path_; }
  const platform::File& directory() const { return directory_; }
  bool writable() const { return writable_; }
  const format::Uuid& uuid() const { return control_.header().header.uuid; }
  format::TopicSeed seed() const { return seed_; }
  LogOptions options() const;
  // True: one producer at a time, in slot kExclusiveOwner (log/word_changes.h).
  bool exclusive() const { return control_.header().mode == format::kModeExclusive; }
  Control& control() { return control_; }
  const Control& control() const { return control_; }
  const SleepPage& sleep() const { return sleep_; }
  ConsumerTable& consumers() { return consumers_; }

  // Segments mapped read-only, for consumers; and mapped for writing. REQUIRES for the second: writable().
  SegmentStore& readable() { return readable_; }
  SegmentStore& writing() { return writing_; }
  // Whichever this process has, for walks that only look.
  SegmentStore& any() { return writable_ ? writing_ : readable_; }

  // Where to begin to look for the tail: the hinted record if it verifies, else the T of the last CLEAN or recovery,
  // else the first segment's first record.
  absl::StatusOr<Place> NearTail(SegmentStore& store);

  // The first FREE word from NearTail on: where the next record goes. DATA_LOSS: damage in between.
  absl::StatusOr<Place> FindTail(SegmentStore& store);

  // The hint, if a committed record that verifies stands there; 0 if not.
  uint64_t VerifiedHint(SegmentStore& store);

  // Where a walk from the lowest floor begins; from the oldest record, if no segment holds that floor.
  absl::StatusOr<Place> PlaceOfFloor(SegmentStore& store, uint64_t floor);

  // Before a sleep on the word at `position`, which is to be read once more behind it. Then who makes it final wakes a
  // sleeper. Returns how long that sleep may last at most, ns.
  int64_t AnnounceSleep(uint64_t position) const;

  // After `place`'s word was made final: wakes one of those who sleep on it, if anybody sleeps.
  void WakeSleepers(const Place& place) const {
    // SYNC POINT: sleeper woken. The mark is read behind the change that made the word final (RecordWord).
    if (sleep_.mark().Read() >= place.position) WakeOne(place);
  }

  // The segment behind `segment`, made if there is none, such that a record of `size` bytes fits into it or into one
  // that it leads to. Every segment on the way exists under a durable name before this returns.
  absl::StatusOr<SegmentPtr> EnsureNext(const Segment& segment, uint64_t size);

  // Makes the segment `base`, or opens it if somebody has made it first. UNAVAILABLE: as MakeNameDurable.
  absl::StatusOr<SegmentPtr> MakeSegment(uint64_t base, uint64_t size, uint32_t epoch, uint8_t cause);

  // The directory entry of the segment `base` is on disk when this returns OK. UNAVAILABLE: it may be lost, and the
  // segment is marked as if its own sync had failed: the kernel does not tell that a second time.
  absl::Status MakeNameDurable(uint64_t base);

  // True: its file system lives in memory, nothing on it survives a power loss.
  bool is_volatile() const { return volatile_; }

  // True at most every 10 ms of `now`, monotonic ns: a sync may look how much it writes, which is not free.
  bool MayMeasure(int64_t now);

  // NOT_FOUND: the topic was removed. FAILED_PRECONDITION: it was removed and made anew, or its mount went away.
  absl::Status CheckStillThere() const;

  // A description of its own of the topic's locks file.
  absl::StatusOr<platform::LockFile> OpenLocks() const;

  // The first record's position of the oldest segment that was not deleted.
  absl::StatusOr<uint64_t> First(SegmentStore& store);
  absl::StatusOr<Place> Oldest(SegmentStore& store);

  // True if what stood there was deleted (log/retention.h).
  bool IsDeleted(uint64_t position) const;

 private:
  Log(std::string path, platform::File directory, Control control, SleepPage sleep, bool writable,
      platform::BusErrors bus_errors);
  void WakeOne(const Place& place) const;
  uint32_t Epoch() const;
  absl::StatusOr<SegmentPtr> MakeNext(const Segment& segment, uint64_t size);

  const std::string path_;
  const platform::File directory_;
  const bool volatile_;
  Control control_;
  const SleepPage sleep_;
  ConsumerTable consumers_;
  const format::TopicSeed seed_;
  const bool writable_;
  platform::LocalValue measured_at_{0};
  SegmentStore readable_;
  SegmentStore writing_;
};

// Steps over the final or reserved word at `place`, into the next segment at an END. OK with true: moved. OK with
// false: the word is FREE, nothing was done. DATA_LOSS: a bad word (the message says where), or an END that leads
// nowhere.
absl::StatusOr<bool> StepOver(Log& log, SegmentStore& store, Place& place, format::Word seen);

// DATA_LOSS if a page of the segment could not be had while it was in use: what was read there, or written, is not the
// log. Asked behind the bytes, before anything is concluded from what stood in them. One load where all is well.
absl::Status NotIntact(const Log& log, const Place& place);
inline absl::Status CheckIntact(const Log& log, const Place& place) {
  return place.segment->poisoned() ? NotIntact(log, place) : absl::OkStatus();
}

// "topic/NAME.seg at POSITION: WHAT (see `bus verify`)" as DATA_LOSS.
absl::Status DamageAt(const Log& log, uint64_t position, std::string_view what);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_LOG_H_
