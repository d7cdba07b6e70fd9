#include "libbus/log/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "libbus/format/batch.h"
#include "libbus/log/access.h"
#include "libbus/log/file_header.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

constexpr std::string_view kSuffix = ".seg";
constexpr size_t kDigits = 20;

// The base in a segment's name; nothing for any other name.
std::optional<uint64_t> ParseName(std::string_view name) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  uint64_t base = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kDigits, base);
  if (error != std::errc() || end != name.data() + kDigits) return std::nullopt;
  return base;
}

}  // namespace

bool IsSegmentName(std::string_view name) { return ParseName(name).has_value(); }

void Segment::Populate(uint64_t from, uint64_t to) {
  from = std::max({populated_.Read(), base(), from & ~(format::kPageSize - 1)});
  to = std::min(format::AlignUp(to, format::kPageSize), end());
  if (from >= to) return;
  mapping_.Populate(from - base(), to - from);
  populated_.Raise(to);
}

std::string SegmentName(uint64_t base) { return fmt::format("{:020}{}", base, kSuffix); }

absl::StatusOr<format::SegmentHeader> SegmentStore::ReadHeader(const platform::File& file, uint64_t base) const {
  const std::string path = PathOf(base);
  LIBBUS_ASSIGN_OR_RETURN(const auto header,
                          ReadFileHeader<format::SegmentHeader>(file, path, format::kSegmentMagic, "segment"));
  if (header.header.uuid != uuid_) {
    return absl::DataLossError(fmt::format("{}: belongs to another topic ({}): put it back where it came from", path,
                                           UuidText(header.header.uuid)));
  }
  if (header.base != base) {
    return absl::DataLossError(
        fmt::format("{}: its header says base {}: renamed? Give it its old name", path, header.base));
  }
  LIBBUS_ASSIGN_OR_RETURN(const uint64_t size, platform::FileSize(file, path));
  const bool sane = header.file_size >= format::kPageSize && header.file_size % format::kPageSize == 0 &&
                    base % format::kPageSize == 0 && base + header.file_size > base;
  if (!sane || size < header.file_size) {
    return absl::DataLossError(
        fmt::format("{}: truncated: {} bytes of {} (see `bus verify`)", path, size, header.file_size));
  }
  return header;
}

SegmentPtr SegmentStore::Known(uint64_t base) {
  const auto it = open_.find(base);
  if (it == open_.end()) return nullptr;
  SegmentPtr segment = it->second.lock();
  if (segment == nullptr) open_.erase(it);
  return segment;
}

absl::StatusOr<SegmentPtr> SegmentStore::Map(uint64_t base, platform::File file, bool made_here) {
  const std::string path = PathOf(base);
  LIBBUS_ASSIGN_OR_RETURN(const format::SegmentHeader header, ReadHeader(file, base));
  LIBBUS_ASSIGN_OR_RETURN(platform::Mapping mapping,
                          platform::Mapping::Map(file, path, header.file_size, writable_, bus_errors_));
  if (!writable_) file.Close();
  return std::make_shared<Segment>(header, std::move(mapping), std::move(file), made_here);
}

absl::StatusOr<SegmentPtr> SegmentStore::Open(uint64_t base) {
  SegmentPtr left;  // unmapped behind the lock
  const std::lock_guard lock(mutex_);
  if (SegmentPtr segment = Known(base)) return segment;
  LIBBUS_ASSIGN_OR_RETURN(platform::File file, platform::OpenFileAt(opened_, directory_, SegmentName(base), writable_));
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, Map(base, std::move(file), false));
  open_[base] = segment;
  left = std::exchange(recent_[turn_++ % recent_.size()], segment);
  return segment;
}

absl::StatusOr<SegmentPtr> SegmentStore::OpenMade(uint64_t base, platform::File file) {
  SegmentPtr left;
  const std::lock_guard lock(mutex_);
  if (SegmentPtr segment = Known(base)) return segment;
  LIBBUS_ASSIGN_OR_RETURN(SegmentPtr segment, Map(base, std::move(file), true));
  open_[base] = segment;
  left = std::exchange(recent_[turn_++ % recent_.size()], segment);
  return segment;
}

void SegmentStore::Forget(uint64_t base) {
  const std::lock_guard lock(mutex_);
  open_.erase(base);
  for (SegmentPtr& recent : recent_) {
    if (recent != nullptr && recent->base() == base) recent.reset();
  }
}

SegmentPtr SegmentStore::KnownHolding(uint64_t position) {
  const std::lock_guard lock(mutex_);
  auto it = open_.upper_bound(position);
  if (it == open_.begin()) return nullptr;
  SegmentPtr segment = (--it)->second.lock();
  return segment != nullptr && segment->Contains(position) ? segment : nullptr;
}

absl::StatusOr<SegmentPtr> SegmentStore::Containing(uint64_t position) {
  if (SegmentPtr known = KnownHolding(position)) return known;
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, ListBases());
  const auto behind = std::upper_bound(bases.begin(), bases.end(), position);
  if (behind != bases.begin()) {
    auto segment = Open(*std::prev(behind));
    // Deleted since it was listed: then none holds it.
    if (!segment.ok() && !absl::IsNotFound(segment.status())) return segment.status();
    if (segment.ok() && (*segment)->Contains(position)) return segment;
  }
  return absl::OutOfRangeError(fmt::format("{}: no segment holds position {}", directory_, position));
}

absl::StatusOr<SegmentPtr> SegmentStore::After(const Segment& segment) {
  auto next = Open(segment.end());
  for (int tries = 0; absl::IsNotFound(next.status()) && tries < 100; ++tries) {
    LIBBUS_ASSIGN_OR_RETURN(const std::vector<uint64_t> bases, ListBases());
    const auto behind = std::lower_bound(bases.begin(), bases.end(), segment.end());
    if (behind == bases.end()) return next;
    // Once more if it was deleted since it was listed.
    next = Open(*behind);
  }
  return next;
}

absl::StatusOr<std::vector<uint64_t>> SegmentStore::ListBases() const {
  LIBBUS_ASSIGN_OR_RETURN(const std::vector<std::string> names, platform::ListDirectory(opened_, directory_));
  std::vector<uint64_t> bases;
  for (const std::string& name : names) {
    if (const auto base = ParseName(name)) bases.push_back(*base);
  }
  std::sort(bases.begin(), bases.end());
  return bases;
}

absl::StatusOr<platform::File> PrepareSegment(const platform::File& directory, const std::string& directory_path,
                                              const format::Uuid& uuid, uint64_t base, uint64_t size, uint32_t epoch,
                                              uint8_t cause, uint8_t access) {
  const std::string name = SegmentName(base);
  const std::string path = directory_path + "/" + name;
  const auto fill = [&](const platform::File& file) -> absl::Status {
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
    format::SegmentHeader header = {};
    header.header = MakeFileHeader(format::kSegmentMagic, uuid);
    header.header.cause = cause;
    header.base = base;
    header.file_size = size;
    header.inode = identity.inode;
    header.epoch = epoch;
    header.checksum = format::FileChecksum(header);
    return platform::WriteAt(file, path, 0, &header, sizeof(header));
  };
  auto made = platform::CreateWhole(directory, directory_path, name, size, ModesOf(access).file, fill);
  if (made.status().code() == absl::StatusCode::kAlreadyExists) return platform::File();
  return made;
}

bool Place::Verifies(format::TopicSeed seed, format::Word word) const {
  return format::VerifyWhole(seed, position, HeaderWith(word), BodyOf(word));
}

}  // namespace libbus::log
