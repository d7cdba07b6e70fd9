// JSON objects, one a line: snake_case keys, times as RFC 3339 with nanoseconds.
#ifndef LIBBUS_TOOLS_BUS_JSON_H_
#define LIBBUS_TOOLS_BUS_JSON_H_

#include <absl/time/time.h>
#include <fmt/format.h>

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bustool {

// RFC 3339, UTC, nanoseconds.
std::string TimeText(absl::Time time);

// The bytes that a base64 text (with its padding) stands for; none where it is not one.
std::optional<std::string> FromBase64(std::string_view text);

// A text in quotes. Bytes that are no UTF-8 are replaced.
std::string JsonText(std::string_view text);

class JsonObject {
 public:
  JsonObject& Add(std::string_view key, std::string_view value) { return AddRaw(key, JsonText(value)); }
  JsonObject& Add(std::string_view key, const char* value) { return Add(key, std::string_view(value)); }
  JsonObject& Add(std::string_view key, absl::Time time) { return Add(key, TimeText(time)); }
  JsonObject& Add(std::string_view key, bool value) { return AddRaw(key, value ? "true" : "false"); }
  template <std::integral T>
  JsonObject& Add(std::string_view key, T value) {
    return AddRaw(key, fmt::format("{}", value));
  }
  // Under `key` where the bytes are UTF-8, else under `key`_base64.
  JsonObject& AddBytes(std::string_view key, std::string_view bytes);
  // `json` is JSON.
  JsonObject& AddRaw(std::string_view key, std::string_view json);
  JsonObject& AddArray(std::string_view key, const std::vector<std::string>& items);

  std::string Object() const { return "{" + members_ + "}"; }
  std::string Line() const { return Object() + "\n"; }

 private:
  std::string members_;
};

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_JSON_H_
