#include "tests/docs/format_page.h"

#include <fstream>
#include <sstream>

namespace libbus::format {
namespace {

std::string Trim(const std::string& text) {
  const size_t from = text.find_first_not_of(' ');
  return from == std::string::npos ? "" : text.substr(from, text.find_last_not_of(' ') - from + 1);
}

}  // namespace

std::vector<std::string> Cells(const std::string& line) {
  std::vector<std::string> cells;
  if (!line.starts_with("|")) return cells;
  std::istringstream in(line.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) cells.push_back(Trim(cell));
  return cells;
}

std::string SourcePath(const std::string& relative) { return std::string(LIBBUS_SOURCE_DIR) + "/" + relative; }

std::vector<std::string> SourceLines(const std::string& relative) {
  std::ifstream in(SourcePath(relative));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> PageLines() { return SourceLines("docs/format.md"); }

std::string Page() {
  std::string page;
  for (const std::string& line : PageLines()) page += line + "\n";
  return page;
}

std::string Block(const std::string& language) {
  const std::string page = Page();
  const std::string fence = "\n```" + language + "\n";
  const size_t from = page.find(fence);
  if (from == std::string::npos) return "";
  const size_t begin = from + fence.size();
  return page.substr(begin, page.find("```", begin) - begin);
}

Rows Table(const std::string& heading) {
  Rows rows;
  bool inside = false;
  for (const std::string& line : PageLines()) {
    const std::vector<std::string> cells = Cells(line);
    if (cells.size() < 2) {
      inside = false;
    } else if (cells[0] == heading) {
      inside = true;
    } else if (inside && cells[0].find("--") == std::string::npos) {
      rows.emplace_back(cells[0], cells[1]);
    }
  }
  return rows;
}

}  // namespace libbus::format
