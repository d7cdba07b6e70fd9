#include "libbus/inspect/dump_output.h"

#include <fmt/format.h>

#include <algorithm>

#include "libbus/inspect/picture.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {

void DumpOutput::Emit(const DumpItem& item) {
  if (done()) return;
  if (item.damaged) ++summary_.damaged;
  stopped_ = !sink_(item);
}

void DumpOutput::EmitRecord(const DumpItem& item) {
  if (done()) return;
  Emit(item);
  ++summary_.records;
}

absl::Status DumpOutput::EmitBytes(const File& file, std::string_view name, uint64_t from, uint64_t to) {
  std::string chunk;
  for (uint64_t at = from; at < to && !stopped_;) {
    chunk.resize(std::min(kChunk, to - at));
    LIBBUS_ASSIGN_OR_RETURN(const size_t got, file.Read(at, std::as_writable_bytes(std::span(chunk))));
    if (got == 0) break;
    chunk.resize(got);
    const bool zeros = chunk.find_first_not_of('\0') == std::string::npos;
    if (!zeros || got < kChunk) {
      DumpItem item = MakeItem(DumpKind::kBytes, file.path(), at, got);
      item.summary = fmt::format("{}, {} bytes at offset {}", name, got, at);
      Picture(item, std::as_bytes(std::span(chunk))).Bytes(name, got);
      stopped_ = !sink_(item);
    }
    at += got;
  }
  return absl::OkStatus();
}

DumpItem FileItem(const File& file, std::string_view what) {
  DumpItem item = MakeItem(DumpKind::kFile, file.path(), 0, file.size());
  item.summary = fmt::format("{}, {} bytes, inode {}", what, file.size(), file.inode());
  return item;
}

}  // namespace libbus::inspect
