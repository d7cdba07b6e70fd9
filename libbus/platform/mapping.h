// A whole file mapped MAP_SHARED, through Boost.Interprocess over a descriptor that its opener checked.
#ifndef LIBBUS_PLATFORM_MAPPING_H_
#define LIBBUS_PLATFORM_MAPPING_H_

#include <absl/status/statusor.h>

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "libbus/platform/file.h"

namespace libbus::platform {

class Mapping {
 public:
  Mapping() = default;
  // Maps the first `size` bytes, left out of core dumps. RESOURCE_EXHAUSTED: no address space.
  static absl::StatusOr<Mapping> Map(const File& file, std::string_view path, uint64_t size, bool writable);

  std::byte* data() const { return static_cast<std::byte*>(region_->get_address()); }
  uint64_t size() const { return region_->get_size(); }
  explicit operator bool() const { return region_ != nullptr; }

  // Makes the pages of a range present and writable. Best effort: a first touch does the same, slower.
  void Populate(uint64_t offset, uint64_t size) const;

  // The aligned word at `offset`. Written only through a writable mapping.
  uint64_t* word(uint64_t offset) const { return reinterpret_cast<uint64_t*>(data() + offset); }

 private:
  std::shared_ptr<boost::interprocess::mapped_region> region_;
};

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_MAPPING_H_
