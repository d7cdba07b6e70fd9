#include "libbus/health.h"

#include "libbus/platform/seam.h"
#include "libbus/topic/health_board.h"

namespace libbus {

std::string_view WorkKindName(WorkKind kind) {
  switch (kind) {
    case WorkKind::kSync:
      return "sync";
    case WorkKind::kPrepare:
      return "prepare";
    case WorkKind::kRepair:
      return "repair";
    case WorkKind::kIndex:
      return "index";
    case WorkKind::kRetain:
      return "retain";
  }
  return "unknown";
}

namespace internal {

absl::Status HealthBoard::Note(const std::string& topic, WorkKind kind, absl::Status status) {
  HealthProblem told;
  {
    const std::lock_guard lock(mutex_);
    const auto it = problems_.find({topic, kind});
    if (status.ok() && it == problems_.end()) return status;
    const absl::Time now = absl::FromUnixNanos(platform::Seam::CoarseRealtimeNow());
    HealthProblem& problem =
        it != problems_.end() ? it->second : problems_[{topic, kind}] = {topic, kind, absl::OkStatus(), now, 0};
    const bool known = problem.status == status;
    problem.status = status;
    problem.count += status.ok() ? 0 : 1;
    if (!known) told = problem;
    if (status.ok()) problems_.erase({topic, kind});
    if (known) return status;
  }
  if (hook_) hook_(told);
  return status;
}

Health HealthBoard::Read() const {
  const std::lock_guard lock(mutex_);
  Health health;
  for (const auto& [key, problem] : problems_) health.problems.push_back(problem);
  return health;
}

}  // namespace internal
}  // namespace libbus
