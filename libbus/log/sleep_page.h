// The page that consumers may write: who sleeps, and who wants help. Nothing in it is believed. A process that cannot
// have it (a read-only mount, a page that somebody damaged) goes on without: it polls with bounded sleeps.
//
// Somebody may truncate the file while it is mapped: then a private page takes its place (platform/bus_guard.h), and
// the process goes on without as well. The next one that opens it for writing makes it whole again.
#ifndef LIBBUS_LOG_SLEEP_PAGE_H_
#define LIBBUS_LOG_SLEEP_PAGE_H_

#include <absl/status/statusor.h>

#include <optional>
#include <string>

#include "libbus/format/layout.h"
#include "libbus/platform/mapping.h"
#include "libbus/platform/shared_word.h"

namespace libbus::log {

class SleepPage {
 public:
  // A writer (`writable`) finds the file whole or makes it so; NOT_FOUND: there is none. For a reader, and where
  // somebody truncates it just then, there is no error: without the page one gets an object whose marks go nowhere.
  static absl::StatusOr<SleepPage> Open(const platform::File& directory, const std::string& path,
                                        const format::Uuid& uuid, bool writable,
                                        platform::BusErrors bus_errors = platform::BusErrors::kGuarded);

  // Writes a page's header.
  static absl::Status Write(const platform::File& file, const std::string& path, const format::Uuid& uuid);

  // False: nobody will wake this process, its sleeps must be short.
  bool shared() const { return static_cast<bool>(mapping_); }

  platform::SleepMark mark() const { return platform::SleepMark(Word(offsetof(format::SleepFile, mark))); }
  platform::CountWord sleeps() const { return platform::CountWord(Word(offsetof(format::SleepFile, sleeps))); }
  platform::CountWord unlisted() const { return platform::CountWord(Word(offsetof(format::SleepFile, unlisted))); }
  // REQUIRES: n < kConsumerEntries. For log/consumer_table.h.
  uint64_t* entry(uint32_t n) const {
    return Word(offsetof(format::SleepFile, consumers) + n * sizeof(format::ConsumerEntry));
  }

  platform::EventCounter help() const { return platform::EventCounter(Word(offsetof(format::SleepFile, help))); }

  // Calls the background thread of some process that may write. Cheap, and lost if there is none.
  void CallForHelp() const;

 private:
  absl::Status Map(const platform::File& directory, const std::string& directory_path, const format::Uuid& uuid,
                   bool writable, platform::BusErrors bus_errors);
  uint64_t* Word(size_t offset) const { return mapping_ ? mapping_.word(offset) : own_.get() + offset / 8; }

  platform::Mapping mapping_;
  std::shared_ptr<uint64_t[]> own_;  // takes the page's place where it cannot be had
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_SLEEP_PAGE_H_
