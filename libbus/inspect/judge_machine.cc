// What the machine means for a bus: kernel, limits, memory, processor, clock.
#include "libbus/inspect/diagnoses.h"
#include "libbus/inspect/judge.h"

namespace libbus::inspect {
namespace {

using Diagnoses = std::vector<Diagnosis>;

void JudgeKernel(const Facts& facts, Diagnoses& out) {
  Check check(out, "kernel");
  if (!facts.futex_waitv) {
    check.Cost("no futex_waitv: a wait for many topics looks every millisecond instead of being woken",
               "Linux 5.16 or newer, and a container profile that allows it");
  }
  if (!facts.membarrier) {
    check.Cost("no membarrier: the producer of an exclusive topic fences each publish by itself (about 5 ns)",
               "Linux 4.16 or newer, and a container profile that allows it");
  }
  if (!facts.mount_id) {
    check.Broken(
        "mounts have no number (statx): after a kill nobody sees that the disk was lost and mounted again in between, "
        "and "
        "what went with it is not reported",
        "Linux 5.8 or newer");
  } else if (!facts.unique_mount_id) {
    check.Cost(
        "the number of a mount is used again after an unmount: if the disk is lost and mounted again between a kill "
        "and the "
        "next start, what went with it may go unreported",
        "Linux 6.8 or newer; else bus verify T after such an accident");
  }
  check.ElseOk(facts.kernel + ": has all that libbus uses");
}

void JudgeProc(const Facts& facts, Diagnoses& out) {
  Check check(out, "proc");
  if (!facts.boot_id) {
    check.Broken(
        "/proc/sys/kernel/random/boot_id cannot be read: a kill cannot be told from a power loss, so no writer opens a "
        "topic",
        "mount -t proc proc /proc");
  }
  check.ElseOk(
      facts.own_pid_namespace
          ? "there; this process has a pid namespace of its own: pids of processes elsewhere are those of their own"
          : "there");
}

void JudgeLimits(const Facts& facts, Diagnoses& out) {
  Check check(out, "limits");
  const uint64_t segment = LargestSegment(facts);
  if (facts.file_size && *facts.file_size < segment) {
    check.Broken(fmt::format("files of {} at most, and a segment has {}: none can be made", SizeText(*facts.file_size),
                             SizeText(segment)),
                 "ulimit -f unlimited, or make topics with a smaller --segment-size");
  }
  // The open segment, the one prepared behind it and one to read; beside them what a process takes anyway.
  const uint64_t mapped = 3 * segment + (uint64_t{256} << 20);
  if (facts.address_space && *facts.address_space < mapped) {
    check.Broken(fmt::format("{} of addresses at most: segments of {} may not be mapped",
                             SizeText(*facts.address_space), SizeText(segment)),
                 "ulimit -v unlimited, or make topics with a smaller --segment-size");
  }
  if (facts.open_files && *facts.open_files < 256) {
    check.Cost(fmt::format("{} open files at most: each producer and each topic takes some", *facts.open_files),
               "ulimit -n 1024");
  }
  if (facts.mappings && *facts.mappings < 1024) {
    check.Cost(fmt::format("{} mappings at most: each producer and each consumer takes some", *facts.mappings),
               "sysctl vm.max_map_count=65530");
  }
  check.ElseOk(fmt::format("{} open files, files and mappings as large as segments",
                           facts.open_files ? fmt::format("{}", *facts.open_files) : "any number of"));
}

void JudgeMemory(const Facts& facts, Diagnoses& out) {
  Check check(out, "memory");
  if (!facts.cgroup_limit)
    return check.ElseOk(fmt::format("{}, and no smaller limit for this process", SizeText(facts.memory)));
  const uint64_t room = *facts.cgroup_limit - std::min(*facts.cgroup_limit, facts.cgroup_used);
  const std::string limit =
      fmt::format("this cgroup may have {}, {} are used", SizeText(*facts.cgroup_limit), SizeText(facts.cgroup_used));
  if (InMemory(facts) && room < LargestSegment(facts)) {
    check.Broken(fmt::format("{}: the bus lies in memory, and the kernel kills who fills the next segment", limit),
                 "raise memory.max, or put the bus on a disk, or make topics with a smaller --segment-size");
  } else if (InMemory(facts) && room < 2 * AllSegments(facts)) {
    check.Cost(
        fmt::format("{}: the bus lies in memory, and there is no room for two more segments of each topic", limit),
        "raise memory.max, or keep topics small by --retain-bytes");
  } else if (*facts.cgroup_limit < 2 * LargestSegment(facts)) {
    check.Cost(fmt::format("{}: less than two segments, so pages are written back while they are in use", limit),
               "raise memory.max");
  }
  check.ElseOk(limit);
}

void JudgeHugePages(const Facts& facts, Diagnoses& out) {
  if (facts.type != "tmpfs") return;
  Check check(out, "huge pages");
  const bool always = HasOption(facts, "huge=always") || facts.shmem_enabled == "force";
  if (always && facts.shmem_enabled != "deny") {
    check.Cost("every file takes whole 2 MiB pages: a small topic is a dozen of them",
               fmt::format("mount -o remount,huge=never {}", facts.mount_point));
  }
  check.ElseOk("not forced on small files");
}

void JudgeProcessor(const Facts& facts, Diagnoses& out) {
  Check check(out, "processor");
  if (!facts.crc32) check.Broken("no CRC32C instruction (SSE4.2): libbus does not run here", "another machine");
  if (facts.cpus == 1) {
    check.Cost("one for this process: who spins while he waits keeps the one he waits for from running",
               "Wait::kPark for consumers");
  }
  if (facts.crc32 && !facts.pclmul)
    check.Cost("no PCLMULQDQ: checksums of large records take longer", "a newer machine");
  check.ElseOk(fmt::format("{}, with CRC32C and PCLMULQDQ", facts.cpus));
}

void JudgeClock(const Facts& facts, Diagnoses& out) {
  if (!facts.clock_ns) return;
  Check check(out, "clock");
  const std::string look =
      fmt::format("{}: {} ns a look", facts.clock_source.empty() ? "unknown" : facts.clock_source, *facts.clock_ns);
  if (*facts.clock_ns > 200) {
    const bool precise =
        std::any_of(facts.topics.begin(), facts.topics.end(), [](const TopicFacts& t) { return t.precise_timestamps; });
    check.Cost(
        look + (precise ? ", one for each publish to a topic with precise timestamps, and while a consumer spins"
                        : ", while a consumer spins"),
        "boot with clocksource=tsc where the machine has a sound one; topics with --timestamps coarse (the default)");
  }
  check.ElseOk(look);
}

}  // namespace

void JudgeMachine(const Facts& facts, std::vector<Diagnosis>& out) {
  JudgeKernel(facts, out);
  JudgeProc(facts, out);
  JudgeLimits(facts, out);
  JudgeMemory(facts, out);
  JudgeHugePages(facts, out);
  JudgeProcessor(facts, out);
  JudgeClock(facts, out);
}

}  // namespace libbus::inspect
