// Keeps what work on the topics of one bus handle met.
#ifndef LIBBUS_TOPIC_HEALTH_BOARD_H_
#define LIBBUS_TOPIC_HEALTH_BOARD_H_

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "libbus/health.h"

namespace libbus::internal {

// Thread-safe.
class HealthBoard {
 public:
  explicit HealthBoard(LogHook hook) : hook_(std::move(hook)) {}

  // An attempt ended like this. Returns `status`.
  absl::Status Note(const std::string& topic, WorkKind kind, absl::Status status);

  Health Read() const;

 private:
  const LogHook hook_;
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, WorkKind>, HealthProblem> problems_;
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_HEALTH_BOARD_H_
