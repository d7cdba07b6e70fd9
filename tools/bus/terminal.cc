#include "tools/bus/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace bustool {
namespace {

constexpr size_t kNoTerminalWidth = 100;

std::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// ECMA-48 "select graphic rendition".
int Rendition(Colour colour) {
  constexpr int kCodes[] = {1, 2, 31, 32, 33, 34, 35, 36};
  return kCodes[static_cast<size_t>(colour)];
}

}  // namespace

bool StdoutIsTerminal() {
  static const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  return terminal;
}

bool StderrIsTerminal() {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return terminal;
}

size_t TerminalWidth() {
  if (!StdoutIsTerminal()) return kNoTerminalWidth;
  static const size_t width = [] {
    winsize size = {};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40;
    return known ? size_t{size.ws_col} : size_t{80};
  }();
  return width;
}

bool StdoutHasColours() {
  static const bool colours = StdoutIsTerminal() && Environment("NO_COLOR").empty() && !Environment("TERM").empty() &&
                              Environment("TERM") != "dumb";
  return colours;
}

std::string Paint(Colour colour, std::string_view text) {
  if (!StdoutHasColours() || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", Rendition(colour), text);
}

}  // namespace bustool
