// Paragraphs of dpkg's status file and of apt's package lists: "Name: value" lines, values go on in indented lines.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "examples/etl/parse.h"

namespace etl {
namespace {

enum Field { kPackage, kVersion, kArchitecture, kSection, kSize, kMaintainer, kDepends, kHomepage, kSynopsis, kStatus };
constexpr std::array<std::string_view, 10> kFieldNames = {"package",        "version",    "architecture", "section",
                                                          "installed-size", "maintainer", "depends",      "homepage",
                                                          "description",    "status"};

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return Lower(c); });
  return lower;
}

bool SameName(std::string_view name, std::string_view lower) {
  return std::equal(name.begin(), name.end(), lower.begin(), lower.end(), [](char a, char b) { return Lower(a) == b; });
}

// The first lines of the fields that we want; empty where there is none.
struct Paragraph {
  std::array<std::string_view, kFieldNames.size()> fields;
  std::string_view operator[](Field field) const { return fields[field]; }
};

// Why it is not a paragraph, or empty.
std::string_view TakeLine(std::string_view line, Paragraph& paragraph) {
  if (line.starts_with(' ') || line.starts_with('\t')) return "";
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return "a line without a field name";
  for (size_t i = 0; i < kFieldNames.size(); ++i) {
    if (!SameName(line.substr(0, colon), kFieldNames[i])) continue;
    if (!paragraph.fields[i].empty()) return "a field that stands twice";
    paragraph.fields[i] = Trim(line.substr(colon + 1));
  }
  return "";
}

std::string_view ReadParagraph(std::string_view text, Paragraph& paragraph) {
  while (!text.empty()) {
    std::string_view line;
    text = CutLine(text, line);
    if (const std::string_view problem = TakeLine(line, paragraph); !problem.empty()) return problem;
  }
  return "";
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "Name <address>".
struct Person {
  std::string_view name;
  std::string_view address;
};

std::optional<Person> ReadPerson(std::string_view text) {
  const size_t open = text.rfind('<');
  if (open == std::string_view::npos || !text.ends_with('>')) return std::nullopt;
  const std::string_view address = text.substr(open + 1, text.size() - open - 2);
  const size_t at = address.find('@');
  if (at == 0 || at == std::string_view::npos || at + 1 == address.size()) return std::nullopt;
  if (address.find_first_of(" \t,") != std::string_view::npos) return std::nullopt;
  std::string_view name = Trim(text.substr(0, open));
  if (name.size() >= 2 && name.starts_with('"') && name.ends_with('"')) name = name.substr(1, name.size() - 2);
  return Person{name, address};
}

// "contrib/net" is the section net of another area of the archive.
std::string_view WithoutArea(std::string_view section) { return section.substr(section.rfind('/') + 1); }

bool IsWebAddress(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

uint64_t CountParts(std::string_view depends) {
  if (depends.empty()) return 0;
  return 1 + static_cast<uint64_t>(std::count(depends.begin(), depends.end(), ','));
}

std::string_view WhyLeftOut(const Paragraph& paragraph) {
  const std::string_view section = WithoutArea(paragraph[kSection]);
  if (!paragraph[kStatus].empty() && !paragraph[kStatus].ends_with(" installed")) return "not installed";
  if (section == "debug") return "section debug: symbols for debuggers";
  if (section == "oldlibs") return "section oldlibs: kept for older programs";
  return "";
}

std::string_view WhyDead(const Paragraph& paragraph) {
  if (paragraph[kPackage].empty()) return "no Package";
  if (paragraph[kVersion].empty()) return "no Version";
  if (!paragraph[kHomepage].empty() && !IsWebAddress(paragraph[kHomepage])) return "Homepage is no web address";
  if (paragraph[kSize].empty()) return "no Installed-Size";
  if (!Number(paragraph[kSize])) return "Installed-Size is no number";
  if (!ReadPerson(paragraph[kMaintainer])) return "Maintainer has no e-mail address";
  return "";
}

std::string Body(const Paragraph& paragraph) {
  const Person person = *ReadPerson(paragraph[kMaintainer]);
  return JsonObject()
      .Add("package", Lower(paragraph[kPackage]))
      .Add("version", paragraph[kVersion])
      .Add("architecture", paragraph[kArchitecture])
      .Add("section", Lower(WithoutArea(paragraph[kSection])))
      .Add("installed_kib", *Number(paragraph[kSize]))
      .Add("maintainer", person.name)
      .Add("email", Lower(person.address))
      .Add("depends", CountParts(paragraph[kDepends]))
      .Add("homepage", paragraph[kHomepage])
      .Add("synopsis", paragraph[kSynopsis])
      .Finish();
}

class DpkgParser : public Parser {
 public:
  Outcome Parse(std::string_view record) override {
    if (!simdjson::validate_utf8(record.data(), record.size())) return Outcome::Dead("not UTF-8");
    Paragraph paragraph;
    if (const auto why = ReadParagraph(record, paragraph); !why.empty()) return Outcome::Dead(std::string(why));
    if (const auto why = WhyLeftOut(paragraph); !why.empty()) return Outcome::Filtered(std::string(why));
    if (const auto why = WhyDead(paragraph); !why.empty()) return Outcome::Dead(std::string(why));
    return Outcome::Out(Lower(paragraph[kPackage]), Body(paragraph));
  }
};

}  // namespace

std::unique_ptr<Parser> MakeDpkgParser() { return std::make_unique<DpkgParser>(); }

}  // namespace etl
