// What only somebody who was asked to does: making a copied topic a log of its own, and writing segments anew whose
// sync failed. `bus recover --apply` asks.
#ifndef LIBBUS_LOG_REPAIR_H_
#define LIBBUS_LOG_REPAIR_H_

#include <absl/status/status.h>

#include <string>

#include "libbus/log/log.h"

namespace libbus::log {

// Gives the files of the topic in the directory `path` the inode numbers that they have, and a locks file of its own,
// so that it can be recovered like any other. Its control record then says CLEAN, if it did, or RECOVERING with the
// cause copied. Died in between, at any place: it is a copy still, and the next one begins again. OK also if there was
// nothing to do. FAILED_PRECONDITION: somebody has it open, or is adopting it as well. DATA_LOSS: a header is damaged.
absl::Status AdoptTopic(const std::string& path);

// Writes each segment that is marked as failed into a new file, from what this machine's memory still holds, puts that
// in its place and removes the mark. Died in between: the mark still stands, or the new file is there already.
// REQUIRES: the caller is alone, no claim is open, and the log is sealed behind those segments.
absl::Status RewriteFailed(Log& log);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_REPAIR_H_
