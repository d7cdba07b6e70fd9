#include "libbus/log/cursors.h"

#include <algorithm>

#include "libbus/log/cursor_directory.h"
#include "libbus/platform/file.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

// What a power loss from now on leaves of this cursor is read afterwards.
absl::Status SyncCursor(const CursorDirectory& directory, const std::string& name) {
  LIBBUS_ASSIGN_OR_RETURN(const platform::File file, directory.OpenFile(name, false));
  return platform::SyncData(file, directory.PathOf(name));
}

}  // namespace

absl::StatusOr<std::vector<CursorEntry>> ListCursors(const Log& log) {
  const auto directory = CursorDirectory::Open(log);
  if (absl::IsNotFound(directory.status())) return std::vector<CursorEntry>();
  LIBBUS_RETURN_IF_ERROR(directory.status());
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<std::string> names, directory->List());
  std::vector<CursorEntry> entries;
  for (const std::string& name : names) {
    const auto info = directory->Look(name);
    auto content = ReadCursor(log, *directory, name);
    if (!info.ok() || absl::IsNotFound(content.status())) continue;  // removed meanwhile
    entries.push_back({name, info->uid, std::move(content), FindCursorHolder(*directory, name)});
  }
  return entries;
}

absl::StatusOr<std::optional<uint64_t>> LowestNeeded(const Log& log) {
  std::optional<uint64_t> lowest;
  const auto directory = CursorDirectory::Open(log);
  if (absl::IsNotFound(directory.status())) return lowest;
  LIBBUS_RETURN_IF_ERROR(directory.status());
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<std::string> names, directory->List());
  for (const std::string& name : names) {
    const absl::Status synced = SyncCursor(*directory, name);
    const auto content = synced.ok() || absl::IsFailedPrecondition(synced) ? ReadCursor(log, *directory, name) : synced;
    if (absl::IsNotFound(content.status())) continue;
    LIBBUS_RETURN_IF_ERROR(content.status());
    lowest = std::min(lowest.value_or(content->lowest), content->lowest);
  }
  // Last: a name that was read is there after a power loss, one that was not is gone.
  LIBBUS_RETURN_IF_ERROR(directory->Sync());
  return lowest;
}

}  // namespace libbus::log
