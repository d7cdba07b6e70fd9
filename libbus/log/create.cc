// Making a topic: log/log.h declares it.
//
// The topic is built in a directory whose name begins with a dot and appears under its own by one rename: it is there
// whole or not at all. The maker holds a lock (flock) on that directory; one that nobody holds was left by the dead,
// and the next maker removes it (log/remove.h).
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "libbus/log/access.h"
#include "libbus/log/file_header.h"
#include "libbus/log/log.h"
#include "libbus/log/new_topic.h"
#include "libbus/log/remove.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using platform::ErrnoStatus;
using platform::File;
using platform::Seam;

// The files of one topic in the making.
class Maker {
 public:
  Maker(std::string path, const LogOptions& options) : path_(std::move(path)), options_(options), uuid_(NewUuid()) {}

  // Makes the directory and locks it. False: before it was locked another maker took it for a dead one's; begin again
  // under another name.
  absl::StatusOr<bool> Begin() {
    if (mkdir(path_.c_str(), 0700) != 0) return ErrnoStatus(errno, path_, "cannot make the directory");
    auto directory = platform::OpenDirectory(path_);
    if (directory.status().code() == absl::StatusCode::kNotFound) return false;
    LIBBUS_RETURN_IF_ERROR(directory.status());
    if (flock(directory->fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return false;
      return ErrnoStatus(errno, path_, "cannot lock");
    }
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity locked, platform::Identify(*directory, path_));
    const auto named = platform::IdentifyPath(path_);
    if (!named.ok() || *named != locked) return false;
    directory_ = *std::move(directory);
    return true;
  }

  // REQUIRES: Begin() said true.
  absl::Status Make() {
    LIBBUS_RETURN_IF_ERROR(SetDirectoryMode(directory_, path_, options_.access));
    LIBBUS_RETURN_IF_ERROR(MakeSmallFiles(directory_, path_, Describe()));
    return PrepareSegment(directory_, path_, uuid_, 0, options_.segment_size, 1, 0, options_.access).status();
  }

  void Unmake() const {
    if (!directory_.is_open()) return;
    for (const std::string& name :
         {std::string("locks"), std::string("sleep"), std::string("control"), SegmentName(0)}) {
      unlinkat(directory_.fd(), name.c_str(), 0);
    }
    unlinkat(directory_.fd(), "cursors", AT_REMOVEDIR);
    rmdir(path_.c_str());
  }

 private:
  NewTopic Describe() const {
    NewTopic topic;
    format::ControlHeader& header = *topic.header;
    std::memset(&header, 0, sizeof(header));
    header.header = MakeFileHeader(format::kControlMagic, uuid_);
    header.created = Seam::PreciseRealtimeNow();
    header.segment_size = options_.segment_size;
    header.claim_timeout = options_.claim_timeout;
    header.timestamps = options_.timestamps;
    header.sync_policy = options_.sync_policy;
    header.sync_every = options_.sync_every;
    header.access = options_.access;
    header.retain_bytes = options_.retain_bytes;
    header.retain_age = options_.retain_age;
    header.mode = options_.exclusive ? format::kModeExclusive : format::kModeShared;
    format::ControlRecord& record = *topic.record;
    std::memset(&record, 0, sizeof(record));
    record.state = static_cast<uint32_t>(format::ControlState::kClean);
    record.epoch = 1;
    record.tail = format::kSegmentHeaderSize;
    record.durable = format::kSegmentHeaderSize;
    return topic;
  }

  const std::string path_;
  const LogOptions options_;
  const format::Uuid uuid_;
  File directory_;
};

absl::Status Publish(const std::string& from, const std::string& to) {
  if (syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return absl::OkStatus();
  }
  const int error = errno;
  // Older file systems: rename onto an existing topic fails all the same, because its directory is not empty.
  if (error == EINVAL && rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(error == EINVAL ? errno : error, to, "cannot create the topic");
}

}  // namespace

absl::Status Log::Create(const std::string& bus_path, const std::string& name, const LogOptions& options) {
  RemoveLeftovers(bus_path);
  const std::string path = fmt::format("{}/{}", bus_path, name);
  for (;;) {
    const std::string making = fmt::format("{}/{}{}-{}", bus_path, kMakingPrefix, getpid(), Seam::MonotonicNow());
    Maker maker(making, options);
    LIBBUS_ASSIGN_OR_RETURN(const bool begun, maker.Begin());
    if (!begun) continue;
    absl::Status status = maker.Make();
    if (status.ok()) status = Publish(making, path);
    if (!status.ok()) {
      maker.Unmake();
      return status;
    }
    // It is there, whole, and anybody may have it open by now. Should this fail, the next one that attaches tries
    // again.
    LIBBUS_ASSIGN_OR_RETURN(const File bus, platform::OpenDirectory(bus_path));
    return platform::SyncFile(bus, bus_path);
  }
}

}  // namespace libbus::log
