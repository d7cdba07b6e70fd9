#include "libbus/log/cursor_lock.h"

#include <absl/time/time.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbus/log/access.h"
#include "libbus/log/file_header.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using platform::File;
using platform::LockFile;
using platform::Seam;

constexpr int kTries = 1000;

std::string LockName(const std::string& name) { return name + ".lock"; }

absl::StatusOr<LockFile> OpenLock(const CursorDirectory& directory, const std::string& name) {
  return LockFile::OpenAt(directory.file(), directory.path(), LockName(name));
}

format::CursorLockFile LockFileOf(const Log& log, const CursorHolder& holder) {
  format::CursorLockFile file = {};
  file.header = MakeFileHeader(format::kCursorLockMagic, log.uuid());
  file.pid = holder.pid;
  file.since = holder.since;
  file.checksum = format::FileChecksum(file);
  return file;
}

absl::Status MakeLockFile(const Log& log, const CursorDirectory& directory, const std::string& name) {
  const std::string path = directory.PathOf(LockName(name));
  const format::CursorLockFile empty = LockFileOf(log, {});
  const auto fill = [&](const File& file) -> absl::Status {
    LIBBUS_RETURN_IF_ERROR(directory.GiveToOwner(name, file));
    return platform::WriteAt(file, path, 0, &empty, sizeof(empty));
  };
  const absl::Status made =
      platform::CreateWhole(directory.file(), directory.path(), LockName(name), sizeof(empty), kLocksMode, fill)
          .status();
  return absl::IsAlreadyExists(made) ? absl::OkStatus() : made;
}

// Who wrote his name there last.
std::optional<CursorHolder> ReadHolder(const CursorDirectory& directory, const std::string& name) {
  const std::string path = directory.PathOf(LockName(name));
  const auto file = directory.OpenFile(LockName(name), false);
  if (!file.ok()) return std::nullopt;
  format::CursorLockFile bytes = {};
  const auto size = platform::ReadAt(*file, path, 0, &bytes, sizeof(bytes));
  if (!size.ok() || *size < sizeof(bytes) || !CheckFile(bytes, format::kCursorLockMagic, path, "lock").ok()) {
    return std::nullopt;
  }
  return CursorHolder{bytes.pid, bytes.since};
}

absl::Status HeldBy(const Log& log, const CursorDirectory& directory, const std::string& name) {
  const auto holder = ReadHolder(directory, name);
  const std::string who =
      holder && holder->pid != 0
          ? fmt::format("process {} (since {})", holder->pid,
                        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(holder->since), absl::UTCTimeZone()))
          : std::string("another process");
  return absl::FailedPreconditionError(
      fmt::format("{}: cursor {} is held by {}: close that consumer, or use another cursor", log.path(), name, who));
}

// Whether the name still leads to the file that was opened.
bool StillNamed(const LockFile& lock, const CursorDirectory& directory, const std::string& name) {
  struct stat opened;
  if (fstat(lock.fd(), &opened) != 0) return false;
  const auto named = directory.Look(LockName(name));
  return named.ok() && named->identity == platform::FileIdentity{opened.st_dev, opened.st_ino};
}

void Introduce(const Log& log, const LockFile& lock) {
  const format::CursorLockFile file = LockFileOf(log, {static_cast<uint64_t>(getpid()), Seam::CoarseRealtimeNow()});
  (void)Seam::Write(lock.fd(), 0, &file, sizeof(file));
}

}  // namespace

absl::StatusOr<CursorLock> CursorLock::Take(const Log& log, const CursorDirectory& directory, const std::string& name) {
  for (int tries = 0; tries < kTries; ++tries) {
    auto lock = OpenLock(directory, name);
    if (absl::IsNotFound(lock.status())) {
      LIBBUS_RETURN_IF_ERROR(MakeLockFile(log, directory, name));
      continue;
    }
    if (!lock.ok()) return directory.SayWhose(lock.status(), LockName(name));
    LIBBUS_RETURN_IF_ERROR(directory.CheckIsOurs(lock->fd(), LockName(name)));
    LIBBUS_ASSIGN_OR_RETURN(const bool taken, lock->TryExclusive(format::kCursorByte));
    if (!taken) return HeldBy(log, directory, name);
    if (!StillNamed(*lock, directory, name)) continue;
    Introduce(log, *lock);
    return CursorLock(*std::move(lock));
  }
  return absl::UnavailableError(
      fmt::format("{}: removed again and again: try later", directory.PathOf(LockName(name))));
}

absl::Status CursorLock::RemoveFile(const CursorDirectory& directory, const std::string& name) {
  return directory.SayWhose(directory.Remove(LockName(name)), name);
}

std::optional<CursorHolder> FindCursorHolder(const CursorDirectory& directory, const std::string& name) {
  const auto probe = OpenLock(directory, name);
  // Asked of the kernel, not taken: a look must not stand in the way of who comes just then.
  if (!probe.ok() || !probe->Probe(format::kCursorByte)) return std::nullopt;
  return ReadHolder(directory, name).value_or(CursorHolder{});
}

}  // namespace libbus::log
