// How far long work has come: amount, rate and time left on stderr, if that is a terminal and -q is not given.
#ifndef LIBBUS_TOOLS_BUS_PROGRESS_H_
#define LIBBUS_TOOLS_BUS_PROGRESS_H_

#include <absl/time/time.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/bus/tool.h"

namespace bustool {

class Progress {
 public:
  // `what` is done to `total` bytes; 0: nobody knows how many.
  Progress(const Tool& tool, std::string_view what, uint64_t total);
  // Takes its line away.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws what is new, ten times a second at most. `total` may have grown.
  void At(uint64_t done) { At(done, total_); }
  void At(uint64_t done, uint64_t total);

  // Takes the line of whatever is in progress away, so that a message can stand there; it is drawn again with the next
  // At().
  static void Hide();

 private:
  const bool shown_;
  const std::string what_;
  uint64_t total_;
  const absl::Time begun_;
  absl::Time drawn_;
};

// "1.5 GiB".
std::string BytesText(double bytes);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_PROGRESS_H_
