// The fields with which every file of a bus begins and ends its header.
#ifndef LIBBUS_INSPECT_FILE_HEADER_H_
#define LIBBUS_INSPECT_FILE_HEADER_H_

#include <fmt/format.h>

#include <span>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "libbus/format/mend.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/topic_files.h"

namespace libbus::inspect {

void FileHeaderFields(Picture& picture, uint64_t magic);

// The header's checksum; `file` is all of it, as it stands there. If one flipped bit is what is wrong: which.
template <typename T>
void ChecksumField(Picture& picture, const T& file) {
  picture.Checksum("checksum", format::FileChecksum(file));
  const auto bytes = std::as_bytes(std::span(&file, 1)).first(offsetof(T, checksum) + sizeof(uint32_t));
  if (const auto flipped = format::FindFlippedBit(bytes)) picture.Wrong(FlippedText(*flipped));
}

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_FILE_HEADER_H_
