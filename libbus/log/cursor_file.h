// A named cursor: where its consumer goes on, kept in BUS/TOPIC/cursors/NAME.
//
// A cursor may go back over a death or a power loss, never forward: records come again, none is skipped.
//
// The file holds two copies of what was committed, each in a page of its own, with a counter and a checksum. One of
// them is the base: known to be on stable storage. A commit raises the counter and is written to the other one, always;
// only after an fdatasync has said that it is on the disk does that one become the base. So between two syncs the base
// is not written, whatever is torn in the other. Commits are synced when asked, and once for each segment's worth of
// log: what may come back after a power loss is kept from retention.
//
// Died after                        the process was killed          the power went
//   the file was made                 it is there, whole and on disk, or not at all (no name before it is synced)
//   a commit was begun                the commit before (a torn copy  the base, or any later commit whose write the
//                                     does not verify)                kernel had begun: one that verifies
//   it was written                    this commit                     the same
//   it was synced                     this commit                     this commit
//   it became the base                this commit                     this commit, or a later one
//
// Who opens a cursor does not know what of it is on the disk. He writes the copy that holds once more, the same bytes,
// and syncs: after a failed write the kernel takes the page for clean, and a sync alone would say OK for nothing. Then
// that copy is the base. Died in between: nothing has changed.
//
// Moved by somebody who is no consumer: a whole new file is made under a name with a dot, synced, and renamed. Died
// before: the old file stands, and the next one removes what was begun.
#ifndef LIBBUS_LOG_CURSOR_FILE_H_
#define LIBBUS_LOG_CURSOR_FILE_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "libbus/log/cursor_directory.h"
#include "libbus/log/cursor_lock.h"
#include "libbus/log/log.h"
#include "libbus/platform/file.h"

namespace libbus::log {

// Where a cursor stands.
struct CursorPlace {
  uint64_t position = 0;                  // where the next record will be read
  std::optional<uint64_t> sequence = {};  // its ordinal, where it is known
  uint32_t epoch = 0;                     // in which it was committed, by who has read it from a file
};

// What a cursor file says.
struct CursorContent {
  CursorPlace place;
  uint64_t lowest = 0;  // of both copies: no power loss takes it back further
  int64_t time = 0;     // of the last commit, ns since 1970
  int64_t created = 0;  // ns since 1970
};

// Reads a cursor without holding it, also while its holder commits. NOT_FOUND: there is none. DATA_LOSS: lost, damaged
// or truncated. FAILED_PRECONDITION: no regular file, or a cursor of another topic. UNIMPLEMENTED: newer. Each
// says what to do.
absl::StatusOr<CursorContent> ReadCursor(const Log& log, const CursorDirectory& directory, const std::string& name);

// A cursor, held. Not thread-safe.
class CursorFile {
 public:
  using Start = std::function<absl::StatusOr<CursorPlace>()>;

  // Takes the cursor; one that is not there is made at what `start` says. Errors as CursorLock::Take and ReadCursor;
  // RESOURCE_EXHAUSTED: no room for a new one. UNAVAILABLE: the disk failed. What `start` says.
  static absl::StatusOr<CursorFile> Take(const Log& log, const std::string& name, const Start& start);

  // OK: whatever dies, the cursor stands at `place` or, after a power loss, at an earlier one; with `durable` no power
  // loss takes this commit back. FAILED_PRECONDITION: the cursor was removed. UNAVAILABLE: the disk failed, and it may
  // or may not stand there. RESOURCE_EXHAUSTED: no room (a file system that copies on write).
  absl::Status Commit(const CursorPlace& place, bool durable);

  // As committed last.
  const CursorContent& content() const { return content_; }

 private:
  CursorFile(const Log& log, std::string path, CursorLock lock, platform::File file);
  absl::Status Settle(const format::CursorRecord& holding);
  absl::Status CheckNotRemoved() const;

  format::Uuid uuid_;
  std::string path_;
  uint64_t turn_every_;  // bytes of the log: so often a commit is synced unasked
  CursorLock lock_;
  platform::File file_;
  CursorContent content_;
  uint64_t counter_ = 0;   // of the last commit
  uint32_t epoch_ = 0;     // when it was taken
  int base_ = 0;           // the copy that is known to be on disk
  uint64_t based_at_ = 0;  // its position
};

// Puts a cursor that nobody holds elsewhere, durably; one that cannot be read is made anew. NOT_FOUND: there is none.
// Else errors as CursorFile::Take. Died before it is over: it stands where it stood, or there.
absl::Status MoveCursor(const Log& log, const std::string& name, const CursorPlace& place);

// Makes a cursor as it stood in a log whose copy this is, durably. REQUIRES: nobody else has the log open.
absl::Status CopyCursor(const Log& log, const std::string& name, const CursorContent& content);

// Removes a cursor that nobody holds, whatever stands in its place. NOT_FOUND: there is none. Died before it is over:
// it is there, or gone.
absl::Status RemoveCursor(const Log& log, const std::string& name);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_CURSOR_FILE_H_
