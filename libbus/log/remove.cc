#include "libbus/log/remove.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
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

// A directory with all that is in it. Another process may be at it as well.
absl::Status RemoveDirectory(const std::string& path) {
  LIBBUS_ASSIGN_OR_RETURN(const platform::File directory, platform::OpenDirectory(path));
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<std::string> names, platform::ListDirectory(directory, path));
  for (const std::string& name : names) {
    const int error = Seam::Unlink(directory.fd(), name.c_str());
    if (error == EISDIR) {
      LIBBUS_RETURN_IF_ERROR(RemoveDirectory(path + "/" + name));
    } else if (error != 0 && error != ENOENT) {
      return ErrnoStatus(error, path + "/" + name, "cannot remove");
    }
  }
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path, "cannot remove");
  return absl::OkStatus();
}

// True if nobody is making it any more.
bool IsLeft(const std::string& path) {
  const auto directory = platform::OpenDirectory(path);
  return directory.ok() && flock(directory->fd(), LOCK_EX | LOCK_NB) == 0;
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
  return RemoveDirectory(bus_path + "/" + removed);
}

void RemoveLeftovers(const std::string& bus_path) {
  const auto names = platform::ListDirectory(bus_path);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const std::string path = bus_path + "/" + name;
    if (name.starts_with(kRemovedPrefix) || (name.starts_with(kMakingPrefix) && IsLeft(path)))
      (void)RemoveDirectory(path);
  }
}

}  // namespace libbus::log
