#include "libbus/inspect/dump_output.h"

#include <fmt/format.h>

#include <algorithm>

#include "libbus/inspect/picture.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {

void DumpOutput::Emit(const DumpItem& item) {
  if (done()) return;
  if (item.damaged) ++summary_.damaged;
  const auto around = options_.around;
  if (!around || !item.position || item.kind == DumpKind::kFile || *around < *item.position ||
      around->offset - item.position->offset >= item.size) {
    return Send(item);
  }
  DumpItem marked = item;
  marked.marked = true;
  Send(marked);
}

void DumpOutput::EmitRecord(const DumpItem& item) {
  if (done()) return;
  Emit(item);
  ++summary_.records;
}

void DumpOutput::EmitZeros(const File& file, std::string_view name, uint64_t from, uint64_t to) {
  if (from == to) return;
  DumpItem item = MakeItem(DumpKind::kBytes, file.path(), from, to - from);
  item.summary = fmt::format("{}, {} zeros at offset {}", name, to - from, from);
  Picture(item, {}).Bytes(name, 0);
  item.fields[0].zeros = to - from;
  Send(item);
}

absl::Status DumpOutput::EmitBytes(const File& file, std::string_view name, uint64_t from, uint64_t to, bool marked) {
  std::string chunk;
  uint64_t zeros = from;  // from here on, up to `at`, all is zero
  uint64_t at = from;
  while (at < to && !stopped_) {
    at = std::min(to, std::max(at, file.NextWritten(at)));
    chunk.resize(std::min(kChunk, to - at));
    LIBBUS_ASSIGN_OR_RETURN(const size_t got, file.Read(at, std::as_writable_bytes(std::span(chunk))));
    if (got == 0) break;
    chunk.resize(got);
    if (AllZero(chunk) && at + got - zeros > kShownZeros) {
      at += got;
      continue;
    }
    EmitZeros(file, name, zeros, at);
    DumpItem item = MakeItem(DumpKind::kBytes, file.path(), at, got);
    item.summary = fmt::format("{}, {} bytes at offset {}", name, got, at);
    item.marked = marked;
    Picture(item, std::as_bytes(std::span(chunk))).Bytes(name, got);
    Send(item);
    at += got;
    zeros = at;
  }
  EmitZeros(file, name, zeros, at);
  return absl::OkStatus();
}

absl::Status RefuseOptions(const File& file, const DumpOutput& output) {
  const DumpOptions& options = output.options();
  if (!options.from && !options.count && !options.around) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: holds no records: leave out the position and the number of records", file.path()));
}

absl::Status Between(const File& file, uint64_t from, uint64_t to, DumpOutput& output) {
  return output.EmitBytes(file, "not used", from, std::min(to, file.size()));
}

DumpItem FileItem(const File& file, std::string_view what) {
  DumpItem item = MakeItem(DumpKind::kFile, file.path(), 0, file.size());
  item.summary = fmt::format("{}, {} bytes, inode {}", what, file.size(), file.inode());
  return item;
}

}  // namespace libbus::inspect
