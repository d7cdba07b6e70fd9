// Kernel, limits, memory, processor and clock, as this process meets them.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "libbus/inspect/facts.h"
#include "libbus/platform/seam.h"

namespace libbus::inspect {
namespace {

using platform::Seam;

std::optional<uint64_t> Limit(__rlimit_resource resource) {
  rlimit limit;
  if (::getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

std::optional<uint64_t> NumberIn(const std::string& path) {
  const std::string text = ReadSmallFile(path);
  if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
  return std::strtoull(text.c_str(), nullptr, 10);
}

std::string FirstWord(const std::string& text) { return text.substr(0, text.find_first_of(" \n")); }

// The word in brackets: "always [madvise] never".
std::string Chosen(const std::string& text) {
  const size_t begin = text.find('['), end = text.find(']');
  return begin == std::string::npos || end == std::string::npos ? "" : text.substr(begin + 1, end - begin - 1);
}

void GatherKernel(Facts& facts) {
  utsname name;
  if (::uname(&name) == 0) facts.kernel = fmt::format("{} {}", name.sysname, name.release);
  // With nothing to wait for it is an invalid call, where it is known.
  facts.futex_waitv = Seam::FutexWaitAny({}, 0) == -EINVAL;
  const long barriers = ::syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  facts.membarrier = barriers > 0 && (barriers & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
  struct statx info = {};
  constexpr unsigned kMountId = 0x1000, kUniqueMountId = 0x4000;  // STATX_MNT_ID, STATX_MNT_ID_UNIQUE
  if (::statx(AT_FDCWD, "/", 0, kMountId | kUniqueMountId, &info) == 0) {
    facts.unique_mount_id = (info.stx_mask & kUniqueMountId) != 0;
    facts.mount_id = facts.unique_mount_id || (info.stx_mask & kMountId) != 0;
  }
  uint8_t boot[16];
  facts.boot_id = Seam::BootId(boot);
  // The first pid namespace of a kernel has this number, which is part of what it promises to programs.
  constexpr ino_t kFirstPidNamespace = 0xEFFFFFFC;
  struct stat status;
  facts.own_pid_namespace = ::stat("/proc/self/ns/pid", &status) == 0 && status.st_ino != kFirstPidNamespace;
}

void GatherLimits(Facts& facts) {
  facts.open_files = Limit(RLIMIT_NOFILE);
  facts.file_size = Limit(RLIMIT_FSIZE);
  facts.address_space = Limit(RLIMIT_AS);
  facts.mappings = NumberIn("/proc/sys/vm/max_map_count");
}

void GatherProcessor(Facts& facts) {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) facts.cpus = static_cast<unsigned>(CPU_COUNT(&set));
#if defined(__x86_64__)
  facts.crc32 = __builtin_cpu_supports("sse4.2") != 0;
  facts.pclmul = __builtin_cpu_supports("pclmul") != 0;
#else
  facts.crc32 = facts.pclmul = true;  // it would not run otherwise
#endif
}

// What a look at the clock costs: the best of a few rounds, so that being interrupted does not count.
void GatherClock(Facts& facts) {
  facts.clock_source = FirstWord(ReadSmallFile("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
  constexpr int kLooks = 200, kRounds = 5;
  int64_t best = INT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t begun = Seam::MonotonicNow();
    for (int i = 0; i < kLooks; ++i) (void)Seam::PreciseRealtimeNow();
    best = std::min(best, (Seam::MonotonicNow() - begun) / kLooks);
  }
  facts.clock_ns = best;
}

// Where cgroups of memory are mounted, and whether in the second version.
struct MemoryGroups {
  std::string mount;
  std::string path;  // of this process's group below it
  bool second = false;
};

std::optional<MemoryGroups> FindMemoryGroups() {
  std::optional<std::string> first, second;
  std::istringstream groups(ReadSmallFile("/proc/self/cgroup"));
  for (std::string line; std::getline(groups, line);) {
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (b == std::string::npos) continue;
    const std::string controllers = "," + line.substr(a + 1, b - a - 1) + ",";
    if (controllers.find(",memory,") != std::string::npos) first = line.substr(b + 1);
    if (controllers == ",,") second = line.substr(b + 1);
  }
  const bool old = first.has_value();
  if (!old && !second) return std::nullopt;
  std::istringstream mounts(ReadSmallFile("/proc/self/mountinfo"));
  for (std::string line; std::getline(mounts, line);) {
    const auto mount = ParseMount(line, std::strtoull(line.c_str(), nullptr, 10));
    if (!mount || mount->type != (old ? "cgroup" : "cgroup2")) continue;
    const bool memory = std::find(mount->options.begin(), mount->options.end(), "memory") != mount->options.end();
    if (!old || memory) return MemoryGroups{mount->point, old ? *first : *second, !old};
  }
  return std::nullopt;
}

// The tightest limit from this process's group up.
void GatherGroup(const MemoryGroups& groups, Facts& facts) {
  const char* limit_file = groups.second ? "/memory.max" : "/memory.limit_in_bytes";
  const char* used_file = groups.second ? "/memory.current" : "/memory.usage_in_bytes";
  for (std::string path = groups.path == "/" ? "" : groups.path;; path.resize(path.find_last_of('/'))) {
    const auto limit = NumberIn(groups.mount + path + limit_file);
    // The first version writes "none" as the highest number of pages.
    if (limit && *limit < facts.memory && *limit < facts.cgroup_limit.value_or(UINT64_MAX)) {
      facts.cgroup_limit = limit;
      facts.cgroup_used = NumberIn(groups.mount + path + used_file).value_or(0);
    }
    if (path.find_last_of('/') == std::string::npos) return;
  }
}

}  // namespace

void GatherMachine(Facts& facts) {
  GatherKernel(facts);
  GatherLimits(facts);
  GatherProcessor(facts);
  GatherClock(facts);
}

void GatherMemory(Facts& facts) {
  struct sysinfo info;
  if (::sysinfo(&info) == 0) facts.memory = uint64_t{info.totalram} * info.mem_unit;
  if (const auto groups = FindMemoryGroups()) GatherGroup(*groups, facts);
  facts.shmem_enabled = Chosen(ReadSmallFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled"));
}

}  // namespace libbus::inspect
