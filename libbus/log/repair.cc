#include "libbus/log/repair.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "libbus/format/control.h"
#include "libbus/log/access.h"
#include "libbus/log/file_header.h"
#include "libbus/log/sync.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::ControlRecord;
using format::ControlState;
using platform::ErrnoStatus;
using platform::File;
using platform::Seam;

// Puts a whole new file in the place of `name`.
absl::Status Replace(const File& directory, const std::string& path, const std::string& name, uint64_t size,
                     uint32_t mode, const std::function<absl::Status(const File&)>& fill) {
  const std::string temporary = ".new-" + name;
  (void)Seam::Unlink(directory.fd(), temporary.c_str());
  LIBBUS_RETURN_IF_ERROR(platform::CreateWhole(directory, path, temporary, size, mode, fill).status());
  if (const int error = Seam::Rename(directory.fd(), temporary.c_str(), name.c_str()); error != 0) {
    return ErrnoStatus(error, path + "/" + name, "cannot rename");
  }
  return platform::SyncFile(directory, path);
}

absl::Status WriteLocks(const File& file, const std::string& path, const format::Uuid& uuid) {
  format::LocksFile locks = {};
  locks.header = MakeFileHeader(format::kLocksMagic, uuid);
  locks.checksum = format::FileChecksum(locks);
  return platform::WriteAt(file, path, 0, &locks, sizeof(locks));
}

// A living process may hold locks on a file that has lost its name: nothing tells, but that it has the control file
// open. A write lease is granted only to who has it open alone.
absl::Status CheckNobodyHasItOpen(const File& control, const std::string& path) {
  // Whoever opens the file just then makes the kernel send SIGIO, which kills: to this thread, and taken back.
  const platform::SignalBlocker blocker(SIGIO);
  const f_owner_ex self = {F_OWNER_TID, gettid()};
  fcntl(control.fd(), F_SETOWN_EX, &self);
  if (fcntl(control.fd(), F_SETLEASE, F_WRLCK) == 0) {
    fcntl(control.fd(), F_SETLEASE, F_UNLCK);
    return absl::OkStatus();
  }
  if (errno != EAGAIN && errno != EBUSY) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: a process has this topic open: end it first (`fuser -v {}/control` names it)", path, path));
}

// One copied topic.
class Adopter {
 public:
  explicit Adopter(const std::string& path)
      : path_(path), store_(directory_, path, {}, false, platform::BusErrors::kGuarded) {}

  absl::Status Run() {
    LIBBUS_ASSIGN_OR_RETURN(directory_, platform::OpenDirectory(path_));
    if (flock(directory_.fd(), LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(fmt::format("{}: another process is repairing this topic: wait", path_));
    }
    LIBBUS_RETURN_IF_ERROR(ReadControl());
    LIBBUS_RETURN_IF_ERROR(Replace(directory_, path_, "locks", format::kLocksSize, kLocksMode, [&](const File& file) {
      return WriteLocks(file, path_ + "/locks", header().header.uuid);
    }));
    LIBBUS_RETURN_IF_ERROR(AdoptSegments());
    // Last: as long as the control file has another's inode number it is a copy.
    return Replace(directory_, path_, "control", format::kControlSize, ModesOf(header().access).file,
                   [&](const File& file) { return WriteControl(file); });
  }

 private:
  format::ControlHeader& header() { return *reinterpret_cast<format::ControlHeader*>(bytes_.data()); }
  ControlRecord& copy(int i) {
    return *reinterpret_cast<ControlRecord*>(bytes_.data() + format::kControlCopyOffset[i] / 8);
  }

  absl::Status ReadControl() {
    const std::string path = path_ + "/control";
    LIBBUS_ASSIGN_OR_RETURN(const File file, platform::OpenFile(path, true));
    LIBBUS_ASSIGN_OR_RETURN(const auto header,
                            ReadFileHeader<format::ControlHeader>(file, path, format::kControlMagic, "control file"));
    LIBBUS_RETURN_IF_ERROR(CheckNobodyHasItOpen(file, path_));
    bytes_.resize(format::kControlSize / 8);
    LIBBUS_ASSIGN_OR_RETURN(const size_t got, platform::ReadAt(file, path, 0, bytes_.data(), format::kControlSize));
    // Cut off behind its header: what is missing reads as never written.
    std::memset(reinterpret_cast<char*>(bytes_.data()) + got, 0, format::kControlSize - got);
    // Not as it stands there: it may have a flipped bit.
    this->header() = header;
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
    original_ = identity.inode == header.control_inode;
    return absl::OkStatus();
  }

  // 64 bytes inside one sector: whole or as before, whatever happens.
  absl::Status AdoptSegment(uint64_t base) {
    const std::string path = store_.PathOf(base);
    LIBBUS_ASSIGN_OR_RETURN(const File file, platform::OpenFile(path, true));
    LIBBUS_ASSIGN_OR_RETURN(auto segment,
                            ReadFileHeader<format::SegmentHeader>(file, path, format::kSegmentMagic, "segment"));
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
    newest_epoch_ = std::max(newest_epoch_, segment.epoch);
    if (segment.inode == identity.inode) return absl::OkStatus();
    original_ = false;
    segment.inode = identity.inode;
    segment.checksum = format::FileChecksum(segment);
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, 0, &segment, sizeof(segment)));
    return platform::SyncFile(file, path);
  }

  absl::Status AdoptSegments() {
    LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, store_.ListBases());
    for (const uint64_t base : bases) LIBBUS_RETURN_IF_ERROR(AdoptSegment(base));
    return absl::OkStatus();
  }

  static bool Valid(const ControlRecord& record) {
    return record.counter != 0 && format::ControlRecordChecksum(record) == record.checksum;
  }

  // The one record of the new control file.
  std::unique_ptr<ControlRecord> NextRecord() {
    const bool valid[2] = {Valid(copy(0)), Valid(copy(1))};
    const int newer = valid[0] && (!valid[1] || copy(0).counter > copy(1).counter) ? 0 : 1;
    auto record = std::make_unique<ControlRecord>();
    if (valid[newer]) *record = copy(newer);
    record->epoch = std::max(record->epoch, newest_epoch_);
    record->counter = record->counter + 1;
    record->state_counter = record->counter;
    // A copy's CLEAN may be older or younger than its segments: the recovery looks.
    record->was_clean = valid[newer] && record->state == static_cast<uint32_t>(ControlState::kClean) ? 1 : 0;
    record->state = static_cast<uint32_t>(ControlState::kRecovering);
    record->cause = original_ && record->was_clean == 0 ? format::kEndDamage : format::kEndCopied;
    record->durable = 0;
    record->checksum = *format::ControlRecordChecksum(*record);
    return record;
  }

  absl::Status WriteControl(const File& file) {
    const std::string path = path_ + "/control";
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity locks, platform::IdentifyPath(path_ + "/locks"));
    format::ControlHeader made = header();
    made.control_inode = identity.inode;
    made.locks_device = locks.device;
    made.locks_inode = locks.inode;
    made.checksum = format::FileChecksum(made);
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, 0, &made, sizeof(made)));
    const auto record = NextRecord();
    return platform::WriteAt(file, path, format::kControlCopyOffset[record->counter % 2], record.get(),
                             sizeof(*record));
  }

  const std::string path_;
  SegmentStore store_;
  File directory_;
  std::vector<uint64_t> bytes_;  // of the control file
  bool original_ = false;        // nothing but the locks file is missing
  uint32_t newest_epoch_ = 1;
};

absl::Status CopySegment(const Segment& segment, const File& file, const std::string& path) {
  LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
  const uint64_t size = segment.end() - segment.base();
  LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, 0, segment.at(segment.base()), size));
  format::SegmentHeader header = segment.header();
  header.inode = identity.inode;
  header.checksum = format::FileChecksum(header);
  return platform::WriteAt(file, path, 0, &header, sizeof(header));
}

absl::Status RewriteSegment(Log& log, uint64_t base) {
  const std::string path = log.writing().PathOf(base);
  LIBBUS_ASSIGN_OR_RETURN(const SegmentPtr segment, log.writing().Open(base));
  LIBBUS_RETURN_IF_ERROR(Replace(log.directory(), log.path(), SegmentName(base), segment->end() - base,
                                 ModesOf(log.options().access).file, [&](const File& file) -> absl::Status {
                                   LIBBUS_RETURN_IF_ERROR(CopySegment(*segment, file, path));
                                   return CheckIntact(log, {segment, segment->first()});
                                 }));
  log.writing().Forget(base);
  log.readable().Forget(base);
  const int error = Seam::Unlink(log.directory().fd(), SyncFailedName(base).c_str());
  if (error != 0 && error != ENOENT) return ErrnoStatus(error, path, "cannot remove the mark of the failed sync");
  return platform::SyncFile(log.directory(), log.path());
}

}  // namespace

absl::Status AdoptTopic(const std::string& path) { return Adopter(path).Run(); }

absl::Status RewriteFailed(Log& log) {
  const uint64_t oldest = log.control().sync_failed().Read();
  if (oldest == 0) return absl::OkStatus();
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log.writing().ListBases());
  for (const uint64_t base : bases) {
    const bool marked = platform::IdentifyAt(log.directory(), log.path(), SyncFailedName(base)).ok();
    if (marked || base + 1 == oldest) LIBBUS_RETURN_IF_ERROR(RewriteSegment(log, base));
  }
  log.control().sync_failed().Reset(0);
  return absl::OkStatus();
}

}  // namespace libbus::log
