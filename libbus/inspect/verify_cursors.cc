// Checks the cursors of a topic: each is used by somebody who will read nothing, or from elsewhere, if it is damaged.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "libbus/format/cursor.h"
#include "libbus/inspect/findings.h"
#include "libbus/log/cursor_directory.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

// The holder may be writing one: what does not verify is read again.
constexpr int kTries = 3;

void Damaged(const TopicFiles& files, const std::string& path, const std::string& what, Findings& findings) {
  const std::string name = path.substr(path.rfind('/') + 1);
  findings.Damage(
      path, what,
      fmt::format("its consumer cannot go on, and nothing is deleted that it may need: \"bus cursor seek {} "
                  "{} POSITION\" or \"bus cursor rm {} {}\"",
                  files.name, name, files.name, name));
}

// Empty: nothing is wrong with the header.
absl::StatusOr<std::string> HeaderText(const TopicFiles& files, const File& file, Findings& findings) {
  std::optional<format::FlippedBit> flipped;
  const auto header = std::make_unique<std::optional<format::CursorHeader>>(
      GetHeader<format::CursorHeader>(file, format::kCursorMagic, &flipped));
  if (!*header) return fmt::format("{} bytes instead of {}", file.size(), format::kCursorSize);
  LIBBUS_ASSIGN_OR_RETURN(const std::string problem, HeaderProblem(file.path(), **header, format::kCursorMagic));
  if (!problem.empty()) return problem;
  if (flipped) findings.Flipped(file.path(), *flipped, std::nullopt, RecoverCommand(files));
  const auto& control = files.control.header;
  if (control && !(control->header.uuid == (*header)->header.uuid)) return std::string("belongs to another topic");
  return std::string(file.size() < format::kCursorSize ? "truncated" : "");
}

void VerifyCopies(const TopicFiles& files, const File& file, Findings& findings) {
  const auto header = GetHeader<format::CursorHeader>(file, format::kCursorMagic);
  const auto uuid = header ? header->header.uuid : format::Uuid();
  format::CursorRecord copies[2] = {};
  bool right[2] = {false, false};
  for (int tries = 0; tries < kTries && !(right[0] && right[1]); ++tries) {
    for (const int i : {0, 1}) {
      copies[i] = file.Get<format::CursorRecord>(format::kCursorCopyOffset[i]).value_or(format::CursorRecord());
      right[i] = format::IsValid(uuid, copies[i]) || (copies[i].counter == 0 && copies[i].checksum == 0);
    }
  }
  if (!format::HoldingCopy(uuid, copies))
    return Damaged(files, file.path(), "neither of its copies verifies", findings);
  for (const int i : {0, 1}) {
    if (right[i]) continue;
    findings.Note(file.path(), fmt::format("copy {} does not verify; the other one holds: the power went in the middle "
                                           "of a commit",
                                           i == 0 ? 'A' : 'B'));
  }
}

absl::Status VerifyCursor(const TopicFiles& files, const std::string& path, Findings& findings) {
  // Links are not followed by who uses it.
  const absl::Status usable = platform::OpenFile(path, false).status();
  if (absl::IsNotFound(usable)) return absl::OkStatus();
  if (absl::IsFailedPrecondition(usable)) {
    Damaged(files, path, kNotRegular, findings);
    return absl::OkStatus();
  }
  LIBBUS_ASSIGN_OR_RETURN(const File file, File::Open(path));
  LIBBUS_ASSIGN_OR_RETURN(const std::string problem, HeaderText(files, file, findings));
  if (problem.empty()) {
    VerifyCopies(files, file, findings);
  } else {
    Damaged(files, path, problem, findings);
  }
  return absl::OkStatus();
}

bool IsLock(const std::string& name) {
  return name.ends_with(".lock") && log::IsCursorName(name.substr(0, name.size() - 5));
}

}  // namespace

absl::Status VerifyCursors(const TopicFiles& files, Findings& findings) {
  const std::string directory = files.path + "/cursors";
  auto names = platform::ListDirectory(directory);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  if (absl::IsFailedPrecondition(names.status())) {
    findings.Damage(directory, "not a directory", "all of it, but who names a cursor is refused");
    return absl::OkStatus();
  }
  LIBBUS_RETURN_IF_ERROR(names.status());
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    const std::string path = fmt::format("{}/{}", directory, name);
    if (log::IsCursorName(name)) {
      LIBBUS_RETURN_IF_ERROR(VerifyCursor(files, path, findings));
    } else if (name.starts_with(".")) {
      findings.Note(path, "in the making, or left by a process that was killed: nobody reads it");
    } else if (!IsLock(name)) {
      findings.Note(path, "not a cursor: nobody reads it");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CountCursors(const TopicFiles& files) {
  const auto names = platform::ListDirectory(files.path + "/cursors");
  if (absl::IsNotFound(names.status())) return uint64_t{0};
  LIBBUS_RETURN_IF_ERROR(names.status());
  return static_cast<uint64_t>(std::count_if(names->begin(), names->end(), log::IsCursorName));
}

}  // namespace libbus::inspect
