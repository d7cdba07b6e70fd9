// What is behind Bus.
#ifndef LIBBUS_TOPIC_BUS_IMPL_H_
#define LIBBUS_TOPIC_BUS_IMPL_H_

#include <string>

#include "libbus/format/layout.h"
#include "libbus/options.h"
#include "libbus/platform/mapping.h"
#include "libbus/topic/health_board.h"

namespace libbus::internal {

class BusImpl {
 public:
  BusImpl(std::string path, const OpenOptions& options, const format::Uuid& uuid)
      : path(std::move(path)), options(options), uuid(uuid), health(options.log_hook) {}

  platform::BusErrors bus_errors() const {
    return options.sigbus_guard ? platform::BusErrors::kGuarded : platform::BusErrors::kDeadly;
  }

  const std::string path;     // absolute
  const OpenOptions options;  // `access` is the bus's own
  const format::Uuid uuid;
  HealthBoard health;
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_BUS_IMPL_H_
