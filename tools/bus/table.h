// Text in columns.
#ifndef LIBBUS_TOOLS_BUS_TABLE_H_
#define LIBBUS_TOOLS_BUS_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bustool {

// Each column as wide as its widest cell; two blanks in between. Not for cells with colours in them.
class Table {
 public:
  // A column whose heading ends with '<' is aligned to the left (the mark is not shown), others to the right.
  explicit Table(std::vector<std::string> headings);

  // REQUIRES: as many cells as headings.
  void Row(std::vector<std::string> cells);
  // Lines, each ended; the first one has the headings.
  std::string Text() const;

 private:
  std::string Line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const;

  std::vector<bool> left_;
  std::vector<std::vector<std::string>> rows_;
};

// 999, 12.3K, 4.0M, ...: in steps of 1024 (bytes) or of 1000 (counts). "-": not known.
std::string ShortBytes(std::optional<double> bytes);
std::string ShortCount(std::optional<double> count);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_TABLE_H_
