// The man pages bus(1) and libbus(7), made from the texts of the commands and guides.
#ifndef LIBBUS_TOOLS_BUS_MAN_PAGE_H_
#define LIBBUS_TOOLS_BUS_MAN_PAGE_H_

#include <CLI/CLI.hpp>
#include <string>

namespace bustool {

// In the language of man(7). `bus` is the whole command line.
std::string BusManPage(const CLI::App& bus);
std::string LibraryManPage();

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_MAN_PAGE_H_
