// What `bus COMMAND --help` and `bus help WORD` print.
#ifndef LIBBUS_TOOLS_BUS_HELP_PAGE_H_
#define LIBBUS_TOOLS_BUS_HELP_PAGE_H_

#include <CLI/CLI.hpp>
#include <string>

#include "tools/bus/guides.h"

namespace bustool {

// Lines are at most `width` columns long, where they can be broken.
std::string HelpPage(const CLI::App& command, size_t width);
std::string HelpPage(const Guide& guide, size_t width);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_HELP_PAGE_H_
