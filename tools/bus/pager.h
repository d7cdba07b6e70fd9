// Long listings on a terminal go through a pager, as git does it.
#ifndef LIBBUS_TOOLS_BUS_PAGER_H_
#define LIBBUS_TOOLS_BUS_PAGER_H_

#include <absl/status/status.h>

namespace bustool {

// What is written to stdout from here on goes through $BUS_PAGER, else $PAGER, else less, if stdout is a terminal.
// None where the variable is empty or "cat", where there is no less, or where it cannot be started.
void StartPager();

// The terminal is the pager's: nothing else draws on it.
bool PagerRuns();

// Ends the output, and waits until the pager was left. OK also if there is none.
absl::Status WaitForPager();

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_PAGER_H_
