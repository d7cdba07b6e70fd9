// The fields with which every file of a bus begins and ends its header.
#ifndef LIBBUS_INSPECT_FILE_HEADER_H_
#define LIBBUS_INSPECT_FILE_HEADER_H_

#include <fmt/format.h>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "libbus/inspect/picture.h"

namespace libbus::inspect {

void FileHeaderFields(Picture& picture, uint64_t magic);

// The header's checksum; `file` is all of it.
template <typename T>
void ChecksumField(Picture& picture, const T& file) {
  picture.Checksum("checksum", format::FileChecksum(file));
}

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_FILE_HEADER_H_
