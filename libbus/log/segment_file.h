// The bytes of a segment file as recovery reads them: with pread, because a bad sector is an error there, and a signal
// through a mapping.
#ifndef LIBBUS_LOG_SEGMENT_FILE_H_
#define LIBBUS_LOG_SEGMENT_FILE_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "libbus/format/word.h"
#include "libbus/log/log.h"
#include "libbus/platform/file.h"

namespace libbus::log {

// Not thread-safe.
class SegmentFile {
 public:
  static absl::StatusOr<SegmentFile> Open(const Log& log, const Segment& segment);

  // `size` bytes at `position`, valid until the next call. REQUIRES: they lie in the segment.
  absl::StatusOr<const std::byte*> At(uint64_t position, uint64_t size);

  absl::StatusOr<format::Word> WordAt(uint64_t position);

  // True if anything but zeros stands from `position` on. Ranges that were never written are skipped, not read.
  absl::StatusOr<bool> HasBytesFrom(uint64_t position);

 private:
  SegmentFile(std::string path, uint64_t base, uint64_t end) : path_(std::move(path)), base_(base), end_(end) {}

  std::string path_;
  uint64_t base_;
  uint64_t end_;
  platform::File file_;
  uint64_t start_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_SEGMENT_FILE_H_
