// Reads back what `cat --json` prints, so that a record published from it has all that the first one had.
#ifndef LIBBUS_TOOLS_BUS_RECORD_PARSER_H_
#define LIBBUS_TOOLS_BUS_RECORD_PARSER_H_

#include <absl/status/statusor.h>
#include <libbus/options.h>
#include <simdjson.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bustool {

class RecordParser {
 public:
  // Valid until the next call of Parse.
  struct Record {
    std::string_view payload;
    libbus::RecordOptions options;
  };

  // One line. OK without a record: the line tells of a gap. INVALID_ARGUMENT: the reason alone, for the line's number
  // to be put before it. Position and sequence are where the record was: they are checked to be numbers and left out.
  absl::StatusOr<std::optional<Record>> Parse(std::string_view line);

 private:
  using Value = simdjson::dom::element;
  struct Member;
  static const Member kMembers[];

  absl::Status Take(std::string_view key, const Value& value);
  // A text, or with `base64` the bytes that it stands for.
  absl::StatusOr<std::string_view> Bytes(const Value& value, bool base64);
  absl::Status TakeHeader(const Value& value);

  absl::Status TakePayload(const Value& value, bool base64);
  absl::Status TakeKey(const Value& value, bool base64);
  absl::Status TakeHeaders(const Value& value, bool base64);
  absl::Status TakeType(const Value& value, bool base64);
  absl::Status TakeTimestamp(const Value& value, bool base64);
  absl::Status TakeSource(const Value& value, bool base64);
  absl::Status TakeProducer(const Value& value, bool base64);
  absl::Status TakeProducerSequence(const Value& value, bool base64);
  absl::Status TakeNumber(const Value& value, bool base64);
  absl::Status TakeGap(const Value& value, bool base64);

  simdjson::dom::parser parser_;
  Record record_;
  uint32_t seen_ = 0;  // a bit for each of kMembers
  std::vector<libbus::Header> headers_;
  std::deque<std::string> decoded_;  // a deque: what was handed out stays where it is
};

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_RECORD_PARSER_H_
