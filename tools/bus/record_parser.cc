#include "tools/bus/record_parser.h"

#include <fmt/format.h>

#include <iterator>

#include "tools/bus/json.h"
#include "tools/bus/tool.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

constexpr std::string_view kBase64 = "_base64";

absl::Status Wrong(std::string_view reason) { return absl::InvalidArgumentError(std::string(reason)); }

absl::StatusOr<uint64_t> Number(const simdjson::dom::element& value, uint64_t highest) {
  uint64_t number = 0;
  if (value.get(number) == simdjson::SUCCESS && number <= highest) return number;
  return Wrong(fmt::format("is no whole number from 0 to {}", highest));
}

}  // namespace

// A member of a record, and what is done with it.
struct RecordParser::Member {
  std::string_view name;
  bool bytes;  // NAME_base64 is one too
  absl::Status (RecordParser::*take)(const Value& value, bool base64);
};

// The first two decide what the line is.
const RecordParser::Member RecordParser::kMembers[] = {
    {"gap", false, &RecordParser::TakeGap},
    {"payload", true, &RecordParser::TakePayload},
    {"key", true, &RecordParser::TakeKey},
    {"headers", false, &RecordParser::TakeHeaders},
    {"type", false, &RecordParser::TakeType},
    {"timestamp", false, &RecordParser::TakeTimestamp},
    {"source", false, &RecordParser::TakeSource},
    {"producer", true, &RecordParser::TakeProducer},
    {"producer_sequence", false, &RecordParser::TakeProducerSequence},
    {"position", false, &RecordParser::TakeNumber},
    {"next_position", false, &RecordParser::TakeNumber},
    {"sequence", false, &RecordParser::TakeNumber},
};

absl::StatusOr<std::optional<RecordParser::Record>> RecordParser::Parse(std::string_view line) {
  constexpr uint32_t kGapBit = 1, kPayloadBit = 2;
  record_ = {};
  seen_ = 0;
  headers_.clear();
  decoded_.clear();
  simdjson::dom::element root;
  if (const auto error = parser_.parse(line.data(), line.size()).get(root); error != simdjson::SUCCESS) {
    return Wrong(fmt::format("not JSON: {}", simdjson::error_message(error)));
  }
  simdjson::dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return Wrong("not a record: it is no JSON object");
  for (const auto& [key, value] : object) {
    if (auto status = Take(key, value); !status.ok()) {
      return Wrong(fmt::format("not a record: \"{}\" {}", key, std::string(status.message())));
    }
  }
  if ((seen_ & kGapBit) != 0) {
    if (seen_ != kGapBit) return Wrong("not a record: a \"gap\" stands alone");
    return std::optional<Record>();
  }
  if (record_.options.producer.empty() && record_.options.producer_sequence != 0) {
    return Wrong("not a record: a \"producer_sequence\" counts for a \"producer\", and there is none");
  }
  if ((seen_ & kPayloadBit) == 0) return Wrong("not a record: it has no \"payload\"");
  record_.options.headers = headers_;
  return std::optional(record_);
}

absl::Status RecordParser::Take(std::string_view key, const Value& value) {
  for (size_t i = 0; i < std::size(kMembers); ++i) {
    const Member& member = kMembers[i];
    if (!key.starts_with(member.name)) continue;
    const std::string_view rest = key.substr(member.name.size());
    const bool base64 = member.bytes && rest == kBase64;
    if (!rest.empty() && !base64) continue;
    if ((seen_ & 1u << i) != 0) return Wrong("is there twice");
    seen_ |= 1u << i;
    return (this->*member.take)(value, base64);
  }
  return Wrong("is nothing that a record has");
}

absl::StatusOr<std::string_view> RecordParser::Bytes(const Value& value, bool base64) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return Wrong("is no text");
  if (!base64) return text;
  auto bytes = FromBase64(text);
  if (!bytes) return Wrong("is no base64");
  return decoded_.emplace_back(*std::move(bytes));
}

absl::Status RecordParser::TakePayload(const Value& value, bool base64) {
  const auto bytes = Bytes(value, base64);
  if (bytes.ok()) record_.payload = *bytes;
  return bytes.status();
}

absl::Status RecordParser::TakeKey(const Value& value, bool base64) {
  const auto bytes = Bytes(value, base64);
  if (bytes.ok()) record_.options.key = *bytes;
  return bytes.status();
}

absl::Status RecordParser::TakeHeaders(const Value& value, bool) {
  simdjson::dom::array headers;
  if (value.get(headers) != simdjson::SUCCESS) return Wrong("is no list of {\"name\", \"value\"}");
  for (const Value& header : headers) {
    if (auto status = TakeHeader(header); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status RecordParser::TakeHeader(const Value& value) {
  simdjson::dom::object object;
  std::optional<std::string_view> name, content;
  if (value.get(object) != simdjson::SUCCESS) return Wrong("is no list of {\"name\", \"value\"}");
  for (const auto& [key, member] : object) {
    const bool base64 = key.ends_with(kBase64);
    const std::string_view plain = base64 ? key.substr(0, key.size() - kBase64.size()) : key;
    auto& side = plain == "name" ? name : content;
    if ((plain != "name" && plain != "value") || side) return Wrong("is no list of {\"name\", \"value\"}");
    const auto bytes = Bytes(member, base64);
    if (!bytes.ok()) return Wrong(fmt::format("has a {} that {}", plain, std::string(bytes.status().message())));
    side = *bytes;
  }
  if (!name || !content) return Wrong("is no list of {\"name\", \"value\"}");
  headers_.push_back({*name, *content});
  return absl::OkStatus();
}

absl::Status RecordParser::TakeType(const Value& value, bool) {
  const auto number = Number(value, UINT32_MAX);
  if (number.ok()) record_.options.type = static_cast<uint32_t>(*number);
  return number.status();
}

absl::Status RecordParser::TakeTimestamp(const Value& value, bool) {
  std::string_view text;
  const auto time = value.get(text) == simdjson::SUCCESS ? ParseRfc3339(text) : std::nullopt;
  if (!time) return Wrong("is no time as RFC 3339 has it");
  // 64 bits of nanoseconds: 1677 to 2262.
  if (absl::AbsDuration(absl::FromUnixNanos(absl::ToUnixNanos(*time)) - *time) >= absl::Nanoseconds(1)) {
    return Wrong("is too far from now for a timestamp");
  }
  record_.options.timestamp = *time;
  return absl::OkStatus();
}

absl::Status RecordParser::TakeSource(const Value& value, bool) {
  const auto number = Number(value, UINT64_MAX);
  if (number.ok()) record_.options.source = libbus::Position{*number};
  return number.status();
}

absl::Status RecordParser::TakeProducer(const Value& value, bool base64) {
  const auto bytes = Bytes(value, base64);
  if (bytes.ok()) record_.options.producer = *bytes;
  return bytes.status();
}

absl::Status RecordParser::TakeProducerSequence(const Value& value, bool) {
  const auto number = Number(value, UINT64_MAX);
  if (number.ok()) record_.options.producer_sequence = *number;
  return number.status();
}

absl::Status RecordParser::TakeNumber(const Value& value, bool) { return Number(value, UINT64_MAX).status(); }

absl::Status RecordParser::TakeGap(const Value& value, bool) {
  return value.is_object() ? absl::OkStatus() : absl::InvalidArgumentError("is no object");
}

}  // namespace bustool
