#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "tools/bus/command.h"
#include "tools/bus/commands.h"
#include "tools/bus/help_page.h"
#include "tools/bus/json.h"
#include "tools/bus/man_page.h"
#include "tools/bus/output.h"
#include "tools/bus/terminal.h"

namespace bustool {
namespace {

struct HelpOptions {
  std::vector<std::string> words;
  std::string man;
};

const CLI::App* Find(const CLI::App& bus, const std::vector<std::string>& words) {
  const CLI::App* found = &bus;
  for (const std::string& word : words) {
    const auto commands = Commands(*found);
    const auto next = std::find_if(commands.begin(), commands.end(),
                                   [&](const CLI::App* command) { return command->get_name() == word; });
    if (next == commands.end()) return nullptr;
    found = *next;
  }
  return found;
}

absl::Status Unknown(const CLI::App& bus, const std::vector<std::string>& words) {
  std::vector<std::string> known;
  for (const CLI::App* command : Commands(bus)) known.push_back(command->get_name());
  for (const Guide& guide : Guides()) known.push_back(guide.name);
  const std::string near = Nearest(words.front(), known);
  return UsageError(fmt::format("{}: nothing is known of it: {}", fmt::join(words, " "),
                                near.empty() ? "see bus help" : "did you mean bus help " + near + "?"));
}

absl::StatusOr<std::string> Man(const CLI::App& bus, const std::string& page) {
  if (page == "bus") return BusManPage(bus);
  if (page == "libbus") return LibraryManPage();
  return UsageError(fmt::format("--man {}: no such page: use bus or libbus", page));
}

std::string ArgumentJson(const Argument& argument) {
  JsonObject object;
  object.Add("name", argument.longest).Add("what", argument.what).Add("required", argument.required);
  if (argument.shortest != argument.longest) object.Add("short", argument.shortest);
  if (!argument.positional && !argument.type.empty()) object.Add("takes", argument.type);
  return object.Add("positional", argument.positional).Add("repeated", argument.repeated).Object();
}

// This command and those below it.
void WriteJson(const CLI::App& command) {
  std::vector<std::string> arguments;
  for (const Argument& argument : Arguments(command)) arguments.push_back(ArgumentJson(argument));
  JsonObject object;
  object.Add("command", Words(command)).Add("what", TextOf(command).what).AddArray("arguments", arguments);
  object.Add("runs", Commands(command).empty());
  Stdout().Write(object.Line());
  for (const CLI::App* below : Commands(command)) WriteJson(*below);
}

int Help(const Tool& tool, const CLI::App& bus, const HelpOptions& options) {
  if (!options.man.empty()) {
    const auto page = Man(bus, options.man);
    BUS_FAIL_IF_ERROR(page.status());
    Stdout().Write(*page);
    return kOk;
  }
  Stdout().Page();
  if (const CLI::App* command = Find(bus, options.words); command != nullptr) {
    if (tool.json) return WriteJson(*command), kOk;
    Stdout().Write(HelpPage(*command, TerminalWidth()));
    return kOk;
  }
  for (const Guide& guide : Guides()) {
    if (options.words != std::vector<std::string>{guide.name}) continue;
    Stdout().Write(HelpPage(guide, TerminalWidth()));
    return kOk;
  }
  return Tool::Fail(Unknown(bus, options.words));
}

}  // namespace

void AddHelpCommand(CLI::App& app, Tool& tool) {
  auto options = std::make_shared<HelpOptions>();
  CLI::App* command = Tool::AddCommand(
      app, {.name = "help",
            .what = "explain a command, or ranges, formats, exit-codes, environment, libbus",
            .details =
                "The man pages bus(1) and libbus(7) are made by --man from the same texts, in the language of man(7).",
            .examples = {"bus help cat", "bus help ranges", "bus help --man bus | man -l -"}});
  command->add_option("WORD", options->words, "a command (also of two words), or one of those");
  command->add_option("--man", options->man, "print this man page")->type_name("bus|libbus");
  tool.OnRun(command, [&tool, &app, options] { return Help(tool, app, *options); });
}

}  // namespace bustool
