// A consistent copy of a bus, made by reading while others write.
//
// The copy is a bus of its own that works at once: nothing has to be adopted or recovered. Of each topic it has all
// that was committed when the copy began, with the same positions, sequences, gaps, epochs, options and cursors.
// Between topics there is no common instant: the ends are fixed one after another, in the order of the names, before
// anything is copied. docs/copy.md says what that means for pipelines, and why `cp` is no substitute.
#ifndef LIBBUS_COPY_H_
#define LIBBUS_COPY_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libbus/record.h"

namespace libbus {

// What was copied of one topic.
struct CopiedTopic {
  std::string name;
  Position first;  // the oldest record
  Position end;    // behind the last one
  uint64_t segments = 0;
  uint64_t bytes = 0;  // of log
  uint64_t records = 0;
  uint64_t losses = 0;  // gaps that may have cost a record, in the original as in the copy
  uint64_t cursors = 0;
  // Cursors that could not be read, and why: the copy does not have them.
  std::vector<std::string> lost_cursors = {};
  // Where a claim was open: what was committed behind it is not in the copy. Readers do not see it yet either.
  std::optional<Position> open_claim = {};
};

struct CopyReport {
  std::vector<CopiedTopic> topics;
  uint64_t bytes() const {
    uint64_t all = 0;
    for (const CopiedTopic& topic : topics) all += topic.bytes;
    return all;
  }
};

struct CopyOptions {
  // Only these; empty: all.
  std::vector<std::string> topics = {};
  // Told of each gap on the way that may have cost a record.
  std::function<void(const std::string& topic, const Gap&)> on_loss = {};
  // Called now and then with how many bytes of log were copied, and how many there are. False: CANCELLED.
  std::function<bool(uint64_t done, uint64_t total)> progress = {};
};

// Copies the bus at `from` to `to`, which does not exist yet; its parent directory does. Only reads `from`: locks
// nothing, disturbs nobody, and any user who may read the bus may do it. The copy belongs to the caller, with the
// access of the original.
//
// OK: the copy is there whole, and on stable storage if its file system has any. Every record was verified on the way;
// what does not verify is a gap in the copy as it is in the original, and is counted.
// Whatever else is returned, there is nothing at `to`. ALREADY_EXISTS: something is. NOT_FOUND: no such bus or topic,
// or no parent. INVALID_ARGUMENT: a topic's name. FAILED_PRECONDITION: a topic has to be recovered first; `to` lies
// inside `from`, or in memory (tmpfs) where a topic's sync policy cannot be kept, or on a file system that cannot hold
// a bus; or `from` is no bus. RESOURCE_EXHAUSTED: no room. DATA_LOSS: a file is damaged such that what stands behind
// cannot be read. UNAVAILABLE: the disk failed. CANCELLED: progress said so.
//
// Died in between: there is nothing at `to`, but a directory beside it whose name begins with "." and the name of `to`.
// The next copy to `to` removes it. A power loss behind OK takes nothing back.
absl::StatusOr<CopyReport> CopyBus(const std::string& from, const std::string& to, const CopyOptions& options = {});

}  // namespace libbus

#endif  // LIBBUS_COPY_H_
