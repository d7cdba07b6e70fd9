#include "libbus/inspect/verify_index.h"

#include <fmt/format.h>

#include <algorithm>

#include "libbus/format/index.h"
#include "libbus/inspect/file.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

constexpr std::string_view kCure = "the next writer makes it anew, or delete it: nothing else is lost";

// A file that does not tell of this log is no damage: it is not used.
std::string Unusable(const TopicFiles& files, const File& file, const format::IndexHeader& header) {
  if (files.control.header && !(files.control.header->header.uuid == header.header.uuid)) return "of another topic";
  return header.inode != file.inode() ? "a copy" : "";
}

}  // namespace

absl::StatusOr<IndexCheck> IndexCheck::Load(const TopicFiles& files, Findings& findings) {
  IndexCheck check;
  check.path_ = files.path + "/index";
  const auto file = File::Open(check.path_);
  if (absl::IsNotFound(file.status()) || absl::IsPermissionDenied(file.status())) return check;
  if (absl::IsInvalidArgument(file.status())) {
    findings.Damage(check.path_, fmt::format("{}: remove it", kNotRegular), "all of it; a search reads more");
    return check;
  }
  LIBBUS_RETURN_IF_ERROR(file.status());
  std::optional<format::FlippedBit> flipped;
  const auto header = GetHeader<format::IndexHeader>(*file, format::kIndexMagic, &flipped);
  std::string problem = "too short for a header";
  if (header) {
    LIBBUS_ASSIGN_OR_RETURN(problem, HeaderProblem(check.path_, *header, format::kIndexMagic));
    if (problem.empty()) problem = Unusable(files, *file, *header);
  }
  if (!problem.empty()) {
    findings.Note(check.path_, fmt::format("{}: it is not used: {}", problem, kCure));
    return check;
  }
  if (flipped) findings.Flipped(check.path_, *flipped, std::nullopt, RecoverCommand(files));
  const format::TopicSeed seed = format::TopicSeed::Of(header->header.uuid);
  const uint64_t count = (file->size() - sizeof(*header)) / sizeof(format::IndexEntry);
  uint64_t bad = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto entry = file->Get<format::IndexEntry>(sizeof(*header) + i * sizeof(format::IndexEntry));
    const bool right = entry && entry->checksum == format::IndexChecksum(seed, i, *entry);
    if (right) check.entries_.push_back(*entry);
    bad += right ? 0 : 1;
  }
  if (bad > 0) findings.Note(check.path_, fmt::format("{} of {} entries do not verify: {}", bad, count, kCure));
  std::sort(check.entries_.begin(), check.entries_.end(),
            [](const auto& a, const auto& b) { return a.position < b.position; });
  return check;
}

void IndexCheck::Lies(uint64_t position, const std::string& what, Findings& findings) {
  findings.Tell({.damage = true,
                 .file = path_,
                 .position = Position{position},
                 .what = fmt::format("its entry for position {} says {}: delete the index", position, what),
                 .reader = "a search may lead to another record; the log itself is whole"});
}

void IndexCheck::AtWord(uint64_t position, std::optional<uint64_t> sequence, int64_t before, Findings& findings) {
  for (; next_ < entries_.size() && entries_[next_].position < position; ++next_) ++unmet_;
  if (next_ == entries_.size() || entries_[next_].position != position) return;
  const format::IndexEntry& entry = entries_[next_++];
  const bool exact = (entry.sequence & format::kCountedOverDamage) == 0;
  if (exact && sequence && entry.sequence != *sequence) {
    Lies(position, fmt::format("sequence {}, and it is {}", entry.sequence, *sequence), findings);
  } else if (entry.before < before) {
    Lies(position, fmt::format("nothing before it is later than {}, and {} is", entry.before, before), findings);
  }
}

void IndexCheck::AtEnd(Findings& findings) {
  unmet_ += entries_.size() - next_;
  if (unmet_ == 0) return;
  findings.Note(
      path_, unmet_ == 1 ? std::string("1 entry leads to no record (deleted, or damaged since): it is passed over")
                         : fmt::format("{} entries lead to no record (deleted, or damaged since): they are passed over",
                                       unmet_));
}

}  // namespace libbus::inspect
