// A whole file mapped MAP_SHARED, through Boost.Interprocess over a descriptor that its opener checked.
#ifndef LIBBUS_PLATFORM_MAPPING_H_
#define LIBBUS_PLATFORM_MAPPING_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "libbus/platform/bus_guard.h"
#include "libbus/platform/file.h"

namespace libbus::platform {

// What a touch of a page that cannot be had does: the file was truncated, the sector is bad, the disk is full.
enum class BusErrors : uint8_t {
  kGuarded,  // a private page of zeros takes its place, the mapping is poisoned
  kDeadly,   // the host's SIGBUS
};

// Copies share one mapping; the last one unmaps it.
class Mapping {
 public:
  Mapping() = default;
  // Maps the first `size` bytes, left out of core dumps. RESOURCE_EXHAUSTED: no address space.
  static absl::StatusOr<Mapping> Map(const File& file, std::string_view path, uint64_t size, bool writable,
                                     BusErrors bus_errors = BusErrors::kGuarded);

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }
  explicit operator bool() const { return region_ != nullptr; }

  // True once a page could not be had: what stands there is this process's own, and zero at first. One relaxed load of
  // a word of this process. Of what was read or written before the call it says whether that was the file.
  // REQUIRES: a mapping.
  bool poisoned() const { return poisoned_->Read(); }

  // Makes the pages of a range present and writable. Best effort: a first touch does the same, slower.
  void Populate(uint64_t offset, uint64_t size) const;

  // The aligned word at `offset`. Written only through a writable mapping.
  uint64_t* word(uint64_t offset) const { return reinterpret_cast<uint64_t*>(data_ + offset); }

 private:
  struct Region;

  std::shared_ptr<const Region> region_;
  const PoisonFlag* poisoned_ = nullptr;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace libbus::platform

#endif  // LIBBUS_PLATFORM_MAPPING_H_
