#include "tools/bus/record_format.h"

#include <fmt/format.h>

#include <vector>

#include "tools/bus/json.h"
#include "tools/bus/tool.h"

namespace bustool {
namespace {

using libbus::RecordView;

void AppendText(const RecordView& record, std::string& out) {
  out += record.text();
  out += '\n';
}

void AppendRaw(const RecordView& record, std::string& out) { out += record.text(); }

void AppendHex(const RecordView& record, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const std::byte byte : record.payload()) {
    out += kDigits[std::to_integer<int>(byte) >> 4];
    out += kDigits[std::to_integer<int>(byte) & 15];
  }
  out += '\n';
}

std::string HeadersJson(const std::vector<libbus::Header>& headers) {
  std::vector<std::string> items;
  items.reserve(headers.size());
  for (const libbus::Header& header : headers) {
    items.push_back(JsonObject().AddBytes("name", header.name).AddBytes("value", header.value).Object());
  }
  return fmt::format("[{}]", fmt::join(items, ","));
}

void AppendJson(const RecordView& record, std::string& out) {
  JsonObject object;
  object.Add("position", record.position().offset).Add("next_position", record.next_position().offset);
  if (record.sequence()) object.Add("sequence", *record.sequence());
  if (record.timestamp() != absl::UnixEpoch()) object.Add("timestamp", record.timestamp());
  object.Add("type", record.type());
  if (!record.key().empty()) object.AddBytes("key", record.key());
  if (const auto headers = record.headers(); !headers.empty()) object.AddRaw("headers", HeadersJson(headers));
  if (record.source()) object.Add("source", record.source()->offset);
  if (!record.producer().empty()) {
    object.AddBytes("producer", record.producer()).Add("producer_sequence", record.producer_sequence());
  }
  object.AddBytes("payload", record.text());
  out += object.Line();
}

void AppendHeaders(const RecordView& record, std::string& out) {
  bool first = true;
  for (const libbus::Header& header : record.headers()) {
    fmt::format_to(std::back_inserter(out), "{}{}={}", first ? "" : ",", header.name, header.value);
    first = false;
  }
}

// One conversion of a pattern.
void AppendField(char conversion, const RecordView& record, std::string& out) {
  switch (conversion) {
    case 'p':
      out += fmt::format("{}", record.position().offset);
      break;
    case 's':
      out += record.text();
      break;
    case 'k':
      out += record.key();
      break;
    case 't':
      out += TimeText(record.timestamp());
      break;
    case 'y':
      out += fmt::format("{}", record.type());
      break;
    case 'l':
      out += fmt::format("{}", record.payload().size());
      break;
    case 'h':
      AppendHeaders(record, out);
      break;
    default:
      out += conversion;  // "%%", and what \n and \t stand for
  }
}

// A pattern taken apart: plain text, then a conversion (0: none), and so on.
struct Piece {
  std::string text;
  char conversion = 0;
};

absl::StatusOr<std::vector<Piece>> ParsePattern(std::string_view pattern) {
  std::vector<Piece> pieces(1);
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (c == '\\' && (next == 'n' || next == 't' || next == '\\')) {
      pieces.back().text += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
      ++i;
    } else if (c != '%') {
      pieces.back().text += c;
    } else if (next != '\0' && std::string_view("pskytlh%").find(next) != std::string_view::npos) {
      pieces.back().conversion = next;
      pieces.emplace_back();
      ++i;
    } else {
      return UsageError(fmt::format("--format: %{} means nothing: use %p %s %k %t %y %l %h %%",
                                    next == '\0' ? std::string() : std::string(1, next)));
    }
  }
  return pieces;
}

absl::StatusOr<RecordFormat> PatternFormat(std::string_view pattern) {
  auto pieces = ParsePattern(pattern);
  if (!pieces.ok()) return pieces.status();
  return [pieces = *std::move(pieces)](const RecordView& record, std::string& out) {
    for (const Piece& piece : pieces) {
      out += piece.text;
      if (piece.conversion != 0) AppendField(piece.conversion, record, out);
    }
  };
}

}  // namespace

absl::StatusOr<RecordFormat> ParseFormat(std::string_view text) {
  if (text == "text") return AppendText;
  if (text == "ndjson") return AppendJson;
  if (text == "hex") return AppendHex;
  if (text == "raw") return AppendRaw;
  if (text.find('%') != std::string_view::npos) return PatternFormat(text);
  const std::string near = Nearest(text, {"text", "ndjson", "hex", "raw"});
  return UsageError(near.empty()
                        ? fmt::format("--format {}: not a format: use text, ndjson, hex, raw or a pattern", text)
                        : fmt::format("--format {}: not a format: did you mean {}?", text, near));
}

absl::StatusOr<std::string> FormatName(bool json, const std::string& format) {
  if (!json) return format.empty() ? "text" : format;
  if (format.empty() || format == "ndjson") return std::string("ndjson");
  return UsageError(fmt::format("--format {}: contradicts --json: leave one of them out", format));
}

std::optional<std::string_view> AfterPayload(std::string_view format) {
  if (format == "text") return "\n";
  if (format == "raw") return "";
  return std::nullopt;
}

std::string GapJson(const libbus::Gap& gap) {
  JsonObject inner;
  inner.Add("cause", libbus::GapCauseName(gap.cause)).Add("from", gap.from.offset).Add("to", gap.to.offset);
  if (gap.owner) inner.Add("owner", *gap.owner);
  inner.Add("loss", gap.loss());
  return JsonObject().AddRaw("gap", inner.Object()).Line();
}

}  // namespace bustool
