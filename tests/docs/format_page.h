// docs/format.md taken apart.
#ifndef LIBBUS_TESTS_DOCS_FORMAT_PAGE_H_
#define LIBBUS_TESTS_DOCS_FORMAT_PAGE_H_

#include <string>
#include <utility>
#include <vector>

namespace libbus::format {

// A path below the top of the source tree.
std::string SourcePath(const std::string& relative);
std::vector<std::string> SourceLines(const std::string& relative);

std::string Page();
std::vector<std::string> PageLines();
// The first fenced block of one language, without its fences.
std::string Block(const std::string& language);

// "| a | b | c |" as {a, b, c}; empty for any other line.
std::vector<std::string> Cells(const std::string& line);

// First and second cell of each row of the table whose first heading is `heading`.
using Rows = std::vector<std::pair<std::string, std::string>>;
Rows Table(const std::string& heading);

}  // namespace libbus::format

#endif  // LIBBUS_TESTS_DOCS_FORMAT_PAGE_H_
