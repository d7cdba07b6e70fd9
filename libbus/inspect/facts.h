// What can be known of a place and its machine, before anybody judges it. Gathering touches the system and judges
// nothing; judging (judge.h) touches nothing.
#ifndef LIBBUS_INSPECT_FACTS_H_
#define LIBBUS_INSPECT_FACTS_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace libbus::inspect {

// Whether something works, tried where the bus lies.
enum class Trial : uint8_t { kNotTried, kWorks, kFails };

struct PathFacts {
  std::string path;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0;  // permission bits with set-id and sticky
};

struct TopicFacts {
  std::string name;
  uint64_t segment_size = 0;
  uint64_t retain_bytes = 0;  // 0: all
  uint64_t bytes = 0;         // of its segments
  bool exclusive = false;
  bool precise_timestamps = false;
};

struct Facts {
  // --- the place ---
  std::string path;  // absolute: the bus, or the directory that one would be made in
  bool is_bus = false;
  uint32_t uid = 0;                     // effective, of this process
  bool writable = false;                // by this process
  PathFacts bus = {};                   // of `path`
  std::vector<PathFacts> parents = {};  // from `path`'s to the root
  std::vector<PathFacts> files = {};    // identity, directories of topics, control, segments
  std::vector<PathFacts> locks = {};
  std::vector<TopicFacts> topics = {};

  // --- file system and mount ---
  std::string type = {};  // "ext4"; empty: not known
  std::string mount_point = {};
  std::string source = {};                // "/dev/vda1"
  std::vector<std::string> options = {};  // of the mount and of the file system
  bool nocow = false;                     // btrfs: chattr +C on the directory
  uint64_t total_bytes = 0;               // 0: not known, or no limit
  uint64_t free_bytes = 0;
  uint64_t total_inodes = 0;  // 0: made as needed
  uint64_t free_inodes = 0;
  std::optional<std::string> write_cache = {};  // of the device: "write back", "write through"
  bool virtual_disk = false;                    // its host decides what a flush does

  // --- tried there, on a file without a name ---
  Trial nameless_file = Trial::kNotTried;
  int make_error = 0;                       // errno: no file can be made at all
  Trial allocate = Trial::kNotTried;        // fallocate
  Trial shared_mapping = Trial::kNotTried;  // a store through one mapping is seen by others and by read
  Trial sync = Trial::kNotTried;
  Trial locks_work = Trial::kNotTried;  // OFD locks are seen by another opener
  Trial populate = Trial::kNotTried;    // MADV_POPULATE_WRITE
  std::optional<int64_t> sync_ns = {};  // the median of a few

  // --- kernel ---
  std::string kernel = {};  // release
  bool futex_waitv = false;
  bool membarrier = false;  // GLOBAL_EXPEDITED
  bool mount_id = false;
  bool unique_mount_id = false;
  bool boot_id = false;

  // --- limits; unset: none ---
  std::optional<uint64_t> open_files = {};
  std::optional<uint64_t> file_size = {};
  std::optional<uint64_t> address_space = {};
  std::optional<uint64_t> mappings = {};  // vm.max_map_count

  // --- memory ---
  uint64_t memory = 0;                        // of the machine, bytes
  std::optional<uint64_t> cgroup_limit = {};  // the tightest above this process
  uint64_t cgroup_used = 0;
  std::string shmem_enabled = {};  // transparent_hugepage/shmem_enabled

  // --- processor and clock ---
  unsigned cpus = 0;  // that this process may run on
  bool crc32 = false;
  bool pclmul = false;
  std::string clock_source = {};
  std::optional<int64_t> clock_ns = {};  // what CLOCK_REALTIME costs
  bool own_pid_namespace = false;
};

// Errors: those of Diagnose.
absl::StatusOr<Facts> GatherFacts(const std::string& path);

// --- parts of it, one file each ---

struct Mount {
  std::string type;
  std::string point;
  std::string source;
  std::vector<std::string> options;
};
// The line of /proc/self/mountinfo that begins with this id.
std::optional<Mount> ParseMount(const std::string& mountinfo, uint64_t id);

void GatherMachine(Facts& facts);               // kernel, limits, processor, clock
void GatherMemory(Facts& facts);                // machine and cgroup
void GatherMount(int directory, Facts& facts);  // file system, mount, space, device
void TryOut(int directory, Facts& facts);       // REQUIRES: facts.writable
// The whole of a small file, such as one of /proc; empty if it cannot be read.
std::string ReadSmallFile(const std::string& path);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_FACTS_H_
