// A dump item as text: one line that says what it is, then its bytes, sixteen a line, with what they mean.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "libbus/inspect.h"

namespace libbus {
namespace {

constexpr size_t kLine = 16;

std::string Printable(std::string_view bytes) {
  std::string out(bytes);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '.');
  return out;
}

void AppendHexLine(std::string& out, uint64_t offset, std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  fmt::format_to(std::back_inserter(out), "  {:08x} ", offset);
  for (const char byte : bytes) {
    out += ' ';
    out += kDigits[static_cast<unsigned char>(byte) >> 4];
    out += kDigits[byte & 15];
  }
  out.append(3 * (kLine - bytes.size()), ' ');
}

// Lines equal to the one before are told by one "*"; where the next line stands tells how many there were.
bool Repeats(std::string_view bytes, size_t at) {
  return at >= kLine && at + kLine < bytes.size() && bytes.substr(at, kLine) == bytes.substr(at - kLine, kLine);
}

void AppendField(std::string& out, const DumpField& field) {
  const std::string_view bytes = field.bytes;
  bool star = false;
  for (size_t at = 0; at < std::max<size_t>(bytes.size(), 1); at += kLine) {
    const auto line = bytes.substr(std::min(at, bytes.size()), kLine);
    if (Repeats(bytes, at)) {
      if (!star) out += "  *\n";
      star = true;
      continue;
    }
    star = false;
    AppendHexLine(out, field.offset + at, line);
    if (bytes.size() > 8 || field.meaning.empty()) fmt::format_to(std::back_inserter(out), "  |{}|", Printable(line));
    if (at == 0) {
      const std::string_view mark = field.right ? "" : "  <-- WRONG";
      fmt::format_to(std::back_inserter(out), "  {}{}{}{}", field.name, field.meaning.empty() ? "" : ": ",
                     field.meaning, mark);
    }
    out += '\n';
  }
}

}  // namespace

std::string DumpText(const DumpItem& item) {
  std::string out;
  if (item.kind == DumpKind::kFile) {
    out = fmt::format("file {}: {}\n", item.file, item.summary);
  } else if (item.kind == DumpKind::kBytes) {
    out = fmt::format("  {}\n", item.summary);
  } else {
    const std::string position = item.position ? fmt::format("position {}  ", item.position->offset) : "";
    out = fmt::format("{}offset {}  {}  {}\n", position, item.offset, DumpKindName(item.kind), item.summary);
  }
  for (const DumpField& field : item.fields) AppendField(out, field);
  return out;
}

}  // namespace libbus
