#include "libbus/log/index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "libbus/format/batch.h"
#include "libbus/format/index.h"
#include "libbus/log/access.h"
#include "libbus/log/file_header.h"
#include "libbus/log/reader.h"
#include "libbus/platform/ofd_lock.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::IndexEntry;
using format::IndexHeader;
using platform::Seam;

constexpr std::string_view kName = "index";
// Entries that do not lead to a word (damage) and are passed over before the search is given up.
constexpr uint64_t kMostPassed = 256;
constexpr uint64_t kLongestWalk = uint64_t{8} << 20;
// From this many entries on it is worth it to drop those that tell of deleted records.
constexpr uint64_t kWorthDropping = 1024;

// In the directory that this log has open, whatever its path leads to by now.
absl::StatusOr<platform::File> OpenIndex(const Log& log, bool writable) {
  return platform::OpenFileAt(log.directory(), log.path(), std::string(kName), writable);
}

uint64_t OffsetOf(uint64_t ordinal) { return sizeof(IndexHeader) + ordinal * sizeof(IndexEntry); }

// What the entry says, if a word stands there that verifies.
std::optional<Counted> Lead(Log& log, SegmentStore& store, const IndexEntry& entry) {
  if (entry.position % format::kRecordAlignment != 0) return std::nullopt;
  auto segment = store.Containing(entry.position);
  if (!segment.ok()) return std::nullopt;
  Counted at;
  at.place = {*std::move(segment), entry.position};
  at.SetStored(entry.sequence);
  at.before = entry.before;
  const format::Word word = at.place.Read();
  const format::Verdict verdict = at.place.Judge(log.seed(), word);
  const bool right =
      verdict == format::Verdict::kGap ||
      (verdict == format::Verdict::kData &&
       format::VerifyStart(log.seed(), at.place.position, at.place.HeaderWith(word), at.place.BodyOf(word)));
  if (!right || at.place.segment->poisoned()) return std::nullopt;
  return at;
}

absl::Status ShortenIndex(const platform::File& file, const std::string& path, uint64_t entries) {
  const int error = Seam::Truncate(file.fd(), OffsetOf(entries));
  return error == 0 ? absl::OkStatus() : platform::ErrnoStatus(error, path, "cannot shorten");
}

// Makes the entries of what a walk passes. One at a time, under the lock.
class IndexWriter {
 public:
  explicit IndexWriter(Log& log) : log_(log), store_(log.readable()), path_(IndexPath(log)) {}

  absl::Status Extend(uint64_t budget) {
    LIBBUS_ASSIGN_OR_RETURN(const uint64_t limit, IndexLimit(log_));
    LIBBUS_RETURN_IF_ERROR(FindWhereToGoOn(limit));
    if (at_.place.position >= limit) return absl::OkStatus();
    const uint64_t end = limit - at_.place.position > budget ? at_.place.position + budget : limit;
    uint64_t next = last_ + kIndexStride;
    absl::Status walked = WalkUntil(log_, store_, end, at_, [&](const Counted& at, const Ahead& ahead) {
      if (at.place.position < next || !ahead.at_word) return false;
      next = at.place.position + kIndexStride;
      Add(at);
      return false;
    });
    LIBBUS_RETURN_IF_ERROR(Flush());
    return walked;
  }

 private:
  // Behind the last entry that is right, and below `limit`; at the oldest record where there is no index to go on with.
  absl::Status FindWhereToGoOn(uint64_t limit) {
    LIBBUS_ASSIGN_OR_RETURN(at_, CountedStart(log_, store_));
    last_ = at_.place.position;
    auto index = Index::Open(log_);
    if (!index.ok() || index->flipped() || Outlived(*index)) return absl::OkStatus();
    const auto last = index->Find(log_, store_, [&](const IndexEntry& entry) { return entry.position <= limit; });
    if (last) at_ = last->at;
    last_ = at_.place.position;
    count_ = last ? last->ordinal + 1 : 0;
    LIBBUS_ASSIGN_OR_RETURN(file_, OpenIndex(log_, true));
    LIBBUS_ASSIGN_OR_RETURN(const uint64_t size, platform::FileSize(file_, path_));
    return size == OffsetOf(count_) ? absl::OkStatus() : ShortenIndex(file_, path_, count_);
  }

  bool Outlived(Index& index) const {
    if (index.size() < kWorthDropping) return false;
    const auto middle = index.At(index.size() / 2);
    return !middle || middle->position < at_.place.position;
  }

  absl::Status Make() {
    Seam::Unlink(log_.directory().fd(), kName.data());
    const auto fill = [&](const platform::File& file) -> absl::Status {
      LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path_));
      IndexHeader header = {};
      header.header = MakeFileHeader(format::kIndexMagic, log_.uuid());
      header.inode = identity.inode;
      header.checksum = format::FileChecksum(header);
      return platform::WriteAt(file, path_, 0, &header, sizeof(header));
    };
    LIBBUS_ASSIGN_OR_RETURN(
        file_, platform::CreateWhole(log_.directory(), log_.path(), std::string(kName), sizeof(IndexHeader),
                                     ModesOf(log_.options().access).file, fill));
    return absl::OkStatus();
  }

  void Add(const Counted& at) {
    IndexEntry entry = {at.place.position, at.stored(), at.before, 0, 0};
    entry.checksum = format::IndexChecksum(log_.seed(), count_ + added_.size(), entry);
    added_.push_back(entry);
  }

  absl::Status Flush() {
    if (added_.empty()) return absl::OkStatus();
    if (!file_.is_open()) LIBBUS_RETURN_IF_ERROR(Make());
    return platform::WriteAt(file_, path_, OffsetOf(count_), added_.data(), added_.size() * sizeof(IndexEntry));
  }

  Log& log_;
  SegmentStore& store_;
  const std::string path_;
  platform::File file_;
  uint64_t count_ = 0;  // entries that stay
  Counted at_;
  uint64_t last_ = 0;  // the last entry's position
  std::vector<IndexEntry> added_;
};

// Cuts the file where an entry does not verify, so that those from there on are made anew. What fails here is tried
// again by who meets it next.
void Mend(Log& log, uint64_t ordinal) {
  const auto lock = log.OpenLocks();
  if (!lock.ok() || !lock->TryExclusive(format::kIndexByte).value_or(false)) return;
  auto index = Index::Open(log);
  // Somebody may have been at it before the lock was had.
  if (!index.ok() || ordinal >= index->size() || index->At(ordinal)) return;
  const auto file = OpenIndex(log, true);
  if (file.ok()) (void)ShortenIndex(*file, IndexPath(log), ordinal);
}

// The nearest place by what the index says, else the oldest record.
absl::StatusOr<Counted> Nearest(Log& log, SegmentStore& store, const Index::Holds& holds) {
  LIBBUS_ASSIGN_OR_RETURN(Counted start, CountedStart(log, store));
  auto index = Index::Open(log);
  if (!index.ok()) return start;
  const auto found = index->Find(log, store, holds);
  if (index->damaged() && log.writable()) Mend(log, *index->damaged());
  return found && found->at.place.position > start.place.position ? found->at : start;
}

}  // namespace

std::string IndexPath(const Log& log) { return log.path() + "/" + std::string(kName); }

absl::StatusOr<Index> Index::Open(const Log& log) {
  const std::string path = IndexPath(log);
  LIBBUS_ASSIGN_OR_RETURN(platform::File file, OpenIndex(log, false));
  std::optional<format::FlippedBit> flipped;
  LIBBUS_ASSIGN_OR_RETURN(const auto header,
                          ReadFileHeader<IndexHeader>(file, path, format::kIndexMagic, "index", &flipped));
  LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
  if (header.header.uuid != log.uuid() || header.inode != identity.inode) {
    return absl::FailedPreconditionError(fmt::format("{}: the index of another log: delete it", path));
  }
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t size, platform::FileSize(file, path));
  const uint64_t entries = (size - sizeof(IndexHeader)) / sizeof(IndexEntry);
  return Index(std::move(file), path, log.seed(), entries, flipped.has_value());
}

std::optional<IndexEntry> Index::At(uint64_t ordinal) {
  IndexEntry entry;
  const auto got = platform::ReadAt(file_, path_, OffsetOf(ordinal), &entry, sizeof(entry));
  if (got.ok() && *got == sizeof(entry) && entry.checksum == format::IndexChecksum(seed_, ordinal, entry)) return entry;
  if (!damaged_ || ordinal < *damaged_) damaged_ = ordinal;
  return std::nullopt;
}

std::optional<Index::Hit> Index::Find(Log& log, SegmentStore& store, const Holds& holds) {
  uint64_t low = 0;
  uint64_t high = size_;
  while (low < high) {
    // Where an entry does not verify, the next one that does says where to go on.
    const uint64_t middle = low + (high - low) / 2;
    uint64_t asked = middle;
    auto entry = At(asked);
    while (!entry && asked + 1 < std::min(high, middle + kMostPassed)) entry = At(++asked);
    if (entry && holds(*entry)) {
      low = asked + 1;
    } else {
      high = middle;
    }
  }
  for (uint64_t passed = 0; low > 0 && passed < kMostPassed; ++passed) {
    const auto entry = At(--low);
    if (!entry || !holds(*entry)) continue;
    if (auto at = Lead(log, store, *entry)) return Hit{low, *std::move(at)};
  }
  return std::nullopt;
}

absl::StatusOr<uint64_t> IndexLimit(Log& log) {
  return log.is_volatile() ? CommittedEnd(log, log.readable()) : log.control().durable().Read();
}

absl::Status ExtendIndex(Log& log, uint64_t budget) {
  LIBBUS_ASSIGN_OR_RETURN(const platform::LockFile lock, log.OpenLocks());
  LIBBUS_ASSIGN_OR_RETURN(const bool locked, lock.TryExclusive(format::kIndexByte));
  return locked ? IndexWriter(log).Extend(budget) : absl::OkStatus();
}

absl::Status CutIndex(Log& log, uint64_t position) {
  auto index = Index::Open(log);
  if (absl::IsNotFound(index.status())) return absl::OkStatus();
  uint64_t kept = 0;
  // What lies behind the first entry that is too far, or damaged, is not needed: it can be had again.
  if (index.ok()) {
    uint64_t high = index->size();
    while (kept < high) {
      const uint64_t middle = kept + (high - kept) / 2;
      const auto entry = index->At(middle);
      if (entry && entry->position <= position) {
        kept = middle + 1;
      } else {
        high = middle;
      }
    }
    if (kept == index->size()) return absl::OkStatus();
  }
  const std::string path = IndexPath(log);
  if (kept == 0) {
    const int error = Seam::Unlink(log.directory().fd(), kName.data());
    if (error != 0 && error != ENOENT) return platform::ErrnoStatus(error, path, "cannot delete");
    return platform::SyncFile(log.directory(), log.path());
  }
  LIBBUS_ASSIGN_OR_RETURN(const platform::File file, OpenIndex(log, true));
  LIBBUS_RETURN_IF_ERROR(ShortenIndex(file, path, kept));
  return platform::SyncFile(file, path);
}

absl::StatusOr<Counted> NearestPosition(Log& log, SegmentStore& store, uint64_t position) {
  return Nearest(log, store, [&](const IndexEntry& entry) { return entry.position <= position; });
}

absl::StatusOr<Counted> NearestSequence(Log& log, SegmentStore& store, uint64_t sequence) {
  return Nearest(log, store,
                 [&](const IndexEntry& entry) { return (entry.sequence & ~format::kCountedOverDamage) <= sequence; });
}

absl::StatusOr<Counted> NearestTime(Log& log, SegmentStore& store, int64_t time) {
  return Nearest(log, store, [&](const IndexEntry& entry) { return entry.before < time; });
}

std::optional<uint64_t> SequenceAt(Log& log, SegmentStore& store, uint64_t position) {
  auto at = NearestPosition(log, store, position);
  if (!at.ok() || at->place.position > position || position - at->place.position > kLongestWalk) return std::nullopt;
  const auto reached = [position](const Counted&, const Ahead& ahead) { return ahead.next > position; };
  if (!WalkUntil(log, store, position, *at, reached).ok() || !at->exact) return std::nullopt;
  const Place& place = at->place;
  if (place.position == position) return at->sequence;
  const format::Word word = place.Read();
  if (place.Judge(log.seed(), word) != format::Verdict::kData || !word.is_batch()) return std::nullopt;
  const std::span<const std::byte> body = place.BodyOf(word);
  const auto count = format::VerifyFrame(log.seed(), place.position, place.HeaderWith(word), body);
  if (!count || position < place.position) return std::nullopt;
  const auto index = format::InnerIndex(body, *count, position - place.position);
  return index ? std::optional(at->sequence + *index) : std::nullopt;
}

}  // namespace libbus::log
