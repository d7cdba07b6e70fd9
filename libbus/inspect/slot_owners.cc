#include "libbus/inspect/slot_owners.h"

#include <fmt/format.h>

#include <cstring>

#include "libbus/inspect/picture.h"
#include "libbus/inspect/topic_files.h"

namespace libbus::inspect {
namespace {

std::string Directory(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

void SlotOwners::Open() {
  if (opened_) return;
  opened_ = true;
  auto control = File::Open(Directory(segment_) + "/control");
  const auto control_header =
      control.ok() ? GetHeader<format::ControlHeader>(*control, format::kControlMagic) : std::nullopt;
  if (!control_header) return;
  const format::FileHeader& header = control_header->header;
  if (header.magic != format::kControlMagic || !(header.uuid == topic_)) return;
  control_ = *std::move(control);
  if (auto locks = File::Open(Directory(segment_) + "/locks"); locks.ok()) locks_ = *std::move(locks);
}

std::optional<DumpOwner> SlotOwners::Find(uint32_t slot) {
  Open();
  if (!control_ || slot == 0 || slot >= format::kSlots) return std::nullopt;
  const auto found = control_->Get<format::Slot>(format::kSlotsOffset + slot * sizeof(format::Slot));
  if (!found || found->pid == 0) return std::nullopt;
  char name[sizeof(found->name) + 1] = {};
  std::memcpy(name, found->name, sizeof(found->name));
  return DumpOwner{.slot = slot,
                   .pid = found->pid,
                   .name = name,
                   .since = absl::FromUnixNanos(static_cast<int64_t>(found->since)),
                   .alive = locks_ ? locks_->Locked(slot) : std::nullopt};
}

std::string OwnerText(const std::optional<DumpOwner>& owner) {
  if (!owner) return "";
  const std::string name = owner->name.empty() ? "" : fmt::format(" {}", Quoted(owner->name));
  const std::string_view alive = !owner->alive ? "" : *owner->alive ? ", alive" : ", gone";
  return fmt::format(" (its slot: process {}{}{})", owner->pid, name, alive);
}

}  // namespace libbus::inspect
