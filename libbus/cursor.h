// Named, durable read positions of a topic: see docs/cursors.md. A consumer is given one by ConsumerOptions::cursor.
#ifndef LIBBUS_CURSOR_H_
#define LIBBUS_CURSOR_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <string>

#include "libbus/record.h"

namespace libbus {

// How far a place is behind the last committed record.
struct Lag {
  uint64_t bytes = 0;                    // of the log: headers, gaps and the ends of segments included
  std::optional<uint64_t> records = {};  // gaps count as in sequences; unset where it is too far to count, or damaged
};

// A living consumer that holds a cursor.
struct CursorHolder {
  uint64_t pid = 0;  // in its own pid namespace; 0: not known
  absl::Time since;
};

struct CursorInfo {
  std::string name;
  Position position;                      // where its consumer goes on
  std::optional<uint64_t> sequence = {};  // of the record there, where it is known
  Lag lag;
  absl::Time committed_at;
  std::optional<CursorHolder> holder = {};  // unset: nobody, or another user's cursor of which that cannot be known
  uint32_t uid = 0;                         // whose it is
  // Not OK: why it cannot be used, and what to do. Where its file cannot be read, nothing above but name and uid
  // counts.
  absl::Status problem;
};

}  // namespace libbus

#endif  // LIBBUS_CURSOR_H_
