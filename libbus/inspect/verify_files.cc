// Checks the files of a topic that hold no records, and whether the topic still lies where it was written.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "libbus/inspect/findings.h"
#include "libbus/inspect/picture.h"
#include "libbus/log/sync.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

constexpr const char* kWritersRefused = "readers go on; writers are refused";
// Only the locks on the bytes of the locks file matter, and nothing in the sleep page is believed.
constexpr const char* kAllGoOn = "readers and writers go on; who sleeps may be woken late";
constexpr const char* kNothing = "nothing: the topic cannot be opened";

std::string BootId() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(in, text);
  return text;
}

std::string FormatBootId(const uint8_t (&id)[16]) {
  format::Uuid uuid;
  std::copy(std::begin(id), std::end(id), uuid.bytes);
  return log::UuidText(uuid);
}

void VerifyControlCopies(const File& file, const Control& control, Findings& findings) {
  for (const int i : {0, 1}) {
    if (!control.written[i] || control.valid[i]) continue;
    const std::string what = fmt::format("control record, copy {}, does not verify", i == 0 ? 'A' : 'B');
    if (control.record) {
      findings.Note(file.path(), what + "; the other copy holds: a writer was killed in the middle of it");
    } else {
      findings.Tell({.damage = true,
                     .file = file.path(),
                     .offset = format::kControlCopyOffset[i],
                     .what = what,
                     .reader = "the next writer scans everything"});
    }
  }
}

absl::Status VerifyControlFile(const TopicFiles& files, Findings& findings) {
  if (!files.control_file) {
    findings.Damage(files.path + "/control", files.control_is_odd ? kNotRegular : "missing", kNothing);
    return absl::OkStatus();
  }
  const File& file = *files.control_file;
  if (file.size() < format::kControlSize) {
    findings.Damage(file.path(), fmt::format("{} bytes instead of {}", file.size(), format::kControlSize), kNothing);
  }
  if (const auto header = GetHeader<format::ControlHeader>(file, format::kControlMagic)) {
    LIBBUS_ASSIGN_OR_RETURN(const auto problem, HeaderProblem(file.path(), *header, format::kControlMagic));
    if (!problem.empty()) findings.Damage(file.path(), problem, kNothing);
  }
  const auto& flipped = files.control.flipped;
  if (flipped) findings.Flipped(file.path(), *flipped, std::nullopt, RecoverCommand(files));
  VerifyControlCopies(file, files.control, findings);
  return absl::OkStatus();
}

// A locks or sleep file; its inode and device, if its header verifies.
template <typename T>
absl::StatusOr<std::optional<File>> VerifyPage(const TopicFiles& files, const char* name, uint64_t magic,
                                               Findings& findings) {
  auto file = File::Open(fmt::format("{}/{}", files.path, name));
  if (absl::IsNotFound(file.status())) {
    findings.Damage(fmt::format("{}/{}", files.path, name), "missing", kWritersRefused);
    return std::optional<File>();
  }
  // A locks file may be readable to its owner alone: then there is nothing to say.
  if (absl::IsPermissionDenied(file.status())) return std::optional<File>();
  if (absl::IsInvalidArgument(file.status())) {
    findings.Damage(fmt::format("{}/{}", files.path, name), kNotRegular, kWritersRefused);
    return std::optional<File>();
  }
  if (!file.ok()) return file.status();
  std::optional<format::FlippedBit> flipped;
  const auto header = GetHeader<T>(*file, magic, &flipped);
  if (!header) {
    findings.Damage(file->path(), fmt::format("{} bytes instead of {}", file->size(), format::kPageSize), kAllGoOn);
    return std::optional<File>();
  }
  LIBBUS_ASSIGN_OR_RETURN(const std::string problem, HeaderProblem(file->path(), *header, magic));
  if (!problem.empty()) findings.Damage(file->path(), problem, kAllGoOn);
  if (flipped) findings.Flipped(file->path(), *flipped, std::nullopt, RecoverCommand(files));
  if (problem.empty() && files.control.header && !(files.control.header->header.uuid == header->header.uuid)) {
    findings.Damage(file->path(), "belongs to another topic", kAllGoOn);
  }
  return std::optional<File>(*std::move(file));
}

// Adds `what` to a list in words.
void AddIf(bool differs, std::string_view what, std::string& text) {
  if (differs) text += fmt::format("{}{}", text.empty() ? "" : ", ", what);
}

// Which files are not those that were made here; empty: none.
std::string CopiedText(const TopicFiles& files, const std::optional<File>& locks) {
  const auto& control = files.control;
  std::string text;
  if (control.header) {
    AddIf(control.header->control_inode != files.control_file->inode(), "inode of control", text);
    AddIf(locks && control.header->locks_inode != locks->inode(), "inode of locks", text);
  }
  for (const SegmentName& segment : files.segments) {
    const auto file = File::Open(segment.path);
    const auto header = file.ok() ? GetHeader<format::SegmentHeader>(*file, format::kSegmentMagic) : std::nullopt;
    const bool right = header && header->checksum == format::FileChecksum(*header);
    if (!right || header->inode == file->inode()) continue;
    AddIf(true, "inodes of segments", text);
    break;
  }
  return text;
}

// What differs from when it was opened, if it was not closed since; empty: nothing, or it was.
std::string MovedText(const TopicFiles& files) {
  const auto& record = files.control.record;
  std::string text;
  if (!record || record->state != uint32_t(format::ControlState::kOpen)) return text;
  AddIf(record->device != files.control_file->device(), "device", text);
  AddIf(FormatBootId(record->boot_id) != BootId(), "boot", text);
  return text;
}

void VerifyContinuity(const TopicFiles& files, const std::optional<File>& locks, Findings& findings) {
  const std::string copied = CopiedText(files, locks);
  if (!copied.empty()) {
    findings.Note(files.path, fmt::format("a copy (other {}): readers may read it, writers are refused until \"bus "
                                          "recover {} --apply\" makes it a log of its own",
                                          copied, files.name));
    return;
  }
  const std::string moved = MovedText(files);
  if (moved.empty()) return;
  findings.Note(files.path,
                fmt::format("not closed in order, and since then another {}: the next writer seals off what was not "
                            "durable (see \"bus recover {} --dry-run\")",
                            moved, files.name));
}

// The base in the name of a mark, nothing if it is named otherwise.
std::optional<uint64_t> ParseMarkName(std::string_view name) {
  if (!name.ends_with(".failed")) return std::nullopt;
  const auto base = ParseSegmentName(fmt::format("{}.seg", name.substr(0, name.size() - 7)));
  return base && log::SyncFailedName(*base) == name ? base : std::nullopt;
}

// A mark counts by its name: what stands in it is for people.
void VerifyMark(const TopicFiles& files, const std::string& path, uint64_t base, Findings& findings) {
  const auto file = File::Open(path);
  const auto mark = file.ok() ? file->Get<format::SyncFailedFile>(0) : std::nullopt;
  const bool right = mark && mark->checksum == format::FileChecksum(*mark);
  const std::string why =
      right ? fmt::format(" at {} ({})", FormatTime(mark->time), SyncErrorText(mark->error)) : std::string();
  findings.Tell({.damage = true,
                 .file = path,
                 .position = Position{base},
                 .what = fmt::format("the segment could not be written to the disk{}: nothing from {} on is durable "
                                     "until \"bus recover {} --apply\" has written it anew",
                                     why, base, files.name),
                 .reader = "all of it, as long as this machine runs"});
}

bool IsKnownName(const std::string& name) {
  return name == "control" || name == "locks" || name == "sleep" || name == "cursors" || name == "index" ||
         ParseSegmentName(name).has_value();
}

// Marks of failed syncs, and files that are not a topic's.
absl::Status VerifyOtherFiles(const TopicFiles& files, Findings& findings) {
  LIBBUS_ASSIGN_OR_RETURN(auto names, platform::ListDirectory(files.path));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", files.path, name);
    if (const auto base = ParseMarkName(name)) {
      VerifyMark(files, path, *base, findings);
    } else if (name.starts_with(".new-")) {
      findings.Note(path, "left by a recovery that was killed: nobody reads it, and the next one replaces it");
    } else if (name.starts_with(".")) {
      findings.Note(path, "in the making, or left by a process that was killed: nobody reads it");
    } else if (!IsKnownName(name)) {
      findings.Note(path, "not a file of a topic: nobody reads it");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VerifyTopicFiles(const TopicFiles& files, Findings& findings) {
  LIBBUS_RETURN_IF_ERROR(VerifyControlFile(files, findings));
  LIBBUS_ASSIGN_OR_RETURN(const auto locks,
                          VerifyPage<format::LocksFile>(files, "locks", format::kLocksMagic, findings));
  LIBBUS_RETURN_IF_ERROR(VerifyPage<format::SleepFile>(files, "sleep", format::kSleepMagic, findings).status());
  VerifyContinuity(files, locks, findings);
  LIBBUS_RETURN_IF_ERROR(VerifyCursors(files, findings));
  return VerifyOtherFiles(files, findings);
}

}  // namespace libbus::inspect
