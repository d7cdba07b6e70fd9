#include "libbus/inspect/words.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

using format::Verdict;

// In one segment. True: at an END.
bool WalkSegment(SegmentReader& reader, uint64_t& offset, uint64_t to, const WordVisitor& visit) {
  while (offset < reader.size() && reader.base() + offset < to) {
    const Look look = reader.WordAt(offset);
    if (look.verdict == Verdict::kFree) return false;
    if (look.verdict == Verdict::kEnd) {
      offset = reader.size();
      return true;
    }
    if (!visit(reader.base() + offset, look, reader)) return false;
    offset = look.verdict == Verdict::kBad ? reader.Resync(offset) : offset + look.size;
  }
  return reader.base() + offset < to;
}

template <typename T>
T ValueAt(SegmentReader& reader, uint64_t offset) {
  T value = {};
  const auto bytes = reader.Bytes(offset, sizeof(T));
  if (bytes.size() == sizeof(T)) std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

}  // namespace

absl::StatusOr<uint64_t> WalkWords(const TopicFiles& files, uint64_t from, uint64_t to, const WordVisitor& visit) {
  uint64_t end = from;
  for (const SegmentName& segment : files.segments) {
    const auto file = File::Open(segment.path);
    if (absl::IsNotFound(file.status())) continue;  // deleted since it was listed
    LIBBUS_RETURN_IF_ERROR(file.status());
    LIBBUS_ASSIGN_OR_RETURN(auto identity, IdentifySegment(*file, &files.control));
    if (!identity.usable || identity.base + identity.size <= from) continue;
    SegmentReader reader(*file, identity.seed, identity.base, identity.size, SealedRanges(files.control));
    uint64_t offset = std::max(from, identity.base + format::kSegmentHeaderSize) - identity.base;
    const bool on = WalkSegment(reader, offset, to, visit);
    LIBBUS_RETURN_IF_ERROR(reader.status());
    end = identity.base + offset;
    if (!on) break;
  }
  return end;
}

const SegmentName* SegmentOf(const TopicFiles& files, uint64_t position) {
  const auto behind = std::upper_bound(files.segments.begin(), files.segments.end(), position,
                                       [](uint64_t value, const SegmentName& segment) { return value < segment.base; });
  return behind == files.segments.begin() ? nullptr : &*std::prev(behind);
}

uint64_t NearTail(const TopicFiles& files, const format::LiveWords& live) {
  // In a copy, the control file may be younger than the segments.
  const bool original = files.control.header && files.control.header->control_inode == files.control_file->inode();
  const uint64_t ended = files.control.record ? files.control.record->tail : 0;
  const uint64_t known = original ? std::max(live.durable, ended) : 0;
  const uint64_t hint = live.tail_hint;
  const SegmentName* const segment = SegmentOf(files, hint);
  if (segment != nullptr && hint > known && hint % format::kRecordAlignment == 0) {
    const auto file = File::Open(segment->path);
    const auto identity = file.ok() ? IdentifySegment(*file, &files.control) : file.status();
    if (identity.ok() && identity->usable && hint >= identity->base + format::kSegmentHeaderSize) {
      SegmentReader reader(*file, identity->seed, identity->base, identity->size);
      const Look look = reader.At(hint - identity->base);
      if (look.verdict == Verdict::kData && look.valid()) return hint;
    }
  }
  return known % format::kRecordAlignment == 0 ? known : 0;
}

uint64_t Ordinals(const Look& look, SegmentReader& reader) {
  if (look.verdict != Verdict::kData || !look.word.is_batch()) return 1;
  const auto header = ValueAt<format::BatchHeader>(reader, look.offset + format::kRecordHeaderSize);
  // As many as there is room for; the rest is for verify.
  const uint64_t room = look.word.length() / (sizeof(format::BatchEntry) + format::kRecordHeaderSize);
  return std::clamp<uint64_t>(header.count, 1, std::max<uint64_t>(room, 1));
}

int64_t TimestampOf(const Look& look, SegmentReader& reader) {
  uint64_t offset = look.offset;
  if (look.word.is_batch()) {
    const auto entry =
        ValueAt<format::BatchEntry>(reader, offset + format::kRecordHeaderSize + sizeof(format::BatchHeader));
    if (entry.offset >= look.size) return 0;
    offset += entry.offset;
  }
  return ValueAt<int64_t>(reader, offset + offsetof(format::RecordHeader, timestamp));
}

}  // namespace libbus::inspect
