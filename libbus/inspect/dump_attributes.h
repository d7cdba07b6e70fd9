// The attributes of a record, field by field.
#ifndef LIBBUS_INSPECT_DUMP_ATTRIBUTES_H_
#define LIBBUS_INSPECT_DUMP_ATTRIBUTES_H_

#include <cstddef>
#include <span>

#include "libbus/inspect/picture.h"

namespace libbus::inspect {

// `bytes` are the attributes, which `picture` takes next.
void AttributeFields(Picture& picture, std::span<const std::byte> bytes);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_DUMP_ATTRIBUTES_H_
