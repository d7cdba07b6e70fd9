#include "libbus/log/remove.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <optional>
#include <utility>
#include <vector>

#include "libbus/log/log.h"
#include "libbus/log/reader.h"
#include "libbus/platform/file.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using platform::ErrnoStatus;
using platform::Seam;

constexpr std::string_view kRemovedPrefix = ".removed-topic-";

// `cursors/` and what its users may have made there.
constexpr int kDepth = 4;

absl::Status Empty(const platform::File& directory, const std::string& path, int depth);

// An entry with all that is in it. Another process may be at it as well. Only through descriptors: others may write in
// `cursors/`, and what a path leads to there can change at any moment.
absl::Status Remove(const platform::File& parent, const std::string& parent_path, const std::string& name, int depth) {
  const std::string path = parent_path + "/" + name;
  int error = Seam::Unlink(parent.fd(), name.c_str());
  absl::Status emptied;
  // Twice: a producer may have put its next segment there meanwhile; it cannot do so again.
  for (int tries = 0; tries < 2 && (error == EISDIR || error == ENOTEMPTY); ++tries) {
    const auto directory = platform::OpenDirectoryAt(parent, parent_path, name);
    emptied = directory.ok() && depth > 0 ? Empty(*directory, path, depth - 1) : directory.status();
    error = unlinkat(parent.fd(), name.c_str(), AT_REMOVEDIR) == 0 ? 0 : errno;
  }
  if (error == 0 || error == ENOENT) return absl::OkStatus();
  return emptied.ok() ? ErrnoStatus(error, path, "cannot remove") : emptied;
}

// As much as can be removed: what somebody else holds on to must not keep the rest on the disk.
absl::Status Empty(const platform::File& directory, const std::string& path, int depth) {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<std::string> names, platform::ListDirectory(directory, path));
  absl::Status first;
  for (const std::string& name : names) first.Update(Remove(directory, path, name, depth));
  return first;
}

// Wakes whoever waits at the end of the log, or for a sync, so that he sees that it is gone.
void WakeAll(Log& log) {
  Seam::FutexWake(log.control().sync_event().futex(), INT_MAX, true);
  // Those who wait in a damaged log look by themselves now and then.
  const auto ends = FindEnds(log, log.readable());
  if (!ends.ok()) return;
  for (const uint64_t position : {ends->tail.position, ends->committed}) {
    const auto segment = log.readable().Containing(position);
    if (segment.ok()) Seam::FutexWake((*segment)->view(position).futex(), INT_MAX, true);
  }
}

}  // namespace

absl::Status RemoveTree(const platform::File& parent, const std::string& parent_path, const std::string& name) {
  // One deeper than a topic.
  return Remove(parent, parent_path, name, kDepth + 1);
}

std::optional<platform::File> LockIfLeft(const platform::File& parent, const std::string& parent_path,
                                         const std::string& name) {
  auto directory = platform::OpenDirectoryAt(parent, parent_path, name);
  if (!directory.ok() || flock(directory->fd(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  return *std::move(directory);
}

absl::Status RemoveTopic(const std::string& bus_path, const std::string& name) {
  RemoveLeftovers(bus_path);
  const std::string path = bus_path + "/" + name;
  const std::string removed = fmt::format("{}{}-{}", kRemovedPrefix, getpid(), Seam::MonotonicNow());
  LIBBUS_ASSIGN_OR_RETURN(const platform::File bus, platform::OpenDirectory(bus_path));
  // One that cannot be opened can be removed all the same.
  const auto log = Log::Open(path, false);
  if (const int error = Seam::Rename(bus.fd(), name.c_str(), removed.c_str()); error != 0) {
    return ErrnoStatus(error, path, "cannot remove the topic");
  }
  // A power loss must not bring the name back with a part of the files.
  LIBBUS_RETURN_IF_ERROR(platform::SyncFile(bus, bus_path));
  if (log.ok()) WakeAll(**log);
  return Remove(bus, bus_path, removed, kDepth);
}

void RemoveLeftovers(const std::string& bus_path) {
  const auto bus = platform::OpenDirectory(bus_path);
  if (!bus.ok()) return;
  const auto names = platform::ListDirectory(*bus, bus_path);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.starts_with(kRemovedPrefix)) (void)Remove(*bus, bus_path, name, kDepth);
    if (!name.starts_with(kMakingPrefix)) continue;
    // Held until it is gone: a maker that comes between would be given a directory that loses its files.
    const auto locked = LockIfLeft(*bus, bus_path, name);
    if (locked) (void)Remove(*bus, bus_path, name, kDepth);
  }
}

}  // namespace libbus::log
