#include "libbus/platform/mapping.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::platform {

absl::StatusOr<Mapping> Mapping::Map(const File& file, std::string_view path, uint64_t size, bool writable) {
  // A mapping beyond the end of its file is a SIGBUS at the first touch there.
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t file_size, FileSize(file, path));
  if (file_size < size || size == 0) {
    return absl::DataLossError(std::string(path) + ": truncated: look at it with `bus dump`");
  }
  Mapping mapping;
  mapping.region_ = Seam::Map(file.fd(), size, writable);
  if (mapping.region_ == nullptr) return ErrnoStatus(errno, path, "cannot map");
  madvise(mapping.data(), mapping.size(), MADV_DONTDUMP);
  return mapping;
}

void Mapping::Populate(uint64_t offset, uint64_t size) const {
  if (offset >= this->size()) return;
  (void)Seam::Populate(data() + offset, std::min(size, this->size() - offset));
}

}  // namespace libbus::platform
