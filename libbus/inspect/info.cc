#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "libbus/format/index.h"
#include "libbus/inspect.h"
#include "libbus/inspect/findings.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/segment_reader.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/inspect/words.h"
#include "libbus/log/log.h"
#include "libbus/log/sync.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace inspect {
namespace {

using format::Verdict;

std::optional<absl::Time> TimeOf(const Look& look, SegmentReader& reader) {
  const int64_t time = TimestampOf(look, reader);
  return time != 0 ? std::optional(absl::FromUnixNanos(time)) : std::nullopt;
}

// Where the words of a segment lead: to a free one, to an END, or past damage to the end.
SegmentInfo Measure(const File& file, const SegmentIdentity& identity, const Control& control, bool& damaged) {
  SegmentInfo info{.file = file.path(), .base = identity.base, .size = file.size()};
  info.header_right = identity.problem.empty();
  SegmentReader reader(file, identity.seed, identity.base, identity.size, SealedRanges(control));
  info.used = format::kSegmentHeaderSize;
  std::optional<uint64_t> first, last;  // committed records
  while (info.used < reader.size()) {
    const Look look = reader.WordAt(info.used);
    info.sealed = look.verdict == Verdict::kEnd;
    if (info.sealed || look.verdict == Verdict::kFree) break;
    damaged |= look.verdict == Verdict::kBad;
    if (look.verdict != Verdict::kReserved) info.records += Ordinals(look, reader);
    if (look.verdict == Verdict::kData) last = look.offset;
    if (!first) first = last;
    info.used = look.verdict == Verdict::kBad ? reader.Resync(info.used) : info.used + look.size;
  }
  if (first) info.first_time = TimeOf(reader.WordAt(*first), reader);
  if (last) info.last_time = TimeOf(reader.WordAt(*last), reader);
  return info;
}

// The sequence of the oldest record, if the control record knows it.
std::optional<uint64_t> FirstSequence(const TopicFiles& files, uint64_t first) {
  const auto& record = files.control.record;
  if (!record || record->first_position == 0) {
    return first == format::kSegmentHeaderSize ? std::optional<uint64_t>(0) : std::nullopt;
  }
  const bool known = record->first_position == first && (record->first_sequence & format::kCountedOverDamage) == 0;
  return known ? std::optional(record->first_sequence) : std::nullopt;
}

uint64_t Allocated(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_blocks) * 512 : 0;
}

absl::Status AddSegments(const TopicFiles& files, TopicInfo& info) {
  std::optional<uint64_t> next;  // the sequence with which the next segment begins
  for (const SegmentName& segment : files.segments) {
    LIBBUS_ASSIGN_OR_RETURN(const File file, File::Open(segment.path));
    LIBBUS_ASSIGN_OR_RETURN(auto identity, IdentifySegment(file, &files.control));
    if (!identity.usable) identity.base = segment.base;
    if (info.segments.empty()) next = FirstSequence(files, identity.base + format::kSegmentHeaderSize);
    bool damaged = false;
    SegmentInfo segment_info = Measure(file, identity, files.control, damaged);
    segment_info.disk_bytes = Allocated(segment.path);
    segment_info.first_sequence = next;
    next = next && !damaged ? std::optional(*next + segment_info.records) : std::nullopt;
    info.segments.push_back(std::move(segment_info));
  }
  return absl::OkStatus();
}

void SetEnds(TopicInfo& info) {
  if (info.segments.empty()) return;
  info.first = Position{info.segments.front().base + format::kSegmentHeaderSize};
  auto last = std::find_if(info.segments.begin(), info.segments.end(), [](const auto& s) { return !s.sealed; });
  if (last == info.segments.end()) --last;
  info.end = Position{last->base + last->used};
  for (SegmentInfo& segment : info.segments) segment.prepared = segment.base > info.end.offset;
}

void AddSlots(const File& control, const absl::StatusOr<File>& locks, TopicInfo& info) {
  for (uint32_t i = 1; i < format::kSlots; ++i) {
    const auto slot = control.Get<format::Slot>(format::kSlotsOffset + i * sizeof(format::Slot));
    if (!slot || slot->pid == 0) continue;
    char name[sizeof(slot->name) + 1] = {};
    std::memcpy(name, slot->name, sizeof(slot->name));
    info.slots.push_back({.slot = i,
                          .pid = slot->pid,
                          .alive = locks.ok() ? locks->Locked(i) : std::nullopt,
                          .name = name,
                          .since = absl::FromUnixNanos(static_cast<int64_t>(slot->since)),
                          .floor = Position{slot->floor}});
  }
}

// Nothing where a newer version has policies of its own.
std::optional<SyncPolicy> PolicyOf(const format::ControlHeader& header) {
  switch (header.sync_policy) {
    case log::kSyncNone:
      return SyncPolicy::None();
    case log::kSyncEach:
      return SyncPolicy::Each();
    case log::kSyncByTime:
      return SyncPolicy::Every(absl::Nanoseconds(static_cast<int64_t>(header.sync_every)));
    case log::kSyncByBytes:
      return SyncPolicy::EveryBytes(header.sync_every);
    default:
      return std::nullopt;
  }
}

void AddControl(const Control& control, TopicInfo& info) {
  if (control.header) {
    info.uuid = log::UuidText(control.header->header.uuid);
    info.version = control.header->header.version;
    info.created = absl::FromUnixNanos(control.header->created);
    info.options.segment_size = control.header->segment_size;
    info.options.timestamps = static_cast<Timestamps>(control.header->timestamps);
    info.options.claim_timeout = absl::Nanoseconds(control.header->claim_timeout);
    info.options.sync = PolicyOf(*control.header);
    info.options.retain_bytes = control.header->retain_bytes;
    info.options.retain_age = absl::Nanoseconds(control.header->retain_age);
    const uint8_t mode = control.header->mode;
    if (mode <= format::kModeExclusive) info.options.exclusive = mode == format::kModeExclusive;
    info.access = static_cast<Access>(control.header->access);
  }
  const bool written = control.written[0] || control.written[1];
  info.state = written ? "unknown" : "none";
  if (!control.record) return;
  info.state = ControlStateName(control.record->state);
  info.epoch = control.record->epoch;
  for (const format::EpochEntry& entry : SealedRanges(control)) {
    info.epochs.push_back(
        {entry.number, std::string(EndCauseName(entry.cause)), Position{entry.from}, Position{entry.to}});
  }
}

// Whether the files are those that the control file and their own headers name: what is known of the disk holds for
// them, not for a copy, whose files may be of different moments.
bool AreOriginals(const TopicFiles& files) {
  if (!files.control.header || !files.control_file) return false;
  if (files.control.header->control_inode != files.control_file->inode()) return false;
  const auto locks = File::Open(files.path + "/locks");
  if (!locks.ok() || locks->inode() != files.control.header->locks_inode) return false;
  return std::all_of(files.segments.begin(), files.segments.end(), [](const SegmentName& segment) {
    const auto file = File::Open(segment.path);
    const auto header = file.ok() ? GetHeader<format::SegmentHeader>(*file, format::kSegmentMagic) : std::nullopt;
    return header && header->inode == file->inode();
  });
}

bool IsVolatile(const std::string& path) {
  const auto directory = platform::OpenDirectory(path);
  return directory.ok() && platform::Seam::Volatile(directory->fd());
}

// What is written is noted after it was written, in two places, so the higher of them is true.
void AddDurable(const TopicFiles& files, TopicInfo& info) {
  info.is_volatile = IsVolatile(files.path);
  if (info.is_volatile || !AreOriginals(files)) return;
  const auto live = files.control_file->Get<format::LiveWords>(format::kLiveOffset);
  info.durable.offset = std::max(live ? live->durable : 0, files.control.record ? files.control.record->durable : 0);
  info.durable = std::min(info.durable, info.end);
  for (SegmentInfo& segment : info.segments) segment.durable = segment.base + segment.used <= info.durable.offset;
}

void AddSyncs(const TopicFiles& files, TopicInfo& info) {
  for (const SegmentName& segment : files.segments) {
    const std::string mark = files.path + "/" + log::SyncFailedName(segment.base);
    if (!info.failed_sync && platform::IdentifyPath(mark).ok()) info.failed_sync = Position{segment.base};
  }
  const auto live = files.control_file->Get<format::LiveWords>(format::kLiveOffset);
  if (live) info.syncs = live->sync_started;
  if (!live || live->sync_failed == 0) return;
  const Position marked{live->sync_failed - 1};
  info.failed_sync = info.failed_sync ? std::min(*info.failed_sync, marked) : marked;
}

void AddIndex(const TopicFiles& files, TopicInfo& info) {
  const auto file = File::Open(files.path + "/index");
  const auto header = file.ok() ? GetHeader<format::IndexHeader>(*file, format::kIndexMagic) : std::nullopt;
  const bool used = header && files.control.header && header->header.magic == format::kIndexMagic &&
                    header->checksum == format::FileChecksum(*header) && header->inode == file->inode() &&
                    header->header.uuid == files.control.header->header.uuid;
  if (!used) return;
  const format::TopicSeed seed = format::TopicSeed::Of(header->header.uuid);
  info.index.emplace();
  info.index->bytes = file->size();
  info.index->entries = (file->size() - sizeof(*header)) / sizeof(format::IndexEntry);
  for (uint64_t i = info.index->entries; i > 0 && info.index->end.offset == 0; --i) {
    const auto entry = file->Get<format::IndexEntry>(sizeof(*header) + (i - 1) * sizeof(format::IndexEntry));
    if (entry && entry->checksum == format::IndexChecksum(seed, i - 1, *entry))
      info.index->end.offset = entry->position;
  }
}

}  // namespace
}  // namespace inspect

absl::StatusOr<BusInfo> InspectBus(const std::string& bus) {
  LIBBUS_ASSIGN_OR_RETURN(const auto identity, inspect::ReadBusFile(bus));
  LIBBUS_ASSIGN_OR_RETURN(auto topics, inspect::ListTopicNames(bus));
  return BusInfo{.path = bus,
                 .uuid = log::UuidText(identity.header.uuid),
                 .version = identity.header.version,
                 .created = absl::FromUnixNanos(identity.created),
                 .access = static_cast<Access>(identity.access),
                 .topics = std::move(topics)};
}

absl::StatusOr<TopicInfo> InspectTopic(const std::string& bus, std::string_view topic) {
  LIBBUS_RETURN_IF_ERROR(inspect::CheckTopicName(topic));
  LIBBUS_RETURN_IF_ERROR(inspect::ReadBusFile(bus).status());
  LIBBUS_ASSIGN_OR_RETURN(const auto files, inspect::OpenTopicFiles(bus, topic));
  TopicInfo info;
  info.name = topic;
  inspect::AddControl(files.control, info);
  LIBBUS_RETURN_IF_ERROR(inspect::AddSegments(files, info));
  inspect::SetEnds(info);
  if (files.control.record) info.first.offset = std::max(info.first.offset, files.control.record->first_position);
  inspect::AddDurable(files, info);
  LIBBUS_ASSIGN_OR_RETURN(info.cursors, inspect::CountCursors(files));
  inspect::AddIndex(files, info);
  if (!files.control_file) return info;
  inspect::AddSyncs(files, info);
  inspect::AddSlots(*files.control_file, inspect::File::Open(files.path + "/locks"), info);
  return info;
}

}  // namespace libbus
