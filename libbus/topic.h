// One append-only log with many producers and many consumers.
#ifndef LIBBUS_TOPIC_H_
#define LIBBUS_TOPIC_H_

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libbus/consumer.h"
#include "libbus/cursor.h"
#include "libbus/options.h"
#include "libbus/producer.h"
#include "libbus/record.h"

namespace libbus {

namespace internal {
class TopicImpl;
}

struct TopicStats {
  uint64_t segments = 0;  // files, prepared ones included
  uint64_t bytes = 0;     // of those files
  Position first;         // the oldest record kept
  Position end;           // behind the last committed record
  Position durable;       // D
  // Slots held by living producers; unset: who may not write the topic may not look.
  std::optional<uint32_t> producers = {};
  // Living consumers that are noted down in the sleep page: those that may write it, and not more than 60.
  std::optional<uint32_t> consumers = {};
  uint64_t disk_bytes = 0;  // of `bytes`, what the file system has allocated
  // How many records (and gaps that were claims: as sequences count) stand before `end`, and before D, those that were
  // deleted too. Unset: nothing near tells, or damage hides it.
  std::optional<uint64_t> records = {};
  std::optional<uint64_t> durable_records = {};

  // Counted since the topic was made, by all processes. For people: a power loss takes them back a little, a death
  // between a deed and its count loses one, and who may write there can write nonsense. docs/format.md (LiveWords) has
  // what each does not count.
  uint64_t wakes = 0;           // wake-ups called for sleepers on a record, one system call each
  uint64_t woken = 0;           // ... that found a sleeper
  uint64_t sleeps = 0;          // of consumers, in the kernel
  uint64_t gaps = 0;            // claims that became gaps
  uint64_t repairs = 0;         // ... because their producer was dead or stalled
  uint64_t syncs = 0;           // begun
  uint64_t measured_syncs = 0;  // of which it is known how much they wrote
  uint64_t measured_bytes = 0;  // what those wrote of the segments

  uint64_t instance = 0;  // tells topics apart that had the same name one after the other
};

struct TrimOptions {
  bool dry_run = false;  // only says what would be deleted
};

// What Trim deleted, or would delete.
struct TrimReport {
  uint64_t segments = 0;
  uint64_t bytes = 0;  // of their files
  Position first;      // the oldest record kept then
  // Set if more lies before the point, and a cursor needs it.
  struct Held {
    std::string cursor;
    Position position;  // where it stands, or may stand again after a power loss
  };
  std::optional<Held> held = {};
};

// An open topic. Cheap to copy handles from; all functions are thread-safe. Producers and consumers may outlive it.
class Topic {
 public:
  Topic(Topic&&) noexcept;
  Topic& operator=(Topic&&) noexcept;
  ~Topic();

  // OK: a producer that holds a slot. RESOURCE_EXHAUSTED: all 1,023 slots are held (the message names holders), or no
  // descriptors are left. FAILED_PRECONDITION: the topic is exclusive and has its producer, in this process or another
  // (the message names it); the bus was opened read_only; or after fork. INVALID_ARGUMENT: the name.
  // On an exclusive topic this takes over from a producer that is closed, or whose process is dead (a killed process is
  // dead once the kernel has taken its memory down, up to 0.1 s per GiB later). If this process dies inside, the next
  // one takes over.
  absl::StatusOr<Producer> NewProducer(const ProducerOptions& options = {});

  // OK: a consumer at options.from, or where options.cursor stands. Errors as Consumer::Seek; INVALID_ARGUMENT also for
  // a range that ends before it begins, and for a cursor's name. With a cursor also FAILED_PRECONDITION: a living
  // consumer holds it (the message names it), or its file is none of this topic's, or it is to be durable on a volatile
  // bus (tmpfs). OUT_OF_RANGE: it stands beyond the end, or before the oldest record. DATA_LOSS: its file is damaged.
  // PERMISSION_DENIED: another user's. UNAVAILABLE, RESOURCE_EXHAUSTED: its file cannot be written. Each says what to
  // do.
  absl::StatusOr<Consumer> NewConsumer(const ConsumerOptions& options = {});

  // D, the durable watermark: no power loss takes back what is before it. A lower bound, rises; on a volatile bus
  // (tmpfs) nothing is durable: 0. Where an open claim is in front, later records may be durable as well.
  Position durable() const;

  // Waits up to `timeout` until the record that starts at `record` is durable. A topic that is open for writing syncs
  // if nobody else does; a read-only one only waits, for somebody who writes and syncs, by policy or demand.
  // OK: durable. DEADLINE_EXCEEDED: not in time. UNAVAILABLE: a sync failed (see docs/durability.md); it may or may not
  // be on the disk. OUT_OF_RANGE: no record was ever there: beyond the end, or deleted. INVALID_ARGUMENT: inside a
  // record (the message names its start). DATA_LOSS: it was lost, or never committed: a gap stands there.
  // FAILED_PRECONDITION: claimed and not yet committed; a volatile bus (tmpfs); opened read_only, and a writer has to
  // recover the topic first; or after fork.
  absl::Status WaitDurable(Position record, absl::Duration timeout = absl::InfiniteDuration());

  // Returns when everything committed before the call is durable. One sync serves all who wait, in all processes.
  // OK, UNAVAILABLE: as above. FAILED_PRECONDITION: opened read_only, a volatile bus (tmpfs), or after fork. DATA_LOSS:
  // the log is damaged where it would be written.
  absl::Status Sync();

  // Prepares the next segment, populates pages ahead of the tail, repairs what dead producers left, syncs what is due,
  // brings the index up to date and deletes what TopicOptions::retain_... says: what the background thread does where
  // there is one. OK: nothing is left to do now. RESOURCE_EXHAUSTED: no room for the next segment, or for the index.
  // UNAVAILABLE: a sync failed. FAILED_PRECONDITION: opened read_only, or after fork.
  absl::Status Maintain();

  // All cursors, by name; also those that cannot be read, with the reason. Thread-safe; changes nothing.
  absl::StatusOr<std::vector<CursorInfo>> ListCursors() const;

  // Puts a cursor that no living consumer holds at `from`, durably; one whose file is damaged is made anew. Also with a
  // read-only bus. NOT_FOUND: there is none. FAILED_PRECONDITION: a living consumer holds it (the message names it).
  // PERMISSION_DENIED: another user's. Else as Consumer::Seek. Died inside: it stands where it stood, or there.
  absl::Status SeekCursor(const std::string& name, From from);

  // Removes a cursor that no living consumer holds, whatever its file says. Errors as SeekCursor. Died inside: it is
  // there, or gone.
  absl::Status RemoveCursor(const std::string& name);

  // Deletes what lies before `before`, by whole segments and as far as nothing needs it: not what is not durable yet
  // (on a volatile bus: not committed), nor what an open claim or a named cursor stands before. Readers that are in a
  // deleted segment go on to its end; those behind whose back it went get a gap (evicted). The disk space comes back
  // when the last process that has the file mapped lets go of it. OK: what was deleted, also if that is nothing.
  // OUT_OF_RANGE: `before` is beyond the end. DATA_LOSS, FAILED_PRECONDITION, UNIMPLEMENTED or PERMISSION_DENIED: a
  // cursor cannot be read (the message names it), so nothing may be deleted. FAILED_PRECONDITION also: opened
  // read_only, or after fork. UNAVAILABLE: the disk refused. DEADLINE_EXCEEDED: somebody else syncs for longer than 10
  // s. If this process dies inside, the log begins where it began or at the new place; files that are left are removed
  // by the next one who deletes.
  absl::StatusOr<TrimReport> Trim(From before, const TrimOptions& options = {});

  const std::string& name() const;
  // 36 characters, lower case.
  std::string uuid() const;
  // As stored with the topic; every optional is set.
  TopicOptions options() const;
  // OK: the numbers of now. Reads up to 16 MiB of the log for the counts of records. DATA_LOSS: damaged;
  // FAILED_PRECONDITION: after fork. See also InspectStats (inspect.h), which needs no open topic.
  absl::StatusOr<TopicStats> Stats() const;

 private:
  friend class Bus;
  explicit Topic(std::shared_ptr<internal::TopicImpl> impl);

  std::shared_ptr<internal::TopicImpl> impl_;
};

}  // namespace libbus

#endif  // LIBBUS_TOPIC_H_
