// bus: looks into and writes to the topics of a bus. Parses the command line and calls what it names; everything else
// is in the commands and in the library.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "tools/bus/command.h"
#include "tools/bus/commands.h"
#include "tools/bus/completion.h"
#include "tools/bus/help_page.h"
#include "tools/bus/output.h"
#include "tools/bus/pager.h"
#include "tools/bus/signals.h"
#include "tools/bus/terminal.h"
#include "tools/bus/tool.h"

namespace bustool {
namespace {

void AddCommands(CLI::App& app, Tool& tool) {
  AddInitCommand(app, tool);
  AddTopicCommand(app, tool);
  AddPubCommand(app, tool);
  AddCatCommand(app, tool);
  AddCursorCommand(app, tool);
  AddTrimCommand(app, tool);
  AddDumpCommand(app, tool);
  AddInfoCommand(app, tool);
  AddSegmentsCommand(app, tool);
  AddPsCommand(app, tool);
  AddStatCommand(app, tool);
  AddVerifyCommand(app, tool);
  AddRecoverCommand(app, tool);
  AddCopyCommand(app, tool);
  AddReplayCommand(app, tool);
  AddDoctorCommand(app, tool);
  AddBenchCommand(app, tool);
  AddCompletionCommand(app, tool);
  AddHelpCommand(app, tool);
}

void AddCommonOptions(CLI::App& app, Tool& tool) {
  app.add_option("--bus", tool.bus_option, "the bus; else BUS_PATH, else ./bus")->type_name("PATH");
  app.add_flag("--json", tool.json, "one JSON object a line");
  auto* quiet = app.add_flag("-q,--quiet", tool.quiet, "only data and errors");
  app.add_flag("-v,--verbose", tool.verbose, "say at the end what was done")->excludes(quiet);
  app.set_version_flag("--version", "bus 0.1.0", "say which version this is");
}

// The command that was named, the innermost one.
const CLI::App* Named(const CLI::App& app) {
  const CLI::App* named = &app;
  while (!named->get_subcommands().empty()) named = named->get_subcommands().back();
  return named;
}

// Where the command that was named is explained.
std::string Help(const CLI::App& app) { return Words(*Named(app)) + " --help"; }

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : Commands(app)) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> OptionNames(const CLI::App* command) {
  std::vector<std::string> names = {"--help"};
  for (; command != nullptr; command = command->get_parent()) {
    for (const Argument& argument : Arguments(*command)) {
      if (!argument.positional) names.push_back(argument.longest);
    }
  }
  return names;
}

// What the word that nobody expected may have been meant to be.
absl::Status Unexpected(const CLI::App& app, const std::string& word) {
  const CLI::App* command = Named(app);
  const bool option = word.starts_with("-");
  const bool wants_command = !CommandNames(*command).empty();
  const std::string what = option ? "no such option" : wants_command ? "no such command" : "not expected here";
  const auto known = option ? OptionNames(command) : CommandNames(*command);
  const std::string near = Nearest(word.substr(0, word.find('=')), known);
  return UsageError(near.empty() ? fmt::format("{}: {}: see {}", word, what, Help(app))
                                 : fmt::format("{}: {}: did you mean {}?", word, what, near));
}

// What nobody expected. "--" only says that no options follow.
std::vector<std::string> Extras(const CLI::App& app) {
  std::vector<std::string> extras = app.remaining(true);
  std::erase(extras, "--");
  return extras;
}

absl::Status WrongUsage(const CLI::App& app, const CLI::ParseError& error) {
  const auto extras = Extras(app);
  if (!extras.empty()) return Unexpected(app, extras.front());
  return UsageError(fmt::format("{}: see {}", error.what(), Help(app)));
}

// An empty value is mostly a variable of a script that is not set; taken for "not given" it would do something else
// than what was meant. A key may be empty, and an empty pattern matches all.
absl::Status EmptyValue(const CLI::App* command) {
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options()) {
      const std::string name = option->get_name();
      if (name == "--key" || name == "--grep") continue;
      const auto& values = option->results();
      if (std::find(values.begin(), values.end(), "") == values.end()) continue;
      return UsageError(fmt::format("{}: its value is empty: give one, or leave it out", name));
    }
  }
  return absl::OkStatus();
}

int Parsed(const CLI::App& app, Tool& tool) {
  const auto extras = Extras(app);
  if (!extras.empty()) return Tool::Fail(Unexpected(app, extras.front()));
  BUS_FAIL_IF_ERROR(EmptyValue(Named(app)));
  if (tool.run) return tool.run();
  return Tool::Fail(UsageError(fmt::format("no command is named: see {}", Help(app))));
}

int ParseAndRun(int argc, char** argv) {
  Command app({.name = "bus",
               .what = "persistent shared-memory message bus: one machine, many processes, no server",
               .details =
                   "Nothing is created but by init, topic create, copy, --create, and cursors by cat --commit.\n\n"
                   "Exit codes: 0 ok, 1 failed, 2 usage, 3 finished with loss, 4 damage, 5 timed out, 130 interrupted.",
               .examples = {"bus init bus", "echo hello | bus pub greetings --create", "bus cat greetings"}});
  Tool tool;
  AddCommonOptions(app, tool);
  AddCommands(app, tool);
  if (argc > 1 && std::string_view(argv[1]) == "__complete") {
    Stdout().Write(CompletionText(Complete(app, tool, {argv + 2, argv + argc})));
    return kOk;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    Stdout().Page();
    Stdout().Write(HelpPage(*Named(app), TerminalWidth()));
    return kOk;
  } catch (const CLI::CallForVersion& version) {
    Stdout().Write(fmt::format("{}\n", version.what()));
    return kOk;
  } catch (const CLI::ParseError& error) {
    return Tool::Fail(WrongUsage(app, error));
  }
  return Parsed(app, tool);
}

// A descriptor that was closed by whoever started this is not given to a file of the bus: then what is printed would be
// written there. Each gets one that fails when it is used.
void KeepStandardFiles() {
  const int use[] = {O_WRONLY, O_RDONLY, O_RDONLY};
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    if (::open("/dev/null", use[fd]) != fd) std::abort();  // the lowest free one is this
  }
}

// A reader that went away is no error, and hides none; output that could not be written is one.
int WithOutput(int code) {
  Stdout().Flush();
  const absl::Status paged = WaitForPager();
  if (!paged.ok()) return Tool::Fail(paged);
  if (!Stdout().status().ok()) return Tool::Fail(Stdout().status());
  return Interrupted() ? kInterrupted : code;
}

}  // namespace
}  // namespace bustool

int main(int argc, char** argv) {
  bustool::KeepStandardFiles();
  bustool::InstallSignals();
  try {
    return bustool::WithOutput(bustool::ParseAndRun(argc, argv));
  } catch (const std::bad_alloc&) {
    return bustool::Tool::Fail(absl::ResourceExhaustedError(
        "no memory is left: smaller records or batches need less (--max-record, --batch), or raise the limit"));
  }
}
