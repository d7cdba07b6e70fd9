// Makes the public views out of what the log read.
#ifndef LIBBUS_TOPIC_VIEW_BUILDER_H_
#define LIBBUS_TOPIC_VIEW_BUILDER_H_

#include <optional>

#include "libbus/log/reader.h"
#include "libbus/record.h"

namespace libbus::internal {

inline Gap MakeGap(const log::Item& item) {
  return {static_cast<GapCause>(item.cause), {item.position}, {item.next}, item.owner};
}

struct ViewBuilder {
  static RecordView Make(const log::Item& item, std::optional<uint64_t> sequence, const ViewEpoch* epoch) {
    RecordView view;
    view.kind_ = item.is_gap ? RecordKind::kGap : RecordKind::kData;
    view.type_ = item.type;
    view.payload_ = item.payload;
    view.payload_size_ = item.payload_size;
    view.attributes_ = item.attributes;
    view.attributes_size_ = item.attributes_size;
    view.timestamp_ = item.timestamp;
    view.position_ = {item.position};
    view.next_position_ = {item.next};
    view.sequence_ = sequence;
    if (item.is_gap) view.gap_ = MakeGap(item);
    view.epoch_ = epoch;
    view.made_at_ = epoch->value;
    return view;
  }
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_VIEW_BUILDER_H_
