// The numbers of a topic from its files, cheaply: the whole log is never read.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "libbus/format/index.h"
#include "libbus/inspect.h"
#include "libbus/inspect/file.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/inspect/words.h"
#include "libbus/log/consumer_table.h"
#include "libbus/platform/file.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace inspect {
namespace {

using format::Verdict;

// So much log is walked at most for a count.
constexpr uint64_t kLongestWalk = uint64_t{256} << 20;
constexpr uint64_t kNowhere = std::numeric_limits<uint64_t>::max();

// A position, and how many records stand before it.
struct Known {
  uint64_t position = 0;
  uint64_t records = 0;
};

// Another topic of the same name may get the inode number of the one before, a copy has its UUID.
uint64_t InstanceOf(const File& control) {
  uint64_t instance = 0;
  if (const auto header = GetHeader<format::ControlHeader>(control, format::kControlMagic)) {
    std::memcpy(&instance, header->header.uuid.bytes, sizeof(instance));
  }
  return instance ^ control.inode();
}

class TopicNumbers {
 public:
  TopicNumbers(const TopicFiles& files, const TopicStats* before)
      : files_(files), before_(before), index_(File::Open(files.path + "/index")) {
    live_ = files.control_file->Get<format::LiveWords>(format::kLiveOffset).value_or(format::LiveWords());
  }

  absl::StatusOr<TopicStats> Count() {
    out_.instance = InstanceOf(*files_.control_file);
    AddFiles();
    LIBBUS_RETURN_IF_ERROR(AddEnds());
    AddDurable();
    AddCounters();
    AddHolders();
    return out_;
  }

 private:
  void AddFiles() {
    for (const SegmentName& segment : files_.segments) {
      struct stat status;
      if (::stat(segment.path.c_str(), &status) != 0) continue;  // deleted since it was listed
      ++out_.segments;
      out_.bytes += static_cast<uint64_t>(status.st_size);
      out_.disk_bytes += static_cast<uint64_t>(status.st_blocks) * 512;
    }
    const uint64_t base = files_.segments.empty() ? 0 : files_.segments.front().base;
    const uint64_t kept = files_.control.record ? files_.control.record->first_position : 0;
    out_.first.offset = std::max(base + format::kSegmentHeaderSize, kept);
  }

  // The oldest record, whose count the control record has.
  std::optional<Known> Oldest() const {
    const auto& record = files_.control.record;
    if (!record || record->first_position == 0) {
      if (out_.first.offset != format::kSegmentHeaderSize) return std::nullopt;
      return Known{out_.first.offset, 0};
    }
    if (record->first_position != out_.first.offset) return std::nullopt;
    if ((record->first_sequence & format::kCountedOverDamage) != 0) return std::nullopt;
    return Known{record->first_position, record->first_sequence};
  }

  std::optional<format::IndexEntry> EntryAt(uint64_t ordinal) const {
    const uint64_t offset = sizeof(format::IndexHeader) + ordinal * sizeof(format::IndexEntry);
    const auto entry = index_->Get<format::IndexEntry>(offset);
    const bool right = entry && entry->checksum == format::IndexChecksum(seed_, ordinal, *entry) &&
                       (entry->sequence & format::kCountedOverDamage) == 0;
    return right ? entry : std::nullopt;
  }

  // The last entry of the index that is not behind `position`.
  std::optional<Known> Indexed(uint64_t position) {
    const auto header = index_.ok() ? GetHeader<format::IndexHeader>(*index_, format::kIndexMagic) : std::nullopt;
    const bool used = header && header->header.magic == format::kIndexMagic && header->inode == index_->inode() &&
                      header->checksum == format::FileChecksum(*header) && files_.control.header &&
                      header->header.uuid == files_.control.header->header.uuid;
    if (!used) return std::nullopt;
    seed_ = format::TopicSeed::Of(header->header.uuid);
    uint64_t high = (index_->size() - sizeof(*header)) / sizeof(format::IndexEntry);
    for (uint64_t low = 0; low < high;) {
      const uint64_t middle = low + (high - low) / 2;
      const auto entry = EntryAt(middle);
      if (entry && entry->position <= position) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const auto entry = high > 0 ? EntryAt(high - 1) : std::nullopt;
    return entry ? std::optional(Known{entry->position, entry->sequence}) : std::nullopt;
  }

  // The nearest place at or before `position` whose count is known.
  std::optional<Known> Nearest(uint64_t position) {
    std::optional<Known> best;
    const auto consider = [&](std::optional<Known> known) {
      if (known && known->position <= position && (!best || best->position < known->position)) best = known;
    };
    consider(Oldest());
    consider(Indexed(position));
    if (before_ != nullptr && before_->records) consider(Known{before_->end.offset, *before_->records});
    if (before_ != nullptr && before_->durable_records)
      consider(Known{before_->durable.offset, *before_->durable_records});
    return best;
  }

  // Counts on to the first claim, the tail or `to`. Nothing: damage stands in between.
  absl::StatusOr<std::optional<Known>> CountFrom(Known known, uint64_t to) {
    bool right = true;
    const auto visit = [&](uint64_t, const Look& look, SegmentReader& reader) {
      right &= look.verdict != Verdict::kBad;
      if (look.verdict == Verdict::kReserved || !right) return false;
      known.records += Ordinals(look, reader);
      return true;
    };
    LIBBUS_ASSIGN_OR_RETURN(known.position, WalkWords(files_, known.position, to, visit));
    return right ? std::optional(known) : std::nullopt;
  }

  // Where readers stop, walked to from near the tail, whatever stands in between.
  absl::StatusOr<uint64_t> FindEnd(uint64_t from) const {
    const auto visit = [](uint64_t, const Look& look, SegmentReader&) { return look.verdict != Verdict::kReserved; };
    return WalkWords(files_, from, kNowhere, visit);
  }

  absl::Status AddEnds() {
    const uint64_t near = NearTail(files_, live_);
    const auto known = Nearest(kNowhere);
    std::optional<Known> end;
    if (known && (near <= known->position || near - known->position <= kLongestWalk)) {
      LIBBUS_ASSIGN_OR_RETURN(end, CountFrom(*known, kNowhere));
    }
    if (end) {
      out_.end.offset = end->position;
      out_.records = end->records;
      return absl::OkStatus();
    }
    // Too far to count. Should an open claim stand before that place, readers stop there.
    LIBBUS_ASSIGN_OR_RETURN(out_.end.offset, FindEnd(near));
    return absl::OkStatus();
  }

  void AddDurable() {
    const auto directory = platform::OpenDirectory(files_.path);
    const bool is_volatile = directory.ok() && platform::Seam::Volatile(directory->fd());
    const auto& header = files_.control.header;
    const bool copy = !header || header->control_inode != files_.control_file->inode();
    if (is_volatile || copy) return;
    const uint64_t noted = files_.control.record ? files_.control.record->durable : 0;
    out_.durable.offset = std::min(std::max(live_.durable, noted), out_.end.offset);
    const auto known = Nearest(out_.durable.offset);
    if (!known || out_.durable.offset - known->position > kLongestWalk) return;
    const auto counted = CountFrom(*known, out_.durable.offset);
    if (counted.ok() && *counted && (*counted)->position >= out_.durable.offset) {
      out_.durable_records = (*counted)->records;
    }
  }

  void AddCounters() {
    out_.wakes = live_.wakes;
    out_.woken = live_.woken;
    out_.gaps = live_.gaps;
    out_.repairs = live_.repairs;
    out_.syncs = live_.sync_started;
    out_.measured_syncs = live_.measured_syncs;
    out_.measured_bytes = live_.measured_bytes;
  }

  void AddHolders() {
    if (const auto locks = File::Open(files_.path + "/locks"); locks.ok()) {
      uint32_t producers = 0;
      for (uint32_t slot = 1; slot < format::kSlots; ++slot) producers += locks->Locked(slot) == true ? 1 : 0;
      out_.producers = producers;
    }
    const auto sleep = File::Open(files_.path + "/sleep");
    if (!sleep.ok()) return;
    out_.sleeps = sleep->Get<uint64_t>(offsetof(format::SleepFile, sleeps)).value_or(0);
    uint32_t consumers = 0;
    for (uint32_t n = 0; n < format::kConsumerEntries; ++n) {
      consumers += sleep->Locked(log::ConsumerByte(n)) == true ? 1 : 0;
    }
    out_.consumers = consumers;
  }

  const TopicFiles& files_;
  const TopicStats* const before_;
  const absl::StatusOr<File> index_;
  format::LiveWords live_ = {};
  format::TopicSeed seed_ = {};
  TopicStats out_;
};

}  // namespace
}  // namespace inspect

absl::StatusOr<TopicStats> InspectStats(const std::string& bus, std::string_view topic, const TopicStats* before) {
  LIBBUS_RETURN_IF_ERROR(inspect::CheckTopicName(topic));
  LIBBUS_RETURN_IF_ERROR(inspect::ReadBusFile(bus).status());
  const auto files = inspect::OpenTopicFiles(bus, topic);
  if (before != nullptr && absl::IsNotFound(files.status())) {
    return absl::NotFoundError(fmt::format("{}/{}: the topic was removed while it was watched", bus, topic));
  }
  LIBBUS_RETURN_IF_ERROR(files.status());
  if (!files->control_file) {
    return absl::DataLossError(fmt::format("{}: its control file is gone: see `bus verify {}`", files->path, topic));
  }
  if (before != nullptr && before->instance != inspect::InstanceOf(*files->control_file)) {
    return absl::FailedPreconditionError(
        fmt::format("{}: the topic was replaced by another while it was watched: begin anew", files->path));
  }
  return inspect::TopicNumbers(*files, before).Count();
}

}  // namespace libbus
