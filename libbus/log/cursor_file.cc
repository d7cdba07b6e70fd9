#include "libbus/log/cursor_file.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "libbus/format/cursor.h"
#include "libbus/log/access.h"
#include "libbus/log/file_header.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using format::CursorRecord;
using platform::ErrnoStatus;
using platform::File;
using platform::Seam;

// The holder may be writing one copy while the other is read: what does not verify is read again.
constexpr int kTries = 5;

struct Copies {
  CursorRecord copy[2] = {};
  int holding = 0;
};

// An error with what to do about it.
absl::Status WithCure(const absl::Status& status, const Log& log, const std::string& name) {
  if (!absl::IsDataLoss(status) && !absl::IsFailedPrecondition(status)) return status;
  const std::string topic = log.path().substr(log.path().rfind('/') + 1);
  return absl::Status(status.code(),
                      fmt::format("{}: set it anew with `bus cursor seek {} {} POSITION`, or remove it with `bus "
                                  "cursor rm {} {}`",
                                  std::string(status.message()), topic, name, topic, name));
}

uint32_t EpochOf(const Log& log) {
  const auto record = log.control().ReadRecord();
  return record ? record->epoch : 0;
}

absl::StatusOr<int64_t> ReadHeader(const Log& log, const File& file, const std::string& path) {
  auto header = std::make_unique<format::CursorHeader>();
  auto read = ReadFileHeader<format::CursorHeader>(file, path, format::kCursorMagic, "cursor");
  // Under a cursor's name in a topic's directory nobody else puts a file: what does not begin as one is damaged.
  if (absl::IsFailedPrecondition(read.status())) return absl::DataLossError(read.status().message());
  LIBBUS_ASSIGN_OR_RETURN(*header, std::move(read));
  if (header->header.uuid == log.uuid()) return header->created;
  return absl::FailedPreconditionError(
      fmt::format("{}: a cursor of another topic ({})", path, UuidText(header->header.uuid)));
}

absl::StatusOr<Copies> ReadCopies(const Log& log, const File& file, const std::string& path) {
  Copies copies;
  for (int tries = 0; tries < kTries; ++tries) {
    for (const int i : {0, 1}) {
      LIBBUS_ASSIGN_OR_RETURN(const size_t size, platform::ReadAt(file, path, format::kCursorCopyOffset[i],
                                                                  &copies.copy[i], sizeof(CursorRecord)));
      if (size < sizeof(CursorRecord)) return absl::DataLossError(fmt::format("{}: this cursor is truncated", path));
    }
    const auto holding = format::HoldingCopy(log.uuid(), copies.copy);
    if (!holding) continue;
    copies.holding = *holding;
    // One that does not verify is perhaps being written just now: the other may be far behind.
    const CursorRecord& other = copies.copy[1 - *holding];
    if (format::IsValid(log.uuid(), other) || other.counter == 0 || tries + 1 == kTries) return copies;
  }
  return absl::DataLossError(fmt::format("{}: this cursor is damaged: neither of its copies verifies", path));
}

// A sequence of another epoch counts otherwise: what a recovery sealed off is not in it.
CursorPlace PlaceOf(const CursorRecord& record, uint32_t epoch) {
  CursorPlace place{record.position, std::nullopt, record.epoch};
  if (record.sequence != format::kUnknownSequence && record.epoch == epoch) place.sequence = record.sequence;
  return place;
}

CursorContent ContentOf(const format::Uuid& uuid, const Copies& copies, uint32_t epoch, int64_t created) {
  const CursorRecord& holding = copies.copy[copies.holding];
  const CursorRecord& other = copies.copy[1 - copies.holding];
  CursorContent content{PlaceOf(holding, epoch), holding.position, holding.time, created};
  if (format::IsValid(uuid, other)) content.lowest = std::min(content.lowest, other.position);
  return content;
}

CursorRecord RecordOf(const format::Uuid& uuid, const CursorPlace& place, uint64_t counter, uint32_t epoch) {
  CursorRecord record = {};
  record.counter = counter;
  record.position = place.position;
  record.sequence = place.sequence.value_or(format::kUnknownSequence);
  record.time = Seam::CoarseRealtimeNow();
  record.epoch = epoch;
  record.checksum = format::CursorChecksum(uuid, record);
  return record;
}

// The cursor `name` in a file called `as`, whole and on disk.
absl::Status Write(const Log& log, const CursorDirectory& directory, const std::string& name, const std::string& as,
                   const CursorRecord& record, int64_t created) {
  const std::string path = directory.PathOf(as);
  auto header = std::make_unique<format::CursorHeader>();
  *header = {};
  header->header = MakeFileHeader(format::kCursorMagic, log.uuid());
  header->created = created;
  header->checksum = format::FileChecksum(*header);
  const auto fill = [&](const File& file) -> absl::Status {
    LIBBUS_RETURN_IF_ERROR(directory.GiveToOwner(name, file));
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, 0, header.get(), sizeof(*header)));
    // The other one too: a place that was never written is not safe to write (platform::TakenForUnwritten).
    const CursorRecord none = {};
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, format::kCursorCopyOffset[1], &none, sizeof(none)));
    return platform::WriteAt(file, path, format::kCursorCopyOffset[0], &record, sizeof(record));
  };
  return platform::CreateWhole(directory.file(), directory.path(), as, format::kCursorSize,
                               ModesOf(log.options().access).file, fill)
      .status();
}

absl::Status Make(const Log& log, const CursorDirectory& directory, const std::string& name, const std::string& as,
                  const CursorPlace& place) {
  const CursorRecord record = RecordOf(log.uuid(), place, 1, EpochOf(log));
  return Write(log, directory, name, as, record, Seam::PreciseRealtimeNow());
}

// A whole new file in the place of whatever stands there.
absl::Status Replace(const Log& log, const CursorDirectory& directory, const std::string& name,
                     const CursorPlace& place) {
  const std::string temporary = ".new-" + name;
  (void)directory.Remove(temporary);
  LIBBUS_RETURN_IF_ERROR(Make(log, directory, name, temporary, place));
  const int error = Seam::Rename(directory.file().fd(), temporary.c_str(), name.c_str());
  if (error != 0) return directory.SayWhose(ErrnoStatus(error, directory.PathOf(name), "cannot rename"), name);
  return directory.Sync();
}

// A write beyond the limit of a file's size is a signal, and kills.
absl::Status CheckFileSizeLimit(const std::string& path) {
  rlimit limit;
  const bool low = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < format::kCursorSize;
  return low ? ErrnoStatus(EFBIG, path, "cannot write a cursor") : absl::OkStatus();
}

// NOT_FOUND: there is none.
absl::StatusOr<File> OpenToWrite(const CursorDirectory& directory, const std::string& name) {
  auto file = directory.OpenFile(name, true);
  if (!file.ok()) return directory.SayWhose(file.status(), name);
  LIBBUS_RETURN_IF_ERROR(directory.CheckIsOurs(file->fd(), name));
  return file;
}

absl::Status CheckIsThere(const Log& log, const CursorDirectory& directory, const std::string& name) {
  absl::Status found = directory.Look(name).status();
  if (!absl::IsNotFound(found)) return found;
  return absl::NotFoundError(
      fmt::format("{}: no such cursor: a consumer that names it makes it (see `bus cursor ls {}`)",
                  directory.PathOf(name), log.path().substr(log.path().rfind('/') + 1)));
}

// Both copies of an open cursor, and when it was made.
absl::StatusOr<std::pair<Copies, int64_t>> ReadWhole(const Log& log, const File& file, const std::string& path) {
  LIBBUS_ASSIGN_OR_RETURN(const int64_t created, ReadHeader(log, file, path));
  LIBBUS_ASSIGN_OR_RETURN(const Copies copies, ReadCopies(log, file, path));
  return std::pair(copies, created);
}

}  // namespace

absl::StatusOr<CursorContent> ReadCursor(const Log& log, const CursorDirectory& directory, const std::string& name) {
  LIBBUS_RETURN_IF_ERROR(CheckIsThere(log, directory, name));
  const auto file = directory.OpenFile(name, false);
  if (!file.ok()) return WithCure(file.status(), log, name);
  const auto whole = ReadWhole(log, *file, directory.PathOf(name));
  if (!whole.ok()) return WithCure(whole.status(), log, name);
  return ContentOf(log.uuid(), whole->first, EpochOf(log), whole->second);
}

CursorFile::CursorFile(const Log& log, std::string path, CursorLock lock, File file)
    : uuid_(log.uuid()),
      path_(std::move(path)),
      turn_every_(log.options().segment_size),
      lock_(std::move(lock)),
      file_(std::move(file)),
      epoch_(EpochOf(log)) {}

absl::StatusOr<CursorFile> CursorFile::Take(const Log& log, const std::string& name, const Start& start) {
  LIBBUS_ASSIGN_OR_RETURN(const CursorDirectory directory, CursorDirectory::Ensure(log));
  LIBBUS_RETURN_IF_ERROR(CheckFileSizeLimit(directory.PathOf(name)));
  LIBBUS_ASSIGN_OR_RETURN(CursorLock lock, CursorLock::Take(log, directory, name));
  auto file = OpenToWrite(directory, name);
  if (absl::IsNotFound(file.status())) {
    LIBBUS_ASSIGN_OR_RETURN(const CursorPlace place, start());
    const absl::Status made = Make(log, directory, name, name, place);
    // Its name may be there, and lost: whoever finds it would take it for one that is on disk.
    if (absl::IsUnavailable(made)) (void)directory.Remove(name);
    LIBBUS_RETURN_IF_ERROR(made);
    file = OpenToWrite(directory, name);
  }
  if (!file.ok()) return WithCure(file.status(), log, name);
  const auto whole = ReadWhole(log, *file, directory.PathOf(name));
  if (!whole.ok()) return WithCure(whole.status(), log, name);
  CursorFile cursor(log, directory.PathOf(name), std::move(lock), *std::move(file));
  const CursorRecord& holding = whole->first.copy[whole->first.holding];
  cursor.content_ = ContentOf(log.uuid(), whole->first, cursor.epoch_, whole->second);
  cursor.counter_ = holding.counter;
  cursor.base_ = whole->first.holding;
  cursor.based_at_ = holding.position;
  LIBBUS_RETURN_IF_ERROR(cursor.Settle(holding));
  return cursor;
}

absl::Status CursorFile::Settle(const CursorRecord& holding) {
  const uint64_t offset = format::kCursorCopyOffset[base_];
  LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file_, path_, offset, &holding, sizeof(holding)));
  return platform::SyncData(file_, path_);
}

absl::Status CursorFile::CheckNotRemoved() const {
  struct stat info;
  if (fstat(file_.fd(), &info) != 0) return ErrnoStatus(errno, path_, "cannot stat");
  if (info.st_nlink > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: this cursor was removed while it was held, and the commit is lost: open it anew", path_));
}

absl::Status CursorFile::Commit(const CursorPlace& place, bool durable) {
  LIBBUS_RETURN_IF_ERROR(CheckNotRemoved());
  const int other = 1 - base_;
  // On one page of memory, so that no kill can come between two halves of the kernel's copy.
  alignas(64) const CursorRecord record = RecordOf(uuid_, place, counter_ + 1, epoch_);
  LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file_, path_, format::kCursorCopyOffset[other], &record, sizeof(record)));
  counter_ = record.counter;
  content_.place = place;
  content_.time = record.time;
  // The base holds back what retention may delete: it follows, if slowly.
  if (!durable && place.position - std::min(place.position, based_at_) < turn_every_) return absl::OkStatus();
  LIBBUS_RETURN_IF_ERROR(platform::SyncData(file_, path_));
  base_ = other;
  based_at_ = place.position;
  return absl::OkStatus();
}

absl::Status MoveCursor(const Log& log, const std::string& name, const CursorPlace& place) {
  LIBBUS_ASSIGN_OR_RETURN(const CursorDirectory directory, CursorDirectory::Ensure(log));
  LIBBUS_RETURN_IF_ERROR(CheckIsThere(log, directory, name));
  LIBBUS_ASSIGN_OR_RETURN(const CursorLock lock, CursorLock::Take(log, directory, name));
  // Always a new file, so that one that is whole and one that is not are moved alike.
  return Replace(log, directory, name, place);
}

absl::Status CopyCursor(const Log& log, const std::string& name, const CursorContent& content) {
  LIBBUS_ASSIGN_OR_RETURN(const CursorDirectory directory, CursorDirectory::Ensure(log));
  CursorRecord record = RecordOf(log.uuid(), content.place, 1, EpochOf(log));
  record.time = content.time;
  record.checksum = format::CursorChecksum(log.uuid(), record);
  return Write(log, directory, name, name, record, content.created);
}

absl::Status RemoveCursor(const Log& log, const std::string& name) {
  LIBBUS_ASSIGN_OR_RETURN(const CursorDirectory directory, CursorDirectory::Ensure(log));
  LIBBUS_RETURN_IF_ERROR(CheckIsThere(log, directory, name));
  const auto lock = CursorLock::Take(log, directory, name);
  // The topic's owner cannot see whether another user's cursor is held, and may remove it all the same: its holder is
  // told at his next commit.
  const bool not_ours = absl::IsPermissionDenied(lock.status());
  if (!lock.ok() && !not_ours) return lock.status();
  LIBBUS_RETURN_IF_ERROR(directory.SayWhose(directory.Remove(name), name));
  LIBBUS_RETURN_IF_ERROR(CursorLock::RemoveFile(directory, name));
  return directory.Sync();
}

}  // namespace libbus::log
