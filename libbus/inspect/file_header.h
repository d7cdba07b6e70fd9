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
  const uint32_t computed = format::FileChecksum(file);
  const bool right = computed == file.checksum;
  picture.Number<uint32_t>("checksum", [&](uint32_t stored) {
    return right ? fmt::format("{:08x} right", stored)
                 : fmt::format("stored {:08x}, computed {:08x}", stored, computed);
  });
  if (!right) picture.Wrong("wrong");
}

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_FILE_HEADER_H_
