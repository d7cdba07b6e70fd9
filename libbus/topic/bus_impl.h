// What is behind Bus.
#ifndef LIBBUS_TOPIC_BUS_IMPL_H_
#define LIBBUS_TOPIC_BUS_IMPL_H_

#include <string>

#include "libbus/format/layout.h"
#include "libbus/options.h"

namespace libbus::internal {

class BusImpl {
 public:
  BusImpl(std::string path, const OpenOptions& options, const format::Uuid& uuid)
      : path(std::move(path)), options(options), uuid(uuid) {}

  const std::string path;  // absolute
  const OpenOptions options;
  const format::Uuid uuid;
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_BUS_IMPL_H_
