// Cutting a text into the records of its form. Pure functions; the results are views into the text.
#ifndef EXAMPLES_ETL_SPLIT_H_
#define EXAMPLES_ETL_SPLIT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace etl {

enum class Form { kDpkg, kNdjson, kCsv, kText };

// "dpkg", "ndjson", "csv", "text", and back.
std::string_view FormName(Form form);
std::optional<Form> FormOf(std::string_view name);

// What a file seems to be, by the ending of its name, else by how it begins.
Form DetectForm(std::string_view file_name, std::string_view text);

// The records of `text`. Of a CSV the first one is the line that names the columns.
std::vector<std::string_view> Split(Form form, std::string_view text);

// The rest of `text` behind its first line; `line` gets that line without its end.
std::string_view CutLine(std::string_view text, std::string_view& line);

// Fit for a terminal: control bytes, and all that is beyond ASCII in a text that is no UTF-8, become '?'.
std::string Printable(std::string_view text);

// Without white space at both ends.
std::string_view Trim(std::string_view text);

}  // namespace etl

#endif  // EXAMPLES_ETL_SPLIT_H_
