// CopyBus: see libbus/copy.h; log/copy.h has the topics.
//
// The copy grows in a directory beside its place, `.NAME.copying-PID-TIME`, whose maker holds a lock (flock) on it, and
// gets its name by one rename when all is on disk. Died before: nothing at `to`; the next copy to the same place finds
// the directory without a holder and removes it. Died behind: it is there, and whole.
#include "libbus/copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "libbus/bus.h"
#include "libbus/log/copy.h"
#include "libbus/log/remove.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"
#include "libbus/topic/view_builder.h"

namespace libbus {
namespace {

using platform::ErrnoStatus;
using platform::File;
using platform::Seam;

// Where the copy will stand.
struct Target {
  std::string path;
  std::string parent_path;  // resolved
  std::string name;
  File parent;
};

absl::StatusOr<std::string> Resolve(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(path.c_str(), nullptr), std::free);
  if (resolved == nullptr) return ErrnoStatus(errno, path, "cannot resolve");
  return std::string(resolved.get());
}

absl::StatusOr<Target> FindTarget(const Bus& from, const std::string& to) {
  Target target;
  target.path = to;
  while (target.path.size() > 1 && target.path.ends_with('/')) target.path.pop_back();
  const size_t slash = target.path.rfind('/');
  target.name = target.path.substr(slash == std::string::npos ? 0 : slash + 1);
  if (target.name.empty() || target.name == "." || target.name == ".." || to.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\": no place for a copy: name a directory to be made", target.path));
  }
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : target.path.substr(0, slash);
  LIBBUS_ASSIGN_OR_RETURN(target.parent_path, Resolve(parent));
  LIBBUS_ASSIGN_OR_RETURN(target.parent, platform::OpenDirectory(target.parent_path));
  if ((target.parent_path + "/").starts_with(from.path() + "/")) {
    return absl::FailedPreconditionError(
        fmt::format("{}: lies inside the bus that is to be copied: choose a place outside of {}", to, from.path()));
  }
  const auto there = platform::IdentifyAt(target.parent, target.parent_path, target.name);
  if (absl::IsNotFound(there.status())) return target;
  LIBBUS_RETURN_IF_ERROR(there.status());
  return absl::AlreadyExistsError(fmt::format("{}: something is there: a copy is made anew, choose another place", to));
}

// A promise that the file system cannot keep is not made.
absl::Status CheckKeeps(const log::Log& log, const Target& target) {
  if (log.options().sync_policy == log::kSyncNone || !Seam::Volatile(target.parent.fd())) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: lies in memory (tmpfs), where the sync policy of topic {} cannot be kept: copy to ext4, xfs or "
                  "btrfs",
                  target.path, log.path().substr(log.path().rfind('/') + 1)));
}

// A topic that is there without its control file is not one to be left out: its records are.
absl::Status CheckControl(const std::string& path) {
  if (!platform::IdentifyPath(path).ok() || platform::IdentifyPath(path + "/control").ok()) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "{}: its control file is gone (see `bus verify`): restore it, or copy the other topics by name", path));
}

// The directory in which the copy grows. Removed with all that is in it, unless it was published.
class Making {
 public:
  explicit Making(const Target& target)
      : target_(target), name_(fmt::format("{}{}-{}", Prefix(target), getpid(), Seam::MonotonicNow())) {}
  ~Making() {
    if (directory_.is_open() && !published_) (void)log::RemoveTree(target_.parent, target_.parent_path, name_);
  }
  Making(const Making&) = delete;
  Making& operator=(const Making&) = delete;

  std::string path() const { return target_.parent_path + "/" + name_; }

  absl::Status Begin() {
    RemoveLeftovers();
    if (mkdirat(target_.parent.fd(), name_.c_str(), 0700) != 0) {
      return ErrnoStatus(errno, path(), "cannot make the directory");
    }
    LIBBUS_ASSIGN_OR_RETURN(directory_, platform::OpenDirectoryAt(target_.parent, target_.parent_path, name_));
    if (flock(directory_.fd(), LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(
        fmt::format("{}: another copy to the same place began just now: try again", path()));
  }

  // What is in it is on disk.
  absl::Status Publish() {
    LIBBUS_RETURN_IF_ERROR(platform::SyncFile(directory_, path()));
    if (const int error = Rename(); error == EEXIST || error == ENOTEMPTY) {
      return absl::AlreadyExistsError(
          fmt::format("{}: somebody made it meanwhile: choose another place", target_.path));
    } else if (error != 0) {
      return ErrnoStatus(error, target_.path, "cannot give the copy its name");
    }
    published_ = true;
    return platform::SyncFile(target_.parent, target_.parent_path);
  }

 private:
  static std::string Prefix(const Target& target) { return fmt::format(".{}.copying-", target.name); }

  int Rename() const {
    const int parent = target_.parent.fd();
    if (syscall(SYS_renameat2, parent, name_.c_str(), parent, target_.name.c_str(), RENAME_NOREPLACE) == 0) return 0;
    // Older file systems: a rename onto anything but an empty directory fails all the same.
    if (errno != EINVAL) return errno;
    return Seam::Rename(parent, name_.c_str(), target_.name.c_str());
  }

  // Of copies to this place that died.
  void RemoveLeftovers() const {
    const auto names = platform::ListDirectory(target_.parent, target_.parent_path);
    if (!names.ok()) return;
    for (const std::string& name : *names) {
      if (!name.starts_with(Prefix(target_))) continue;
      const auto locked = log::LockIfLeft(target_.parent, target_.parent_path, name);
      if (locked) (void)log::RemoveTree(target_.parent, target_.parent_path, name);
    }
  }

  const Target& target_;
  const std::string name_;
  File directory_;
  bool published_ = false;
};

class Copier {
 public:
  Copier(const Bus& from, const Target& target, const CopyOptions& options)
      : from_(from), target_(target), options_(options) {}

  absl::StatusOr<CopyReport> Run() {
    LIBBUS_RETURN_IF_ERROR(Begin());
    Making making(target_);
    LIBBUS_RETURN_IF_ERROR(making.Begin());
    LIBBUS_RETURN_IF_ERROR(MakeBus(making.path()));
    CopyReport report;
    for (log::LogCopy& copy : copies_) {
      LIBBUS_ASSIGN_OR_RETURN(CopiedTopic topic, Copy(copy, making.path()));
      report.topics.push_back(std::move(topic));
    }
    LIBBUS_RETURN_IF_ERROR(making.Publish());
    return report;
  }

 private:
  // All ends before the first byte.
  absl::Status Begin() {
    std::vector<std::string> names = options_.topics;
    if (names.empty()) {
      LIBBUS_ASSIGN_OR_RETURN(names, from_.ListTopics());
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const std::string& name : names) {
      const absl::Status status = BeginTopic(name);
      // Removed since it was listed.
      if (absl::IsNotFound(status) && options_.topics.empty() && !from_.PathOf(name).ok()) continue;
      LIBBUS_RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
  }

  absl::Status BeginTopic(const std::string& name) {
    LIBBUS_ASSIGN_OR_RETURN(const std::string path, from_.PathOf(name));
    auto begun = log::LogCopy::Begin(path);
    if (absl::IsNotFound(begun.status())) LIBBUS_RETURN_IF_ERROR(CheckControl(path));
    LIBBUS_ASSIGN_OR_RETURN(log::LogCopy copy, std::move(begun));
    LIBBUS_RETURN_IF_ERROR(CheckKeeps(copy.log(), target_));
    total_ += copy.bytes();
    copies_.push_back(std::move(copy));
    return absl::OkStatus();
  }

  absl::Status MakeBus(const std::string& path) const {
    return Bus::Open(path, {.create = true, .access = from_.access()}).status();
  }

  absl::StatusOr<CopiedTopic> Copy(log::LogCopy& copy, const std::string& path) {
    const std::string& source = copy.log().path();
    CopiedTopic topic;
    topic.name = source.substr(source.rfind('/') + 1);
    const auto progress = [&](uint64_t bytes) {
      done_ = std::min(done_ + bytes, total_);
      return !options_.progress || options_.progress(done_, total_);
    };
    const auto on_gap = [&](const log::Item& item) {
      const Gap gap = internal::MakeGap(item);
      if (!gap.loss()) return;
      ++topic.losses;
      if (options_.on_loss) options_.on_loss(topic.name, gap);
    };
    topic.segments = copy.segments();
    LIBBUS_RETURN_IF_ERROR(copy.WriteTo(path + "/" + topic.name, progress, on_gap));
    topic.first = {copy.first()};
    topic.end = {copy.end()};
    topic.bytes = copy.bytes();
    topic.records = copy.records();
    if (copy.open_claim()) topic.open_claim = Position{*copy.open_claim()};
    for (const log::CursorEntry& cursor : copy.cursors()) {
      if (cursor.content.ok()) ++topic.cursors;
      if (!cursor.content.ok()) topic.lost_cursors.emplace_back(cursor.content.status().message());
    }
    return topic;
  }

  const Bus& from_;
  const Target& target_;
  const CopyOptions& options_;
  std::vector<log::LogCopy> copies_;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
};

}  // namespace

absl::StatusOr<CopyReport> CopyBus(const std::string& from, const std::string& to, const CopyOptions& options) {
  LIBBUS_ASSIGN_OR_RETURN(const Bus bus, Bus::Open(from, {.read_only = true}));
  LIBBUS_ASSIGN_OR_RETURN(const Target target, FindTarget(bus, to));
  return Copier(bus, target, options).Run();
}

}  // namespace libbus
