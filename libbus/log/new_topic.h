// The small files of a topic in the making: for one that begins, and for the copy of one.
#ifndef LIBBUS_LOG_NEW_TOPIC_H_
#define LIBBUS_LOG_NEW_TOPIC_H_

#include <absl/status/status.h>

#include <memory>
#include <string>

#include "libbus/format/layout.h"
#include "libbus/platform/file.h"

namespace libbus::log {

// What stands in the control file. Which files belong to it is filled in when they are made.
struct NewTopic {
  std::unique_ptr<format::ControlHeader> header = std::make_unique<format::ControlHeader>();
  std::unique_ptr<format::ControlRecord> record = std::make_unique<format::ControlRecord>();
  format::LiveWords live = {};
};

// Makes locks, sleep, cursors/ and control, in this order, in a directory that has its mode. Each is there whole and on
// disk, or not at all. `header` says uuid and access. RESOURCE_EXHAUSTED: no room.
absl::Status MakeSmallFiles(const platform::File& directory, const std::string& path, const NewTopic& topic);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_NEW_TOPIC_H_
