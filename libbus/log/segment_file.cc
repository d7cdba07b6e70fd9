#include "libbus/log/segment_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

constexpr uint64_t kWindow = uint64_t{1} << 20;

}  // namespace

absl::StatusOr<SegmentFile> SegmentFile::Open(const Log& log, const Segment& segment) {
  const std::string name = SegmentName(segment.base());
  SegmentFile file(log.path() + "/" + name, segment.base(), segment.end());
  LIBBUS_ASSIGN_OR_RETURN(file.file_, platform::OpenFileAt(log.directory(), log.path(), name, false));
  return file;
}

absl::StatusOr<const std::byte*> SegmentFile::At(uint64_t position, uint64_t size) {
  if (position < start_ || position + size > start_ + buffer_.size()) {
    buffer_.resize(std::min(std::max(size, kWindow), end_ - position));
    start_ = position;
    LIBBUS_ASSIGN_OR_RETURN(const size_t got,
                            platform::ReadAt(file_, path_, position - base_, buffer_.data(), buffer_.size()));
    if (got < buffer_.size()) return absl::DataLossError(fmt::format("{}: truncated (see `bus verify`)", path_));
  }
  return buffer_.data() + (position - start_);
}

absl::StatusOr<format::Word> SegmentFile::WordAt(uint64_t position) {
  LIBBUS_ASSIGN_OR_RETURN(const std::byte* const bytes, At(position, format::kWordSize));
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return format::Word(word);
}

absl::StatusOr<bool> SegmentFile::HasBytesFrom(uint64_t position) {
  while (position < end_) {
    const off_t data = lseek(file_.fd(), static_cast<off_t>(position - base_), SEEK_DATA);
    if (data < 0) return false;
    position = std::max(position, base_ + static_cast<uint64_t>(data));
    if (position >= end_) return false;
    const uint64_t size = std::min(kWindow, end_ - position);
    LIBBUS_ASSIGN_OR_RETURN(const std::byte* const bytes, At(position, size));
    if (std::any_of(bytes, bytes + size, [](std::byte b) { return b != std::byte{0}; })) return true;
    position += size;
  }
  return false;
}

}  // namespace libbus::log
