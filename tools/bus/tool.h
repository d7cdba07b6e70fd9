// What all commands share: the options that stand before or after any of them, where the bus is, how they fail.
#ifndef LIBBUS_TOOLS_BUS_TOOL_H_
#define LIBBUS_TOOLS_BUS_TOOL_H_

#include <absl/status/statusor.h>
#include <libbus/bus.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bus/command.h"

namespace bustool {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kLoss = 3,  // finished, but records are missing
  kDamage = 4,
  kTimedOut = 5,
  kInterrupted = 130,
};

class Tool {
 public:
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  std::string bus_option;

  // What a parsed command line wants done; the result is the exit code.
  std::function<int()> run;

  // Adds a command that takes the common options too.
  static CLI::App* AddCommand(CLI::App& app, CommandText text);
  // `action` is what this command does when it is the one that was named.
  void OnRun(CLI::App* command, std::function<int()> action);

  // --bus, else BUS_PATH, else ./bus. None is a usage error.
  absl::StatusOr<std::string> BusPath() const;
  absl::StatusOr<libbus::Bus> OpenBus(bool read_only) const;
  // Opens bus and topic for reading only.
  absl::StatusOr<libbus::Topic> OpenTopic(std::string_view name) const;

  // `status`, unless it is that there is no such topic, and one of nearly this name is there: then that is said.
  absl::Status DidYouMean(std::string_view topic, const absl::Status& status) const;

  // Says on stderr what went wrong; returns the exit code for it.
  static int Fail(const absl::Status& status);
  // One line on stderr, unless -q.
  void Note(std::string_view text) const;
  // One line on stderr, with -v only.
  void Detail(std::string_view text) const;
};

// An error of the command line: exit code 2.
absl::Status UsageError(std::string_view text);

// "1 record", "2 records".
std::string Count(uint64_t n, std::string_view what);

// The one of `known` that `word` is most like, or empty.
std::string Nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace bustool

// Ends a command's function with the error of an expression of type absl::Status or StatusOr.
#define BUS_FAIL_IF_ERROR(expression) \
  if (const absl::Status& fail_status = (expression); !fail_status.ok()) return ::bustool::Tool::Fail(fail_status)

#endif  // LIBBUS_TOOLS_BUS_TOOL_H_
