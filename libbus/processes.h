// Who has the topics of a bus open, what each of them does and waits for: `bus ps`. Files and /proc are read, nothing
// else; nobody is disturbed. What is told is for people: a picture of a moment, put together from what the kernel
// says (who holds which lock), and from what producers and consumers note down about themselves, which anybody who may
// write there can spoil.
#ifndef LIBBUS_PROCESSES_H_
#define LIBBUS_PROCESSES_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/cursor.h"
#include "libbus/record.h"

namespace libbus {

// A process, as far as it can be known.
struct ProcessId {
  // identified: as the caller knows it. Else what it noted down, which is its number in its own pid namespace. 0: not
  // known.
  uint64_t pid = 0;
  bool identified = false;         // the kernel says that this process holds what is told of here
  std::string command = {};        // identified: its name now; else what it noted down, or empty
  std::optional<bool> alive = {};  // unset: the caller may not look
  bool stopped = false;            // identified, and stopped by a signal or a debugger
};

enum class ProcessRole : uint8_t {
  kProducer,  // holds a slot
  kConsumer,  // noted down in the sleep page
  kCursor,    // holds a cursor, and is not noted down
  kAttached,  // has the topic open, and nothing of the above is known of it
};
std::string_view ProcessRoleName(ProcessRole role);  // "producer", "consumer", "cursor", "attached"

enum class WaitsFor : uint8_t {
  kNothing,  // or not known
  kRecord,   // the next record, at `position`
  kCommit,   // the record at `position`, which a producer has claimed and not committed: see ClaimInfo
  kSync,     // D to get beyond `position`: it reads only what is durable
};
std::string_view WaitsForName(WaitsFor waits_for);  // "", "record", "commit", "sync"

// One handle of a process: a process with two producers is there twice.
struct ProcessInfo {
  ProcessId process;
  ProcessRole role = ProcessRole::kAttached;
  uint32_t slot = 0;                      // producers
  std::string name = {};                  // producers: ProducerOptions::name
  std::string cursor = {};                // consumers with one
  std::optional<absl::Time> since = {};   // when it was opened
  std::optional<Position> position = {};  // consumers: up to where they have read, or up to 64 KiB less
  std::optional<Lag> lag = {};            // of that
  WaitsFor waits_for = WaitsFor::kNothing;
  std::optional<absl::Time> waits_since = {};  // since when it finds nothing to read at `position`
  std::optional<Position> claim = {};          // producers: where their open claim stands
};

// A claim that is neither committed nor given up.
struct ClaimInfo {
  Position position;
  uint64_t size = 0;  // bytes of the log
  uint32_t slot = 0;
  std::string name = {};  // of its producer
  ProcessId process;
  // It was claimed before that: a record behind it was committed then. Unset: there is none, or it has no timestamp.
  std::optional<absl::Time> before = {};
};

struct TopicProcesses {
  std::string topic;
  Position end;      // behind the last committed record that readers reach
  Position tail;     // behind the last claim
  Position durable;  // D
  std::vector<ProcessInfo> processes;
  // By position. The first one holds the tail: readers stop there.
  std::vector<ClaimInfo> claims;
  // Who holds the sync lock, who recovers.
  std::optional<ProcessId> syncing = {};
  std::optional<ProcessId> recovering = {};
  // What cannot be known: all entries for consumers are taken, so there may be more of them.
  bool consumers_full = false;
  // Processes of this machine that the caller may not look into: some may have the topic open to read.
  uint64_t hidden = 0;
};

// `topic` empty: all topics. The dead are there too: a producer that died, or closed, until its slot is used again, a
// consumer that was killed, until its place is. OK: also where things are damaged; what cannot be read is left out.
// NOT_FOUND: no such bus or topic. INVALID_ARGUMENT: the name. FAILED_PRECONDITION: not a bus. PERMISSION_DENIED.
absl::StatusOr<std::vector<TopicProcesses>> InspectProcesses(const std::string& bus, std::string_view topic = {});

}  // namespace libbus

#endif  // LIBBUS_PROCESSES_H_
