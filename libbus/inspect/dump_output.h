// Where the items of a dump go: to the caller's sink, counted.
#ifndef LIBBUS_INSPECT_DUMP_OUTPUT_H_
#define LIBBUS_INSPECT_DUMP_OUTPUT_H_

#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "libbus/inspect.h"
#include "libbus/inspect/file.h"

namespace libbus::inspect {

class DumpOutput {
 public:
  DumpOutput(const DumpOptions& options, const DumpSink& sink) : options_(options), sink_(sink) {}

  const DumpOptions& options() const { return options_; }
  const DumpSummary& summary() const { return summary_; }

  // The sink wants no more, or all that was asked for was shown.
  bool done() const { return stopped_ || (options_.count && summary_.records >= *options_.count); }

  void Emit(const DumpItem& item);
  // The same for a record, which counts.
  void EmitRecord(const DumpItem& item);

  // Plain bytes of a file, in items of at most kChunk; each is given `name`. Every stretch of zeros that is longer than
  // an item is left out.
  absl::Status EmitBytes(const File& file, std::string_view name, uint64_t from, uint64_t to);

  static constexpr uint64_t kChunk = 64 << 10;

 private:
  DumpOptions options_;
  const DumpSink& sink_;
  DumpSummary summary_;
  bool stopped_ = false;
};

// The parts of a dump: one kind of file each. `file` was opened and begins with the magic of its kind (segments also
// without one).
absl::Status DumpSegment(const File& file, DumpOutput& output);
absl::Status DumpBusFile(const File& file, DumpOutput& output);
absl::Status DumpControl(const File& file, DumpOutput& output);
absl::Status DumpLocks(const File& file, DumpOutput& output);
absl::Status DumpSleep(const File& file, DumpOutput& output);
absl::Status DumpSyncFailed(const File& file, DumpOutput& output);
absl::Status DumpCursor(const File& file, DumpOutput& output);
absl::Status DumpCursorLock(const File& file, DumpOutput& output);
absl::Status DumpIndex(const File& file, DumpOutput& output);
absl::Status DumpForeign(const File& file, std::string_view what, bool damaged, DumpOutput& output);

// An item that says which file begins.
DumpItem FileItem(const File& file, std::string_view what);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_DUMP_OUTPUT_H_
