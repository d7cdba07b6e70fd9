// A topic's log, copied by reading while others write.
//
// Why bytes and not publishes: positions, sequences, gaps and epochs stay what they are, so cursors and sources, and
// what users noted, hold in the copy. The topic keeps its UUID, without which no record would verify there; that there
// are two of them now says an epoch (copied), as with a copy that was adopted. Nothing is written to the original, and
// nothing of it is locked.
//
// What is copied is fixed first (LogCopy::Begin): the cursors, then the end, so that no cursor stands behind it. The
// end is the first word that is not final: where an open claim stands, what was committed behind it belongs to no
// prefix. A claim whose owner is dead stays RESERVED until a writer comes: it is proven dead like everywhere (the word,
// the lock of its slot, the word again), and is a gap (dead) in the copy. Segments up to the end are mapped until they
// are copied, so retention may delete them meanwhile.
//
// Behind the end all is zero in the copy, and its control record says CLEAN with that end: the next writer goes on
// there.
//
// The copy is built where nobody looks for it, and named by who asked for it (topic/copy.cc). Died in between: there is
// nothing but a directory that is removed by the next one who copies there.
#ifndef LIBBUS_LOG_COPY_H_
#define LIBBUS_LOG_COPY_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libbus/log/cursors.h"
#include "libbus/log/log.h"
#include "libbus/log/reader.h"

namespace libbus::log {

// Called with how many bytes of segments were copied since the last call. False: CANCELLED.
using CopyProgress = std::function<bool(uint64_t bytes)>;
// Told of every gap on the way.
using CopyGapSink = std::function<void(const Item& gap)>;

// Not thread-safe.
class LogCopy {
 public:
  // Fixes what is to be copied of the topic in the directory `path`. FAILED_PRECONDITION: a writer has to recover it
  // first. DATA_LOSS: damaged such that the end cannot be found. Else as Log::Open.
  static absl::StatusOr<LogCopy> Begin(const std::string& path);

  // Makes the copy in `path`, which does not exist; everything is on disk when this returns OK. Whatever else it
  // returns, `path` is not to be used. RESOURCE_EXHAUSTED: no room. CANCELLED. DATA_LOSS: a segment cannot be read.
  absl::Status WriteTo(const std::string& path, const CopyProgress& progress, const CopyGapSink& on_gap);

  const Log& log() const { return *log_; }
  uint64_t first() const { return first_; }
  uint64_t end() const { return end_; }
  uint64_t segments() const { return segments_.size(); }
  uint64_t bytes() const;  // of log, from the first segment's start to the end
  // Where an open claim stands, if committed records stand behind it.
  std::optional<uint64_t> open_claim() const { return open_claim_; }
  uint64_t records() const { return records_; }
  const std::vector<CursorEntry>& cursors() const { return cursors_; }

 private:
  explicit LogCopy(std::unique_ptr<Log> log) : log_(std::move(log)) {}

  absl::Status FixStart();
  absl::Status FixEnd();
  bool IsOver(const Place& place, format::Word reserved);
  absl::Status HoldSegments(const std::vector<uint64_t>& bases);
  absl::Status CopySegment(const platform::File& directory, const std::string& path, size_t index);
  absl::Status FillSegment(const platform::File& file, const std::string& path, size_t index);
  absl::Status Step();
  absl::Status MendDead(const platform::File& file, const std::string& path, const Segment& segment) const;
  absl::Status WriteHeader(const platform::File& file, const std::string& path, const Segment& segment) const;
  absl::Status CopyCursors(const std::string& path) const;
  struct NewTopic Describe(const platform::File& directory) const;

  struct Dead {
    uint64_t position;
    format::Word word;
  };

  std::unique_ptr<Log> log_;
  std::unique_ptr<format::ControlRecord> record_;
  std::vector<CursorEntry> cursors_;
  std::vector<SegmentPtr> segments_;
  std::vector<Dead> dead_;  // by position
  std::optional<platform::LockFile> probe_;
  std::optional<uint64_t> open_claim_;
  uint64_t first_ = 0;
  uint64_t end_ = 0;
  uint64_t records_ = 0;
  // While it is written:
  std::optional<Reader> reader_;
  CopyProgress progress_;
  CopyGapSink on_gap_;
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_COPY_H_
