#include "libbus/inspect/findings.h"

#include <fmt/format.h>

#include <algorithm>

namespace libbus::inspect {

absl::Status Findings::Tell(uint64_t bytes) {
  const uint64_t done = std::min(done_ + bytes, total_);
  if (!options_.progress || (done < told_ + kNews && done < total_)) return absl::OkStatus();
  told_ = done;
  if (options_.progress(done, total_)) return absl::OkStatus();
  return absl::CancelledError(fmt::format("the check was ended when {} of {} bytes were checked", done, total_));
}

}  // namespace libbus::inspect
