// Who holds, or held, the slots of the topic that a segment lies beside.
#ifndef LIBBUS_INSPECT_SLOT_OWNERS_H_
#define LIBBUS_INSPECT_SLOT_OWNERS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "libbus/format/layout.h"
#include "libbus/inspect.h"
#include "libbus/inspect/file.h"

namespace libbus::inspect {

// Asks the control and locks files beside a segment when it is asked, not before.
class SlotOwners {
 public:
  // `segment`: its path. `topic`: whose control file it must be.
  SlotOwners(std::string segment, const format::Uuid& topic) : segment_(std::move(segment)), topic_(topic) {}

  // Nothing if no control file of this topic can be read, or nobody has held the slot.
  std::optional<DumpOwner> Find(uint32_t slot);

 private:
  void Open();

  std::string segment_;
  format::Uuid topic_;
  bool opened_ = false;
  std::optional<File> control_;
  std::optional<File> locks_;
};

// " (process 77 "loader", alive)", or nothing.
std::string OwnerText(const std::optional<DumpOwner>& owner);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_SLOT_OWNERS_H_
