// How a consumer waits for the word it will read: polls, then sleeps in the kernel, and now and then looks whether
// somebody died.
#ifndef LIBBUS_TOPIC_WAITER_H_
#define LIBBUS_TOPIC_WAITER_H_

#include <absl/status/status.h>

#include <array>
#include <cstdint>
#include <optional>

#include "libbus/log/reader.h"
#include "libbus/log/slot.h"
#include "libbus/options.h"
#include "libbus/platform/local_word.h"
#include "libbus/platform/seam.h"
#include "libbus/topic/topic_impl.h"

namespace libbus::internal {

// One consumer's. Not thread-safe but for Interrupt().
class Waiter {
 public:
  Waiter(TopicImpl& topic, const ConsumerOptions& options);

  // The consumer read something: the next wait begins anew, and close behind it.
  void Progress() {
    flowing_ = true;
    stuck_since_ = 0;
  }

  // The reader found nothing final. Waits for a change, an interrupt, `deadline` (monotonic ns) or a look that is due;
  // the caller reads again. OK, DEADLINE_EXCEEDED, CANCELLED, or what Log::CheckStillThere says.
  absl::Status Wait(log::Reader& reader, int64_t deadline);

  // The same for D: waits for a sync that may move it beyond the reader.
  absl::Status WaitForSync(const log::Reader& reader, int64_t deadline);
  // The same for who does not wait. A claim of the dead holds D back: it is looked after now and then.
  absl::Status LookForSync(const log::Reader& reader);

  // For who does not wait: looks around when that is due.
  absl::Status Idle(log::Reader& reader);

  // For a wait on many topics (topic/wait_any.cc), which does the sleeping.
  // The words on which a sleep for this reader is one; nothing: something has happened already.
  using Sleep = std::array<platform::FutexWaiter, 2>;
  std::optional<Sleep> PrepareSleep(const log::Reader& reader);
  std::optional<Sleep> PrepareSleepForSync(const log::Reader& reader);
  // Behind each sleep: wakes the next one who sleeps on that word, if it is final.
  void PassOn(const log::Reader& reader) const;
  // Behind each sleep as well: looks around where that is due, or where somebody woke for no change of the word.
  absl::Status LookWhereDue(log::Reader& reader, bool woken);
  // The longest sleep, ns.
  int64_t Patience(const log::Reader& reader);
  static int64_t PatienceForSync();
  // ns; nothing: polls for ever; zero: does not poll.
  std::optional<int64_t> spin() const;
  bool TakeInterrupt() { return interrupted_.Take(); }
  bool Interrupted() const { return interrupted_.Read(); }

  // Any thread, and signal handlers.
  void Interrupt();

 private:
  // The time, ns; notes when the reader came to the word where it is stuck, or when that word changed.
  int64_t StuckNow(const log::Reader& reader);
  // True: the word changed.
  bool Poll(const log::Reader& reader, int64_t until) const;
  // True: woken, not timed out.
  bool Park(const log::Reader& reader, int64_t until);
  // What is due when a word did not change for a while: repair, ask for help, see whether the topic is still there.
  absl::Status LookAround(log::Reader& reader, int64_t now);
  // The word where the reader stands is RESERVED: looks whether its owner lives, or asks somebody who may.
  absl::Status LookAfterClaim(const log::Reader& reader);
  absl::Status TimedOut(const log::Reader& reader) const;

  TopicImpl& topic_;
  const libbus::Wait wait_;
  const int64_t spin_;  // ns
  std::optional<log::Watcher> watcher_;

  platform::LocalEvent event_;
  platform::LocalFlag interrupted_;
  bool flowing_ = false;
  // Since when the reader has been at the same word, and when to look around next; 0: it has just come there.
  int64_t stuck_since_ = 0;
  uint64_t stuck_at_ = 0;  // the word
  int64_t look_at_ = 0;
  int64_t bound_ = 0;
  int64_t longest_sleep_ = 0;  // as the last PrepareSleep has it, ns
  int64_t sync_look_at_ = 0;   // when LookForSync has something to do next
};

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_WAITER_H_
