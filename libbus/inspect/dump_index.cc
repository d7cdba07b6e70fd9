// The dump of an index: its header and its entries.
#include <fmt/format.h>

#include <algorithm>

#include "libbus/format/index.h"
#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/file_header.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

using format::IndexEntry;
using format::IndexHeader;

std::string SequenceText(uint64_t stored) {
  const uint64_t sequence = stored & ~format::kCountedOverDamage;
  return stored == sequence ? fmt::format("{}", sequence) : fmt::format("{}, counted over damage", sequence);
}

DumpItem HeaderItem(const File& file, const IndexHeader& header) {
  DumpItem item = MakeItem(DumpKind::kHeader, file.path(), 0, sizeof(header));
  Picture picture(item, std::as_bytes(std::span(&header, 1)));
  FileHeaderFields(picture, format::kIndexMagic);
  picture.Number<uint64_t>("inode", [&](uint64_t inode) {
    return inode == file.inode()
               ? fmt::format("{}: this file's", inode)
               : fmt::format("{}: this file's is {}, so it is a copy, and not used", inode, file.inode());
  });
  picture.Zeros("reserved", sizeof(header.reserved));
  ChecksumField(picture, header);
  item.summary = "index header";
  return item;
}

DumpItem EntryItem(const File& file, format::TopicSeed seed, uint64_t ordinal, const IndexEntry& entry) {
  const uint64_t offset = sizeof(IndexHeader) + ordinal * sizeof(IndexEntry);
  DumpItem item = MakeItem(DumpKind::kIndexEntry, file.path(), offset, sizeof(entry));
  Picture picture(item, std::as_bytes(std::span(&entry, 1)));
  picture.Number<uint64_t>("position");
  picture.Number<uint64_t>("sequence", SequenceText);
  if (entry.before == INT64_MIN) {
    picture.Bytes("before", sizeof(entry.before), "no record before it");
  } else {
    picture.Time("before");
  }
  picture.Zeros("reserved", sizeof(entry.reserved));
  picture.Checksum("checksum", format::IndexChecksum(seed, ordinal, entry));
  item.summary =
      fmt::format("entry {}: sequence {} stands at {}", ordinal, SequenceText(entry.sequence), entry.position);
  return item;
}

}  // namespace

absl::Status DumpIndex(const File& file, DumpOutput& output) {
  LIBBUS_RETURN_IF_ERROR(RefuseOptions(file, output));
  output.Emit(FileItem(file, "index of a topic"));
  const auto header = file.Get<IndexHeader>(0);
  if (!header) return output.EmitBytes(file, "plain bytes", 0, file.size());
  output.Emit(HeaderItem(file, *header));
  const auto mended = GetHeader<IndexHeader>(file, format::kIndexMagic).value_or(*header);
  const format::TopicSeed seed = format::TopicSeed::Of(mended.header.uuid);
  uint64_t offset = sizeof(*header);
  for (uint64_t i = 0; offset + sizeof(IndexEntry) <= file.size() && !output.done(); ++i) {
    auto entry = file.Get<IndexEntry>(offset);
    // Who appends may be writing it.
    if (entry && format::IndexChecksum(seed, i, *entry) != entry->checksum) entry = file.Get<IndexEntry>(offset);
    if (!entry) break;
    output.Emit(EntryItem(file, seed, i, *entry));
    offset += sizeof(IndexEntry);
  }
  return output.EmitBytes(file, "a part of an entry", offset, file.size());
}

}  // namespace libbus::inspect
