// Walks all segments of a topic: every header, every word, every checksum, and the links between them.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "libbus/inspect/findings.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/segment_reader.h"
#include "libbus/inspect/verify_index.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

using format::Verdict;

std::string RecoveringText(const format::ControlRecord& record) {
  const std::string seals =
      record.cause == 0 ? "" : fmt::format(", sealing ({})", EndCauseName(static_cast<uint8_t>(record.cause)));
  return fmt::format("state recovering{}: a recovery is at work, or the next writer ends what one has begun", seals);
}

std::string GapText(uint64_t from, uint64_t to) { return fmt::format("a gap (damage) from {} to {}", from, to); }
std::string EndText(uint64_t at) { return fmt::format("DATA_LOSS at {}: nothing from there on", at); }
constexpr const char* kNothingOfIt = "DATA_LOSS: neither this segment nor what is behind it";

class LogCheck {
 public:
  LogCheck(const TopicFiles& files, Findings& findings)
      : files_(files), segments_(files.segments), findings_(findings) {}

  absl::Status Run();

 private:
  absl::Status Segment(size_t index);
  void Header(const File& file, const SegmentIdentity& identity);
  void Link(const File& file, uint64_t base);
  absl::Status Walk(size_t index, const File& file, SegmentReader& reader);
  uint64_t Step(size_t index, const File& file, SegmentReader& reader, const Look& look);
  void Count(const SegmentReader& reader, const Look& look);
  uint64_t Data(const File& file, const SegmentReader& reader, const Look& look);
  bool IsUndone(SegmentReader& reader, const Look& look) const;
  uint64_t Undone(const File& file, const SegmentReader& reader, const Look& look);
  void Inner(const File& file, const SegmentReader& reader, const Look& frame, const Look& inner);
  void End(const File& file, const SegmentReader& reader, const Look& look);
  uint64_t Free(size_t index, const File& file, SegmentReader& reader, const Look& look);
  uint64_t Bad(const File& file, SegmentReader& reader, const Look& look, const std::string& what);
  bool Entered(size_t index) const;
  bool MoreSegments();
  void AddMissed(size_t index);
  uint64_t FirstKept() const;
  void LeaveOutDeleted();
  void LastSegment();
  void Tail();
  void Damage(const File& file, uint64_t base, uint64_t offset, const std::string& what, std::string reader);
  std::string BehindDamage(const SegmentReader& reader, uint64_t offset, uint64_t next) const;
  uint64_t KnownTail() const;

  const TopicFiles& files_;
  std::vector<SegmentName> segments_;
  Findings& findings_;
  std::optional<uint64_t> expected_;  // where the next segment begins
  std::optional<uint64_t> tail_;      // position of the first free word that nothing follows
  std::optional<uint64_t> open_at_;   // the first reserved record
  uint32_t open_owner_ = 0;
  bool sealed_ = false;             // the segment walked last ends with an END
  std::optional<uint64_t> end_at_;  // where that stands, if nothing was sealed off there
  IndexCheck index_;
  std::optional<uint64_t> sequence_;  // of the next word, as far as nothing hides it
  int64_t before_ = INT64_MIN;        // the highest timestamp met
};

absl::Status LogCheck::Run() {
  LIBBUS_ASSIGN_OR_RETURN(index_, IndexCheck::Load(files_, findings_));
  LeaveOutDeleted();
  const auto& record = files_.control.record;
  const uint64_t counted = record && record->first_position != 0 ? record->first_sequence : 0;
  if ((counted & format::kCountedOverDamage) == 0) sequence_ = counted;
  for (size_t i = 0; (i < segments_.size() || MoreSegments()) && !findings_.stopped(); ++i) {
    AddMissed(i);
    LIBBUS_RETURN_IF_ERROR(Segment(i));
  }
  LastSegment();
  Tail();
  index_.AtEnd(findings_);
  return absl::OkStatus();
}

// A live topic may have rolled while we walked.
bool LogCheck::MoreSegments() {
  if (!sealed_) return false;
  const auto now = ListSegments(files_.path);
  if (!now.ok()) return false;
  const size_t known = segments_.size();
  const uint64_t last = segments_.empty() ? 0 : segments_.back().base;
  std::copy_if(now->begin(), now->end(), std::back_inserter(segments_), [&](const auto& s) { return s.base > last; });
  AddMissed(known);
  return segments_.size() > known;
}

// A list that is made while files are linked may hold a later one and not the one before it: it is looked for by name.
void LogCheck::AddMissed(size_t index) {
  if (!expected_ || (index < segments_.size() && segments_[index].base <= *expected_)) return;
  // It is not missed: nothing was to be known of it, so it did not tell where the next one begins.
  if (index > 0 && segments_[index - 1].base >= *expected_) return;
  const std::string path = fmt::format("{}/{:020}.seg", files_.path, *expected_);
  if (!File::Open(path).ok()) return;
  segments_.insert(segments_.begin() + static_cast<std::ptrdiff_t>(index), {path, *expected_});
}

absl::Status LogCheck::Segment(size_t index) {
  sealed_ = false;
  ++findings_.report().segments;
  auto opened = File::Open(segments_[index].path);
  if (absl::IsInvalidArgument(opened.status())) {
    findings_.Damage(segments_[index].path, kNotRegular, kNothingOfIt);
    return absl::OkStatus();
  }
  LIBBUS_ASSIGN_OR_RETURN(const File file, std::move(opened));
  LIBBUS_ASSIGN_OR_RETURN(const auto identity, IdentifySegment(file, &files_.control));
  Header(file, identity);
  if (!identity.usable) return absl::OkStatus();
  Link(file, identity.base);
  expected_ = identity.base + (identity.problem.empty() ? identity.header->file_size : file.size());
  SegmentReader reader(file, identity.seed, identity.base, identity.size, SealedRanges(files_.control));
  return Walk(index, file, reader);
}

// Where the oldest record stands that was not deleted.
uint64_t LogCheck::FirstKept() const {
  const uint64_t first = files_.control.record ? files_.control.record->first_position : 0;
  return std::max(first, format::kSegmentHeaderSize);
}

// Files that a deletion did not come to: the log begins behind them.
void LogCheck::LeaveOutDeleted() {
  const uint64_t base = FirstKept() - format::kSegmentHeaderSize;
  const auto kept = std::find_if(segments_.begin(), segments_.end(), [&](const auto& s) { return s.base >= base; });
  if (kept == segments_.end() || kept == segments_.begin()) return;
  for (auto gone = segments_.begin(); gone != kept; ++gone) {
    findings_.Note(gone->path,
                   "deleted by retention but for its name: nobody reads it, and the next one who deletes "
                   "removes it");
  }
  segments_.erase(segments_.begin(), kept);
}

void LogCheck::Header(const File& file, const SegmentIdentity& identity) {
  const uint64_t base = *ParseSegmentName(file.path().substr(file.path().find_last_of('/') + 1));
  if (!identity.problem.empty()) {
    return Damage(file, base, 0, identity.problem, kNothingOfIt);
  }
  if (identity.flipped) {
    findings_.Flipped(file.path(), *identity.flipped, Position{base + identity.flipped->byte}, RecoverCommand(files_));
  }
  const format::SegmentHeader& header = *identity.header;
  if (header.base != base)
    findings_.Damage(file.path(), fmt::format("its header says base {}", header.base), kNothingOfIt);
  if (files_.control.header && !(header.header.uuid == files_.control.header->header.uuid)) {
    findings_.Damage(file.path(), "belongs to another topic", kNothingOfIt);
  }
  if (file.size() < header.file_size) {
    Damage(file, base, file.size(), fmt::format("cut off: {} bytes instead of {}", file.size(), header.file_size),
           kNothingOfIt);
  } else if (file.size() > header.file_size) {
    findings_.Damage(file.path(), fmt::format("{} bytes instead of {}", file.size(), header.file_size),
                     "nothing: the rest is not read");
  }
}

void LogCheck::Link(const File& file, uint64_t base) {
  const uint64_t expected = expected_.value_or(files_.control.record ? FirstKept() - format::kSegmentHeaderSize : base);
  if (base != expected) sequence_.reset();
  const uint64_t first = base + format::kSegmentHeaderSize;
  if (base > expected) {
    findings_.Damage(file.path(), fmt::format("what stood before it is missing, from position {} on", expected),
                     end_at_     ? GapText(*end_at_, first)
                     : expected_ ? std::string("that the gap before it reaches up to it")
                                 : GapText(expected + format::kSegmentHeaderSize, first));
  } else if (base < expected) {
    findings_.Damage(file.path(), fmt::format("begins inside the segment before it, which ends at {}", expected),
                     "nothing of it where the older one is read");
  }
}

// A claim below D: what stood there was final once. Looked at again behind D, which may have come past it meanwhile.
bool LogCheck::IsUndone(SegmentReader& reader, const Look& look) const {
  if (!files_.control_file) return false;
  const auto live = files_.control_file->Get<format::LiveWords>(format::kLiveOffset);
  if (!live || reader.base() + look.offset >= live->durable) return false;
  return reader.WordAt(look.offset).verdict == Verdict::kReserved;
}

uint64_t LogCheck::Undone(const File& file, const SegmentReader& reader, const Look& look) {
  const uint64_t next = look.offset + look.size;
  Damage(file, reader.base(), look.offset, "reserved, but a sync had found it final: the file has an older state of it",
         GapText(reader.base() + look.offset, reader.base() + next));
  return next;
}

// The highest position of which the control file says that the log had reached it; a reader believes it.
uint64_t LogCheck::KnownTail() const {
  if (!files_.control_file) return 0;
  const auto live = files_.control_file->Get<format::LiveWords>(format::kLiveOffset);
  return live ? std::max(live->known_tail, live->tail_hint) : 0;
}

// What a reader sees that meets damage at `offset`, behind which the next record that verifies stands at `next`.
std::string LogCheck::BehindDamage(const SegmentReader& reader, uint64_t offset, uint64_t next) const {
  const uint64_t from = reader.base() + offset;
  if (next < reader.size()) return GapText(from, reader.base() + next);
  const auto behind = NextInUse(files_.path, reader.base() + reader.size());
  return behind ? GapText(from, *behind) : EndText(from);
}

void LogCheck::Damage(const File& file, uint64_t base, uint64_t offset, const std::string& what, std::string reader) {
  findings_.Tell({.damage = true,
                  .file = file.path(),
                  .offset = offset,
                  .position = Position{base + offset},
                  .what = what,
                  .reader = std::move(reader)});
}

absl::Status LogCheck::Walk(size_t index, const File& file, SegmentReader& reader) {
  uint64_t offset = format::kSegmentHeaderSize;
  end_at_.reset();
  while (offset < reader.size() && !findings_.stopped() && !sealed_) {
    const Look look = reader.At(offset);
    LIBBUS_RETURN_IF_ERROR(reader.status());
    offset = Step(index, file, reader, look);
    LIBBUS_RETURN_IF_ERROR(findings_.Tell(offset));
  }
  findings_.Checked(file.size());
  LIBBUS_RETURN_IF_ERROR(findings_.Tell(0));
  findings_.report().bytes += std::min(offset, reader.size());
  return reader.status();
}

// Returns where the next word stands; the segment's size where there is none.
uint64_t LogCheck::Step(size_t index, const File& file, SegmentReader& reader, const Look& look) {
  VerifyReport& report = findings_.report();
  Count(reader, look);
  switch (look.verdict) {
    case Verdict::kData:
      return Data(file, reader, look);
    case Verdict::kGap:
      ++report.gaps;
      break;
    case Verdict::kReserved:
      if (IsUndone(reader, look)) return Undone(file, reader, look);
      ++report.open;
      if (!open_at_) open_owner_ = look.word.owner();
      if (!open_at_) open_at_ = reader.base() + look.offset;
      break;
    case Verdict::kEnd:
      End(file, reader, look);
      break;
    case Verdict::kFree:
      return Free(index, file, reader, look);
    case Verdict::kBad:
      return Bad(file, reader, look, "the word does not verify");
  }
  return look.offset + look.size;
}

void LogCheck::Count(const SegmentReader& reader, const Look& look) {
  const bool data = look.verdict == Verdict::kData;
  // How many a claim will be is not known: a batch is one word as well.
  if (look.verdict == Verdict::kReserved || (data && look.word.is_batch() && !look.valid())) sequence_.reset();
  if (!data && look.verdict != Verdict::kGap) return;
  index_.AtWord(reader.base() + look.offset, sequence_, before_, findings_);
  const bool batch = data && look.word.is_batch();
  if (sequence_) *sequence_ += batch ? look.inner.size() : 1;
  if (data && !batch && look.valid()) before_ = std::max(before_, look.header.timestamp);
  for (const Look& inner : look.inner) {
    if (batch && inner.valid()) before_ = std::max(before_, inner.header.timestamp);
  }
}

uint64_t LogCheck::Data(const File& file, const SegmentReader& reader, const Look& look) {
  const uint64_t next = look.offset + look.size;
  if (look.word.is_newer()) {
    findings_.Tell({.file = file.path(),
                    .offset = look.offset,
                    .position = Position{reader.base() + look.offset},
                    .what = "a record of a newer version, which this one cannot check",
                    .reader = "UNIMPLEMENTED: nothing from there on"});
    return next;
  }
  if (look.valid() && look.word.is_batch()) {
    ++findings_.report().batches;
    for (const Look& inner : look.inner) Inner(file, reader, look, inner);
    return next;
  }
  if (look.valid()) {
    ++findings_.report().records;
    return next;
  }
  const std::string what = look.word.is_batch() ? "the table of a batch does not verify"
                           : look.extent
                               ? fmt::format("checksum {:08x}, computed {:08x}", look.header.checksum, look.computed)
                               : "its attributes do not fit";
  Damage(file, reader.base(), look.offset, what, GapText(reader.base() + look.offset, reader.base() + next));
  return next;
}

// A record of a batch whose table verifies.
void LogCheck::Inner(const File& file, const SegmentReader& reader, const Look& frame, const Look& inner) {
  if (inner.verdict == Verdict::kData && inner.valid()) {
    ++findings_.report().records;
    return;
  }
  const std::string what =
      inner.verdict != Verdict::kData ? "the word does not verify"
      : !inner.extent                 ? "its attributes do not fit"
      : inner.computed != inner.header.checksum
          ? fmt::format("checksum {:08x}, computed {:08x}", inner.header.checksum, inner.computed)
          : fmt::format("checksum {:08x}, in the table {:08x}", inner.header.checksum, *inner.told);
  const uint64_t from = reader.base() + inner.offset;
  const bool last = inner.offset + inner.size + format::kRecordAlignment > frame.offset + frame.size;
  Damage(file, reader.base(), inner.offset,
         fmt::format("a record in the batch at {}: {}", reader.base() + frame.offset, what),
         GapText(from, last ? reader.base() + frame.offset + frame.size : from + inner.size));
}

// What recovery sealed off is a loss perhaps, but the log is whole: readers are told.
void LogCheck::End(const File& file, const SegmentReader& reader, const Look& look) {
  sealed_ = true;
  const uint8_t cause = look.word.flags();
  const uint64_t from = reader.base() + look.offset;
  end_at_ = from;
  if (cause == format::kEndRolled) return;
  findings_.Tell({.damage = false,
                  .file = file.path(),
                  .offset = look.offset,
                  .position = Position{from},
                  .what = fmt::format("sealed by recovery ({}): what was not durable from {} to {} does not count",
                                      EndCauseName(cause), from, from + look.size),
                  .reader = fmt::format("a gap ({}) from {} on", EndCauseName(cause), from)});
}

uint64_t LogCheck::Free(size_t index, const File& file, SegmentReader& reader, const Look& look) {
  const bool followed = Entered(index + 1);
  const auto rest = reader.FirstNonZero(look.offset, reader.size());
  if ((followed || rest) && reader.WordAt(look.offset).verdict != Verdict::kFree)
    return look.offset;  // taken meanwhile
  if (followed) return Bad(file, reader, look, "free, but the next segment is in use");
  if (rest) return Bad(file, reader, look, fmt::format("free, but offset {} is not zero", *rest));
  if (!tail_) tail_ = reader.base() + look.offset;
  return reader.size();
}

uint64_t LogCheck::Bad(const File& file, SegmentReader& reader, const Look& look, const std::string& what) {
  const uint64_t next = reader.Resync(look.offset);
  const uint64_t from = reader.base() + look.offset;
  sequence_.reset();
  std::string seen = BehindDamage(reader, look.offset, next);
  if (look.verdict == Verdict::kFree && KnownTail() <= from) {
    seen = fmt::format("the end of the log at {}; who knows that more was committed: {}", from, seen);
  }
  Damage(file, reader.base(), look.offset, what, std::move(seen));
  return next;
}

// True if something was ever put into that segment.
bool LogCheck::Entered(size_t index) const {
  if (index >= segments_.size()) return false;
  const auto file = File::Open(segments_[index].path);
  return file.ok() && file->Get<uint64_t>(format::kSegmentHeaderSize).value_or(0) != 0;
}

void LogCheck::LastSegment() {
  if (findings_.stopped()) return;
  const bool used = files_.control.record && files_.control.record->tail != 0;
  if (segments_.empty() && used) findings_.Damage(files_.path, "has no segments", "DATA_LOSS: nothing");
  if (!sealed_) return;
  findings_.Damage(segments_.back().path,
                   fmt::format("ends with an END, but the next segment (base {}) is missing", expected_.value_or(0)),
                   EndText(end_at_.value_or(0)));
}

// What the control file promised, and how the last writer left the log.
void LogCheck::Tail() {
  if (findings_.stopped() || segments_.empty()) return;
  const uint64_t end = tail_.value_or(expected_.value_or(0));
  findings_.report().end = Position{end};
  const auto& record = files_.control.record;
  if (record && end < record->tail) {
    findings_.Damage(files_.path, fmt::format("the log ends at {}, but it had reached {}", end, record->tail),
                     KnownTail() > end ? EndText(end) : fmt::format("the end of the log at {}", end));
  }
  const auto state = record ? static_cast<format::ControlState>(record->state) : format::ControlState::kNone;
  if (open_at_) {
    findings_.Tell({.damage = false,
                    .file = files_.path,
                    .position = Position{*open_at_},
                    .what = fmt::format("{} reserved and not committed, the first by slot {}: normal while a producer "
                                        "fills it, or after a kill",
                                        findings_.report().open, open_owner_)});
  } else if (state == format::ControlState::kOpen) {
    findings_.Note(files_.path, "state open: normal while a writer is attached, or after a kill");
  }
  if (state == format::ControlState::kRecovering) findings_.Note(files_.path, RecoveringText(*record));
}

}  // namespace

absl::Status VerifyLog(const TopicFiles& files, Findings& findings) { return LogCheck(files, findings).Run(); }

}  // namespace libbus::inspect
