// The page that consumers may write: who sleeps, and who wants help. Nothing in it is believed. A process that cannot
// open it for writing (a read-only mount, say) goes on without: it polls with bounded sleeps.
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
  // Without the page (`optional` and it cannot be written) an object whose marks go nowhere.
  static absl::StatusOr<SleepPage> Open(const std::string& directory, const format::Uuid& uuid, bool optional);

  // False: nobody will wake this process, its sleeps must be short.
  bool shared() const { return static_cast<bool>(mapping_); }

  platform::SleepMark mark() const { return platform::SleepMark(Word(offsetof(format::SleepFile, mark))); }
  platform::EventCounter help() const { return platform::EventCounter(Word(offsetof(format::SleepFile, help))); }

  // Calls the background thread of some process that may write. Cheap, and lost if there is none.
  void CallForHelp() const;

 private:
  uint64_t* Word(size_t offset) const { return mapping_ ? mapping_.word(offset) : own_.get() + offset / 8; }

  platform::Mapping mapping_;
  std::shared_ptr<uint64_t[]> own_;  // takes the page's place where it cannot be had
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_SLEEP_PAGE_H_
