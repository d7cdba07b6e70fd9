#include "libbus/platform/ofd_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::platform {

absl::StatusOr<LockFile> LockFile::Open(const std::string& path) {
  LIBBUS_ASSIGN_OR_RETURN(File file, OpenFile(path, true));
  return LockFile(std::move(file), path);
}

absl::StatusOr<LockFile> LockFile::OpenAt(const File& directory, const std::string& directory_path,
                                          const std::string& name) {
  LIBBUS_ASSIGN_OR_RETURN(File file, OpenFileAt(directory, directory_path, name, true));
  return LockFile(std::move(file), directory_path + "/" + name);
}

absl::StatusOr<bool> LockFile::Try(int type, int64_t byte) const {
  const int error = Seam::LockByte(fd_.fd(), type, byte);
  if (error == 0) return true;
  if (error == EAGAIN || error == EACCES) return false;
  return ErrnoStatus(error, path_, "cannot lock");
}

absl::StatusOr<bool> LockFile::TryShared(int64_t byte) const { return Try(F_RDLCK, byte); }
absl::StatusOr<bool> LockFile::TryExclusive(int64_t byte) const { return Try(F_WRLCK, byte); }
void LockFile::Unlock(int64_t byte) const { (void)Seam::LockByte(fd_.fd(), F_UNLCK, byte); }

bool LockFile::Probe(int64_t byte) const { return Seam::ProbeByte(fd_.fd(), byte); }

}  // namespace libbus::platform
