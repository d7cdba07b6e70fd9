// How a bus, a topic, a producer and a consumer are opened. All structs have defaults and are meant for designated
// initialisers: bus.OpenTopic("orders", {.create = true, .segment_size = 1 << 20}).
#ifndef LIBBUS_OPTIONS_H_
#define LIBBUS_OPTIONS_H_

#include <absl/time/time.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "libbus/record.h"

namespace libbus {

// The smallest and largest size of a segment file, in bytes. A size is rounded up to whole pages (4096 bytes).
inline constexpr uint64_t kMinSegmentSize = 4096;
inline constexpr uint64_t kMaxSegmentSize = uint64_t{1} << 36;
inline constexpr uint64_t kDefaultSegmentSize = uint64_t{64} << 20;

// The longest topic and producer name, in bytes.
inline constexpr size_t kMaxTopicName = 128;
inline constexpr size_t kMaxProducerName = 23;

struct OpenOptions {
  // Creates the directory and its identity when there is none. An existing bus is opened either way.
  bool create = false;
  // Reads only: no producers, no repair of what dead producers left, no attach. Works while others write.
  bool read_only = false;
  // One thread per process prepares segments ahead and answers consumers that ask for help. With false no thread is
  // ever started: call Topic::Maintain() now and then, or publishes prepare segments themselves.
  bool background = true;
};

enum class Timestamps : uint8_t {
  kCoarse = 0,   // CLOCK_REALTIME_COARSE: a few ns a publish, as fine as the kernel's tick (1-4 ms)
  kPrecise = 1,  // CLOCK_REALTIME: about 25 ns a publish
  kNone = 2,     // 0, unless RecordOptions::timestamp says otherwise
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
  kLoss,   // those that may have cost a committed record
  kAll,    // also dead, revoked and aborted claims: never acknowledged, so nothing was lost
  kError,  // those of kLoss as the error DATA_LOSS
};

// A place in a topic.
class From {
 public:
  enum class Kind : uint8_t { kStart, kEnd, kAt, kTime, kLast, kSequence };

  static From Start() { return From(Kind::kStart); }                              // the oldest record kept
  static From End() { return From(Kind::kEnd); }                                  // behind the last committed record
  static From At(Position position) { return From(Kind::kAt, position.offset); }  // the record that starts there
  static From Time(absl::Time time) {
    return From(Kind::kTime, 0, time);
  }                                                                      // the first record not before `time`, by scan
  static From Last(uint64_t n) { return From(Kind::kLast, n); }          // n records before the end, by scan
  static From Sequence(uint64_t n) { return From(Kind::kSequence, n); }  // the n-th record, from 0, by scan

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
};

}  // namespace libbus

#endif  // LIBBUS_OPTIONS_H_
