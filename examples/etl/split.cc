#include "examples/etl/split.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <utility>

namespace etl {
namespace {

constexpr std::array<std::pair<Form, std::string_view>, 4> kForms = {
    {{Form::kDpkg, "dpkg"}, {Form::kNdjson, "ndjson"}, {Form::kCsv, "csv"}, {Form::kText, "text"}}};

// A quote that nobody closes must not swallow the rest of the file: a longer CSV record ends at its first line.
constexpr size_t kLongestCsvRecord = 64 << 10;

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    std::string_view line;
    text = CutLine(text, line);
    lines.push_back(line);
  }
  return lines;
}

// Paragraphs are parted by blank lines; those are no records.
std::vector<std::string_view> SplitParagraphs(std::string_view text) {
  std::vector<std::string_view> paragraphs;
  const char* begin = nullptr;
  while (!text.empty()) {
    std::string_view line;
    const std::string_view rest = CutLine(text, line);
    const bool blank = Trim(line).empty();
    if (!blank && begin == nullptr) begin = text.data();
    const char* end = blank ? text.data() : rest.data();
    if (begin != nullptr && (blank || rest.empty())) {
      paragraphs.push_back(Trim(std::string_view(begin, static_cast<size_t>(end - begin))));
      begin = nullptr;
    }
    text = rest;
  }
  return paragraphs;
}

// A record of a CSV ends at the first line end that stands outside quotes.
std::string_view CutCsv(std::string_view text, std::string_view& record) {
  const std::string_view window = text.substr(0, kLongestCsvRecord);
  bool quoted = false;
  for (size_t i = 0; i < window.size(); ++i) {
    if (window[i] == '"') quoted = !quoted;
    if (window[i] != '\n' || quoted) continue;
    record = text.substr(0, i);
    return text.substr(i + 1);
  }
  if (quoted || window.size() < text.size()) return CutLine(text, record);
  record = text;
  return {};
}

std::vector<std::string_view> SplitCsv(std::string_view text) {
  std::vector<std::string_view> records;
  while (!text.empty()) {
    std::string_view record;
    text = CutCsv(text, record);
    records.push_back(record);
  }
  return records;
}

bool LooksLikeCsv(std::string_view text) {
  std::string_view first, second;
  CutLine(CutLine(text, first), second);
  const auto commas = std::count(first.begin(), first.end(), ',');
  return commas > 0 && commas == std::count(second.begin(), second.end(), ',');
}

}  // namespace

std::string_view FormName(Form form) { return kForms[static_cast<size_t>(form)].second; }

std::optional<Form> FormOf(std::string_view name) {
  for (const auto& [form, its_name] : kForms) {
    if (name == its_name) return form;
  }
  return std::nullopt;
}

Form DetectForm(std::string_view file_name, std::string_view text) {
  for (std::string_view ending : {".ndjson", ".jsonl"}) {
    if (file_name.ends_with(ending)) return Form::kNdjson;
  }
  if (file_name.ends_with(".csv")) return Form::kCsv;
  if (file_name.ends_with(".txt") || file_name.ends_with(".log")) return Form::kText;
  const std::string_view head = Trim(text.substr(0, 4096));
  if (head.starts_with('{')) return Form::kNdjson;
  if (head.starts_with("Package:")) return Form::kDpkg;
  return LooksLikeCsv(text) ? Form::kCsv : Form::kText;
}

std::vector<std::string_view> Split(Form form, std::string_view text) {
  switch (form) {
    case Form::kDpkg:
      return SplitParagraphs(text);
    case Form::kCsv:
      return SplitCsv(text);
    case Form::kNdjson:
    case Form::kText:
      return SplitLines(text);
  }
  return {};
}

std::string_view CutLine(std::string_view text, std::string_view& line) {
  const size_t end = text.find('\n');
  line = text.substr(0, end);
  return end == std::string_view::npos ? std::string_view(text.data() + text.size(), 0) : text.substr(end + 1);
}

std::string Printable(std::string_view text) {
  const bool utf8 = simdjson::validate_utf8(text.data(), text.size());
  std::string printable(text);
  for (char& c : printable) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf8)) c = '?';
  }
  return printable;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace etl
