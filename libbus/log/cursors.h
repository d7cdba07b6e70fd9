// All cursors of a topic: for who lists them, and for who must not delete what they need.
#ifndef LIBBUS_LOG_CURSORS_H_
#define LIBBUS_LOG_CURSORS_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbus/log/cursor_file.h"
#include "libbus/log/log.h"

namespace libbus::log {

struct CursorEntry {
  std::string name;
  uint32_t uid = 0;
  absl::StatusOr<CursorContent> content;  // or why it cannot be known
  std::optional<CursorHolder> holder;     // who lives and holds it, where that can be known
};

// By name. What is called otherwise than a cursor can be is left out. None in a topic of an older version.
absl::StatusOr<std::vector<CursorEntry>> ListCursors(const Log& log);

// The lowest position at which any cursor stands, or could stand again after a power loss: nothing from there on may be
// deleted. Nothing: there are no cursors. What is read is on stable storage when this returns, the names too; a
// holder's later commits go behind it, unless he goes back himself. Any error: a cursor could not be read or synced, so
// that nothing is known and nothing may be deleted.
absl::StatusOr<std::optional<uint64_t>> LowestNeeded(const Log& log);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_CURSORS_H_
