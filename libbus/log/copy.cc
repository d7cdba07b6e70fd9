#include "libbus/log/copy.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "libbus/format/checksum.h"
#include "libbus/log/access.h"
#include "libbus/log/continuity.h"
#include "libbus/log/file_header.h"
#include "libbus/log/new_topic.h"
#include "libbus/log/walk.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::Verdict;
using format::Word;
using platform::File;

// Read, verified and written at once, bytes: what was verified is still in the processor's cache when it is written.
constexpr uint64_t kPiece = 256 << 10;
// Segments that stay mapped until they are copied: each is one of the mappings that a process may have.
constexpr size_t kMostHeld = 16384;
constexpr int kTries = 100;

bool AllZero(const std::byte* bytes, uint64_t size) {
  return size == 0 || (bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, size - 1) == 0);
}

// A mapped page that cannot be had is an error of the kernel here, and no signal.
absl::Status WriteFrom(const Log& log, const File& file, const std::string& path, const Segment& segment, uint64_t from,
                       uint64_t to) {
  LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, from - segment.base(), segment.at(from), to - from));
  if (!segment.poisoned()) return absl::OkStatus();
  return DamageAt(log, from, "a page of the segment could not be had while it was copied");
}

}  // namespace

absl::StatusOr<LogCopy> LogCopy::Begin(const std::string& path) {
  LIBBUS_ASSIGN_OR_RETURN(auto log, Log::Open(path, false));
  LogCopy copy(std::move(log));
  LIBBUS_ASSIGN_OR_RETURN(const Readable readable, FindReadable(*copy.log_));
  if (readable.limit) {
    return absl::FailedPreconditionError(fmt::format(
        "{} at {}: a writer has to recover this topic before it can be copied: open it for writing once, or run `bus "
        "recover {} --apply`",
        path, *readable.limit, path.substr(path.rfind('/') + 1)));
  }
  // A reader of another user cannot prove that somebody is dead.
  if (auto probe = copy.log_->OpenLocks(); probe.ok()) copy.probe_.emplace(*std::move(probe));
  LIBBUS_ASSIGN_OR_RETURN(copy.cursors_, ListCursors(*copy.log_));
  LIBBUS_RETURN_IF_ERROR(copy.FixStart());
  LIBBUS_RETURN_IF_ERROR(copy.FixEnd());
  return copy;
}

// The oldest record and the control record that tells of it, while retention may go on.
absl::Status LogCopy::FixStart() {
  SegmentStore& store = log_->readable();
  for (int tries = 0; tries < kTries; ++tries) {
    auto record = log_->control().ReadRecord();
    if (!record) {
      return absl::DataLossError(
          fmt::format("{}: both copies of its record are damaged: `bus recover {} --apply` makes one",
                      log_->control().path(), log_->path().substr(log_->path().rfind('/') + 1)));
    }
    record_ = std::make_unique<format::ControlRecord>(*record);
    LIBBUS_ASSIGN_OR_RETURN(const Place oldest, log_->Oldest(store));
    first_ = oldest.position;
    LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, store.ListBases());
    absl::Status held = HoldSegments(bases);
    record = log_->control().ReadRecord();
    if (held.ok() && record && record->first_position == record_->first_position) return absl::OkStatus();
    if (!held.ok() && !absl::IsNotFound(held)) return held;
  }
  return absl::UnavailableError(
      fmt::format("{}: it is deleted faster than it can be looked at: try again", log_->path()));
}

absl::Status LogCopy::HoldSegments(const std::vector<uint64_t>& bases) {
  segments_.clear();
  for (const uint64_t base : bases) {
    if (base + format::kSegmentHeaderSize < first_ || segments_.size() == kMostHeld) continue;
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, log_->readable().Open(base));
    segments_.push_back(std::move(segment));
  }
  return absl::OkStatus();
}

// True: whoever reads steps over the claim. An owner's commit lies before the release of his lock, so who is found
// dead after the word was read, and before it is found unchanged, has not committed and never will.
bool LogCopy::IsOver(const Place& place, Word reserved) {
  const bool free = probe_ && !probe_->Probe(reserved.owner());
  if (place.Read() != reserved) return true;
  if (free) dead_.push_back({place.position, reserved});
  return free;
}

absl::Status LogCopy::FixEnd() {
  SegmentStore& store = log_->readable();
  const auto is_over = [this](const Place& place, Word reserved) { return IsOver(place, reserved); };
  LIBBUS_ASSIGN_OR_RETURN(const Ends ends, FindEnds(*log_, store, is_over));
  end_ = ends.committed;
  if (end_ < ends.tail.position) open_claim_ = end_;
  // A prepared segment that no END leads to yet is none of the log's.
  while (!segments_.empty() && segments_.back()->base() > end_) segments_.pop_back();
  if (segments_.empty()) return DamageAt(*log_, end_, "the log ends before it begins");
  // Rolled since they were listed.
  while (segments_.size() < kMostHeld && segments_.back()->end() <= end_) {
    LIBBUS_ASSIGN_OR_RETURN(SegmentPtr next, store.After(*segments_.back()));
    segments_.push_back(std::move(next));
  }
  return absl::OkStatus();
}

uint64_t LogCopy::bytes() const {
  const uint64_t base = first_ - format::kSegmentHeaderSize;
  return end_ - std::min(end_, base);
}

NewTopic LogCopy::Describe(const File& directory) const {
  NewTopic topic;
  *topic.header = log_->control().header();
  format::ControlRecord& record = *topic.record;
  record = *record_;
  record.state = static_cast<uint32_t>(format::ControlState::kClean);
  record.cause = 0;
  record.was_clean = 0;
  record.tail = end_;
  record.durable = end_;
  // There are two logs with this UUID from here on.
  ++record.epoch;
  if (record.epoch_entries < format::kMaxEpochEntries) {
    record.epochs[record.epoch_entries++] = {record.epoch, format::kEndCopied, {}, end_, end_};
  }
  if (const auto identity = platform::Identify(directory, log_->path()); identity.ok())
    record.device = identity->device;
  topic.live.durable = end_;
  topic.live.known_tail = end_;
  return topic;
}

absl::Status LogCopy::WriteTo(const std::string& path, const CopyProgress& progress, const CopyGapSink& on_gap) {
  progress_ = progress;
  on_gap_ = on_gap;
  if (mkdir(path.c_str(), 0700) != 0) return platform::ErrnoStatus(errno, path, "cannot make the directory");
  LIBBUS_ASSIGN_OR_RETURN(const File directory, platform::OpenDirectory(path));
  LIBBUS_RETURN_IF_ERROR(SetDirectoryMode(directory, path, log_->options().access));
  LIBBUS_RETURN_IF_ERROR(MakeSmallFiles(directory, path, Describe(directory)));
  LIBBUS_ASSIGN_OR_RETURN(const SegmentPtr oldest, log_->readable().Open(first_ - format::kSegmentHeaderSize));
  reader_.emplace(*log_, log_->readable(), Place{oldest, first_});
  if (const auto missing = MissingFrom(*log_, first_)) reader_->SetMissing(*missing, kDamage);
  reader_->KnowCommitted(end_);
  reader_->SetLimit(end_);
  for (size_t i = 0; i < segments_.size(); ++i) LIBBUS_RETURN_IF_ERROR(CopySegment(directory, path, i));
  return CopyCursors(path);
}

absl::Status LogCopy::CopySegment(const File& directory, const std::string& path, size_t index) {
  const uint64_t base = segments_[index]->base();
  const uint64_t size = segments_[index]->end() - base;
  const std::string name = SegmentName(base);
  const auto fill = [&](const File& file) { return FillSegment(file, path + "/" + name, index); };
  LIBBUS_RETURN_IF_ERROR(
      platform::CreateWhole(directory, path, name, size, ModesOf(log_->options().access).file, fill).status());
  // The list was cut where it would have become too long.
  if (index + 1 == segments_.size() && segments_[index]->end() <= end_) {
    auto next = log_->readable().After(*segments_[index]);
    if (absl::IsNotFound(next.status())) {
      return absl::UnavailableError(
          fmt::format("{}: retention deleted what was to be copied next: try again", log_->path()));
    }
    LIBBUS_RETURN_IF_ERROR(next.status());
    segments_.push_back(*std::move(next));
  }
  segments_[index].reset();
  return absl::OkStatus();
}

// What the next item is; a claim of a dead owner is one.
absl::Status LogCopy::Step() {
  Item item;
  LIBBUS_ASSIGN_OR_RETURN(const Reader::Found found, reader_->Read(item));
  if (found == Reader::Found::kItem) {
    if (!item.is_gap) ++records_;
    if (item.is_gap) on_gap_(item);
    return absl::OkStatus();
  }
  const uint64_t position = reader_->position();
  if (position >= end_) return absl::OkStatus();
  const auto dead = std::lower_bound(dead_.begin(), dead_.end(), position,
                                     [](const Dead& claim, uint64_t at) { return claim.position < at; });
  if (found != Reader::Found::kReserved || dead == dead_.end() || dead->position != position) {
    return DamageAt(*log_, position, "what was committed there is not any more");
  }
  reader_.emplace(*log_, log_->readable(), Place{reader_->segment(), position + dead->word.size()});
  reader_->KnowCommitted(end_);
  reader_->SetLimit(end_);
  return absl::OkStatus();
}

absl::Status LogCopy::FillSegment(const File& file, const std::string& path, size_t index) {
  const SegmentPtr segment = segments_[index];
  const uint64_t to = std::min(segment->end(), std::max(end_, segment->first()));
  uint64_t written = segment->first();
  const auto write_up_to = [&](uint64_t position) -> absl::Status {
    LIBBUS_RETURN_IF_ERROR(WriteFrom(*log_, file, path, *segment, written, position));
    const uint64_t bytes = position - std::exchange(written, position);
    return progress_(bytes) ? absl::OkStatus() : absl::CancelledError(fmt::format("{}: the copy was ended", path));
  };
  while (reader_->segment() == segment && reader_->position() < to) {
    LIBBUS_RETURN_IF_ERROR(Step());
    const bool here = reader_->segment() == segment;
    if (here && reader_->position() - written >= kPiece) LIBBUS_RETURN_IF_ERROR(write_up_to(reader_->position()));
  }
  // The END, and what recovery has sealed off behind it: nobody reads that, but it is all that tells of what was lost.
  const uint64_t rest = to - written;
  if (AllZero(segment->at(written), rest)) written = to;
  LIBBUS_RETURN_IF_ERROR(write_up_to(to));
  LIBBUS_RETURN_IF_ERROR(MendDead(file, path, *segment));
  return WriteHeader(file, path, *segment);
}

absl::Status LogCopy::MendDead(const File& file, const std::string& path, const Segment& segment) const {
  for (const Dead& claim : dead_) {
    if (!segment.Contains(claim.position)) continue;
    const Word gap = format::MakeGap(log_->seed(), claim.position, claim.word, format::kGapDead);
    const uint64_t bits = gap.bits();
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, claim.position - segment.base(), &bits, sizeof(bits)));
  }
  return absl::OkStatus();
}

absl::Status LogCopy::WriteHeader(const File& file, const std::string& path, const Segment& segment) const {
  LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
  format::SegmentHeader header = segment.header();
  header.inode = identity.inode;
  header.checksum = format::FileChecksum(header);
  return platform::WriteAt(file, path, 0, &header, sizeof(header));
}

absl::Status LogCopy::CopyCursors(const std::string& path) const {
  LIBBUS_ASSIGN_OR_RETURN(const auto made, Log::Open(path, true));
  for (const CursorEntry& cursor : cursors_) {
    if (!cursor.content.ok()) continue;
    CursorContent content = *cursor.content;
    // Only by a holder who went on between two looks: then it reads again what it has read.
    if (content.place.position > end_) content.place = {end_};
    LIBBUS_RETURN_IF_ERROR(CopyCursor(*made, cursor.name, content));
  }
  return absl::OkStatus();
}

}  // namespace libbus::log
