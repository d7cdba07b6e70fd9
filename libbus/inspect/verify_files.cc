// Checks the files of a topic that hold no records, and whether the topic still lies where it was written.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "libbus/inspect/findings.h"
#include "libbus/inspect/picture.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

constexpr const char* kWritersRefused = "readers go on; writers are refused";

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
    findings.Damage(files.path + "/control", "missing", kWritersRefused);
    return absl::OkStatus();
  }
  const File& file = *files.control_file;
  if (file.size() < format::kControlSize) {
    findings.Damage(file.path(), fmt::format("{} bytes instead of {}", file.size(), format::kControlSize),
                    kWritersRefused);
  }
  if (const auto header = file.Get<format::ControlHeader>(0)) {
    LIBBUS_ASSIGN_OR_RETURN(const auto problem, HeaderProblem(file.path(), *header, format::kControlMagic));
    if (!problem.empty()) findings.Damage(file.path(), problem, kWritersRefused);
  }
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
  if (!file.ok()) return file.status();
  const auto header = file->template Get<T>(0);
  if (!header) {
    findings.Damage(file->path(), fmt::format("{} bytes instead of {}", file->size(), format::kPageSize),
                    kWritersRefused);
    return std::optional<File>();
  }
  LIBBUS_ASSIGN_OR_RETURN(const std::string problem, HeaderProblem(file->path(), *header, magic));
  if (!problem.empty()) findings.Damage(file->path(), problem, kWritersRefused);
  if (problem.empty() && files.control.header && !(files.control.header->header.uuid == header->header.uuid)) {
    findings.Damage(file->path(), "belongs to another topic", kWritersRefused);
  }
  return std::optional<File>(*std::move(file));
}

// What differs from where the topic was written; empty: nothing.
std::string MovedText(const TopicFiles& files, const std::optional<File>& locks) {
  const auto& control = files.control;
  std::string text;
  const auto add = [&](bool differs, std::string_view what) {
    if (differs) text += fmt::format("{}{}", text.empty() ? "" : ", ", what);
  };
  if (control.header) {
    add(control.header->control_inode != files.control_file->inode(), "inode of control");
    add(locks && control.header->locks_inode != locks->inode(), "inode of locks");
  }
  const bool open = control.record && control.record->state == uint32_t(format::ControlState::kOpen);
  if (open) {
    add(control.record->device != files.control_file->device(), "device");
    add(FormatBootId(control.record->boot_id) != BootId(), "boot");
  }
  for (const SegmentName& segment : files.segments) {
    const auto file = File::Open(segment.path);
    const auto header = file.ok() ? file->Get<format::SegmentHeader>(0) : std::nullopt;
    const bool right = header && header->checksum == format::FileChecksum(*header);
    if (!right || header->inode == file->inode()) continue;
    add(true, "inodes of segments");
    break;
  }
  return text;
}

void VerifyContinuity(const TopicFiles& files, const std::optional<File>& locks, Findings& findings) {
  const std::string moved = MovedText(files, locks);
  if (moved.empty()) return;
  findings.Note(files.path, fmt::format("not where it was written, or left open by a power loss (other {}): a copy is "
                                        "read, writers are refused",
                                        moved));
}

}  // namespace

absl::Status VerifyTopicFiles(const TopicFiles& files, Findings& findings) {
  LIBBUS_RETURN_IF_ERROR(VerifyControlFile(files, findings));
  LIBBUS_ASSIGN_OR_RETURN(const auto locks,
                          VerifyPage<format::LocksFile>(files, "locks", format::kLocksMagic, findings));
  LIBBUS_RETURN_IF_ERROR(VerifyPage<format::SleepFile>(files, "sleep", format::kSleepMagic, findings).status());
  VerifyContinuity(files, locks, findings);
  return absl::OkStatus();
}

}  // namespace libbus::inspect
