// A dump item as text: one line that says what it is, then its bytes, sixteen a line, with what they mean.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "libbus/inspect.h"
#include "libbus/inspect/picture.h"

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

std::string Name(const DumpField& field) {
  return fmt::format("  {}{}{}{}", field.name, field.meaning.empty() ? "" : ": ", field.meaning,
                     field.right ? "" : "  <-- WRONG");
}

std::string Zeros(const DumpField& field) {
  const uint64_t offset = field.offset + field.bytes.size();
  return fmt::format("  {:08x}  {:<47}{}", offset, fmt::format("{} zeros", field.zeros),
                     field.bytes.empty() ? Name(field) : "");
}

// One line of bytes, its end included.
std::string HexLine(const DumpField& field, size_t at) {
  const auto line = std::string_view(field.bytes).substr(std::min(at, field.bytes.size()), kLine);
  std::string out;
  AppendHexLine(out, field.offset + at, line);
  if (field.bytes.size() > 8 || field.meaning.empty()) out += fmt::format("  |{}|", Printable(line));
  return at == 0 ? out + Name(field) : out;
}

void AppendField(std::string& out, const DumpField& field, const DumpPaint& paint) {
  const DumpRole role = field.right ? field.role : DumpRole::kDamage;
  const auto put = [&](const std::string& line) { out += (paint ? paint(role, line) : line) + "\n"; };
  bool star = false;
  for (size_t at = 0; at < field.bytes.size(); at += kLine) {
    const bool repeats = Repeats(field.bytes, at);
    if (!repeats) put(HexLine(field, at));
    if (repeats && !star) put("  *");
    star = repeats;
  }
  if (field.zeros != 0) put(Zeros(field));
  if (field.zeros == 0 && field.bytes.empty()) put(HexLine(field, 0));
}

std::string Headline(const DumpItem& item) {
  if (item.kind == DumpKind::kFile) return fmt::format("file {}: {}", inspect::Escaped(item.file), item.summary);
  if (item.kind == DumpKind::kBytes) return "  " + item.summary;
  const std::string position = item.position ? fmt::format("position {}  ", item.position->offset) : "";
  return fmt::format("{}offset {}  {}  {}", position, item.offset, DumpKindName(item.kind), item.summary);
}

// A stretch of zeros says all itself.
bool IsZeros(const DumpItem& item) {
  return item.kind == DumpKind::kBytes && item.fields.size() == 1 && item.fields[0].bytes.empty() &&
         item.fields[0].zeros != 0;
}

}  // namespace

std::string DumpText(const DumpItem& item, const DumpPaint& paint) {
  const auto painted = [&](DumpRole role, const std::string& text) { return paint ? paint(role, text) : text; };
  std::string out = item.marked ? painted(DumpRole::kMark, "==> ") : "";
  if (!IsZeros(item)) {
    out += painted(item.damaged ? DumpRole::kDamage : DumpRole::kHeadline, Headline(item)) + "\n";
  }
  for (const DumpField& field : item.fields) AppendField(out, field, paint);
  return out;
}

}  // namespace libbus
