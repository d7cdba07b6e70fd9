// Where the items of a dump go: to the caller's sink, counted.
#ifndef LIBBUS_INSPECT_DUMP_OUTPUT_H_
#define LIBBUS_INSPECT_DUMP_OUTPUT_H_

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "libbus/inspect.h"
#include "libbus/inspect/file.h"

namespace libbus::inspect {

// How many records are shown before and behind a position, unless another number is given.
inline constexpr uint64_t kDefaultAround = 3;

// Where the records of a dump begin, found before they are shown.
struct DumpStart {
  uint64_t base = 0;   // of the segment
  uint64_t word = 0;   // offset of a word in it
  uint64_t begin = 0;  // offset before which nothing of it is shown: inside the batch that begins at `word`
};

class DumpOutput {
 public:
  DumpOutput(const DumpOptions& options, const DumpSink& sink) : options_(options), sink_(sink) {}

  const DumpOptions& options() const { return options_; }
  const DumpSummary& summary() const { return summary_; }

  // The sink wants no more, or all that was asked for was shown.
  bool done() const { return stopped_ || (options_.count && summary_.records >= *options_.count); }

  // Begins there, shows so many records, and marks the item that holds options().around.
  void StartAt(const DumpStart& start, uint64_t count) {
    start_ = start;
    options_.count = count;
  }
  const std::optional<DumpStart>& start() const { return start_; }
  // DumpOptions::count, which counts no records from now on.
  std::optional<uint64_t> TakeCount() { return std::exchange(options_.count, std::nullopt); }

  void Emit(const DumpItem& item);
  // The same for a record, which counts.
  void EmitRecord(const DumpItem& item);

  // Plain bytes of a file, in items of at most kChunk; each is given `name`. Long stretches of zeros are counted, not
  // shown.
  absl::Status EmitBytes(const File& file, std::string_view name, uint64_t from, uint64_t to, bool marked = false);

  static constexpr uint64_t kChunk = 64 << 10;

 private:
  void EmitZeros(const File& file, std::string_view name, uint64_t from, uint64_t to);
  void Send(const DumpItem& item) { stopped_ = stopped_ || !sink_(item); }

  DumpOptions options_;
  const DumpSink& sink_;
  DumpSummary summary_;
  std::optional<DumpStart> start_;
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

// INVALID_ARGUMENT if options name records.
absl::Status RefuseOptions(const File& file, const DumpOutput& output);
// What stands between two known places, and is not used.
absl::Status Between(const File& file, uint64_t from, uint64_t to, DumpOutput& output);

// An item that says which file begins.
DumpItem FileItem(const File& file, std::string_view what);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_DUMP_OUTPUT_H_
