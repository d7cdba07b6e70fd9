// Lines of text.
#include <simdjson.h>

#include <algorithm>

#include "examples/etl/parse.h"

namespace etl {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

bool IsControl(char c) { return (static_cast<unsigned char>(c) < 0x20 && !IsSpace(c)) || c == 0x7F; }

class TextParser : public Parser {
 public:
  Outcome Parse(std::string_view record) override {
    const std::string_view line = Trim(record);
    if (line.empty()) return Outcome::Filtered("blank line");
    if (!simdjson::validate_utf8(line.data(), line.size())) return Outcome::Dead("not UTF-8");
    if (std::any_of(line.begin(), line.end(), IsControl)) return Outcome::Dead("control bytes");
    return Outcome::Out("", Body(line));
  }

 private:
  // Every run of white space becomes one space.
  static std::string Body(std::string_view line) {
    std::string text;
    uint64_t words = 1;
    for (const char c : line) {
      if (!IsSpace(c)) {
        text += c;
      } else if (text.back() != ' ') {
        text += ' ';
        ++words;
      }
    }
    return JsonObject().Add("text", std::string_view(text)).Add("words", words).Finish();
  }
};

}  // namespace

std::unique_ptr<Parser> MakeTextParser() { return std::make_unique<TextParser>(); }

}  // namespace etl
