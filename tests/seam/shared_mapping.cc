// Under TSan every file is mapped once a process, for writing, whoever asks.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "libbus/platform/seam.h"

#ifdef LIBBUS_TEST_SHARED_MAPPING
namespace libbus::platform {

std::shared_ptr<boost::interprocess::mapped_region> Seam::Map(int fd, uint64_t size, bool writable) {
  using Region = boost::interprocess::mapped_region;
  static std::mutex mutex;
  static auto* regions = new std::map<std::pair<dev_t, ino_t>, std::weak_ptr<Region>>;
  struct stat info;
  if (fstat(fd, &info) != 0) return nullptr;
  const std::lock_guard lock(mutex);
  std::weak_ptr<Region>& known = (*regions)[{info.st_dev, info.st_ino}];
  if (auto region = known.lock()) return region;
  std::shared_ptr<Region> region;
  if (writable) {
    region = RealSeam::Map(fd, size, true);
  } else {
    const int own = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC);
    if (own < 0) return nullptr;
    region = RealSeam::Map(own, size, true);
    close(own);
  }
  known = region;
  return region;
}

}  // namespace libbus::platform
#endif
