// Finds where a dump of the surroundings of a position begins.
#ifndef LIBBUS_INSPECT_DUMP_AROUND_H_
#define LIBBUS_INSPECT_DUMP_AROUND_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <vector>

#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/topic_files.h"

namespace libbus::inspect {

struct DumpAround {
  DumpStart start;
  uint64_t count = 0;  // of the records to show
};

// `segments`: in order, of one topic; `control`: of that topic, as far as it can be read. So many records before the
// one that holds `position`, and as many behind it, if there are. Reads of one segment the words from its beginning or
// from the nearest entry of the index, and of the one before it as many as are wanted from there.
// OUT_OF_RANGE: in no segment. DATA_LOSS: in one that nothing tells how to read.
absl::StatusOr<DumpAround> FindAround(const std::vector<SegmentName>& segments, const Control& control,
                                      Position position, uint64_t number);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_DUMP_AROUND_H_
