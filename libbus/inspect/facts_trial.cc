// What is tried out where a bus lies: on one file that has no name, so a death at any point leaves nothing. Where the
// file system has none, on one that loses its name at once; a death between the two leaves an empty file whose name
// begins with .making-, which may be deleted.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "libbus/inspect/facts.h"
#include "libbus/platform/file.h"
#include "libbus/platform/seam.h"

namespace libbus::inspect {
namespace {

using platform::File;
using platform::Seam;

constexpr uint64_t kSize = uint64_t{16} << 10;
constexpr int kSyncs = 9;

Trial Outcome(bool works) { return works ? Trial::kWorks : Trial::kFails; }

// A second open of the same file, which has no name: another description, as another process would have.
File Another(const File& file) {
  return File(::open(fmt::format("/proc/self/fd/{}", file.fd()).c_str(), O_RDWR | O_CLOEXEC));
}

class Mapped {
 public:
  explicit Mapped(const File& file)
      : bytes_(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0)) {}
  ~Mapped() {
    if (there()) ::munmap(bytes_, kSize);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  bool there() const { return bytes_ != MAP_FAILED; }
  char* bytes() const { return static_cast<char*>(bytes_); }

 private:
  void* bytes_;
};

// A store through one mapping must be seen through another, and by a read.
Trial TryMapping(const File& file, const File& other) {
  const Mapped here(file), there(other);
  if (!here.there() || !there.there()) return Trial::kFails;
  constexpr char kMark[] = "seen";
  std::memcpy(here.bytes() + 4096, kMark, sizeof(kMark));
  char read[sizeof(kMark)] = {};
  const bool by_read = ::pread(other.fd(), read, sizeof(read), 4096) == sizeof(read);
  return Outcome(by_read && std::memcmp(read, kMark, sizeof(kMark)) == 0 &&
                 std::memcmp(there.bytes() + 4096, kMark, sizeof(kMark)) == 0);
}

// A lock that one description holds must be seen by another, and not be had by it.
Trial TryLocks(const File& file, const File& other) {
  if (Seam::LockByte(file.fd(), F_WRLCK, 0) != 0) return Trial::kFails;
  struct flock probe = {};
  probe.l_type = F_WRLCK;
  probe.l_whence = SEEK_SET;
  probe.l_len = 1;
  const bool seen = ::fcntl(other.fd(), F_OFD_GETLK, &probe) == 0 && probe.l_type != F_UNLCK;
  return Outcome(seen && Seam::LockByte(other.fd(), F_WRLCK, 0) != 0);
}

// Stores and syncs a page as a durable publish does; the median is what one costs here.
void TrySync(const File& file, Facts& facts) {
  const Mapped mapped(file);
  if (!mapped.there()) return;
  std::vector<int64_t> took;
  for (int i = 0; i < kSyncs; ++i) {
    mapped.bytes()[0] = static_cast<char>(i + 1);
    const int64_t begun = Seam::MonotonicNow();
    if (Seam::DataSync(file.fd()) != 0) {
      facts.sync = Trial::kFails;
      return;
    }
    took.push_back(Seam::MonotonicNow() - begun);
  }
  std::sort(took.begin(), took.end());
  facts.sync = Trial::kWorks;
  facts.sync_ns = took[kSyncs / 2];
}

Trial TryPopulate(const File& file) {
  const Mapped mapped(file);
  if (!mapped.there()) return Trial::kNotTried;
  return Outcome(Seam::Populate(mapped.bytes(), kSize) == 0);
}

// For file systems without nameless files: made as libbus makes one there.
File MakeUnlinked(int directory) {
  const std::string name = fmt::format(".making-doctor-{}", ::getpid());
  File file(::openat(directory, name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (file.is_open()) ::unlinkat(directory, name.c_str(), 0);
  return file;
}

}  // namespace

void TryOut(int directory, Facts& facts) {
  File file(::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  facts.nameless_file = Outcome(file.is_open());
  if (!file.is_open()) file = MakeUnlinked(directory);
  if (!file.is_open()) {
    facts.make_error = errno;
    return;
  }
  facts.allocate = Outcome(Seam::Allocate(file.fd(), kSize) == 0);
  if (facts.allocate == Trial::kFails) return;
  if (const File other = Another(file); other.is_open()) {
    facts.shared_mapping = TryMapping(file, other);
    facts.locks_work = TryLocks(file, other);
  }
  TrySync(file, facts);
  facts.populate = TryPopulate(file);
}

}  // namespace libbus::inspect
