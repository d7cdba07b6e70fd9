// What others wrote, as text that a terminal cannot take for anything else.
#ifndef LIBBUS_TOOLS_BUS_TEXT_H_
#define LIBBUS_TOOLS_BUS_TEXT_H_

#include <string>
#include <string_view>

namespace bustool {

// `text` with every byte as \xNN that is neither printable ASCII nor part of a printable character in UTF-8.
std::string Plain(std::string_view text);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_TEXT_H_
