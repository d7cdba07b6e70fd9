// The index: what is known of the log before some of its positions, so that a search for a sequence or a time need not
// read all of it. A file of its own, BUS/TOPIC/index; docs/index.md tells of it, format/layout.h has its bytes.
//
// It is a cache, and derived: it may be deleted at any time, and is made again. An entry is used if its checksum is
// right (it covers the topic and the entry's place in the file) and a word that verifies stands in the log where it
// says. What does not verify is passed over; whoever may write cuts the file there and goes on behind it.
//
// An entry is a statement about all that lies before a position: so many records, none with a higher timestamp. It must
// stay true for ever, hence:
//   - Only what is final and nobody can take back is told of: what lies below D; on a volatile bus, where nothing
//     survives what could take something back, all that is committed.
//   - Should a disk have lost what it had confirmed, a recovery that seals the log cuts the index back to what it keeps
//     before it stores OPEN (CutIndex).
//   - A copy of the file has another inode than its header names: it tells of another log and is made anew.
//   - Damage that comes later changes no count: the entries behind it tell what stood there.
//   - What retention deletes only makes `before` a bound that is higher than need be. Once half of the entries lie
//     before the oldest record, the file is made anew.
// So each entry is right on its own, whatever became of its neighbours: their order saves work, no more.
//
// Who appends holds a write lock on byte 1026 of the locks file; who finds it taken leaves the work to the holder.
// Steps, and what a death between any two of them leaves:
//   1 the file appears with its header, whole (CreateWhole)      died before: no index, the next one makes it
//   2 what does not verify at its end is cut off                 died before: as it was. Behind: a shorter index
//   3 entries are written behind the last one                    any part of them: a part of an entry does not verify
//   the lock goes with the process. Nothing is synced: a power loss may leave zeros, or an older length
#ifndef LIBBUS_LOG_INDEX_H_
#define LIBBUS_LOG_INDEX_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "libbus/log/log.h"
#include "libbus/log/walk.h"

namespace libbus::log {

// An entry is written for the first word at least so many bytes behind the one before.
inline constexpr uint64_t kIndexStride = uint64_t{64} << 10;

// The index of a topic, opened for reading. Not thread-safe.
class Index {
 public:
  // NOT_FOUND: there is none. DATA_LOSS, UNIMPLEMENTED, FAILED_PRECONDITION: not one that this log can use.
  static absl::StatusOr<Index> Open(const Log& log);

  // Whole entries.
  uint64_t size() const { return size_; }
  // Nothing: it does not verify.
  std::optional<format::IndexEntry> At(uint64_t ordinal);

  // The last entry that is usable and for which `holds` is true, which it must be for every entry before such a one.
  struct Hit {
    uint64_t ordinal;
    Counted at;
  };
  using Holds = std::function<bool(const format::IndexEntry&)>;
  std::optional<Hit> Find(Log& log, SegmentStore& store, const Holds& holds);

  // A bit of its header is flipped in the file: read as it was, and made anew by who may write.
  bool flipped() const { return flipped_; }
  // The first of the entries that were met and do not verify.
  std::optional<uint64_t> damaged() const { return damaged_; }

 private:
  Index(platform::File file, std::string path, format::TopicSeed seed, uint64_t size, bool flipped)
      : file_(std::move(file)), path_(std::move(path)), seed_(seed), size_(size), flipped_(flipped) {}

  platform::File file_;
  std::string path_;
  format::TopicSeed seed_;
  uint64_t size_;
  bool flipped_;
  std::optional<uint64_t> damaged_;
};

std::string IndexPath(const Log& log);

// How far the index may tell: everything before it is final and stays so.
absl::StatusOr<uint64_t> IndexLimit(Log& log);

// Appends what is missing, up to about `budget` bytes of log; makes the file if it is missing or not usable. OK also if
// somebody else is at it. RESOURCE_EXHAUSTED, UNAVAILABLE and so on: the file cannot be written; nothing else suffers.
// REQUIRES: log.writable(), and the caller is attached.
inline constexpr uint64_t kWholeIndex = UINT64_MAX;
absl::Status ExtendIndex(Log& log, uint64_t budget);

// No entry tells of anything from `position` on when this returns OK, whatever the power does. REQUIRES: the caller is
// alone.
absl::Status CutIndex(Log& log, uint64_t position);

// The nearest place at or before what is looked for whose count is known: by the index, else the oldest record.
absl::StatusOr<Counted> NearestPosition(Log& log, SegmentStore& store, uint64_t position);
// ... such that the record with this sequence does not stand before it.
absl::StatusOr<Counted> NearestSequence(Log& log, SegmentStore& store, uint64_t sequence);
// ... such that no record before it has a timestamp of `time` or later.
absl::StatusOr<Counted> NearestTime(Log& log, SegmentStore& store, int64_t time);

// The sequence of what starts at `position`, which is committed, or the end: found from the nearest place whose count
// is known, if that is not further away than 8 MiB. Nothing: not known, or no word starts there.
std::optional<uint64_t> SequenceAt(Log& log, SegmentStore& store, uint64_t position);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_INDEX_H_
