// Segments: the mmap'd files of a topic, and where to find them.
#ifndef LIBBUS_LOG_SEGMENT_H_
#define LIBBUS_LOG_SEGMENT_H_

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "libbus/platform/file.h"
#include "libbus/platform/local_word.h"
#include "libbus/platform/mapping.h"
#include "libbus/platform/shared_word.h"

namespace libbus::log {

// One mapped segment. Immutable but for the bytes that all processes share. Positions given to it lie inside it.
class Segment {
 public:
  Segment(const format::SegmentHeader& header, platform::Mapping mapping)
      : header_(header), mapping_(std::move(mapping)), data_(mapping_.data()) {}

  uint64_t base() const { return header_.base; }
  uint64_t first() const { return base() + format::kSegmentHeaderSize; }  // the first record's position
  uint64_t end() const { return base() + header_.file_size; }             // the next segment's base
  uint64_t room(uint64_t position) const { return end() - position; }
  bool Contains(uint64_t position) const { return position >= first() && position + format::kWordSize <= end(); }
  // True if a record of `size` bytes and an END behind it fit at `position`.
  bool Fits(uint64_t position, uint64_t size) const { return size + format::kWordSize <= room(position); }

  std::byte* at(uint64_t position) const { return data_ + (position - base()); }
  platform::RecordWord word(uint64_t position) const {
    return platform::RecordWord(reinterpret_cast<uint64_t*>(at(position)));
  }
  platform::RecordWordView view(uint64_t position) const {
    return platform::RecordWordView(reinterpret_cast<const uint64_t*>(at(position)));
  }

  // Pages up to this position are present in this process.
  uint64_t populated() const { return populated_.Read(); }
  // Makes them so from `from` (what lies before is left as it is) up to `to`. Thread-safe; repeated work is harmless.
  void Populate(uint64_t from, uint64_t to);

 private:
  format::SegmentHeader header_;
  platform::Mapping mapping_;
  std::byte* data_;
  platform::LocalMark populated_;
};

using SegmentPtr = std::shared_ptr<Segment>;

// "%020d.seg"
std::string SegmentName(uint64_t base);

// The segments of one topic as this process maps them, all for writing or all read-only. Thread-safe.
class SegmentStore {
 public:
  SegmentStore(std::string directory, const format::Uuid& uuid, bool writable)
      : directory_(std::move(directory)), uuid_(uuid), writable_(writable) {}

  // The segment with this base. NOT_FOUND: no such file. DATA_LOSS: damaged or truncated. UNIMPLEMENTED: newer.
  absl::StatusOr<SegmentPtr> Open(uint64_t base);

  // The segment that holds `position`. OUT_OF_RANGE: before the first or beyond the last.
  absl::StatusOr<SegmentPtr> Containing(uint64_t position);

  // The one that follows `segment`: by arithmetic, else the one with the smallest base behind it. NOT_FOUND: none.
  absl::StatusOr<SegmentPtr> After(const Segment& segment);

  // Bases of all segment files, ascending. Empty directories give none.
  absl::StatusOr<std::vector<uint64_t>> ListBases() const;

  const std::string& directory() const { return directory_; }
  std::string PathOf(uint64_t base) const { return directory_ + "/" + SegmentName(base); }

  // Reads and checks the header of a segment file; also that the file is as long as it says.
  absl::StatusOr<format::SegmentHeader> ReadHeader(const platform::File& file, uint64_t base) const;

 private:
  const std::string directory_;
  const format::Uuid uuid_;
  const bool writable_;
  std::mutex mutex_;
  std::map<uint64_t, std::weak_ptr<Segment>> open_;
  // Holds what was opened last: the prepared segment keeps its populated pages until the tail gets there, and the one
  // that was left is unmapped (milliseconds) by who opens another, not by who rolls.
  std::array<SegmentPtr, 2> recent_;
  size_t turn_ = 0;
};

// Makes the segment `base` of `size` bytes appear whole and under a durable name. OK also when somebody else has made
// it first (then theirs stands, and its size may be another). RESOURCE_EXHAUSTED: no room, nothing was touched.
absl::Status PrepareSegment(const platform::File& directory, const std::string& directory_path,
                            const format::Uuid& uuid, uint64_t base, uint64_t size, uint32_t epoch);

// A place where a word stands.
struct Place {
  SegmentPtr segment;
  uint64_t position = 0;

  platform::RecordWord word() const { return segment->word(position); }
  format::Word Read() const { return format::Word(segment->view(position).Read()); }
  format::Verdict Judge(format::TopicSeed seed, format::Word word) const {
    return format::Judge(seed, position, word, segment->room(position));
  }
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_SEGMENT_H_
