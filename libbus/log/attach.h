// Attaching to a topic for writing, and leaving it: who is alone recovers, everybody else waits for him.
//
// Byte 0 of the locks file: writers hold it shared; who could take it exclusively is alone. Byte 1025 is held, shared,
// by those who are attached to a log that was found or made whole: an OPEN in the control record alone does not say
// that, it may stand there from before a kill, while the one who is alone refuses or dies before he writes anything.
// Who comes beside others goes on only if one of them holds it; since he holds byte 0 himself by then, nobody can be
// alone in between.
//
// States of the control record and what a death leaves:
//   CLEAN(T)      nobody is attached, everything before T is final and on disk
//   RECOVERING    stored, on disk, before the first step of a recovery. Died in here: the next one alone recovers anew
//   OPEN(T)       on disk before anything is published. Died in here: continuity (log/continuity.h) decides whether it
//                 goes on in place or is sealed first
#ifndef LIBBUS_LOG_ATTACH_H_
#define LIBBUS_LOG_ATTACH_H_

#include <absl/status/statusor.h>

#include <cstdint>

#include "libbus/log/log.h"
#include "libbus/platform/ofd_lock.h"

namespace libbus::log {

// A topic attached for writing, as long as it lives. Destroyed in a child after fork() it touches nothing.
class Attachment {
 public:
  // OK: attached; everything that dead processes left is resolved. See Bus::OpenTopic for the errors. `log` outlives
  // it.
  static absl::StatusOr<Attachment> Attach(Log& log);

  Attachment(Attachment&& other) noexcept = default;
  Attachment& operator=(Attachment&&) = delete;
  // The last one out syncs every segment and writes CLEAN.
  ~Attachment();

  // A description that holds no lock, for probes.
  const platform::LockFile& probe() const { return probe_; }

 private:
  explicit Attachment(Log& log) : log_(&log) {}
  // One attempt. OK with false: back off and start over.
  absl::StatusOr<bool> TryAttach();
  absl::Status AttachAlone();
  absl::StatusOr<bool> AttachBeside();
  absl::Status Leave();

  Log* log_;
  platform::LockFile locks_;  // holds byte 0; empty once moved from or not attached
  platform::LockFile probe_;
};

}  // namespace libbus::log

#endif  // LIBBUS_LOG_ATTACH_H_
