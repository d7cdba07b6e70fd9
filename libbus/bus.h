// libbus: a persistent shared-memory message bus. One machine, many processes, no server. Includes all of the library.
#ifndef LIBBUS_BUS_H_
#define LIBBUS_BUS_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/batch.h"
#include "libbus/consumer.h"
#include "libbus/copy.h"
#include "libbus/cursor.h"
#include "libbus/doctor.h"
#include "libbus/health.h"
#include "libbus/inspect.h"
#include "libbus/options.h"
#include "libbus/processes.h"
#include "libbus/producer.h"
#include "libbus/record.h"
#include "libbus/recovery.h"
#include "libbus/replay.h"
#include "libbus/topic.h"

namespace libbus {

namespace internal {
class BusImpl;
}

// A bus: a directory with its identity and its topics. All functions are thread-safe; topics may outlive the handle.
class Bus {
 public:
  Bus(Bus&&) noexcept;
  Bus& operator=(Bus&&) noexcept;
  ~Bus();

  // OK: the bus at `path`. NOT_FOUND: no such directory (and not options.create). FAILED_PRECONDITION: the directory
  // is not a bus, belongs to another user (who may be let in read_only, see Access), was made with another access than
  // options.access, or lies on a file system whose mappings are not shared (NFS, FUSE, ...); or, for a new bus that a
  // group may read, you are no member of the directory's group.
  // UNIMPLEMENTED: made by a newer, incompatible version. DATA_LOSS: its identity file is damaged. PERMISSION_DENIED.
  // With create a death in between leaves nothing that a later call would stumble over.
  static absl::StatusOr<Bus> Open(const std::string& path, const OpenOptions& options = {});

  // OK: the topic, attached for writing unless the bus is read_only. Attaching repairs what killed processes left.
  // NOT_FOUND, ALREADY_EXISTS: see TopicOptions. INVALID_ARGUMENT: the name (letters, digits, '_' and '-', at most 128,
  // not "bus"), or a size out of bounds. FAILED_PRECONDITION: options contradict the topic's; or power loss or a copy
  // cannot be excluded since it was last written (the message says what differs); nothing on disk was touched then.
  // DATA_LOSS: a file is damaged such that a writer cannot go on. DEADLINE_EXCEEDED: another process has been
  // recovering the topic for 30 s (the message names it). UNIMPLEMENTED: newer, incompatible. RESOURCE_EXHAUSTED:
  // no room on the disk.
  absl::StatusOr<Topic> OpenTopic(std::string_view name, const TopicOptions& options = {});

  // Removes a topic, with all its records and cursors. OK: nobody can open it any more, also after a power loss, and
  // its files are deleted. Processes that have it open finish on what they have: consumers get NOT_FOUND at the end of
  // it (FAILED_PRECONDITION where a new one of this name was made), producers when they sync or need a new segment, and
  // Health() says so; disk space is free when the last of them has closed it. NOT_FOUND: no such topic.
  // INVALID_ARGUMENT: the name. FAILED_PRECONDITION: the bus was opened read_only. If the process dies inside, the
  // topic is there whole or not at all; files left behind are removed with the next topic that is made or removed.
  absl::Status RemoveTopic(std::string_view name);

  // The names of all topics, sorted; also of those that cannot be opened, because their control file is lost.
  absl::StatusOr<std::vector<std::string>> ListTopics() const;

  // What syncs, preparation and repair by this process meet now, on the topics opened through this handle.
  libbus::Health Health() const;

  const std::string& path() const;
  // Who may read it, as it was made.
  Access access() const;
  // The directory of a topic. INVALID_ARGUMENT: the name. NOT_FOUND: no such topic.
  absl::StatusOr<std::string> PathOf(std::string_view topic) const;
  // 36 characters, lower case.
  std::string uuid() const;

 private:
  explicit Bus(std::shared_ptr<internal::BusImpl> impl);

  std::shared_ptr<internal::BusImpl> impl_;
};

}  // namespace libbus

#endif  // LIBBUS_BUS_H_
