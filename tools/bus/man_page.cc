#include "tools/bus/man_page.h"

#include <absl/strings/str_split.h>
#include <fmt/format.h>

#include <cctype>
#include <string_view>
#include <vector>

#include "tools/bus/command.h"
#include "tools/bus/guides.h"

namespace bustool {
namespace {

constexpr char kDate[] = "2026-11-21";  // of these texts

// A heading is followed by text, not by the mark of a new paragraph.
std::string Heading(std::string_view macro, std::string_view title, std::string_view text) {
  constexpr std::string_view kParagraph = ".PP\n";
  if (text.starts_with(kParagraph)) text.remove_prefix(kParagraph.size());
  return fmt::format(".{} {}\n{}", macro, title, text);
}

// Characters that mean something to roff are escaped, also at the beginning of a line.
std::string Roff(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    line_begins = c == '\n';
  }
  return out;
}

std::string Bold(std::string_view text) { return "\\fB" + Roff(text) + "\\fR"; }

std::string Upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c == '-' ? ' ' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::string AsItIs(std::string_view text) { return fmt::format(".PP\n.nf\n{}\n.fi\n", Roff(text)); }

std::string Paragraphs(const std::string& text) {
  std::string out;
  for (const std::string& paragraph : std::vector<std::string>(absl::StrSplit(text, "\n\n", absl::SkipEmpty()))) {
    out += paragraph.starts_with("  ") ? AsItIs(paragraph) : ".PP\n" + Roff(paragraph) + "\n";
  }
  return out;
}

std::string ArgumentsText(const CLI::App& command) {
  std::string out;
  for (const Argument& argument : Arguments(command)) {
    const bool value = !argument.positional && !argument.type.empty();
    out += fmt::format(".TP\n{}{}\n{}\n", Bold(argument.name), value ? " \\fI" + Roff(argument.type) + "\\fR" : "",
                       Roff(argument.what));
  }
  return out;
}

std::string SynopsisText(const CLI::App& command) {
  std::string out = ".PP\n";
  bool first = true;
  for (const std::string& part : Synopsis(command)) {
    out += first ? Bold(part) : "\n" + Roff(part);
    first = false;
  }
  return out + "\n";
}

std::string ExamplesText(const CommandText& text) {
  std::string lines;
  for (const std::string& example : text.examples) lines += (lines.empty() ? "  " : "\n  ") + example;
  return lines.empty() ? "" : AsItIs(lines);
}

// A command and those below it.
std::string CommandsText(const CLI::App& command) {
  std::string out;
  for (const CLI::App* below : Commands(command)) {
    const CommandText& text = TextOf(*below);
    if (Commands(*below).empty()) {
      out += Heading("SS", Roff(Words(*below)), SynopsisText(*below)) + ".PP\n" + Roff(text.what) + ".\n";
      out += ArgumentsText(*below) + Paragraphs(text.details) + ExamplesText(text);
    }
    out += CommandsText(*below);
  }
  return out;
}

std::string GuideText(const Guide& guide) {
  std::string out;
  for (const Section& section : guide.sections) {
    out += Heading("SH", Upper(section.title.empty() ? guide.name : section.title), Paragraphs(section.text));
  }
  return out;
}

std::string Head(std::string_view name, int section, std::string_view what) {
  // No hyphens of roff's own, and no blanks to fill lines: what stands here is copied to command lines.
  return fmt::format(".TH {} {} {} \"libbus 0.1.0\" \"libbus\"\n.nh\n.ad l\n.SH NAME\n{} \\- {}\n", Upper(name),
                     section, kDate, name, Roff(what));
}

}  // namespace

std::string BusManPage(const CLI::App& bus) {
  const CommandText& text = TextOf(bus);
  std::string out = Head("bus", 1, text.what) + Heading("SH", "SYNOPSIS", SynopsisText(bus));
  out += Heading("SH", "DESCRIPTION", Paragraphs(text.details)) + ExamplesText(text);
  out += ".SH OPTIONS\n" + ArgumentsText(bus) + ".SH COMMANDS\n" + CommandsText(bus);
  for (const Guide& guide : Guides()) {
    if (guide.name != "libbus") out += GuideText(guide);
  }
  return out + ".SH SEE ALSO\n" + Bold("libbus") + "(7)\n";
}

std::string LibraryManPage() {
  const Guide& guide = GuideOf("libbus");
  return Head(guide.name, 7, guide.what) + GuideText(guide) + ".SH SEE ALSO\n" + Bold("bus") + "(1)\n";
}

}  // namespace bustool
