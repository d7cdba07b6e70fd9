#include "libbus/inspect/file_header.h"

#include <cstring>

#include "libbus/inspect/topic_files.h"

namespace libbus::inspect {

void FileHeaderFields(Picture& picture, uint64_t magic) {
  uint64_t found = 0;
  DumpField& field = picture.Bytes("magic", sizeof(found));
  std::memcpy(&found, field.bytes.data(), field.bytes.size());
  field.meaning = Quoted(field.bytes);
  if (found != magic) picture.Wrong(MagicProblem(found, magic));
  picture.Number<uint16_t>("version");
  picture.Number<uint16_t>("incompatible", [](uint16_t bits) { return fmt::format("features {:#x}", bits); });
  picture.Number<uint16_t>("compatible", [](uint16_t bits) { return fmt::format("features {:#x}", bits); });
  picture.Number<uint8_t>("cause", [](uint8_t cause) {
    return fmt::format("{}{}", cause, cause == 0 ? "" : fmt::format(": {}", EndCauseName(cause)));
  });
  picture.Zeros("reserved", 1);
  format::Uuid uuid = {};
  DumpField& id = picture.Bytes("uuid", sizeof(uuid));
  std::memcpy(uuid.bytes, id.bytes.data(), id.bytes.size());
  id.meaning = log::UuidText(uuid);
}

}  // namespace libbus::inspect
