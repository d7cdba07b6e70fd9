#include "libbus/log/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "libbus/format/batch.h"
#include "libbus/log/reader.h"
#include "libbus/log/segment_file.h"
#include "libbus/log/slot.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Verdict;
using format::Word;

// Walks words and records and changes nothing.
class RecoveryWalk {
 public:
  RecoveryWalk(Log& log, const RecoveryInput& input, const Progress& progress, Place place)
      : log_(log), input_(input), progress_(progress), place_(std::move(place)) {}

  absl::StatusOr<RecoveryPlan> Run() {
    LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, log_.any().ListBases());
    LIBBUS_ASSIGN_OR_RETURN(const SegmentPtr newest, log_.any().Open(bases.back()));
    end_ = newest->end();
    plan_.input = input_;
    plan_.cause = input_.cause;
    plan_.from = place_.segment->base();
    plan_.durable = input_.durable;
    for (;;) {
      LIBBUS_ASSIGN_OR_RETURN(const bool more, Step());
      if (!more) return std::move(plan_);
    }
  }

 private:
  // True: go on at place_. False: T was found.
  absl::StatusOr<bool> Step() {
    LIBBUS_RETURN_IF_ERROR(OpenSegment());
    if (input_.cause == 0 && place_.position == input_.watched) plan_.durable = std::max(plan_.durable, input_.watched);
    LIBBUS_ASSIGN_OR_RETURN(word_, file_->WordAt(place_.position));
    LIBBUS_ASSIGN_OR_RETURN(const Standing standing, Stand());
    const Trust trust = TrustAt(standing);
    LIBBUS_ASSIGN_OR_RETURN(const Rest rest, Follow(standing, trust));
    return Do(FindCase(standing, trust, rest), standing);
  }

  Trust TrustAt(Standing standing) const {
    // A batch says how long it is: it is judged by what is known of its own place, whatever stood before it.
    if (sealing_ && standing != Standing::kBatchTorn) return Trust::kNone;
    // The files end before what they held once: a new one in the place of a lost one would use its positions again.
    if (standing == Standing::kEndUnlinked && input_.reached() > place_.segment->end()) return Trust::kNone;
    if (place_.position < input_.durable) return Trust::kDurable;
    if (standing == Standing::kBatchTorn && place_.position < input_.untorn) return Trust::kDurable;
    if (input_.cause != 0) return Trust::kNone;
    return place_.position < input_.known_tail ? Trust::kMet : Trust::kContinuity;
  }

  absl::StatusOr<bool> Do(const RecoveryCase& row, Standing standing) {
    switch (row.action) {
      case Action::kKeep:
        Count(standing == Standing::kData ? plan_.records : plan_.gaps, word_.size());
        if (standing == Standing::kData) plan_.records.count += count_ - 1;
        break;
      case Action::kNote:
        if (standing == Standing::kBatchTorn) {
          NoteInner(row);
          break;
        }
        Note(row, place_.position + word_.size());
        Count(plan_.rotten, word_.size());
        break;
      case Action::kMakeDead:
        Claim(row, format::kGapDead, plan_.dead);
        break;
      case Action::kMakeTorn:
        Claim(row, format::kGapTorn, plan_.torn);
        break;
      case Action::kNext:
        return PassEnd(), true;
      case Action::kSkip:
        return Skip(row), true;
      case Action::kTail:
        return FoundTail(row), false;
      case Action::kRoll:
        Note(row, place_.segment->end());
        plan_.overhead += place_.segment->room(place_.position);
        return Roll(), false;
      case Action::kSeal:
        return Seal(row);
    }
    place_.position += word_.size();
    return true;
  }

  void Note(const RecoveryCase& row, uint64_t to) { plan_.steps.push_back({&row, place_.position, to}); }

  // What is not rotten of a batch is kept.
  void NoteInner(const RecoveryCase& row) {
    plan_.records.count += count_ - rotten_.size();
    plan_.records.bytes += word_.size();
    for (const format::InnerPlace& inner : rotten_) {
      plan_.steps.push_back({&row, place_.position + inner.offset, place_.position + inner.end});
      Count(plan_.rotten, inner.end - inner.offset);
      plan_.records.bytes -= inner.end - inner.offset;
    }
  }

  void Claim(const RecoveryCase& row, uint8_t cause, Tally& tally) {
    Note(row, place_.position + word_.size());
    Count(tally, word_.size());
    plan_.claims.push_back({place_.position, cause});
  }

  static void Count(Tally& tally, uint64_t bytes) {
    ++tally.count;
    tally.bytes += bytes;
  }

  void PassEnd() {
    const uint64_t room = place_.segment->room(place_.position);
    if (word_.flags() != format::kEndRolled) {
      plan_.sealed.push_back({place_.position, place_.segment->end(), word_.bits()});
      Count(plan_.cut, room);
    } else {
      plan_.overhead += room;
    }
    plan_.skipped.bytes += next_->base() - place_.segment->end();  // of segments that are missing
    place_ = {next_, next_->first()};
  }

  void Skip(const RecoveryCase& row) {
    Note(row, resume_.position);
    const bool stays = resume_.segment->base() == place_.segment->base();
    Count(plan_.skipped, (stays ? resume_.position : place_.segment->end()) - place_.position);
    if (!stays) plan_.skipped.bytes += resume_.segment->base() - place_.segment->end();
    place_ = resume_;
  }

  void FoundTail(const RecoveryCase& row) {
    Note(row, place_.position);
    plan_.tail = place_.position;
    // With prepared segments behind it.
    plan_.overhead += end_ - place_.position;
  }

  void Roll() {
    if (plan_.cause == 0) plan_.cause = format::kEndDamage;
    plan_.new_base = std::max(end_, format::AlignUp(input_.reached(), format::kPageSize));
    plan_.tail = *plan_.new_base + format::kSegmentHeaderSize;
  }

  absl::StatusOr<bool> Seal(const RecoveryCase& row) {
    sealing_ = true;
    const uint64_t end = place_.segment->end();
    Note(row, end);
    Count(plan_.cut, end - place_.position);
    plan_.seals.push_back({place_.position, end, word_.bits()});
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr next, NextSegment());
    if (next == nullptr) return Roll(), false;
    plan_.skipped.bytes += next->base() - end;
    place_ = {next, next->first()};
    return true;
  }

  absl::Status OpenSegment() {
    if (file_ && open_base_ == place_.segment->base()) return absl::OkStatus();
    open_base_ = place_.segment->base();
    plan_.overhead += format::kSegmentHeaderSize;
    plan_.newest_epoch = std::max(plan_.newest_epoch, place_.segment->epoch());
    if (progress_) progress_(open_base_ - plan_.from, end_ - plan_.from);
    LIBBUS_ASSIGN_OR_RETURN(SegmentFile file, SegmentFile::Open(log_, *place_.segment));
    file_.emplace(std::move(file));
    return absl::OkStatus();
  }

  absl::StatusOr<Standing> Stand() {
    switch (place_.Judge(log_.seed(), word_)) {
      case Verdict::kData:
        return StandData();
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

  // What follows decides for FREE and bad words, where there is some trust.
  absl::StatusOr<Rest> Follow(Standing standing, Trust trust) {
    if (standing != Standing::kFree && standing != Standing::kBad) return Rest::kZeros;
    if (trust == Trust::kNone) return Rest::kZeros;
    const uint64_t behind = place_.position + format::kWordSize;
    const Segment& segment = *place_.segment;
    LIBBUS_ASSIGN_OR_RETURN(const bool bytes, file_->HasBytesFrom(behind));
    if (bytes) {
      LIBBUS_ASSIGN_OR_RETURN(const std::byte* const rest, file_->At(behind, segment.end() - behind));
      if (const auto found = FindNextRecord(log_, rest, behind, segment)) {
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
    LIBBUS_ASSIGN_OR_RETURN(SegmentFile file, SegmentFile::Open(log_, *next));
    LIBBUS_ASSIGN_OR_RETURN(const Word first, file.WordAt(next->first()));
    resume_ = {next, next->first()};
    return first.is_free() && next->cause() == 0 ? Rest::kZeros : Rest::kSegment;
  }

  absl::StatusOr<SegmentPtr> NextSegment() {
    auto next = log_.any().After(*place_.segment);
    if (next.status().code() == absl::StatusCode::kNotFound) return SegmentPtr();
    return next;
  }

  absl::StatusOr<Standing> StandData() {
    count_ = 1;
    rotten_.clear();
    // A record of a newer version is whole as far as this one can tell: its checksum may cover something else.
    if (word_.is_newer()) return Standing::kData;
    LIBBUS_ASSIGN_OR_RETURN(const std::byte* const bytes,
                            file_->At(place_.position, format::kRecordHeaderSize + word_.length()));
    format::RecordHeader header;
    std::memcpy(&header, bytes, sizeof(header));
    const std::span<const std::byte> body(bytes + sizeof(header), word_.length());
    if (word_.is_batch()) return StandBatch(header, body);
    format::Extent ignored;
    const bool verifies = format::VerifyRecord(log_.seed(), place_.position, header, body, ignored);
    return verifies ? Standing::kData : Standing::kDataRotten;
  }

  Standing StandBatch(const format::RecordHeader& header, std::span<const std::byte> body) {
    const auto count = format::VerifyFrame(log_.seed(), place_.position, header, body);
    if (!count) return Standing::kDataRotten;
    count_ = *count;
    for (uint32_t i = 0; i < count_; ++i) {
      const format::InnerPlace inner = *format::FindInner(body, count_, i);
      format::RecordHeader header;
      format::Extent extent;
      if (!format::VerifyInner(log_.seed(), place_.position, inner, body, header, extent)) rotten_.push_back(inner);
    }
    return rotten_.empty() ? Standing::kData : Standing::kBatchTorn;
  }

  Log& log_;
  const RecoveryInput input_;
  const Progress& progress_;
  Place place_;
  uint64_t end_ = 0;  // of all files
  bool sealing_ = false;
  std::optional<SegmentFile> file_;
  uint64_t open_base_ = 0;
  Word word_;
  uint32_t count_ = 1;                      // of the record or batch at place_: how many records it is
  std::vector<format::InnerPlace> rotten_;  // of the batch there
  SegmentPtr next_;
  Place resume_;
  RecoveryPlan plan_;
};

// The first position of the segment in which D lies, else of the oldest one.
absl::StatusOr<Place> StartOf(Log& log, uint64_t durable) {
  SegmentStore& store = log.any();
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t first, log.First(store));
  if (durable > first) {
    if (auto segment = store.Containing(durable); segment.ok()) return Place{*segment, (*segment)->first()};
  }
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, store.Open(first - format::kSegmentHeaderSize));
  return Place{std::move(segment), first};
}

}  // namespace

absl::StatusOr<RecoveryPlan> PlanRecovery(Log& log, const RecoveryInput& input, const Progress& progress) {
  LIBBUS_ASSIGN_OR_RETURN(Place start, StartOf(log, input.durable));
  return RecoveryWalk(log, input, progress, std::move(start)).Run();
}

void ResetHints(Log& log) {
  // The mark never: a consumer may be asleep right now.
  log.control().tail_hint().Set(0);
  for (uint32_t owner = 1; owner <= format::kMaxOwner; ++owner) {
    const platform::Floor floor = log.control().slot(owner).floor();
    if (floor.Read() != 0) floor.Clear();
  }
}

}  // namespace libbus::log
