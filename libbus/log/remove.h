// Taking a topic away.
//
// Its directory gets a name that nobody opens, by one rename, and is emptied then. Died before the rename: nothing has
// happened. Died behind it: the topic is gone, and who makes or removes the next one removes what is left of it.
//
// Who has it open goes on with the files that he has: nothing that was handed out changes. Consumers that wait are
// woken and find that it is gone (Log::CheckStillThere); a producer finds it when it syncs, or when it needs a new
// segment. A topic that is made anew under the same name is another one, with another UUID, and files are opened
// through the directory that was opened once, so that nobody gets from one into the other.
#ifndef LIBBUS_LOG_REMOVE_H_
#define LIBBUS_LOG_REMOVE_H_

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <string_view>

#include "libbus/platform/file.h"

namespace libbus::log {

// A topic in the making is a directory whose name begins so, locked (flock) by its maker.
inline constexpr std::string_view kMakingPrefix = ".making-topic-";

// Removes the topic `bus_path/name`. OK: no opener finds it any more, also after a power loss, and its files are gone.
// NOT_FOUND: there is none. Others: see ErrnoStatus; it is gone all the same if the message names a directory that
// begins with a dot.
absl::Status RemoveTopic(const std::string& bus_path, const std::string& name);

// Removes `parent_path/name` with all that is in it, as deep as a bus is. Symbolic links are not followed. OK also if
// there is nothing. Others: see ErrnoStatus; as much as can be removed is gone.
absl::Status RemoveTree(const platform::File& parent, const std::string& parent_path, const std::string& name);

// The directory `name`, locked (flock) by this call; nothing if its maker, who holds that lock, lives.
std::optional<platform::File> LockIfLeft(const platform::File& parent, const std::string& parent_path,
                                         const std::string& name);

// Removes what makers and removers that died have left behind.
void RemoveLeftovers(const std::string& bus_path);

}  // namespace libbus::log

#endif  // LIBBUS_LOG_REMOVE_H_
