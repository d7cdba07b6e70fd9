#include "tools/bus/json.h"

#include <simdjson.h>

namespace bustool {
namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string Base64(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t have = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= have ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

bool IsUtf8(std::string_view bytes) { return simdjson::validate_utf8(bytes.data(), bytes.size()); }

void AppendEscaped(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      if (byte < 0x20 || byte == 0x7F) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
      } else {
        out += c;
      }
  }
}

}  // namespace

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", time, absl::UTCTimeZone()); }

std::optional<std::string> FromBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out += static_cast<char>(bits >> have & 255);
  }
  // What is left of the last digit is zero: else two texts would stand for the same bytes.
  if ((bits & ((1u << have) - 1)) != 0) return std::nullopt;
  return out;
}

std::string JsonText(std::string_view text) {
  const bool utf8 = IsUtf8(text);
  std::string out = "\"";
  for (const char c : text) {
    if (utf8 || static_cast<unsigned char>(c) < 0x80) {
      AppendEscaped(out, c);
    } else {
      out += "\xEF\xBF\xBD";
    }
  }
  return out + "\"";
}

JsonObject& JsonObject::AddBytes(std::string_view key, std::string_view bytes) {
  if (IsUtf8(bytes)) return Add(key, bytes);
  return Add(fmt::format("{}_base64", key), std::string_view(Base64(bytes)));
}

JsonObject& JsonObject::AddRaw(std::string_view key, std::string_view json) {
  if (!members_.empty()) members_ += ',';
  fmt::format_to(std::back_inserter(members_), "\"{}\":{}", key, json);
  return *this;
}

JsonObject& JsonObject::AddArray(std::string_view key, const std::vector<std::string>& items) {
  return AddRaw(key, fmt::format("[{}]", fmt::join(items, ",")));
}

}  // namespace bustool
