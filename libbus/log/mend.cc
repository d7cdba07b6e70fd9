#include "libbus/log/mend.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "libbus/log/cursor_directory.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using platform::File;

// How a kind of file begins: so many bytes, the last four of which are their checksum.
struct Kind {
  uint64_t magic;
  size_t size;
};

template <typename T>
constexpr Kind KindOf(uint64_t magic) {
  return {magic, offsetof(T, checksum) + sizeof(uint32_t)};
}

constexpr Kind kBus = KindOf<format::BusFile>(format::kBusMagic);
constexpr Kind kCursor = KindOf<format::CursorHeader>(format::kCursorMagic);

// What a file in a topic's directory is by its name; nothing if its header is read by nobody, or none of a topic's.
std::optional<Kind> KindByName(std::string_view name) {
  if (name == "control") return KindOf<format::ControlHeader>(format::kControlMagic);
  if (name == "locks") return KindOf<format::LocksFile>(format::kLocksMagic);
  if (name == "sleep") return KindOf<format::SleepFile>(format::kSleepMagic);
  if (name == "index") return KindOf<format::IndexHeader>(format::kIndexMagic);
  if (IsSegmentName(name)) return KindOf<format::SegmentHeader>(format::kSegmentMagic);
  return std::nullopt;
}

// What is wrong in the file, if it is of the topic with this UUID, or none is given.
std::optional<FlippedHeader> Look(const File& file, const std::string& path, Kind kind, const format::Uuid* uuid) {
  alignas(format::FileHeader) std::byte bytes[format::kPageSize];
  const auto got = platform::ReadAt(file, path, 0, bytes, kind.size);
  if (!got.ok() || *got < kind.size) return std::nullopt;
  const auto flipped = format::MendOneBit(std::span(bytes).first(kind.size), kind.magic);
  format::FileHeader header;
  std::memcpy(&header, bytes, sizeof(header));
  if (!flipped || (uuid != nullptr && !(header.uuid == *uuid))) return std::nullopt;
  return FlippedHeader{path, *flipped, bytes[flipped->byte]};
}

// The byte is not flipped back but set: somebody else may have done it meanwhile.
absl::Status MendHeader(const FlippedHeader& header) {
  LIBBUS_ASSIGN_OR_RETURN(const File file, platform::OpenFile(header.path, true));
  LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, header.path, header.at.byte, &header.right, 1));
  return platform::SyncFile(file, header.path);
}

void AddCursors(const Log& log, std::vector<FlippedHeader>& found) {
  const auto directory = CursorDirectory::Open(log);
  const auto names = directory.ok() ? directory->List() : directory.status();
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const auto file = directory->OpenFile(name, false);
    if (!file.ok() || !directory->CheckIsOurs(file->fd(), name).ok()) continue;
    if (auto flipped = Look(*file, directory->PathOf(name), kCursor, &log.uuid())) found.push_back(*std::move(flipped));
  }
}

}  // namespace

absl::StatusOr<std::vector<FlippedHeader>> FindFlippedHeaders(const Log& log) {
  LIBBUS_ASSIGN_OR_RETURN(auto names, platform::ListDirectory(log.directory(), log.path()));
  std::sort(names.begin(), names.end());
  std::vector<FlippedHeader> found;
  for (const std::string& name : names) {
    const auto kind = KindByName(name);
    const auto file = kind ? platform::OpenFileAt(log.directory(), log.path(), name, false) : File();
    if (!kind || !file.ok()) continue;
    if (auto flipped = Look(*file, log.path() + "/" + name, *kind, &log.uuid())) found.push_back(*std::move(flipped));
  }
  AddCursors(log, found);
  return found;
}

std::vector<FlippedHeader> FindFlippedIdentity(const std::string& bus_path) {
  const std::string path = bus_path + "/bus";
  const auto file = platform::OpenFile(path, false);
  const auto flipped = file.ok() ? Look(*file, path, kBus, nullptr) : std::nullopt;
  return flipped ? std::vector<FlippedHeader>{*flipped} : std::vector<FlippedHeader>();
}

absl::Status MendHeaders(const std::vector<FlippedHeader>& headers) {
  for (const FlippedHeader& header : headers) LIBBUS_RETURN_IF_ERROR(MendHeader(header));
  return absl::OkStatus();
}

}  // namespace libbus::log
