#include "examples/etl/parse.h"

#include <fmt/format.h>

#include <iterator>

namespace etl {
namespace {

void AppendQuoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

std::unique_ptr<Parser> MakeParser(Form form, std::string_view columns) {
  switch (form) {
    case Form::kDpkg:
      return MakeDpkgParser();
    case Form::kNdjson:
      return MakeNdjsonParser();
    case Form::kCsv:
      return MakeCsvParser(columns);
    case Form::kText:
      return MakeTextParser();
  }
  return nullptr;
}

void JsonObject::Name(std::string_view name) {
  if (text_.size() > 1) text_ += ',';
  AppendQuoted(text_, name);
  text_ += ':';
}

JsonObject& JsonObject::Add(std::string_view name, std::string_view value) {
  Name(name);
  AppendQuoted(text_, value);
  return *this;
}

JsonObject& JsonObject::Add(std::string_view name, uint64_t value) {
  Name(name);
  text_ += fmt::format_int(value).str();
  return *this;
}

JsonObject& JsonObject::AddNull(std::string_view name) {
  Name(name);
  text_ += "null";
  return *this;
}

std::string JsonObject::Finish() {
  text_ += '}';
  return std::move(text_);
}

}  // namespace etl
