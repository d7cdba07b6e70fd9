#include "tools/bus/help_page.h"

#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "tools/bus/command.h"
#include "tools/bus/terminal.h"

namespace bustool {
namespace {

constexpr size_t kWidest = 100;  // longer lines are hard to read
constexpr size_t kColumn = 26;   // where explanations begin

// Words one after the other, broken before `width`; from the second line on with `indent` blanks in front.
std::string Wrap(const std::vector<std::string>& words, size_t column, size_t indent, size_t width) {
  std::string out;
  bool first = true;
  for (const std::string& word : words) {
    if (!first && column + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      first = true;
    }
    if (!first) out += ' ', ++column;
    out += word;
    column += word.size();
    first = false;
  }
  return out;
}

std::vector<std::string> WordsOf(std::string_view text) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), absl::ByAnyChar(" \n"), absl::SkipEmpty());
}

std::string Paragraphs(const std::string& text, size_t width) {
  std::string out;
  for (const std::string& paragraph : std::vector<std::string>(absl::StrSplit(text, "\n\n", absl::SkipEmpty()))) {
    const bool as_it_is = paragraph.starts_with("  ");
    out += "\n" + (as_it_is ? paragraph : Wrap(WordsOf(paragraph), 0, 0, width)) + "\n";
  }
  return out;
}

std::string Entry(const std::string& name, const std::string& what, size_t width) {
  std::string line = "  " + name;
  const bool fits = line.size() + 2 <= kColumn;
  line += fits ? std::string(kColumn - line.size(), ' ') : "\n" + std::string(kColumn, ' ');
  return line + Wrap(WordsOf(what), kColumn, kColumn, width) + "\n";
}

std::string Heading(std::string_view text) { return "\n" + Paint(Colour::kBold, text) + "\n"; }

std::string ArgumentsText(const CLI::App& command, size_t width) {
  std::string positional, options;
  for (const Argument& argument : Arguments(command)) {
    const bool value = !argument.positional && !argument.type.empty();
    (argument.positional ? positional : options) +=
        Entry(value ? argument.name + " " + argument.type : argument.name, argument.what, width);
  }
  const bool top = command.get_parent() == nullptr;
  if (!top) options += Entry("-h, --help", "this text; --bus, --json, -q and -v: see bus --help", width);
  return (positional.empty() ? "" : "\n" + positional) +
         Heading(top ? "Options, before or after a command:" : "Options:") + options;
}

std::string CommandsText(const CLI::App& command, size_t width) {
  std::string out;
  for (const CLI::App* below : Commands(command)) out += Entry(below->get_name(), below->get_description(), width);
  return out.empty() ? out : Heading("Commands:") + out;
}

std::string GuidesText(size_t width) {
  std::string out = Heading("Read on, with bus help WORD:");
  for (const Guide& guide : Guides()) out += Entry(guide.name, guide.what, width);
  return out;
}

std::string ExamplesText(const CommandText& text) {
  if (text.examples.empty()) return "";
  std::string out = Heading(text.examples.size() == 1 ? "Example:" : "Examples:");
  for (const std::string& example : text.examples) out += "  " + example + "\n";
  return out;
}

}  // namespace

std::string HelpPage(const CLI::App& command, size_t width) {
  width = std::min(width, kWidest);
  const CommandText& text = TextOf(command);
  std::string out = Paint(Colour::kBold, Words(command)) + ": " + text.what + "\n\n";
  out += "Usage: " + Wrap(Synopsis(command), 7, 11, width) + "\n";
  out += CommandsText(command, width) + ArgumentsText(command, width);
  if (command.get_parent() == nullptr) out += GuidesText(width);
  return out + Paragraphs(text.details, width) + ExamplesText(text);
}

std::string HelpPage(const Guide& guide, size_t width) {
  width = std::min(width, kWidest);
  std::string out = Paint(Colour::kBold, guide.name) + ": " + guide.what + "\n";
  for (const Section& section : guide.sections) {
    if (!section.title.empty()) out += Heading(section.title);
    out += Paragraphs(section.text, width);
  }
  return out;
}

}  // namespace bustool
