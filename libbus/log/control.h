// The control file of a topic: what is fixed, what must survive (two checksummed copies), live words and slots.
#ifndef LIBBUS_LOG_CONTROL_H_
#define LIBBUS_LOG_CONTROL_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "libbus/format/layout.h"
#include "libbus/platform/file.h"
#include "libbus/platform/mapping.h"
#include "libbus/platform/shared_word.h"

namespace libbus::log {

// One producer's slot.
class SlotWords {
 public:
  explicit SlotWords(uint64_t* slot) : slot_(slot) {}

  platform::Floor floor() const { return platform::Floor(At(offsetof(format::Slot, floor))); }
  platform::KeepAlive keep_alive() const { return platform::KeepAlive(At(offsetof(format::Slot, keep_alive))); }
  platform::InfoWord pid() const { return platform::InfoWord(At(offsetof(format::Slot, pid))); }
  platform::SelfFencing fences() const { return platform::SelfFencing(At(offsetof(format::Slot, fences))); }
  platform::InfoWord since() const { return platform::InfoWord(At(offsetof(format::Slot, since))); }

  void SetName(const std::string& name) const;
  std::string Name() const;

 private:
  uint64_t* At(size_t offset) const { return slot_ + offset / 8; }
  uint64_t* slot_;
};

// The mapped control file. Thread-safe but for WriteRecord, which only who is alone may call.
class Control {
 public:
  // DATA_LOSS: damaged; UNIMPLEMENTED: newer; NOT_FOUND: none. Read-only: the words may be read, never written.
  // `path`: of the opened directory, for messages and to see whether it is still there.
  static absl::StatusOr<Control> Open(const platform::File& directory, const std::string& path, bool writable,
                                      platform::BusErrors bus_errors = platform::BusErrors::kGuarded);

  const format::ControlHeader& header() const { return header_; }
  const platform::FileIdentity& identity() const { return identity_; }

  // The valid copy with the higher counter; nothing if neither is valid.
  std::optional<format::ControlRecord> ReadRecord() const;

  // Writes the next copy and syncs it: on return it is on disk. Keeps the counters itself. REQUIRES: the caller is
  // alone.
  absl::Status WriteRecord(const format::ControlRecord& record);

  // Notes D, without a sync. Always into the copy that does not hold what WriteRecord wrote last: that one is on disk
  // and stays whole, whatever a power loss makes of this one. REQUIRES: the caller is alone or holds the sync lock.
  void WriteDurable(uint64_t durable);

  // fdatasync of the whole file.
  absl::Status Sync() const;

  // True once a page of it could not be had: what this process reads and writes there is its own (see
  // platform/bus_guard.h). Asked after the words were used. One relaxed load.
  bool poisoned() const { return mapping_.poisoned(); }
  // DATA_LOSS if so.
  absl::Status CheckIntact() const { return poisoned() ? NotIntact() : absl::OkStatus(); }

  platform::TailHint tail_hint() const { return platform::TailHint(Live(offsetof(format::LiveWords, tail_hint))); }
  platform::RisingWord name_durable() const {
    return platform::RisingWord(Live(offsetof(format::LiveWords, name_durable)));
  }
  platform::RisingWord durable() const { return platform::RisingWord(Live(offsetof(format::LiveWords, durable))); }
  platform::TicketWord sync_started() const {
    return platform::TicketWord(Live(offsetof(format::LiveWords, sync_started)));
  }
  platform::RisingWord sync_done() const { return platform::RisingWord(Live(offsetof(format::LiveWords, sync_done))); }
  // The highest tail that a sync has found. A FREE word before it, read after this was, is damage: a page that could
  // not be written, was dropped, and reads as it was before.
  platform::RisingWord known_tail() const {
    return platform::RisingWord(Live(offsetof(format::LiveWords, known_tail)));
  }
  platform::EventCounter sync_event() const {
    return platform::EventCounter(Live(offsetof(format::LiveWords, sync_event)));
  }
  // Base + 1 of the oldest segment whose sync failed; 0: none.
  platform::FallingWord sync_failed() const {
    return platform::FallingWord(Live(offsetof(format::LiveWords, sync_failed)));
  }
  platform::GenerationWord owner_generation() const {
    return platform::GenerationWord(Live(offsetof(format::LiveWords, owner_generation)));
  }
  platform::InfoWord attach_pid() const { return platform::InfoWord(Live(offsetof(format::LiveWords, attach_pid))); }

  // For people: what each counts is in format/layout.h.
  platform::CountWord wakes() const { return platform::CountWord(Live(offsetof(format::LiveWords, wakes))); }
  platform::CountWord woken() const { return platform::CountWord(Live(offsetof(format::LiveWords, woken))); }
  platform::CountWord gaps() const { return platform::CountWord(Live(offsetof(format::LiveWords, gaps))); }
  platform::CountWord repairs() const { return platform::CountWord(Live(offsetof(format::LiveWords, repairs))); }
  platform::CountWord measured_syncs() const {
    return platform::CountWord(Live(offsetof(format::LiveWords, measured_syncs)));
  }
  platform::CountWord measured_bytes() const {
    return platform::CountWord(Live(offsetof(format::LiveWords, measured_bytes)));
  }

  // REQUIRES: 1 <= owner <= kMaxOwner.
  SlotWords slot(uint32_t owner) const {
    return SlotWords(mapping_.word(format::kSlotsOffset + owner * sizeof(format::Slot)));
  }

  // The lowest floor of all slots; nothing if none is set.
  std::optional<uint64_t> LowestFloor() const;

  const std::string& path() const { return path_; }

 private:
  absl::Status NotIntact() const;
  void WriteCopy(format::ControlRecord& record);
  uint64_t* Live(size_t offset) const { return mapping_.word(format::kLiveOffset + offset); }

  std::string path_;
  platform::File file_;
  platform::Mapping mapping_;
  format::ControlHeader header_;
  platform::FileIdentity identity_;
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_CONTROL_H_
