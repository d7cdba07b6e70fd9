// How a record is printed.
#ifndef LIBBUS_TOOLS_BUS_RECORD_FORMAT_H_
#define LIBBUS_TOOLS_BUS_RECORD_FORMAT_H_

#include <absl/status/statusor.h>
#include <libbus/record.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace bustool {

// Appends a record to `out`.
using RecordFormat = std::function<void(const libbus::RecordView& record, std::string& out)>;

// "text", "ndjson", "hex", "raw", or a pattern with at least one '%'. Anything else is a usage error.
absl::StatusOr<RecordFormat> ParseFormat(std::string_view text);

// What --json and --format ("" if it is not given) mean together, for ParseFormat. A usage error where they contradict.
absl::StatusOr<std::string> FormatName(bool json, const std::string& format);

// What follows the payload where a format is the payload and no more than that ("text", "raw"): such a record needs no
// copy to be printed. Nothing for other formats.
std::optional<std::string_view> AfterPayload(std::string_view format);

// One line of JSON for a gap.
std::string GapJson(const libbus::Gap& gap);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_RECORD_FORMAT_H_
