// Where the files of a bus lie, and what their headers say.
#ifndef LIBBUS_INSPECT_TOPIC_FILES_H_
#define LIBBUS_INSPECT_TOPIC_FILES_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "libbus/format/mend.h"
#include "libbus/format/word.h"
#include "libbus/inspect/file.h"
#include "libbus/log/file_header.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {

std::string FormatTime(int64_t nanos);  // RFC 3339, UTC, nanoseconds

// INVALID_ARGUMENT, unless `name` can be a topic's: letters, digits, '_' and '-', 1 to 128, not "bus".
absl::Status CheckTopicName(std::string_view name);

// The base in a segment's file name (no directory): 20 digits and ".seg"; nothing if it is named otherwise.
std::optional<uint64_t> ParseSegmentName(std::string_view name);

// The struct with which a file of a bus begins, as it is to be read: one flipped bit is put right (format/mend.h), and
// `flipped` says which. Nothing if the file is too short or cannot be read.
template <typename T>
std::optional<T> GetHeader(const File& file, uint64_t magic, std::optional<format::FlippedBit>* flipped = nullptr) {
  auto header = file.Get<T>(0);
  const auto bit = header ? format::MendOneBit(*header, magic) : std::nullopt;
  if (flipped != nullptr) *flipped = bit;
  return header;
}

// "bit 3 of byte 40 of the header is flipped".
std::string FlippedText(const format::FlippedBit& flipped);

// What is wrong with the header of a file of a bus, read by GetHeader; empty: nothing. UNIMPLEMENTED if it is of a
// newer version.
template <typename T>
absl::StatusOr<std::string> HeaderProblem(const std::string& path, const T& file, uint64_t magic);

// OK, or why `path` is no bus: NOT_FOUND, FAILED_PRECONDITION, UNIMPLEMENTED, DATA_LOSS, PERMISSION_DENIED.
absl::StatusOr<format::BusFile> ReadBusFile(const std::string& path,
                                            std::optional<format::FlippedBit>* flipped = nullptr);

// The directories in a bus that are topics, sorted: a control file or a segment lies in each.
absl::StatusOr<std::vector<std::string>> ListTopicNames(const std::string& bus);

struct SegmentName {
  std::string path;
  uint64_t base = 0;
};
// The segments of a topic, by base.
absl::StatusOr<std::vector<SegmentName>> ListSegments(const std::string& topic_path);

// Position of the first word of the segment in this directory that comes next behind one that ends at `end`, if an END
// leads, or has led, to it.
std::optional<uint64_t> NextInUse(const std::string& topic_path, uint64_t end);

// A control file, as far as it verifies.
struct Control {
  std::optional<format::ControlHeader> header;  // verified
  std::optional<format::FlippedBit> flipped;    // in the file, not in `header`
  std::optional<format::ControlRecord> record;  // the valid copy that holds
  int copy = 0;                                 // which one
  bool valid[2] = {false, false};
  bool written[2] = {false, false};  // a copy that was never written is all zero
};
// A copy that does not verify is read again: somebody may be writing it.
Control ReadControl(const File& file);

// The ranges that recovery has sealed off, as far as they are noted; none where no copy verifies.
std::vector<format::EpochEntry> SealedRanges(const Control& control);

// Everything that must be known to read a topic.
struct TopicFiles {
  std::string path;
  std::string name;
  std::optional<File> control_file;
  bool control_is_odd = false;  // something is there that is no regular file
  Control control;
  std::vector<SegmentName> segments;
};
// NOT_FOUND: no such directory, or neither control file nor segments in it. UNIMPLEMENTED: a newer version.
absl::StatusOr<TopicFiles> OpenTopicFiles(const std::string& bus, std::string_view topic);

// "bus recover TOPIC".
inline std::string RecoverCommand(const TopicFiles& files) { return "bus recover " + files.name; }

// How to read a segment: from its own header or, where that does not verify, from its name and the topic's control
// file.
struct SegmentIdentity {
  std::optional<format::SegmentHeader> header;  // as it is to be read
  std::optional<format::FlippedBit> flipped;    // in the file, not in `header`
  std::string problem;                          // of the header; empty: it verifies
  bool usable = false;                          // false: nothing tells which topic it is of
  format::TopicSeed seed = {};
  uint64_t base = 0;
  uint64_t size = 0;
};
absl::StatusOr<SegmentIdentity> IdentifySegment(const File& file, const Control* control);

// --- implementation
// ----------------------------------------------------------------------------------------------------

std::string MagicProblem(uint64_t found, uint64_t wanted);

template <typename T>
absl::StatusOr<std::string> HeaderProblem(const std::string& path, const T& file, uint64_t magic) {
  if (file.header.magic != magic) return MagicProblem(file.header.magic, magic);
  LIBBUS_RETURN_IF_ERROR(log::CheckFileHeader(file.header, magic, path, "file"));
  if (file.checksum != format::FileChecksum(file)) return std::string("the header's checksum is wrong");
  return std::string();
}

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_TOPIC_FILES_H_
