#include "tools/bus/command.h"

#include <fmt/format.h>

#include <algorithm>

namespace bustool {
namespace {

std::string LongestName(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  if (!option.get_lnames().empty()) return "--" + option.get_lnames().front();
  return "-" + option.get_snames().front();
}

std::string ShortestName(const CLI::Option& option) {
  return option.get_snames().empty() ? LongestName(option) : "-" + option.get_snames().front();
}

std::string AllNames(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return fmt::format("{}", fmt::join(names, ", "));
}

Argument Describe(const CLI::Option& option) {
  Argument argument;
  argument.positional = option.get_positional();
  argument.name = AllNames(option);
  argument.shortest = ShortestName(option);
  argument.longest = LongestName(option);
  argument.type = argument.positional ? argument.name : option.get_type_name();
  if (option.get_type_size_max() == 0) argument.type.clear();
  argument.what = option.get_description();
  argument.required = option.get_required();
  argument.repeated = option.get_expected_max() > 1 || option.get_allow_extra_args();
  for (const CLI::Option* other : option.get_excludes()) argument.excludes.push_back(LongestName(*other));
  std::sort(argument.excludes.begin(), argument.excludes.end());
  return argument;
}

std::string SynopsisOf(const Argument& argument) {
  std::string text = argument.shortest;
  if (!argument.positional && !argument.type.empty()) text += " " + argument.type;
  if (argument.positional && argument.repeated) text += "...";
  if (argument.required) return text;
  text = "[" + text + "]";
  return !argument.positional && argument.repeated ? text + "..." : text;
}

// Flags of which only one may be given stand together.
bool Alternatives(const Argument& a, const Argument& b) {
  return a.type.empty() && b.type.empty() &&
         std::find(a.excludes.begin(), a.excludes.end(), b.longest) != a.excludes.end();
}

}  // namespace

Command::Command(CommandText text) : CLI::App(text.what, text.name), text_(std::move(text)) {
  fallthrough();
  allow_extras();
  require_subcommand(0, 1);  // what is named like a command behind one is a topic, a file, a word
}

std::vector<Argument> Arguments(const CLI::App& command) {
  std::vector<Argument> arguments;
  for (const CLI::Option* option : command.get_options()) {
    if (option != command.get_help_ptr()) arguments.push_back(Describe(*option));
  }
  std::stable_partition(arguments.begin(), arguments.end(), [](const Argument& a) { return a.positional; });
  return arguments;
}

std::vector<const CLI::App*> Commands(const CLI::App& command) {
  std::vector<const CLI::App*> commands;
  for (const CLI::App* below : command.get_subcommands(nullptr)) {
    if (!below->get_group().empty()) commands.push_back(below);
  }
  return commands;
}

const CommandText& TextOf(const CLI::App& command) {
  static const CommandText kNone;
  const auto* known = dynamic_cast<const Command*>(&command);
  return known == nullptr ? kNone : known->text();
}

std::string Words(const CLI::App& command) {
  if (command.get_parent() == nullptr) return command.get_name();
  return Words(*command.get_parent()) + " " + command.get_name();
}

std::vector<std::string> Synopsis(const CLI::App& command) {
  std::vector<std::string> parts = {Words(command)};
  if (!Commands(command).empty()) parts.emplace_back("COMMAND");
  const auto arguments = Arguments(command);
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string names = arguments[i].shortest;
    size_t end = i + 1;
    for (; end < arguments.size() && Alternatives(arguments[i], arguments[end]); ++end) {
      names += "|" + arguments[end].shortest;
    }
    parts.push_back(end == i + 1 ? SynopsisOf(arguments[i]) : "[" + names + "]");
    i = end - 1;
  }
  return parts;
}

}  // namespace bustool
