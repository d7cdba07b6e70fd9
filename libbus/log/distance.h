// How far apart two places are, in records.
#ifndef LIBBUS_LOG_DISTANCE_H_
#define LIBBUS_LOG_DISTANCE_H_

#include <cstdint>
#include <optional>

#include "libbus/log/reader.h"

namespace libbus::log {

// How many ordinals of sequences lie between the reader's place and `to`, before which everything is committed. Counted
// by reading on: nothing where that is more than 65,536 words or 64 MiB, or where words were lost.
std::optional<uint64_t> CountRecords(Reader from, uint64_t to);
// The same to the committed end; where it is too far to be read, by the sequences of both, if they are known.
std::optional<uint64_t> CountToEnd(Log& log, const Reader& from, uint64_t end);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_DISTANCE_H_
