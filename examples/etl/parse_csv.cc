// Cells parted by commas, in quotes where they hold commas, quotes (doubled) or line ends.
#include <fmt/format.h>
#include <simdjson.h>

#include "examples/etl/parse.h"

namespace etl {
namespace {

// A cell in quotes; `rest` starts with the quote and is left behind the closing one.
bool TakeQuoted(std::string_view& rest, std::string& cell) {
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] != '"') {
      cell += rest[i];
    } else if (i + 1 < rest.size() && rest[i + 1] == '"') {
      cell += rest[i++];
    } else {
      rest = rest.substr(i + 1);
      return rest.empty() || rest.starts_with(',');
    }
  }
  return false;
}

bool TakePlain(std::string_view& rest, std::string& cell) {
  const size_t end = std::min(rest.find(','), rest.size());
  cell = rest.substr(0, end);
  rest = rest.substr(end);
  return cell.find('"') == std::string::npos;
}

// False if quotes are not where they may be.
bool Cells(std::string_view rest, std::vector<std::string>& cells) {
  for (;;) {
    std::string cell;
    if (!(rest.starts_with('"') ? TakeQuoted(rest, cell) : TakePlain(rest, cell))) return false;
    cells.emplace_back(Trim(cell));
    if (rest.empty()) return true;
    rest.remove_prefix(1);
  }
}

class CsvParser : public Parser {
 public:
  explicit CsvParser(std::string_view columns) { Cells(columns, columns_); }

  Outcome Parse(std::string_view record) override {
    const std::string_view line = Trim(record);
    if (line.empty()) return Outcome::Filtered("blank line");
    if (line.starts_with('#')) return Outcome::Filtered("comment");
    if (!simdjson::validate_utf8(line.data(), line.size())) return Outcome::Dead("not UTF-8");
    std::vector<std::string> cells;
    if (!Cells(line, cells)) return Outcome::Dead("a quote where none may be");
    if (cells.size() != columns_.size()) {
      return Outcome::Dead(fmt::format("{} cells, not {}", cells.size(), columns_.size()));
    }
    return Outcome::Out(cells.front(), Body(cells));
  }

 private:
  std::string Body(const std::vector<std::string>& cells) const {
    JsonObject object;
    for (size_t i = 0; i < cells.size(); ++i) {
      cells[i].empty() ? object.AddNull(columns_[i]) : object.Add(columns_[i], std::string_view(cells[i]));
    }
    return object.Finish();
  }

  std::vector<std::string> columns_;
};

}  // namespace

std::unique_ptr<Parser> MakeCsvParser(std::string_view columns) { return std::make_unique<CsvParser>(columns); }

}  // namespace etl
