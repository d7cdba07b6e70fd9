#include <fmt/format.h>

#include "libbus/options.h"

namespace libbus {

std::string SyncPolicy::ToString() const {
  switch (kind_) {
    case Kind::kNone:
      return "none";
    case Kind::kEach:
      return "each";
    case Kind::kEvery:
      return absl::FormatDuration(interval());
    case Kind::kEveryBytes:
      return fmt::format("{} bytes", bytes());
  }
  return "unknown";
}

}  // namespace libbus
