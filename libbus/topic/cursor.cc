// The cursors of a topic, seen from outside: libbus/topic.h declares it. A consumer's own is in topic/cursor_keeper.h.
#include "libbus/cursor.h"

#include <algorithm>
#include <utility>

#include "libbus/log/cursors.h"
#include "libbus/log/distance.h"
#include "libbus/platform/status.h"
#include "libbus/topic/seek.h"
#include "libbus/topic/topic_impl.h"

namespace libbus {
namespace {

std::optional<CursorHolder> HolderOf(const std::optional<log::CursorHolder>& holder) {
  if (!holder) return std::nullopt;
  return CursorHolder{holder->pid, absl::FromUnixNanos(holder->since)};
}

CursorInfo InfoOf(internal::TopicImpl& topic, const log::CursorEntry& entry, uint64_t end) {
  CursorInfo info;
  info.name = entry.name;
  info.uid = entry.uid;
  info.holder = HolderOf(entry.holder);
  info.problem = entry.content.status();
  if (!info.problem.ok()) return info;
  info.position.offset = entry.content->place.position;
  info.sequence = entry.content->place.sequence;
  info.committed_at = absl::FromUnixNanos(entry.content->time);
  info.lag.bytes = end - std::min(end, info.position.offset);
  const auto reader = internal::SeekToCursor(topic, entry.name, entry.content->place);
  info.problem = reader.status();
  if (reader.ok()) info.lag.records = log::CountToEnd(topic.log(), *reader, end);
  return info;
}

}  // namespace

absl::StatusOr<std::vector<CursorInfo>> Topic::ListCursors() const {
  LIBBUS_RETURN_IF_ERROR(impl_->CheckFork());
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t end, internal::ReadableEnd(*impl_));
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<log::CursorEntry> entries, log::ListCursors(impl_->log()));
  std::vector<CursorInfo> cursors;
  cursors.reserve(entries.size());
  for (const log::CursorEntry& entry : entries) cursors.push_back(InfoOf(*impl_, entry, end));
  return cursors;
}

absl::Status Topic::SeekCursor(const std::string& name, From from) {
  LIBBUS_RETURN_IF_ERROR(impl_->CheckFork());
  LIBBUS_RETURN_IF_ERROR(log::CheckCursorName(name));
  LIBBUS_ASSIGN_OR_RETURN(const log::Reader reader, internal::SeekTo(impl_->log(), from));
  return log::MoveCursor(impl_->log(), name, {reader.position(), reader.sequence()});
}

absl::Status Topic::RemoveCursor(const std::string& name) {
  LIBBUS_RETURN_IF_ERROR(impl_->CheckFork());
  LIBBUS_RETURN_IF_ERROR(log::CheckCursorName(name));
  return log::RemoveCursor(impl_->log(), name);
}

}  // namespace libbus
