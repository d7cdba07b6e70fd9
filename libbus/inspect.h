// Looking at the bytes of a bus: a picture of them (dump), a check of them (verify), the facts in them (info). Files
// are read with pread and nothing else: never mapped, written, locked or repaired. All of it works while others write,
// on damaged, truncated and copied files, and dump on any other file as well.
#ifndef LIBBUS_INSPECT_H_
#define LIBBUS_INSPECT_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/options.h"
#include "libbus/record.h"
#include "libbus/topic.h"

namespace libbus {

// --- dump
// --------------------------------------------------------------------------------------------------------------

// What sort of thing a field is: what a tool chooses a colour by.
enum class DumpRole : uint8_t {
  kHeadline,   // of DumpText alone: the line that says what follows
  kMark,       // of DumpText alone: what stands before the headline of a marked item
  kNumber,     // whatever no other role fits
  kIdentity,   // magic, version, UUID: whose file it is
  kWord,       // a record word
  kChecksum,   // stored; DumpField::computed is what it should be
  kType,       // a record's type
  kTime,       // ns since 1970
  kPosition,   // a place in the log
  kAttribute,  // of the attributes of a record
  kTable,      // of the table of a batch
  kPayload,    // of a record
  kSlack,      // behind a payload: nobody reads it
  kZeros,      // reserved, not used, or free
  kUnread,     // bytes that no reader looks at: of a record that was given up, behind an END
  kBytes,      // plain bytes
  kDamage,     // bytes that do not verify
};
// "headline", "mark", "number", "identity", "word", ...
std::string_view DumpRoleName(DumpRole role);

// A few bytes of a file and what they mean.
struct DumpField {
  std::string name;
  uint64_t offset = 0;  // in the file
  std::string bytes;    // as they stand there
  std::string meaning;  // for people; empty: plain bytes
  bool right = true;    // false: does not verify
  DumpRole role = DumpRole::kNumber;
  uint64_t zeros = 0;                     // so many zeros follow `bytes`, left out: the field is that much longer
  std::optional<uint32_t> computed = {};  // of a checksum: what the bytes that it covers have; unset: cannot be told
};

enum class DumpKind : uint8_t {
  kFile,           // a new file begins: which it is, or what it is not
  kHeader,         // the header of a file of a bus
  kControlRecord,  // one of the two copies in a control file
  kLive,           // the live words of a control file
  kSlot,           // a slot that is, or was, in use
  kData,           // a committed record, or a batch: the records in it follow
  kReserved,       // a record in the making, or left by a killed producer
  kGap,            // a record that was given up
  kEnd,            // the end of a segment
  kFree,           // what is behind the tail
  kDamage,         // bytes that do not verify, up to where reading goes on
  kBytes,          // plain bytes: a foreign file, or the rest of the item before
  kInner,          // a record in a batch
  kCursorRecord,   // one of the two copies in a cursor
  kIndexEntry,     // of an index
};
std::string_view DumpKindName(DumpKind kind);

// Who holds a slot, or held it last, as far as the control file knows: of a gap, perhaps a later one than its owner.
struct DumpOwner {
  uint32_t slot = 0;
  uint64_t pid = 0;  // in its own pid namespace
  std::string name;
  absl::Time since;
  std::optional<bool> alive = {};  // unset: the locks file cannot be read
};

// Where reading goes on behind damage.
struct DumpResume {
  Position position;
  std::string what;  // stands there: "data, 32 bytes", "the next segment: free", ...
};

// A record word taken apart.
struct DumpWord {
  std::string state;  // "data", ...; "unknown"
  std::string flags;  // "attributes", a cause, or empty
  uint32_t owner = 0;
  uint32_t length = 0;
  uint8_t check_stored = 0;
  uint8_t check_computed = 0;
};

struct DumpItem {
  DumpKind kind = DumpKind::kBytes;
  std::string file;
  uint64_t offset = 0;               // of its first byte in the file
  uint64_t size = 0;                 // bytes
  std::optional<Position> position;  // where the file is a segment
  std::optional<DumpWord> word;
  std::string summary;  // one line
  bool damaged = false;
  std::vector<DumpField> fields;          // long ones go on in kBytes items
  bool marked = false;                    // holds the position that DumpOptions::around names
  std::optional<DumpOwner> owner = {};    // of a gap and a reserved record
  std::optional<DumpResume> resume = {};  // of what does not verify; unset there: nothing behind it can be read
};

// Called for each item in order; false ends the dump.
using DumpSink = std::function<bool(const DumpItem&)>;

struct DumpOptions {
  // Begins at the record that starts here, in a batch or not (in a foreign file: at this byte). Unset: at the first
  // byte.
  std::optional<Position> from = {};
  // At most so many records (in a foreign file: lines of 16 bytes). Unset: all.
  std::optional<uint64_t> count = {};
  // Shows the record that holds this position (wherever in it), which is marked, with `count` records before and behind
  // it (unset: 3); any position in the log is fine, also one in a gap, in damage or behind the tail. In a foreign file
  // the line of 16 bytes that holds this offset. The log is walked from its index or from the beginning of one segment.
  // Not together with `from`.
  std::optional<Position> around = {};
};

struct DumpSummary {
  uint64_t records = 0;  // words shown, those of batches and of the records in them too, FREE not counted
  uint64_t damaged = 0;  // items that do not verify
};

// All segments of a topic, oldest first. Every byte of a file that is dumped whole stands in one field, once.
// OK: also where things are damaged; the summary counts them. NOT_FOUND: no such bus or topic. INVALID_ARGUMENT: the
// name, or `from` is inside a record (the message names its start), or `from` and `around` are both given.
// OUT_OF_RANGE: `from` or `around` is beyond the end, before the oldest byte, or where a segment is missing.
// FAILED_PRECONDITION: not a bus. PERMISSION_DENIED.
absl::StatusOr<DumpSummary> DumpTopic(const std::string& bus, std::string_view topic, const DumpOptions& options,
                                      const DumpSink& sink);

// One file, of a bus or foreign. INVALID_ARGUMENT also for options on a file that holds no records, and for a directory
// (the message says what to name instead). Otherwise as above.
absl::StatusOr<DumpSummary> DumpFile(const std::string& file, const DumpOptions& options, const DumpSink& sink);

// Gives a piece of a line the looks of its role. The result shows the same text.
using DumpPaint = std::function<std::string(DumpRole role, std::string_view text)>;

// An item as lines of text, each ended: offset, bytes, name and meaning of each field.
std::string DumpText(const DumpItem& item, const DumpPaint& paint = {});

// --- verify
// ------------------------------------------------------------------------------------------------------------

struct Finding {
  bool damage = false;    // false: worth knowing, nothing is wrong
  std::string file = {};  // or directory
  std::optional<uint64_t> offset = {};
  std::optional<Position> position = {};
  std::string what = {};
  std::string reader = {};  // what a reader sees there; empty: nothing
};

// Called for each finding in order; false ends the check.
using FindingSink = std::function<bool(const Finding&)>;

struct VerifyOptions {
  // Told now and then how many bytes of the log were checked, and how many there are to check: all segments, as large
  // as they were when the check began. False ends the check with CANCELLED. In the calling thread.
  std::function<bool(uint64_t done, uint64_t total)> progress = {};
};

struct VerifyReport {
  uint64_t topics = 0;
  uint64_t segments = 0;
  uint64_t records = 0;  // that verified, in batches and outside
  uint64_t batches = 0;  // whose table verified
  uint64_t gaps = 0;     // given up by or for their producers
  uint64_t open = 0;     // reserved, not committed
  uint64_t bytes = 0;    // of the log that were walked
  uint64_t damages = 0;  // findings that are damage
  Position end;          // of one topic: behind its last record
};

// Checks every file header, control copy, word and checksum, and the links between segments. A tail left by a killed
// writer and a copied bus are normal: findings without damage. Errors as DumpTopic; UNIMPLEMENTED: a newer version;
// CANCELLED: VerifyOptions::progress said so.
absl::StatusOr<VerifyReport> VerifyTopic(const std::string& bus, std::string_view topic, const FindingSink& sink,
                                         const VerifyOptions& options = {});

// The identity file and all topics; the report is their sum.
absl::StatusOr<VerifyReport> VerifyBus(const std::string& bus, const FindingSink& sink,
                                       const VerifyOptions& options = {});

// --- info
// --------------------------------------------------------------------------------------------------------------

struct SegmentInfo {
  std::string file;
  uint64_t base = 0;
  uint64_t size = 0;    // of the file
  uint64_t used = 0;    // bytes from its beginning to the first free word, or to its END
  bool sealed = false;  // ends with an END
  bool header_right = false;
  uint64_t disk_bytes = 0;  // what the file system has allocated
  bool prepared = false;    // lies behind the end: nothing has been written to it
  // All that is used of it lies before D; unset: nothing is known to be durable.
  std::optional<bool> durable = {};
  uint64_t records = 0;                         // as sequences count: those in batches each, and gaps that were claims
  std::optional<uint64_t> first_sequence = {};  // unset: damage hides it
  std::optional<absl::Time> first_time = {};    // timestamps of the first and the last record in it
  std::optional<absl::Time> last_time = {};
};

// A slot that a producer holds, or held last.
struct SlotInfo {
  uint32_t slot = 0;
  uint64_t pid = 0;           // in its own pid namespace
  std::optional<bool> alive;  // unset: the locks file cannot be read
  std::string name;
  absl::Time since;
  Position floor;  // where its open walk or claim began; 0: none
};

// What a recovery sealed off. From and to are the same where it lost nothing and only begins a new segment.
struct EpochInfo {
  uint32_t number = 0;
  std::string cause;  // "power loss", "copied", "other mount", "damage", "sync failed"
  Position from;
  Position to;
};

struct IndexInfo {
  uint64_t entries = 0;
  uint64_t bytes = 0;  // of the file
  Position end;        // the position of the last entry that verifies: searches behind it read the log
};

struct TopicInfo {
  std::string name;
  std::string uuid;
  uint16_t version = 0;
  absl::Time created;
  TopicOptions options;          // every optional is set, unless the control file is damaged
  std::optional<Access> access;  // set likewise
  std::string state;             // "open", "clean", "recovering"; "none": never attached; "unknown": no copy verifies
  uint32_t epoch = 0;
  // Oldest first; the newest 674.
  std::vector<EpochInfo> epochs;
  Position first;  // the oldest record kept
  Position end;    // behind the last record, committed or not
  // D: no power loss takes back what is before it. 0: nothing is known to be durable (a volatile bus, a copy of a bus).
  Position durable;
  bool is_volatile = false;                  // its file system lives in memory (tmpfs)
  uint64_t syncs = 0;                        // how many were begun
  std::optional<Position> failed_sync = {};  // where the oldest segment begins that could not be written to the disk
  std::vector<SegmentInfo> segments;
  std::vector<SlotInfo> slots;
  uint64_t cursors = 0;            // how many there are, damaged ones included: see Topic::ListCursors
  std::optional<IndexInfo> index;  // unset: there is none, or none that is used
};

struct BusInfo {
  std::string path;
  std::string uuid;
  uint16_t version = 0;
  absl::Time created;
  Access access = Access::kOwner;
  std::vector<std::string> topics;
};

// NOT_FOUND, FAILED_PRECONDITION (not a bus), UNIMPLEMENTED (newer), DATA_LOSS (its identity is damaged),
// PERMISSION_DENIED.
absl::StatusOr<BusInfo> InspectBus(const std::string& bus);
// The same for a topic. A damaged file is left out of what it would have told; verify says what is wrong with it.
absl::StatusOr<TopicInfo> InspectTopic(const std::string& bus, std::string_view topic);

// The numbers of Topic::Stats, from the files alone: cheap, however long the log is (at most 256 MiB of it are walked).
// `before`: an earlier result for the same topic, from which it counts on, or null. Errors as InspectTopic; with
// `before` NOT_FOUND also says that the topic was removed since, FAILED_PRECONDITION that another has its name.
// DATA_LOSS: the control file is gone.
absl::StatusOr<TopicStats> InspectStats(const std::string& bus, std::string_view topic,
                                        const TopicStats* before = nullptr);

}  // namespace libbus

#endif  // LIBBUS_INSPECT_H_
