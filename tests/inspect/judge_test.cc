// Each fact that matters, alone: what is said of it. Nothing else is said to be wrong then.
#include "libbus/inspect/judge.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

#include "libbus/options.h"

namespace libbus::inspect {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A machine and a place where all is well.
Facts Healthy() {
  Facts facts;
  facts.path = "/srv/bus";
  facts.is_bus = facts.writable = true;
  facts.uid = 1000;
  facts.bus = {"/srv/bus", 1000, 1000, 0700};
  facts.parents = {{"/srv", 0, 0, 0755}, {"/", 0, 0, 0755}};
  facts.files = {{"/srv/bus/bus", 1000, 1000, 0600}, {"/srv/bus/t", 1000, 1000, 0700}};
  facts.locks = {{"/srv/bus/t/locks", 1000, 1000, 0600}};
  facts.topics = {{.name = "t", .segment_size = 64 * kMiB, .bytes = 128 * kMiB}};
  facts.type = "ext4";
  facts.mount_point = "/srv";
  facts.source = "/dev/sda1";
  facts.options = {"rw", "relatime"};
  facts.total_bytes = 10240 * kMiB;
  facts.free_bytes = 5120 * kMiB;
  facts.total_inodes = 100'000;
  facts.free_inodes = 90'000;
  facts.write_cache = "write back";
  facts.nameless_file = facts.allocate = facts.shared_mapping = facts.sync = facts.locks_work = facts.populate =
      Trial::kWorks;
  facts.sync_ns = 900'000;
  facts.kernel = "Linux 6.8.0";
  facts.futex_waitv = facts.membarrier = facts.mount_id = facts.unique_mount_id = facts.boot_id = true;
  facts.open_files = 1024;
  facts.mappings = 65530;
  facts.memory = 16384 * kMiB;
  facts.shmem_enabled = "never";
  facts.cpus = 8;
  facts.crc32 = facts.pclmul = true;
  facts.clock_source = "tsc";
  facts.clock_ns = 25;
  return facts;
}

// What is not fine, as "level check: what | cure".
std::vector<std::string> Faults(const Facts& facts) {
  std::vector<std::string> faults;
  for (const Diagnosis& one : Judge(facts)) {
    EXPECT_FALSE(one.what.empty()) << one.check;
    EXPECT_EQ(one.cure.empty(), one.level == DiagnosisLevel::kOk) << one.check << ": " << one.what;
    if (one.level == DiagnosisLevel::kOk) continue;
    faults.push_back(std::string(DiagnosisLevelName(one.level)) + " " + one.check + ": " + one.what + " | " + one.cure);
  }
  return faults;
}

// The one line that check says.
std::string Said(const Facts& facts, std::string_view check) {
  std::string said;
  for (const Diagnosis& one : Judge(facts)) {
    if (one.check == check) said += one.what;
  }
  return said;
}

struct Case {
  const char* name;
  std::function<void(Facts&)> change;
  std::vector<std::string> faults;  // each begins with "level check: ", and holds the text behind "..."
};

void InTmpfs(Facts& facts) {
  facts.type = facts.source = "tmpfs";
  facts.write_cache.reset();
}

constexpr const char* kVolatile = "cost file system: ...volatile";

const Case kCases[] = {
    // --- file system ---
    {"xfs", [](Facts& f) { f.type = "xfs"; }, {}},
    {"tmpfs", InTmpfs, {kVolatile}},
    {"nfs", [](Facts& f) { f.type = "nfs4"; }, {"broken file system: ...refuses it"}},
    {"fuse", [](Facts& f) { f.type = "fuse.sshfs"; }, {"broken file system: ...refuses it"}},
    {"9p", [](Facts& f) { f.type = "9p"; }, {"broken file system: ...refuses it"}},
    {"ceph", [](Facts& f) { f.type = "ceph"; }, {"broken file system: ...nothing is promised there"}},
    {"overlay", [](Facts& f) { f.type = "overlay"; }, {"cost file system: ...put the bus on a volume"}},
    {"btrfs", [](Facts& f) { f.type = "btrfs"; }, {"cost file system: ...DATA_LOSS"}},
    {"btrfs nocow", [](Facts& f) { f.type = "btrfs", f.nocow = true; }, {"cost file system: ...wait in the kernel"}},
    {"unknown file system", [](Facts& f) { f.type = "zfs"; }, {"cost file system: ...was not tried on it"}},
    {"no mountinfo", [](Facts& f) { f.type = f.mount_point = f.source = ""; }, {}},
    // --- mount ---
    {"ro", [](Facts& f) { f.options = {"ro"}; }, {"broken mount: ...mount -o remount,rw /srv"}},
    {"nobarrier", [](Facts& f) { f.options.push_back("nobarrier"); }, {"broken mount: ...remount,barrier=1 /srv"}},
    {"barrier=0", [](Facts& f) { f.options.push_back("barrier=0"); }, {"broken mount: ...without barriers"}},
    {"sync", [](Facts& f) { f.options.push_back("sync"); }, {"cost mount: ...remount,async /srv"}},
    {"data=journal", [](Facts& f) { f.options.push_back("data=journal"); }, {"cost mount: ...written twice"}},
    {"data=writeback", [](Facts& f) { f.options.push_back("data=writeback"); }, {}},
    {"dax", [](Facts& f) { f.options.push_back("dax=always"); }, {"cost mount: ...DAX"}},
    {"compress", [](Facts& f) { f.options.push_back("compress=zstd:3"); }, {"cost mount: ...compressed"}},
    {"compress=no", [](Facts& f) { f.options.push_back("compress=no"); }, {}},
    // --- tried out ---
    {"not writable", [](Facts& f) { f.writable = false, f.uid = 7; }, {}},
    {"no O_TMPFILE", [](Facts& f) { f.nameless_file = Trial::kFails; }, {"cost tried out: ....making-"}},
    {"no file at all",
     [](Facts& f) { f.nameless_file = Trial::kFails, f.make_error = ENOENT; },
     {"broken tried out: ...no file can be made there: No such file"}},
    {"no O_TMPFILE and locks",
     [](Facts& f) { f.nameless_file = f.locks_work = Trial::kFails; },
     {"cost tried out: ....making-", "broken tried out: ...the dead"}},
    {"no fallocate", [](Facts& f) { f.allocate = Trial::kFails; }, {"broken tried out: ...fallocate"}},
    {"mappings", [](Facts& f) { f.shared_mapping = Trial::kFails; }, {"broken tried out: ...not seen through another"}},
    {"locks", [](Facts& f) { f.locks_work = Trial::kFails; }, {"broken tried out: ...the dead"}},
    {"sync fails", [](Facts& f) { f.sync = Trial::kFails, f.sync_ns.reset(); }, {"broken tried out: ...dmesg"}},
    {"populate", [](Facts& f) { f.populate = Trial::kFails; }, {"cost tried out: ...Linux 5.14"}},
    {"slow sync", [](Facts& f) { f.sync_ns = 30'000'000; }, {"cost sync: ...30.00 ms"}},
    // --- space ---
    {"no room",
     [](Facts& f) { f.free_bytes = 63 * kMiB; },
     {"broken space: ...63.0 MiB free, and the next segment needs 64.0 MiB"}},
    {"little room", [](Facts& f) { f.free_bytes = 127 * kMiB; }, {"cost space: ...less than two more"}},
    {"room enough", [](Facts& f) { f.free_bytes = 128 * kMiB; }, {}},
    {"retention", [](Facts& f) { f.topics[0].retain_bytes = 6144 * kMiB; }, {"cost space: ...6.0 GiB more"}},
    {"retention that fits", [](Facts& f) { f.topics[0].retain_bytes = 5120 * kMiB; }, {}},
    {"unknown size", [](Facts& f) { f.total_bytes = f.free_bytes = 0; }, {}},
    {"no inodes", [](Facts& f) { f.free_inodes = 0; }, {"broken inodes: ...none free"}},
    {"few inodes", [](Facts& f) { f.free_inodes = 63; }, {"cost inodes: ...63 free"}},
    {"inodes as needed", [](Facts& f) { f.total_inodes = f.free_inodes = 0; }, {}},
    // --- rights ---
    {"another's bus", [](Facts& f) { f.uid = 7; }, {}},
    {"no place for a bus", [](Facts& f) { f.is_bus = f.writable = false; }, {"broken owner: ...may not make a bus"}},
    {"parent for all", [](Facts& f) { f.parents[0].mode = 0777; }, {"broken directories above: .../srv (mode 0777)"}},
    {"sticky parent", [](Facts& f) { f.parents[0].mode = 01777; }, {}},
    {"parent for a group",
     [](Facts& f) {
       f.parents[0] = {"/srv", 0, 50, 0775};
     },
     {"cost directories above: ...group 50"}},
    {"parent for its own group",
     [](Facts& f) {
       f.parents[0] = {"/srv", 1000, 1000, 0775};
     },
     {}},
    {"another's parent", [](Facts& f) { f.parents[0].uid = 1001; }, {"cost directories above: ...uid 1001"}},
    {"bus for all", [](Facts& f) { f.bus.mode = 0777; }, {"broken rights: ...chmod go-w /srv/bus"}},
    {"bus of a group", [](Facts& f) { f.bus.mode = 02750; }, {}},
    {"file for a group", [](Facts& f) { f.files[0].mode = 0660; }, {"broken rights: ...chmod go-w /srv/bus/bus"}},
    {"file of another", [](Facts& f) { f.files[1].uid = 0; }, {"broken rights: ...chown 1000 /srv/bus/t"}},
    {"open locks", [](Facts& f) { f.locks[0].mode = 0644; }, {"broken rights: ...chmod 600 /srv/bus/t/locks"}},
    // --- kernel ---
    {"no futex_waitv", [](Facts& f) { f.futex_waitv = false; }, {"cost kernel: ...5.16"}},
    {"no membarrier", [](Facts& f) { f.membarrier = false; }, {"cost kernel: ...exclusive"}},
    {"mount id used again", [](Facts& f) { f.unique_mount_id = false; }, {"cost kernel: ...6.8"}},
    {"no mount id", [](Facts& f) { f.mount_id = f.unique_mount_id = false; }, {"broken kernel: ...5.8"}},
    {"no boot id", [](Facts& f) { f.boot_id = false; }, {"broken proc: ...mount -t proc proc /proc"}},
    {"pid namespace", [](Facts& f) { f.own_pid_namespace = true; }, {}},
    // --- limits ---
    {"file size", [](Facts& f) { f.file_size = 64 * kMiB - 1; }, {"broken limits: ...ulimit -f unlimited"}},
    {"file size that does", [](Facts& f) { f.file_size = 64 * kMiB; }, {}},
    {"addresses", [](Facts& f) { f.address_space = 447 * kMiB; }, {"broken limits: ...ulimit -v"}},
    {"addresses that do", [](Facts& f) { f.address_space = 448 * kMiB; }, {}},
    {"open files", [](Facts& f) { f.open_files = 255; }, {"cost limits: ...ulimit -n 1024"}},
    {"any number of files", [](Facts& f) { f.open_files.reset(); }, {}},
    {"mappings", [](Facts& f) { f.mappings = 1000; }, {"cost limits: ...vm.max_map_count"}},
    // --- memory ---
    {"cgroup", [](Facts& f) { f.cgroup_limit = 1024 * kMiB; }, {}},
    {"small cgroup", [](Facts& f) { f.cgroup_limit = 127 * kMiB; }, {"cost memory: ...127.0 MiB"}},
    {"full cgroup on a disk", [](Facts& f) { f.cgroup_limit = f.cgroup_used = 1024 * kMiB; }, {}},
    {"full cgroup in memory",
     [](Facts& f) { InTmpfs(f), f.cgroup_limit = 1024 * kMiB, f.cgroup_used = 961 * kMiB; },
     {kVolatile, "broken memory: ...kills"}},
    {"cgroup in memory, over its limit",
     [](Facts& f) { InTmpfs(f), f.cgroup_limit = 1024 * kMiB, f.cgroup_used = 1025 * kMiB; },
     {kVolatile, "broken memory: ...kills"}},
    {"little room in memory",
     [](Facts& f) { InTmpfs(f), f.cgroup_limit = 1024 * kMiB, f.cgroup_used = 900 * kMiB; },
     {kVolatile, "cost memory: ...no room for two more"}},
    {"huge pages",
     [](Facts& f) { InTmpfs(f), f.options.push_back("huge=always"); },
     {kVolatile, "cost huge pages: ...remount,huge=never /srv"}},
    {"huge pages by force",
     [](Facts& f) { InTmpfs(f), f.shmem_enabled = "force"; },
     {kVolatile, "cost huge pages: ...2 MiB"}},
    {"huge pages denied",
     [](Facts& f) { InTmpfs(f), f.options.push_back("huge=always"), f.shmem_enabled = "deny"; },
     {kVolatile}},
    {"huge pages elsewhere", [](Facts& f) { f.shmem_enabled = "force"; }, {}},
    // --- processor and clock ---
    {"one processor", [](Facts& f) { f.cpus = 1; }, {"cost processor: ...Wait::kPark"}},
    {"no CRC32C", [](Facts& f) { f.crc32 = f.pclmul = false; }, {"broken processor: ...SSE4.2"}},
    {"no PCLMULQDQ", [](Facts& f) { f.pclmul = false; }, {"cost processor: ...PCLMULQDQ"}},
    {"slow clock", [](Facts& f) { f.clock_source = "hpet", f.clock_ns = 900; }, {"cost clock: ...hpet: 900 ns"}},
    {"slow clock, precise",
     [](Facts& f) { f.clock_ns = 900, f.topics[0].precise_timestamps = true; },
     {"cost clock: ...precise timestamps"}},
    // --- several at once: each is told ---
    {"two mount options",
     [](Facts& f) {
       f.options = {"ro", "nobarrier"};
     },
     {"broken mount: ...read-only", "broken mount: ...barriers"}},
};

TEST(Judge, WhereAllIsWellEachCheckSaysSo) {
  EXPECT_EQ(Faults(Healthy()), std::vector<std::string>());
  std::vector<std::string> checks;
  for (const Diagnosis& one : Judge(Healthy())) checks.push_back(one.check);
  EXPECT_EQ(checks, (std::vector<std::string>{"file system", "mount", "tried out", "sync", "device", "space", "inodes",
                                              "owner", "directories above", "rights", "kernel", "proc", "limits",
                                              "memory", "processor", "clock"}));
}

TEST(Judge, EachFactIsJudgedAlone) {
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.name);
    Facts facts = Healthy();
    one.change(facts);
    const std::vector<std::string> found = Faults(facts);
    ASSERT_EQ(found.size(), one.faults.size()) << (found.empty() ? "nothing" : found.back());
    for (size_t i = 0; i < found.size(); ++i) {
      const size_t dots = one.faults[i].find("...");
      EXPECT_TRUE(found[i].starts_with(one.faults[i].substr(0, dots))) << found[i];
      EXPECT_NE(found[i].find(one.faults[i].substr(dots + 3)), std::string::npos) << found[i];
    }
  }
}

TEST(Judge, WhatIsFineSaysWhatItIs) {
  Facts facts = Healthy();
  EXPECT_EQ(Said(facts, "owner"), "you (uid 1000)");
  facts.uid = 7;
  EXPECT_EQ(Said(facts, "owner"), "uid 1000: as uid 7 you can read, and not publish");
  facts.writable = false;
  EXPECT_EQ(Said(facts, "tried out"), "nothing: you may not write there");
  facts.virtual_disk = true;
  EXPECT_NE(Said(facts, "device").find("it is virtual"), std::string::npos);
  facts.write_cache = "write through";
  EXPECT_NE(Said(facts, "device").find("no volatile cache"), std::string::npos);
}

// Where there is no bus yet it is judged for a topic with the defaults.
TEST(Judge, WithoutTopicsTheDefaultsAreExpected) {
  Facts facts = Healthy();
  facts.is_bus = false;
  facts.topics.clear();
  EXPECT_EQ(Faults(facts), std::vector<std::string>());
  facts.free_bytes = kDefaultSegmentSize - 1;
  ASSERT_EQ(Faults(facts).size(), 1u);
  EXPECT_TRUE(Faults(facts)[0].starts_with("broken space: "));
}

}  // namespace
}  // namespace libbus::inspect
