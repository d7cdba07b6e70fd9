// How a bus, a topic, a producer and a consumer are opened. All structs have defaults and are meant for designated
// initialisers: bus.OpenTopic("orders", {.create = true, .segment_size = 1 << 20}).
#ifndef LIBBUS_OPTIONS_H_
#define LIBBUS_OPTIONS_H_

#include <absl/time/time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libbus/health.h"
#include "libbus/record.h"

namespace libbus {

// The smallest and largest size of a segment file, in bytes. A size is rounded up to whole pages (4096 bytes).
inline constexpr uint64_t kMinSegmentSize = 4096;
inline constexpr uint64_t kMaxSegmentSize = uint64_t{1} << 36;
inline constexpr uint64_t kDefaultSegmentSize = uint64_t{64} << 20;

// The longest topic and producer name, in bytes.
inline constexpr size_t kMaxTopicName = 128;
inline constexpr size_t kMaxProducerName = 23;
// The longest name of a cursor, in bytes.
inline constexpr size_t kMaxCursorName = 128;

// Who may read a bus, fixed when it is made. Only its owner ever writes: the others open it read_only.
enum class Access : uint8_t {
  kOwner = 0,  // directories 0700, files 0600
  kGroup = 1,  // directories 2750, files 0640: members of the directory's group
  kWorld = 2,  // directories 0755, files 0644: everybody
};
// "owner", "group", "world".
std::string_view AccessName(Access access);

struct OpenOptions {
  // Creates the directory and its identity when there is none. An existing bus is opened either way.
  bool create = false;
  // Reads only: no producers, no repair of what dead producers left, no attach. Works while others write.
  bool read_only = false;
  // One thread per process prepares segments ahead and answers consumers that ask for help. With false no thread is
  // ever started: call Topic::Maintain() now and then, or publishes prepare segments themselves.
  bool background = true;
  // Told when syncs and background work fail, and when that is over; Bus::Health() says the same when asked.
  LogHook log_hook = {};
  // For a new bus; default kOwner. Unset takes the bus's own; what contradicts an existing bus is FAILED_PRECONDITION.
  // With create the bus's directory gets the mode of a given access, if it has another. See docs/access.md.
  std::optional<Access> access = {};
  // A mapped page that cannot be had any more (a file was truncated, a sector is bad, a disk filled up under a copy on
  // write) is a SIGBUS. With true the library catches those of its own mappings: calls that met one say DATA_LOSS, and
  // nothing is reported as published that was not. The handler is one for the process, installed by the first bus that
  // is opened so, and stays; a SIGBUS that is not about these mappings goes to the handler that was there before, with
  // its siginfo and context. A host that installs a SIGBUS handler later must pass on to the one it found (ours) what
  // it does not know. No thread that uses the bus may block SIGBUS: the kernel kills for a blocked one. With false such
  // a page is the host's SIGBUS, which kills unless the host handles it; no handler is installed.
  bool sigbus_guard = true;
};

enum class Timestamps : uint8_t {
  kCoarse = 0,   // CLOCK_REALTIME_COARSE: a few ns a publish, as fine as the kernel's tick (1-4 ms)
  kPrecise = 1,  // CLOCK_REALTIME: about 25 ns a publish
  kNone = 2,     // 0, unless RecordOptions::timestamp says otherwise
};

// When records become durable without being asked to one by one. See docs/durability.md for what each costs.
class SyncPolicy {
 public:
  enum class Kind : uint8_t { kNone = 0, kEach = 1, kEvery = 2, kEveryBytes = 3 };

  // Only when asked: RecordOptions::durable, Topic::WaitDurable, Topic::Sync; and a segment once it is full.
  static SyncPolicy None() { return SyncPolicy(Kind::kNone, 0); }
  // Every publish returns when its record is durable.
  static SyncPolicy Each() { return SyncPolicy(Kind::kEach, 0); }
  // A sync begins at most this long after a record was published, as long as some process has a producer. From 1 ms to
  // 1 hour.
  static SyncPolicy Every(absl::Duration interval) {
    return SyncPolicy(Kind::kEvery, static_cast<uint64_t>(std::max(absl::ToInt64Nanoseconds(interval), int64_t{0})));
  }
  // A sync begins when so many bytes of the log (headers included) were published since D. At least 1.
  static SyncPolicy EveryBytes(uint64_t bytes) { return SyncPolicy(Kind::kEveryBytes, bytes); }

  Kind kind() const { return kind_; }
  absl::Duration interval() const { return absl::Nanoseconds(static_cast<int64_t>(amount_)); }  // kEvery
  uint64_t bytes() const { return amount_; }                                                    // kEveryBytes
  // "none", "each", "10ms", "1048576 bytes"
  std::string ToString() const;

  friend bool operator==(const SyncPolicy&, const SyncPolicy&) = default;

 private:
  SyncPolicy(Kind kind, uint64_t amount) : kind_(kind), amount_(amount) {}

  Kind kind_;
  uint64_t amount_;
};

// What is fixed when a topic is created. A field left unset takes the topic's own value, or the default for a new one;
// a field that is set and contradicts an existing topic is FAILED_PRECONDITION.
struct TopicOptions {
  bool create = false;                               // creates the topic when there is none
  bool create_new = false;                           // creates the topic; ALREADY_EXISTS when there is one
  std::optional<uint64_t> segment_size = {};         // bytes, default 64 MiB
  std::optional<Timestamps> timestamps = {};         // default kCoarse
  std::optional<absl::Duration> claim_timeout = {};  // a claim that its owner neither commits nor keeps alive for this
                                                     // long may be revoked; default 10 s, zero: never
  std::optional<SyncPolicy> sync = {};               // default None()
  // What is oldest is deleted, by whole segments, once more than this is behind it, or nothing was written to it for
  // this long; never what is not durable yet, or what a named cursor needs. Default: zero, everything is kept. See
  // docs/retention.md.
  std::optional<uint64_t> retain_bytes = {};
  std::optional<absl::Duration> retain_age = {};
  std::optional<bool> exclusive = {};  // one producer at a time, which stores instead of swapping; claims
                                       // are never revoked, claim_timeout is zero there. Default false.
                                       // See docs/exclusive.md
};

struct ProducerOptions {
  // Shown where producers are listed (who holds a slot, whose claim stalls). At most kMaxProducerName bytes.
  std::string name = {};
};

// What a waiting consumer does with its core.
enum class Wait : uint8_t {
  kSpinThenPark,  // polls for ConsumerOptions::spin, then sleeps in the kernel
  kSpin,          // polls until the timeout; lowest latency, one core
  kPark,          // sleeps at once
};

// Which gaps a consumer is handed.
enum class Gaps : uint8_t {
  kLoss,   // those that may have cost a committed record, and what was sealed off because of another mount
  kAll,    // also dead, revoked and aborted claims: never acknowledged, so nothing was lost
  kError,  // those that may have cost a committed record as the error DATA_LOSS
};

// How far a consumer reads.
enum class Limit : uint8_t {
  kCommitted,  // everything that was published
  kDurable,    // up to D: what no power loss can take back. FAILED_PRECONDITION on a volatile bus (tmpfs)
};

// A place in a topic.
class From {
 public:
  enum class Kind : uint8_t { kStart, kEnd, kAt, kTime, kLast, kSequence };

  static From Start() { return From(Kind::kStart); }                              // the oldest record kept
  static From End() { return From(Kind::kEnd); }                                  // behind the last committed record
  static From At(Position position) { return From(Kind::kAt, position.offset); }  // the record that starts there
  static From Time(absl::Time time) { return From(Kind::kTime, 0, time); }        // the first record not before `time`
  static From Last(uint64_t n) { return From(Kind::kLast, n); }                   // n records before the end
  static From Sequence(uint64_t n) { return From(Kind::kSequence, n); }           // the n-th record, from 0

  Kind kind() const { return kind_; }
  uint64_t number() const { return number_; }
  absl::Time time() const { return time_; }

 private:
  explicit From(Kind kind, uint64_t number = 0, absl::Time time = absl::InfinitePast())
      : kind_(kind), number_(number), time_(time) {}

  Kind kind_;
  uint64_t number_;
  absl::Time time_;
};

struct ConsumerOptions {
  From from = From::Start();
  std::optional<From> to = {};  // the first position not read; reaching it is OUT_OF_RANGE. Unset: follows for ever
  Wait wait = Wait::kSpinThenPark;
  absl::Duration spin = absl::Microseconds(20);
  Gaps gaps = Gaps::kLoss;
  Limit limit = Limit::kCommitted;
  // A named cursor (letters, digits, '_' and '-', at most kMaxCursorName): the consumer starts where it stands; one
  // that does not exist yet is made at `from`. Held until the consumer is gone. Empty: none. See docs/cursors.md.
  std::string cursor = {};
  // With a cursor: at a Next, Poll or Seek, or while Next waits, when this long has passed since the last commit,
  // everything handed out by earlier calls is committed; and what was handed out when the consumer goes. Zero: at each
  // call. Unset: only Consumer::Commit does.
  std::optional<absl::Duration> auto_commit = {};
  // With a cursor: each commit is on stable storage when it returns. False: a commit survives kill -9 at once, and a
  // power loss may take the cursor back to an earlier one: records come again, none is skipped.
  bool durable_commits = false;
};

// What goes into a record beside its payload. Everything is copied.
struct RecordOptions {
  std::string_view key = {};                 // empty: none
  std::span<const Header> headers = {};      // in this order; names may repeat
  uint32_t type = 0;                         // the user's own
  std::optional<absl::Time> timestamp = {};  // unset: as the topic's Timestamps say
  std::optional<Position> source = {};       // the position, in another topic, of the record this one was made from
  std::string_view producer = {};            // the name under which producer_sequence counts; empty: none
  uint64_t producer_sequence = 0;            // stored when `producer` is not empty
  bool durable = false;                      // Publish and Commit return when the record survives a power loss
};

}  // namespace libbus

#endif  // LIBBUS_OPTIONS_H_
