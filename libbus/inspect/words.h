// Walks over the words of a topic through its files, without reading the records.
#ifndef LIBBUS_INSPECT_WORDS_H_
#define LIBBUS_INSPECT_WORDS_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>

#include "libbus/inspect/segment_reader.h"
#include "libbus/inspect/topic_files.h"

namespace libbus::inspect {

// Called for each DATA, GAP and RESERVED word, and for damage (a bad verdict; its size is not known yet). False ends
// the walk before it.
using WordVisitor = std::function<bool(uint64_t position, const Look& look, SegmentReader& reader)>;

// From `from`, the start of a word (or the header of a segment, or what lies before the first one), to the first word
// at or behind `to`, or to where nothing has been written. OK: where the walk ended.
absl::StatusOr<uint64_t> WalkWords(const TopicFiles& files, uint64_t from, uint64_t to, const WordVisitor& visit);

// A place near the tail where a word stands, for walks that want to know what stands at the end: at the hint, if a
// record verifies there, else at D or where the log was found to end last; 0 where nothing tells. `live`: of the
// control file.
uint64_t NearTail(const TopicFiles& files, const format::LiveWords& live);

// The segment that holds a position, or null.
const SegmentName* SegmentOf(const TopicFiles& files, uint64_t position);

// How many records a word counts in sequences.
uint64_t Ordinals(const Look& look, SegmentReader& reader);

// The timestamp of a committed record, ns; of a batch that of its first one. 0: none.
int64_t TimestampOf(const Look& look, SegmentReader& reader);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_WORDS_H_
