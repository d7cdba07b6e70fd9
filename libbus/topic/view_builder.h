// Makes the public views out of what the log read.
#ifndef LIBBUS_TOPIC_VIEW_BUILDER_H_
#define LIBBUS_TOPIC_VIEW_BUILDER_H_

#include <optional>

#include "libbus/log/reader.h"
#include "libbus/record.h"

namespace libbus {

inline RecordView::RecordView(internal::ViewKey, const log::Item& item, std::optional<uint64_t> sequence,
                              const internal::ViewEpoch* epoch)
    : kind_(item.is_gap ? RecordKind::kGap : RecordKind::kData),
      cause_(static_cast<GapCause>(item.cause)),
      has_sequence_(sequence.has_value()),
      type_(item.type),
      owner_(item.owner),
      payload_(item.payload),
      payload_size_(item.payload_size),
      attributes_(item.attributes),
      attributes_size_(item.attributes_size),
      timestamp_(item.timestamp),
      position_{item.position},
      next_position_{item.next},
      sequence_(sequence.value_or(0)),
      epoch_(epoch),
      made_at_(epoch->value) {}

namespace internal {

inline Gap MakeGap(const log::Item& item) {
  return {static_cast<GapCause>(item.cause), {item.position}, {item.next}, item.owner};
}

}  // namespace internal
}  // namespace libbus

#endif  // LIBBUS_TOPIC_VIEW_BUILDER_H_
