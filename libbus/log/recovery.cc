#include "libbus/log/recovery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "libbus/format/record.h"
#include "libbus/log/reader.h"
#include "libbus/log/slot.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Verdict;
using format::Word;

const std::array kCases = {
    RecoveryCase{"record", {Standing::kData}, {}, Action::kKeep, "a committed record", "kept"},
    RecoveryCase{"rotten record",
                 {Standing::kDataRotten},
                 {},
                 Action::kNote,
                 "the word survived and the bytes did not: bit rot",
                 "kept as it is, stepped over by its length; every reader reports it as a gap (damage)"},
    RecoveryCase{"gap", {Standing::kGap}, {}, Action::kKeep, "a claim that was given up", "kept"},
    RecoveryCase{
        "end", {Standing::kEndLinked}, {}, Action::kNext, "a full segment", "the walk goes on in the next one"},
    RecoveryCase{"end without next",
                 {Standing::kEndUnlinked},
                 {},
                 Action::kTail,
                 "the newest segment file was removed by hand, or sealed and nothing was made behind it",
                 "T is here; the next producer makes the segment"},
    RecoveryCase{"dead claim",
                 {Standing::kReserved},
                 {},
                 Action::kMakeGap,
                 "a producer was killed between reserve and commit",
                 "RESERVED -> GAP(dead)"},
    RecoveryCase{"tail",
                 {Standing::kFree},
                 {Rest::kZeros},
                 Action::kTail,
                 "where the log ends after a kill",
                 "T is here: appending goes on in place"},
    RecoveryCase{"hole, record follows",
                 {Standing::kFree, Standing::kBad},
                 {Rest::kRecord},
                 Action::kSkip,
                 "damage in the middle of a segment: a kill tears nothing, so something else did",
                 "the bytes stay; every reader reports them as a gap (damage); the walk goes on at the record"},
    RecoveryCase{"hole, segment follows",
                 {Standing::kFree, Standing::kBad},
                 {Rest::kSegment},
                 Action::kSkip,
                 "damage behind the last good record of a segment that was left for the next one",
                 "the bytes stay; every reader reports them as a gap (damage); the walk goes on in the next segment"},
    RecoveryCase{"damaged tail",
                 {Standing::kBad},
                 {Rest::kZeros},
                 Action::kRefuse,
                 "the word at the tail rotted",
                 "nothing is touched: the tail cannot be written over"},
    RecoveryCase{"debris",
                 {Standing::kFree, Standing::kBad},
                 {Rest::kDebris},
                 Action::kRefuse,
                 "bytes behind the tail that are no record",
                 "nothing is touched: nothing may be appended over bytes"},
};

bool Takes(const RecoveryCase& row, Standing standing, Rest rest) {
  const auto has = [](const auto& list, auto value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  return has(row.standing, standing) && (row.rest.empty() || has(row.rest, rest));
}

// The bytes of a segment file, read with pread: a bad sector is an error here, through a mapping it would be a signal.
class SegmentFile {
 public:
  static absl::StatusOr<SegmentFile> Open(const std::string& path, const Segment& segment) {
    SegmentFile file(path, segment.base(), segment.end());
    LIBBUS_ASSIGN_OR_RETURN(file.file_, platform::OpenFile(path, false));
    return file;
  }

  // `size` bytes at `position`, valid until the next call. REQUIRES: they lie in the segment.
  absl::StatusOr<const std::byte*> At(uint64_t position, uint64_t size) {
    if (position < start_ || position + size > start_ + buffer_.size()) {
      buffer_.resize(std::min(std::max(size, kWindow), end_ - position));
      start_ = position;
      LIBBUS_ASSIGN_OR_RETURN(const size_t got,
                              platform::ReadAt(file_, path_, position - base_, buffer_.data(), buffer_.size()));
      if (got < buffer_.size()) return absl::DataLossError(fmt::format("{}: truncated (see `bus verify`)", path_));
    }
    return buffer_.data() + (position - start_);
  }

  absl::StatusOr<Word> WordAt(uint64_t position) {
    LIBBUS_ASSIGN_OR_RETURN(const std::byte* const bytes, At(position, format::kWordSize));
    uint64_t word;
    std::memcpy(&word, bytes, sizeof(word));
    return Word(word);
  }

  // True if anything but zeros stands from `position` on. Ranges that were never written are skipped, not read.
  absl::StatusOr<bool> HasBytesFrom(uint64_t position) {
    while (position < end_) {
      const off_t data = lseek(file_.fd(), static_cast<off_t>(position - base_), SEEK_DATA);
      if (data < 0) return false;
      position = std::max(position, base_ + static_cast<uint64_t>(data));
      if (position >= end_) return false;
      const uint64_t size = std::min(kWindow, end_ - position);
      LIBBUS_ASSIGN_OR_RETURN(const std::byte* const bytes, At(position, size));
      if (std::any_of(bytes, bytes + size, [](std::byte b) { return b != std::byte{0}; })) return true;
      position += size;
    }
    return false;
  }

 private:
  static constexpr uint64_t kWindow = uint64_t{1} << 20;

  SegmentFile(std::string path, uint64_t base, uint64_t end) : path_(std::move(path)), base_(base), end_(end) {}

  std::string path_;
  uint64_t base_;
  uint64_t end_;
  platform::File file_;
  uint64_t start_ = 0;
  std::vector<std::byte> buffer_;
};

// Walks words and records and changes nothing.
class RecoveryWalk {
 public:
  RecoveryWalk(Log& log, Place place) : log_(log), place_(std::move(place)) {}

  absl::StatusOr<RecoveryPlan> Run() {
    for (;;) {
      LIBBUS_ASSIGN_OR_RETURN(const bool more, Step());
      if (!more) return std::move(plan_);
    }
  }

 private:
  // True: go on at place_. False: T was found.
  absl::StatusOr<bool> Step() {
    LIBBUS_RETURN_IF_ERROR(OpenSegment());
    LIBBUS_ASSIGN_OR_RETURN(word_, file_->WordAt(place_.position));
    LIBBUS_ASSIGN_OR_RETURN(const Standing standing, Stand());
    LIBBUS_ASSIGN_OR_RETURN(const Rest rest, Follow(standing));
    const RecoveryCase& row = FindCase(standing, rest);
    switch (row.action) {
      case Action::kKeep:
        plan_.records += standing == Standing::kData ? 1 : 0;
        break;
      case Action::kNote:
        plan_.rotten.push_back(place_.position);
        break;
      case Action::kMakeGap:
        plan_.claims.push_back(place_.position);
        break;
      case Action::kNext:
        place_ = {next_, next_->first()};
        return true;
      case Action::kSkip:
        plan_.skipped.push_back({place_.position, resume_.position});
        place_ = resume_;
        return true;
      case Action::kTail:
        plan_.tail = place_.position;
        return false;
      case Action::kRefuse:
        return absl::DataLossError(
            fmt::format("{} at {}: {} ({}): no writer can go on here; what is before it can be read (see `bus verify`)",
                        log_.path(), place_.position, row.label, row.arises));
    }
    place_.position += word_.size();
    return true;
  }

  absl::Status OpenSegment() {
    if (file_ && open_base_ == place_.segment->base()) return absl::OkStatus();
    open_base_ = place_.segment->base();
    LIBBUS_ASSIGN_OR_RETURN(SegmentFile file, SegmentFile::Open(log_.writing().PathOf(open_base_), *place_.segment));
    file_.emplace(std::move(file));
    return absl::OkStatus();
  }

  absl::StatusOr<Standing> Stand() {
    switch (place_.Judge(log_.seed(), word_)) {
      case Verdict::kData: {
        LIBBUS_ASSIGN_OR_RETURN(const bool verifies, Verifies());
        return verifies ? Standing::kData : Standing::kDataRotten;
      }
      case Verdict::kGap:
        return Standing::kGap;
      case Verdict::kReserved:
        return Standing::kReserved;
      case Verdict::kEnd: {
        LIBBUS_ASSIGN_OR_RETURN(next_, NextSegment());
        return next_ != nullptr ? Standing::kEndLinked : Standing::kEndUnlinked;
      }
      case Verdict::kFree:
        return Standing::kFree;
      case Verdict::kBad:
        break;
    }
    return Standing::kBad;
  }

  // What follows decides for FREE and bad words only.
  absl::StatusOr<Rest> Follow(Standing standing) {
    if (standing != Standing::kFree && standing != Standing::kBad) return Rest::kZeros;
    const uint64_t behind = place_.position + format::kWordSize;
    const Segment& segment = *place_.segment;
    LIBBUS_ASSIGN_OR_RETURN(const bool bytes, file_->HasBytesFrom(behind));
    if (bytes) {
      LIBBUS_ASSIGN_OR_RETURN(const std::byte* const rest, file_->At(behind, segment.end() - behind));
      if (const auto found = FindNextRecord(log_.seed(), rest, behind, segment.end(), segment.end() - segment.base())) {
        resume_ = {place_.segment, *found};
        return Rest::kRecord;
      }
    }
    LIBBUS_ASSIGN_OR_RETURN(const Rest rest, FollowSegment());
    return rest == Rest::kZeros && bytes ? Rest::kDebris : rest;
  }

  absl::StatusOr<Rest> FollowSegment() {
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr next, NextSegment());
    if (next == nullptr) return Rest::kZeros;
    LIBBUS_ASSIGN_OR_RETURN(SegmentFile file, SegmentFile::Open(log_.writing().PathOf(next->base()), *next));
    LIBBUS_ASSIGN_OR_RETURN(const Word first, file.WordAt(next->first()));
    resume_ = {next, next->first()};
    return first.is_free() ? Rest::kZeros : Rest::kSegment;
  }

  absl::StatusOr<SegmentPtr> NextSegment() {
    auto next = log_.writing().After(*place_.segment);
    if (next.status().code() == absl::StatusCode::kNotFound) return SegmentPtr();
    return next;
  }

  absl::StatusOr<bool> Verifies() {
    // A record of a newer version is whole as far as this one can tell: its checksum may cover something else.
    if ((word_.flags() & ~format::kKnownRecordFlags) != 0) return true;
    LIBBUS_ASSIGN_OR_RETURN(const std::byte* const bytes,
                            file_->At(place_.position, format::kRecordHeaderSize + word_.length()));
    format::RecordHeader header;
    std::memcpy(&header, bytes, sizeof(header));
    const std::span<const std::byte> body(bytes + sizeof(header), word_.length());
    return format::VerifyRecord(log_.seed(), place_.position, header, body).has_value();
  }

  Log& log_;
  Place place_;
  std::optional<SegmentFile> file_;
  uint64_t open_base_ = 0;
  Word word_;
  SegmentPtr next_;
  Place resume_;
  RecoveryPlan plan_;
};

}  // namespace

std::span<const RecoveryCase> RecoveryCases() { return kCases; }

const RecoveryCase& FindCase(Standing standing, Rest rest) {
  return *std::find_if(kCases.begin(), kCases.end(),
                       [&](const RecoveryCase& row) { return Takes(row, standing, rest); });
}

absl::StatusOr<RecoveryPlan> PlanRecovery(Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, log.First(log.writing()));
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, log.writing().Open(first - format::kSegmentHeaderSize));
  return RecoveryWalk(log, Place{std::move(segment), first}).Run();
}

absl::Status ApplyRecovery(Log& log, const RecoveryPlan& plan) {
  // The hint first: it may lead behind what is repaired here. The floors last: as long as they stand, who comes after a
  // death in here finds the claims again. The mark never: a consumer may be asleep right now.
  log.control().tail_hint().Set(0);
  for (const uint64_t position : plan.claims) {
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, log.writing().Containing(position));
    const Place place{std::move(segment), position};
    const Word word = place.Read();
    if (place.Judge(log.seed(), word) == Verdict::kReserved) EndClaim(log, place, word, format::kGapDead);
  }
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) {
    const platform::Floor floor = log.control().slot(owner).floor();
    if (floor.Read() != 0) floor.Clear();
  }
  return absl::OkStatus();
}

}  // namespace libbus::log
