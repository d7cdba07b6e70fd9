// The one thread of a process that has producers: prepares segments, populates pages, and answers consumers that may
// not repair themselves. Started with the first producer, gone with the last.
#ifndef LIBBUS_TOPIC_BACKGROUND_H_
#define LIBBUS_TOPIC_BACKGROUND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "libbus/platform/local_word.h"
#include "libbus/platform/shared_word.h"

namespace libbus::internal {

// What the thread does for one topic. The callbacks run on the thread, one at a time.
struct BackgroundWork {
  BackgroundWork(platform::EventCounter help, std::function<void()> prepare, std::function<int64_t()> sync,
                 std::function<void()> look)
      : help(help), prepare(std::move(prepare)), sync(std::move(sync)), look(std::move(look)) {}

  const platform::EventCounter help;    // raised by read-only consumers, a futex in the topic's sleep page
  const std::function<void()> prepare;  // when a producer called
  // Behind each prepare, and after as many ns as it returned last; -1: behind the next prepare.
  const std::function<int64_t()> sync;
  const std::function<void()> look;  // when `help` was raised
  // Also so often, ns, where others may spoil the page in which help is called for; negative: only then. Fixed before
  // the work is added.
  int64_t look_every = -1;
  platform::LocalFlag called;

  std::mutex mutex;       // held while a callback runs
  bool over = false;      // under mutex: no callback runs any more
  int64_t sync_at = 0;    // the thread's own: when to sync next, ns; negative: when called
  uint64_t answered = 0;  // the thread's own: the value of `help` that was answered last
  int64_t looked_at = 0;  // the thread's own: when, ns
};

// Adds work; starts the thread if need be. False: no thread is to be had, and nothing was added.
bool StartBackground(const std::shared_ptr<BackgroundWork>& work);
// On return no callback of `work` runs or will run. Ends the thread with the last one.
void StopBackground(const std::shared_ptr<BackgroundWork>& work);
// Asks for a `prepare`. Cheap if it was asked for already; any thread.
void CallBackground(BackgroundWork& work);

}  // namespace libbus::internal

#endif  // LIBBUS_TOPIC_BACKGROUND_H_
