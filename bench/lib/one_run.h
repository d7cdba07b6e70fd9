// One run of one contender: fresh processes, fresh files.
#ifndef LIBBUS_BENCH_ONE_RUN_H_
#define LIBBUS_BENCH_ONE_RUN_H_

#include <absl/status/statusor.h>

#include <functional>
#include <string>

#include "bench/lib/contender.h"
#include "bench/lib/histogram.h"
#include "bench/lib/statistics.h"

namespace libbus::bench {

struct Measured {
  double rate = 0;         // unpaced: records a second, end to end: from the common start to the last record read
  double undisturbed = 0;  // unpaced: the median of the windows of its stamps
  Latency latency;         // paced, and so are the delays
  Histogram delays;
};

// A directory is made in `directory` and removed. OK: every record arrived, once, in its producer's order, with every
// byte. INTERNAL: not so, or a process died. CANCELLED: `stopped` said so. RESOURCE_EXHAUSTED: no room.
absl::StatusOr<Measured> RunOnce(Run run, const std::string& directory, const std::function<bool()>& stopped,
                                 Contender& contender);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_ONE_RUN_H_
