// Who reads a topic, for people: consumers leave no trace in the log, so each takes an entry of the sleep page, if one
// is free and this process may write that page. Nothing hangs on an entry, nobody believes it; a consumer without one
// reads, sleeps and is woken like any other.
//
// An entry belongs to who holds a write lock (OFD) on its first byte of the sleep file. The kernel drops it at death,
// across containers and pid namespaces, so an entry of the dead is free again, and it can be known who lives whatever
// stands in the page. Everybody who may read the topic may lock these bytes, and may write the page: that hides
// consumers from who looks, or shows some that are none, and does nothing else.
//
//   taken          by the lock. Died: free. Stopped here: what the last holder left stands there still.
//   written        pid last. Died: what was written stands in a free entry, which nobody shows.
//   in use         its consumer stores where it is: a word each on a line of its own, relaxed, as it parks, when it
//   comes
//                  to nothing to read, and every 64 KiB. Any mix of old and new is harmless. Died: as above.
//   given back     pid is cleared, then the lock goes. Died between: free.
// fork(): the child has no lock (the description is closed there) and no entry; what it inherited writes nothing.
#ifndef LIBBUS_LOG_CONSUMER_TABLE_H_
#define LIBBUS_LOG_CONSUMER_TABLE_H_

#include <bitset>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "libbus/format/layout.h"
#include "libbus/log/sleep_page.h"
#include "libbus/platform/fork_guard.h"
#include "libbus/platform/ofd_lock.h"

namespace libbus::log {

class ConsumerTable;

// One consumer's entry, or none. Not thread-safe; given back when it goes.
class ConsumerMark {
 public:
  ConsumerMark() = default;
  ConsumerMark(ConsumerMark&& other) noexcept;
  ConsumerMark& operator=(ConsumerMark&& other) = delete;
  ~ConsumerMark();

  // The consumer has read up to `position`, and is not known to wait.
  void Reads(uint64_t position);
  // The consumer found nothing to read at `position`; `waits_for`: kWaitsFor... of format/layout.h.
  void Idles(uint64_t position, uint64_t waits_for);
  // It stopped to wait, with nothing read.
  void Returns();

  // From this position on Reads() is to be called. 0: at the next record.
  uint64_t due() const { return due_; }

 private:
  friend class ConsumerTable;
  ConsumerMark(ConsumerTable* table, uint32_t n, uint64_t* entry) : table_(table), n_(n), entry_(entry) {}
  void Set(size_t offset, uint64_t value) const;

  ConsumerTable* table_ = nullptr;  // null: none
  uint32_t n_ = 0;
  uint64_t* entry_ = nullptr;
  uint64_t due_ = UINT64_MAX;
  uint64_t idle_at_ = 0;  // the position where it idles
  bool idle_ = false;
};

// The entries that the consumers of one opened log hold. Thread-safe; outlives its marks.
class ConsumerTable {
 public:
  // `directory` and `page` outlive it.
  ConsumerTable(const platform::File& directory, const std::string& path, const SleepPage& page)
      : directory_(directory), path_(path), page_(page) {}

  // An entry for a consumer at `position` that commits to `cursor`, if that is not empty; or none.
  ConsumerMark Take(uint64_t position, std::string_view cursor);

  // Entries whose consumers live, of all processes. Nothing: the page may not be locked, so not be asked either.
  std::optional<uint32_t> CountLiving() const;

 private:
  friend class ConsumerMark;
  std::optional<uint32_t> TakeFree();
  void GiveBack(uint32_t n);

  const platform::File& directory_;
  const std::string& path_;
  const SleepPage& page_;
  const platform::ForkGuard guard_;
  std::mutex mutex_;
  platform::LockFile locks_;  // of the sleep file; opened by the first consumer
  std::bitset<format::kConsumerEntries> own_;
};

// The byte of the sleep file whose lock says that the consumer of entry `n` lives.
constexpr int64_t ConsumerByte(uint32_t n) {
  return static_cast<int64_t>(offsetof(format::SleepFile, consumers) + n * sizeof(format::ConsumerEntry));
}

// ConsumerEntry::cursor of a cursor with this name.
uint64_t CursorMark(std::string_view name);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_CONSUMER_TABLE_H_
