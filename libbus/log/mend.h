// Headers of which one bit was flipped, on the disk: found, and put right there.
//
// Everybody who reads such a header puts the bit right in memory (ReadFileHeader), so nothing waits for this. What is
// written is the one byte that is wrong, and no process writes that byte with another value: dead before it, the bit is
// as it was, and read as before; dead behind it, or without power, one or the other.
#ifndef LIBBUS_LOG_MEND_H_
#define LIBBUS_LOG_MEND_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <string>
#include <vector>

#include "libbus/format/mend.h"
#include "libbus/log/log.h"

namespace libbus::log {

struct FlippedHeader {
  std::string path;
  format::FlippedBit at;
  std::byte right = {};  // what has to stand there
};

// The files of the topic whose headers have one flipped bit each, and are of this topic; of the cursors those that are
// this user's. What cannot be read is passed over. Only looks.
absl::StatusOr<std::vector<FlippedHeader>> FindFlippedHeaders(const Log& log);

// The same for the identity of the bus at `bus_path`.
std::vector<FlippedHeader> FindFlippedIdentity(const std::string& bus_path);

// Puts them right, on disk when it returns. OK also for what is right by now. REQUIRES: who calls is alone, or nobody
// but who calls this ever writes those headers.
absl::Status MendHeaders(const std::vector<FlippedHeader>& headers);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_MEND_H_
