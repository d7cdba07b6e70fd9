// What a process's syncs and background work met: nobody may be waiting for their result.
#ifndef LIBBUS_HEALTH_H_
#define LIBBUS_HEALTH_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace libbus {

enum class WorkKind : uint8_t {
  kSync,     // making records durable
  kPrepare,  // making segments and pages ahead of the tail
  kRepair,   // looking after what dead producers left
  kIndex,    // the index: searches without it take longer
  kRetain,   // deleting what is oldest
};
// "sync", "prepare", "repair", "index", "retain"
std::string_view WorkKindName(WorkKind kind);

// Work on one topic that fails.
struct HealthProblem {
  std::string topic;
  WorkKind kind = WorkKind::kSync;
  absl::Status status;  // of the last attempt; OK, for a LogHook alone: it is over
  absl::Time since;     // of the first attempt that failed
  uint64_t count = 0;   // attempts that failed since then
};

struct Health {
  std::vector<HealthProblem> problems;  // that are not over
  bool ok() const { return problems.empty(); }
};

// Called when work begins to fail, fails otherwise than before, and is over; not for each attempt. It runs on the
// thread that met it, a background thread mostly, with nothing locked that a call of this library needs; it must not
// wait, nor close what it was called for.
using LogHook = std::function<void(const HealthProblem&)>;

}  // namespace libbus

#endif  // LIBBUS_HEALTH_H_
