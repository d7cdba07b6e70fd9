// Segments: the mmap'd files of a topic, and where to find them.
#ifndef LIBBUS_LOG_SEGMENT_H_
#define LIBBUS_LOG_SEGMENT_H_

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <span>
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
  // `file` is open where the segment is mapped for writing; `made_here`: since before its first record.
  Segment(const format::SegmentHeader& header, platform::Mapping mapping, platform::File file, bool made_here)
      : header_(header), mapping_(std::move(mapping)), data_(mapping_.data()), file_(std::move(file)) {
    if (made_here) trusted_.Set();
  }

  // As it is to be read: what stands in the file may have a flipped bit.
  const format::SegmentHeader& header() const { return header_; }
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

  // The descriptor through which it is synced, the same as long as the segment is mapped. An error of the disk is told
  // once to each descriptor that was open then, and never to a younger one: so the first sync through one that was not
  // there before the first record looks at the records itself (log/sync.h). Then the descriptor is trusted.
  const platform::File& file() const { return file_; }
  bool trusted() const { return trusted_.Read(); }
  void Trust() { trusted_.Set(); }
  uint32_t epoch() const { return header_.epoch; }
  // Not 0: recovery made it, and put an END before it.
  uint8_t cause() const { return header_.header.cause; }

  // True once a page of it could not be had: what was read from it, or written to it, is not the log (see
  // platform/bus_guard.h). Asked after the bytes were touched. One relaxed load.
  bool poisoned() const { return mapping_.poisoned(); }

  // Pages up to this position are present in this process.
  uint64_t populated() const { return populated_.Read(); }
  // Makes them so from `from` (what lies before is left as it is) up to `to`. Thread-safe; repeated work is harmless.
  void Populate(uint64_t from, uint64_t to);

 private:
  format::SegmentHeader header_;
  platform::Mapping mapping_;
  std::byte* data_;
  platform::File file_;
  platform::LocalFlag trusted_;
  platform::LocalMark populated_;
};

using SegmentPtr = std::shared_ptr<Segment>;

// "%020d.seg"
std::string SegmentName(uint64_t base);
bool IsSegmentName(std::string_view name);

// The segments of one topic as this process maps them, all for writing or all read-only. Thread-safe.
class SegmentStore {
 public:
  // `opened`, the topic's directory, outlives the store: what its path leads to may change.
  SegmentStore(const platform::File& opened, std::string directory, const format::Uuid& uuid, bool writable,
               platform::BusErrors bus_errors)
      : opened_(opened), directory_(std::move(directory)), uuid_(uuid), writable_(writable), bus_errors_(bus_errors) {}

  // The segment with this base. NOT_FOUND: no such file. DATA_LOSS: damaged or truncated. UNIMPLEMENTED: newer.
  absl::StatusOr<SegmentPtr> Open(uint64_t base);
  // The same through the descriptor with which this process has just made it.
  absl::StatusOr<SegmentPtr> OpenMade(uint64_t base, platform::File file);

  // The next Open maps the file that stands there then.
  void Forget(uint64_t base);

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
  SegmentPtr Known(uint64_t base);
  SegmentPtr KnownHolding(uint64_t position);
  absl::StatusOr<SegmentPtr> Map(uint64_t base, platform::File file, bool made_here);

  const platform::File& opened_;
  const std::string directory_;
  const format::Uuid uuid_;
  const bool writable_;
  const platform::BusErrors bus_errors_;
  std::mutex mutex_;
  std::map<uint64_t, std::weak_ptr<Segment>> open_;
  // Holds what was opened last: the prepared segment keeps its populated pages until the tail gets there, and the one
  // that was left is unmapped (milliseconds) by who opens another, not by who rolls.
  std::array<SegmentPtr, 2> recent_;
  size_t turn_ = 0;
};

// Makes the segment `base` of `size` bytes appear whole and under a durable name. OK: the file, or one that is not open
// if somebody else has made it first (then theirs stands, and its size may be another). RESOURCE_EXHAUSTED: no room,
// nothing was touched. `cause`: a kEnd... cause if recovery makes it, else 0. `access`: the topic's, see log/access.h.
absl::StatusOr<platform::File> PrepareSegment(const platform::File& directory, const std::string& directory_path,
                                              const format::Uuid& uuid, uint64_t base, uint64_t size, uint32_t epoch,
                                              uint8_t cause, uint8_t access);

// A place where a word stands.
struct Place {
  SegmentPtr segment;
  uint64_t position = 0;

  platform::RecordWord word() const { return segment->word(position); }
  format::Word Read() const { return format::Word(segment->view(position).Read()); }
  format::Verdict Judge(format::TopicSeed seed, format::Word word) const {
    return format::Judge(seed, position, word, segment->room(position));
  }
  // True if the record with this word is whole; of a batch every inner record. REQUIRES: it was judged as DATA.
  bool Verifies(format::TopicSeed seed, format::Word word) const;

  // The record header that stands here, with `word` in it, which was judged: each shared word is read once.
  format::RecordHeader HeaderWith(format::Word word) const {
    format::RecordHeader header;
    std::memcpy(&header, segment->at(position), sizeof(header));
    header.word = word.bits();
    return header;
  }
  // What follows the header of the record with this word.
  std::span<const std::byte> BodyOf(format::Word word) const {
    return {segment->at(position) + format::kRecordHeaderSize, word.length()};
  }
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_SEGMENT_H_
