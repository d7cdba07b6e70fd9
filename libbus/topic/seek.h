// Where a consumer starts, by what its options say.
#ifndef LIBBUS_TOPIC_SEEK_H_
#define LIBBUS_TOPIC_SEEK_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "libbus/log/cursor_file.h"
#include "libbus/log/reader.h"
#include "libbus/options.h"
#include "libbus/topic/topic_impl.h"

namespace libbus::internal {

// Errors as Consumer::Seek.
absl::StatusOr<log::Reader> SeekTo(log::Log& log, From from);

// True if `from` is a position inside a gap: the reader stands at its start, and it is handed out whatever the consumer
// wants of gaps.
bool InsideGap(const log::Reader& reader, From from);

// The first position not to be read. A position that is given need not be the start of a record, nor exist yet.
absl::StatusOr<std::optional<uint64_t>> EndOf(log::Log& log, const std::optional<From>& to);

// Where a cursor stands; the sequence there, as the cursor knows it. Errors say what to do with the cursor.
absl::StatusOr<log::Reader> SeekToCursor(TopicImpl& topic, const std::string& name, const log::CursorPlace& place);

// Behind the last committed record that may be read.
absl::StatusOr<uint64_t> ReadableEnd(TopicImpl& topic);

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_SEEK_H_
