// What the terminal behind stdout and stderr can do, and what the user wants of it.
#ifndef LIBBUS_TOOLS_BUS_TERMINAL_H_
#define LIBBUS_TOOLS_BUS_TERMINAL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bustool {

// Whether they were a terminal when the program began: a pager behind stdout does not change that.
bool StdoutIsTerminal();
bool StderrIsTerminal();

// Columns of the terminal behind stdout, or 100 where there is none.
size_t TerminalWidth();

enum class Colour : uint8_t { kBold, kDim, kRed, kGreen, kYellow, kBlue, kMagenta, kCyan };

// stdout is a terminal that knows colours, and NO_COLOR is unset or empty (no-color.org).
bool StdoutHasColours();

// `text` in this colour; unchanged where stdout has no colours.
std::string Paint(Colour colour, std::string_view text);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_TERMINAL_H_
