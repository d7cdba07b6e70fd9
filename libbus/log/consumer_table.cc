#include "libbus/log/consumer_table.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "libbus/format/checksum.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/shared_word.h"

namespace libbus::log {
namespace {

using format::ConsumerEntry;
using platform::Seam;

// A reader in the flow says where it is after so much of the log.
constexpr uint64_t kTellEvery = uint64_t{64} << 10;

uint64_t Now() { return static_cast<uint64_t>(Seam::CoarseRealtimeNow()); }

}  // namespace

uint64_t CursorMark(std::string_view name) {
  if (name.empty()) return 0;
  return uint64_t{name.size()} << 32 | format::Crc32c(0, name.data(), name.size());
}

ConsumerMark::ConsumerMark(ConsumerMark&& other) noexcept
    : table_(std::exchange(other.table_, nullptr)),
      n_(other.n_),
      entry_(other.entry_),
      due_(other.due_),
      idle_at_(other.idle_at_),
      idle_(other.idle_) {}

ConsumerMark::~ConsumerMark() {
  // In a forked child the entry is its parent's.
  if (table_ == nullptr || !table_->guard_.InMaker()) return;
  Set(offsetof(ConsumerEntry, pid), 0);
  table_->GiveBack(n_);
}

void ConsumerMark::Set(size_t offset, uint64_t value) const { platform::InfoWord(entry_ + offset / 8).Set(value); }

void ConsumerMark::Reads(uint64_t position) {
  if (table_ == nullptr) return;
  Set(offsetof(ConsumerEntry, position), position);
  due_ = position + kTellEvery;
  if (!std::exchange(idle_, false)) return;
  Set(offsetof(ConsumerEntry, idle), 0);
  Set(offsetof(ConsumerEntry, waits_for), format::kWaitsForNothing);
}

void ConsumerMark::Idles(uint64_t position, uint64_t waits_for) {
  if (table_ == nullptr) return;
  if (!idle_ || position != idle_at_) {
    Set(offsetof(ConsumerEntry, position), position);
    Set(offsetof(ConsumerEntry, idle), Now());
  }
  Set(offsetof(ConsumerEntry, waits_for), waits_for);
  idle_ = true;
  idle_at_ = position;
  due_ = 0;
}

void ConsumerMark::Returns() {
  if (table_ != nullptr && idle_) Set(offsetof(ConsumerEntry, waits_for), format::kWaitsForNothing);
}

std::optional<uint32_t> ConsumerTable::TakeFree() {
  if (!locks_.is_open()) {
    auto opened = platform::LockFile::OpenAt(directory_, path_, "sleep");
    if (!opened.ok()) return std::nullopt;
    locks_ = *std::move(opened);
  }
  for (uint32_t n = 0; n < format::kConsumerEntries; ++n) {
    // The lock does not tell those of one description apart.
    if (own_[n]) continue;
    const auto taken = locks_.TryExclusive(ConsumerByte(n));
    if (!taken.ok()) return std::nullopt;
    if (!*taken) continue;
    own_[n] = true;
    return n;
  }
  page_.unlisted().Add(1);
  return std::nullopt;
}

ConsumerMark ConsumerTable::Take(uint64_t position, std::string_view cursor) {
  if (!page_.shared() || !guard_.InMaker()) return {};
  const std::lock_guard lock(mutex_);
  const auto n = TakeFree();
  if (!n) return {};
  ConsumerMark mark(this, *n, page_.entry(*n));
  uint64_t name[2] = {};
  const std::string_view program = program_invocation_short_name;
  std::memcpy(name, program.data(), std::min(program.size(), sizeof(name) - 1));
  mark.Set(offsetof(ConsumerEntry, pid), 0);
  mark.Set(offsetof(ConsumerEntry, since), Now());
  mark.Set(offsetof(ConsumerEntry, idle), 0);
  mark.Set(offsetof(ConsumerEntry, waits_for), format::kWaitsForNothing);
  mark.Set(offsetof(ConsumerEntry, cursor), CursorMark(cursor));
  for (size_t i = 0; i < 2; ++i) mark.Set(offsetof(ConsumerEntry, name) + i * 8, name[i]);
  mark.Reads(position);
  mark.Set(offsetof(ConsumerEntry, pid), static_cast<uint64_t>(getpid()));
  return mark;
}

std::optional<uint32_t> ConsumerTable::CountLiving() const {
  // A description of its own: through the one that holds locks they look free.
  const auto probe = platform::LockFile::OpenAt(directory_, path_, "sleep");
  if (!probe.ok()) return std::nullopt;
  uint32_t count = 0;
  for (uint32_t n = 0; n < format::kConsumerEntries; ++n) count += probe->Probe(ConsumerByte(n)) ? 1 : 0;
  return count;
}

void ConsumerTable::GiveBack(uint32_t n) {
  const std::lock_guard lock(mutex_);
  locks_.Unlock(ConsumerByte(n));
  own_[n] = false;
}

}  // namespace libbus::log
