// What format_reader.py prints for a record or a gap, from what a test expects there.
#ifndef LIBBUS_TESTS_DOCS_FORMAT_JSON_H_
#define LIBBUS_TESTS_DOCS_FORMAT_JSON_H_

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libbus::format {

struct ExpectedRecord {
  uint64_t position = 0;
  uint64_t next = 0;
  uint32_t owner = 1;
  std::string gap;  // the cause; empty: a record
  uint32_t type = 0;
  int64_t timestamp = 0;
  std::string payload;
  std::optional<uint64_t> payload_length;  // of a claim
  std::optional<uint64_t> source;
  std::string producer;
  uint64_t producer_sequence = 0;
  std::string key;
  std::vector<std::pair<std::string, std::string>> headers;
};

inline std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

inline std::string HeadersJson(const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string text;
  for (const auto& [name, value] : headers) {
    text += fmt::format("{}[\"{}\", \"{}\"]", text.empty() ? "" : ", ", Hex(name), Hex(value));
  }
  return "[" + text + "]";
}

// One line, as Python's json.dumps spaces it.
inline std::string Json(const ExpectedRecord& r) {
  if (!r.gap.empty()) {
    return fmt::format("{{\"kind\": \"gap\", \"position\": {}, \"next\": {}, \"cause\": \"{}\", \"owner\": {}}}\n",
                       r.position, r.next, r.gap, r.owner);
  }
  std::string text = fmt::format(
      "{{\"kind\": \"data\", \"position\": {}, \"owner\": {}, \"type\": {}, \"timestamp\": {}, \"payload\": \"{}\"",
      r.position, r.owner, r.type, r.timestamp, Hex(r.payload));
  if (r.payload_length) text += fmt::format(", \"payload_length\": {}", *r.payload_length);
  if (r.source) text += fmt::format(", \"source\": {}", *r.source);
  if (!r.producer.empty()) {
    text += fmt::format(", \"producer_sequence\": {}, \"producer\": \"{}\"", r.producer_sequence, Hex(r.producer));
  }
  if (!r.key.empty()) text += fmt::format(", \"key\": \"{}\"", Hex(r.key));
  if (!r.headers.empty()) text += ", \"headers\": " + HeadersJson(r.headers);
  return text + fmt::format(", \"next\": {}}}\n", r.next);
}

}  // namespace libbus::format

#endif  // LIBBUS_TESTS_DOCS_FORMAT_JSON_H_
