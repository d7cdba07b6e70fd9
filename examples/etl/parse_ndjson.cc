// One JSON object a line.
#include <simdjson.h>

#include "examples/etl/parse.h"

namespace etl {
namespace {

// What names the object, if anything does.
std::string KeyOf(simdjson::dom::object object) {
  for (const char* name : {"id", "key", "name"}) {
    simdjson::dom::element value;
    if (object[name].get(value) != simdjson::SUCCESS) continue;
    if (value.is_string()) return std::string(value.get_string().value_unsafe());
    if (value.is_uint64()) return std::to_string(value.get_uint64().value_unsafe());
  }
  return "";
}

class NdjsonParser : public Parser {
 public:
  Outcome Parse(std::string_view record) override {
    const std::string_view line = Trim(record);
    if (line.empty()) return Outcome::Filtered("blank line");
    simdjson::dom::element element;
    if (parser_.parse(line.data(), line.size()).get(element) != simdjson::SUCCESS) {
      return Outcome::Dead("not JSON");
    }
    simdjson::dom::object object;
    if (element.get(object) != simdjson::SUCCESS) return Outcome::Dead("JSON, but not an object");
    if (object.size() == 0) return Outcome::Filtered("empty object");
    return Outcome::Out(KeyOf(object), simdjson::minify(element));
  }

 private:
  simdjson::dom::parser parser_;
};

}  // namespace

std::unique_ptr<Parser> MakeNdjsonParser() { return std::make_unique<NdjsonParser>(); }

}  // namespace etl
