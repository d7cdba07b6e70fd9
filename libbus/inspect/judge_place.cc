// What the place of a bus means for it: file system, mount, what was tried there, space, rights.
#include <cstring>

#include "libbus/inspect/diagnoses.h"
#include "libbus/inspect/judge.h"

namespace libbus::inspect {
namespace {

using Diagnoses = std::vector<Diagnosis>;

bool OneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

void JudgeFileSystem(const Facts& facts, Diagnoses& out) {
  Check check(out, "file system");
  const std::string& type = facts.type;
  const std::string where = fmt::format("{} ({})", type, facts.source);
  if (type.starts_with("nfs") || type.starts_with("fuse") || OneOf(type, {"cifs", "smb3", "9p", "virtiofs"})) {
    check.Broken(fmt::format("{}: its mappings are not shared by all who open a file, so libbus refuses it", where),
                 "put the bus on a local ext4, xfs, btrfs or tmpfs");
  } else if (OneOf(type, {"ceph", "afs", "gfs2", "ocfs2", "lustre", "vfat", "exfat", "msdos"})) {
    check.Broken(
        fmt::format("{}: shared by machines, or without what crash safety needs: nothing is promised there", where),
        "put the bus on a local ext4, xfs, btrfs or tmpfs");
  } else if (InMemory(facts)) {
    check.Cost(
        fmt::format("{}: the bus is volatile: it survives kill -9 and no reboot; durable publishes are refused", type),
        "put the bus on a disk, if it is to survive a reboot");
  } else if (type == "overlay") {
    check.Cost(
        "overlay: a bus that is made in this container works, and goes with it; one that came with the image does not: "
        "a "
        "reader that is there before the first writer never sees a record",
        "put the bus on a volume");
  } else if (type == "btrfs") {
    check.Cost(
        fmt::format("{}: {}", where,
                    facts.nocow ? "with chattr +C, and on a full disk a publish can wait in the kernel until there is "
                                  "room: a store across two pages is tried again and again (seen on Linux 6.18)"
                                : "copies each page that is written anew, and on a full disk such a write fails inside "
                                  "a publish (DATA_LOSS, nothing is reported that did not happen)"),
        "keep room free, or put the bus on ext4 or xfs");
  } else if (!type.empty() && !OneOf(type, {"ext4", "xfs", "btrfs"})) {
    check.Cost(fmt::format("{}: libbus was not tried on it", where), "ext4, xfs and btrfs are what it is made for");
  }
  if (type.empty()) return check.ElseOk("not known: /proc/self/mountinfo does not tell");
  check.ElseOk(type == "xfs"
                   ? fmt::format("{}; cp may share blocks with the copy: copy a bus that is in use by bus copy", where)
                   : where);
}

void JudgeMount(const Facts& facts, Diagnoses& out) {
  if (facts.mount_point.empty()) return;
  Check check(out, "mount");
  const auto remount = [&](std::string_view option) {
    return fmt::format("mount -o remount,{} {}", option, facts.mount_point);
  };
  if (HasOption(facts, "ro")) {
    check.Broken("mounted read-only: nobody can publish", remount("rw"));
  }
  if (HasOption(facts, "nobarrier") || HasOption(facts, "barrier=0")) {
    check.Broken("mounted without barriers: a sync does not reach the disk, what is called durable may be lost",
                 remount("barrier=1"));
  }
  if (HasOption(facts, "sync")) {
    check.Cost("mounted with sync: each write to a file waits for the disk", remount("async"));
  }
  if (HasOption(facts, "data=journal")) {
    check.Cost("data=journal: each byte is written twice", "mount it with data=ordered");
  }
  const bool compresses = std::any_of(facts.options.begin(), facts.options.end(), [](const std::string& option) {
    return option.starts_with("compress") && option != "compress=no";
  });
  if (compresses && !facts.nocow) {
    check.Cost("mounted with compression: what is synced is compressed first, each time",
               fmt::format("chattr +C {} (for files made from then on)", facts.path));
  }
  if (HasOption(facts, "dax") || HasOption(facts, "dax=always")) {
    check.Cost("mounted with DAX: libbus was not tried on it", "mount it without dax");
  }
  check.ElseOk(fmt::format("at {}, for writing{}", facts.mount_point,
                           InMemory(facts) ? "" : ", and nothing says that a sync would not reach the disk"));
}

void JudgeTrials(const Facts& facts, Diagnoses& out) {
  if (!facts.writable) return Check(out, "tried out").ElseOk("nothing: you may not write there");
  Check check(out, "tried out");
  if (facts.make_error != 0) {
    return check.Broken(fmt::format("no file can be made there: {}", std::strerror(facts.make_error)),
                        "take another place");
  }
  if (facts.nameless_file == Trial::kFails) {
    check.Cost(
        "files without a name cannot be made there: a death while a file is made leaves one that begins with .making-",
        "ext4, xfs, btrfs and tmpfs have them; such a leftover may be deleted");
  }
  if (facts.allocate == Trial::kFails) {
    check.Broken("room for a file cannot be set aside (fallocate): no segment can be made",
                 "make room, or take another file system");
  }
  if (facts.shared_mapping == Trial::kFails) {
    check.Broken("what is stored through one mapping of a file is not seen through another",
                 "take another file system");
  }
  if (facts.locks_work == Trial::kFails) {
    check.Broken("locks are not seen by others who open the file: the dead cannot be told from the living",
                 "take another file system");
  }
  if (facts.sync == Trial::kFails) check.Broken("a sync fails: nothing can be made durable", "see dmesg, and the disk");
  if (facts.populate == Trial::kFails) {
    check.Cost("pages cannot be populated ahead of time: the first record on each pays for it (about 1 us)",
               "Linux 5.14 or newer");
  }
  check.ElseOk("allocating, shared mappings, locks and syncs work");
}

void JudgeSync(const Facts& facts, Diagnoses& out) {
  if (!facts.sync_ns || InMemory(facts)) return;
  Check check(out, "sync");
  const std::string took = fmt::format("{:.2f} ms for one page", static_cast<double>(*facts.sync_ns) / 1e6);
  if (*facts.sync_ns > 20'000'000) {
    check.Cost(took + ": each durable publish waits for one, if it is alone",
               "publish from several threads at once, or in batches, or make the topic with --sync 10ms");
  }
  check.ElseOk(took);
}

void JudgeDevice(const Facts& facts, Diagnoses& out) {
  if (!facts.write_cache) return;
  const std::string cache = *facts.write_cache == "write back" ? "has a volatile cache, which each sync flushes"
                                                               : "says that it has no volatile cache";
  Check(out, "device")
      .ElseOk(fmt::format(
          "{} {}{}", facts.source, cache,
          facts.virtual_disk ? "; it is virtual: what its host makes of a flush cannot be seen from here" : ""));
}

// How much topics may still grow before retention deletes: one segment is open, one prepared.
uint64_t Growth(const Facts& facts) {
  uint64_t growth = 0;
  for (const TopicFacts& topic : facts.topics) {
    const uint64_t most = topic.retain_bytes + 2 * topic.segment_size;
    if (topic.retain_bytes != 0 && most > topic.bytes) growth += most - topic.bytes;
  }
  return growth;
}

void JudgeSpace(const Facts& facts, Diagnoses& out) {
  if (facts.total_bytes == 0) return;
  Check check(out, "space");
  const std::string free = SizeText(facts.free_bytes) + " free";
  const std::string cure = "make room; bus trim T deletes old segments, --retain-bytes keeps a topic small";
  if (facts.free_bytes < LargestSegment(facts)) {
    check.Broken(fmt::format("{}, and the next segment needs {}: publishing ends with the one that is open", free,
                             SizeText(LargestSegment(facts))),
                 cure);
  } else if (facts.free_bytes < 2 * AllSegments(facts)) {
    check.Cost(
        fmt::format("{}: less than two more segments of each topic ({})", free, SizeText(2 * AllSegments(facts))),
        cure);
  }
  if (Growth(facts) > facts.free_bytes) {
    check.Cost(fmt::format("{}, and retention lets the topics grow by {} more before it deletes", free,
                           SizeText(Growth(facts))),
               "make room, or make the topics anew with a smaller --retain-bytes");
  }
  check.ElseOk(free);
}

void JudgeInodes(const Facts& facts, Diagnoses& out) {
  if (facts.total_inodes == 0) return;
  Check check(out, "inodes");
  if (facts.free_inodes == 0) check.Broken("none free: no segment, topic or cursor can be made", "delete files there");
  if (facts.free_inodes > 0 && facts.free_inodes < 64) {
    check.Cost(fmt::format("{} free: each segment, topic and cursor needs some", facts.free_inodes),
               "delete files there");
  }
  check.ElseOk(fmt::format("{} free", facts.free_inodes));
}

void JudgeOwner(const Facts& facts, Diagnoses& out) {
  Check check(out, "owner");
  if (!facts.is_bus) {
    if (!facts.writable)
      check.Broken(fmt::format("you (uid {}) may not make a bus in {}", facts.uid, facts.path), "take another place");
    return check.ElseOk("no bus yet: you may make one there");
  }
  check.ElseOk(facts.uid == facts.bus.uid
                   ? fmt::format("you (uid {})", facts.uid)
                   : fmt::format("uid {}: as uid {} you can read, and not publish", facts.bus.uid, facts.uid));
}

std::string Mode(const PathFacts& path) { return fmt::format("{} (mode {:04o})", path.path, path.mode); }

// Who may write a directory above can put another bus in the place of this one.
void JudgeParents(const Facts& facts, Diagnoses& out) {
  constexpr uint32_t kSticky = 01000;
  Check check(out, "directories above");
  for (const PathFacts& parent : facts.parents) {
    const bool guarded = (parent.mode & kSticky) != 0;
    if ((parent.mode & 02) != 0 && !guarded) {
      check.Broken(fmt::format("{}: anybody can put another bus in the place of this one", Mode(parent)),
                   fmt::format("chmod o-w {}", parent.path));
    } else if ((parent.mode & 020) != 0 && !guarded && parent.gid != parent.uid && parent.gid != 0) {
      check.Cost(
          fmt::format("{}: members of group {} can put another bus in the place of this one", Mode(parent), parent.gid),
          fmt::format("chmod g-w {}, if not all of them are trusted", parent.path));
    } else if (parent.uid != 0 && parent.uid != facts.bus.uid) {
      check.Cost(
          fmt::format("{}: its owner, uid {}, can put another bus in the place of this one", Mode(parent), parent.uid),
          "take a place whose directories are yours or root's, if he is not trusted");
    }
  }
  check.ElseOk("none that others may write");
}

void JudgeModes(const Facts& facts, Diagnoses& out) {
  if (!facts.is_bus) return;
  Check check(out, "rights");
  constexpr uint32_t kOthersWrite = 022, kOthers = 077;
  if ((facts.bus.mode & kOthersWrite) != 0) {
    check.Broken(Mode(facts.bus) + ": others may write there, so libbus refuses to",
                 fmt::format("chmod go-w {}", facts.bus.path));
  }
  for (const PathFacts& file : facts.files) {
    if ((file.mode & kOthersWrite) != 0) {
      check.Broken(Mode(file) + ": others may change it", fmt::format("chmod go-w {}", file.path));
    }
    if (file.uid != facts.bus.uid) {
      check.Broken(fmt::format("{} belongs to uid {}, the bus to {}: no one user can write all of it", file.path,
                               file.uid, facts.bus.uid),
                   fmt::format("chown {} {}", facts.bus.uid, file.path));
    }
  }
  for (const PathFacts& file : facts.locks) {
    if ((file.mode & kOthers) != 0) {
      check.Broken(Mode(file) + ": who can open it can lock it, and hold writers up",
                   fmt::format("chmod 600 {}", file.path));
    }
  }
  check.ElseOk("only the owner writes");
}

}  // namespace

void JudgePlace(const Facts& facts, std::vector<Diagnosis>& out) {
  JudgeFileSystem(facts, out);
  JudgeMount(facts, out);
  JudgeTrials(facts, out);
  JudgeSync(facts, out);
  JudgeDevice(facts, out);
  JudgeSpace(facts, out);
  JudgeInodes(facts, out);
  JudgeOwner(facts, out);
  JudgeParents(facts, out);
  JudgeModes(facts, out);
}

}  // namespace libbus::inspect
