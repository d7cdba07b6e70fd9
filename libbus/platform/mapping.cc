#include "libbus/platform/mapping.h"

#include <algorithm>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <utility>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::platform {

namespace bip = boost::interprocess;

// The range goes before its pages: what is mapped at these addresses afterwards is somebody else's.
struct Mapping::Region {
  explicit Region(std::shared_ptr<bip::mapped_region> mapped) : pages(std::move(mapped)) {}

  const std::shared_ptr<bip::mapped_region> pages;
  GuardedRange range;
};

absl::StatusOr<Mapping> Mapping::Map(const File& file, std::string_view path, uint64_t size, bool writable,
                                     BusErrors bus_errors) {
  // A mapping beyond the end of its file is a SIGBUS at the first touch there.
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t file_size, FileSize(file, path));
  if (file_size < size || size == 0) {
    return absl::DataLossError(std::string(path) + ": truncated: look at it with `bus dump`");
  }
  auto pages = Seam::Map(file.fd(), size, writable);
  if (pages == nullptr) return ErrnoStatus(errno, path, "cannot map");
  const auto region = std::make_shared<Region>(std::move(pages));
  Mapping mapping;
  mapping.data_ = static_cast<std::byte*>(region->pages->get_address());
  mapping.size_ = region->pages->get_size();
  if (bus_errors == BusErrors::kGuarded) {
    region->range = GuardedRange(mapping.data_, mapping.size_, region->pages->get_mode() == bip::read_write);
  }
  mapping.poisoned_ = &region->range.poisoned();
  mapping.region_ = region;
  return mapping;
}

void Mapping::Populate(uint64_t offset, uint64_t size) const {
  if (offset >= size_) return;
  (void)Seam::Populate(data_ + offset, std::min(size, size_ - offset));
}

}  // namespace libbus::platform
