#include "tools/bus/completion.h"

#include <absl/strings/str_split.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "tools/bus/command.h"
#include "tools/bus/guides.h"

namespace bustool {
namespace {

// Where on the line the last word stands.
struct Place {
  const CLI::App* command = nullptr;
  std::vector<std::string> positional;  // before it
  std::optional<Argument> value_of;     // the option whose value it is
  bool options_over = false;            // behind "--"
  std::string bus;                      // of --bus
};

// Of this command, or of one that it belongs to.
std::optional<Argument> FindOption(const CLI::App* command, std::string_view name) {
  for (; command != nullptr; command = command->get_parent()) {
    for (const Argument& argument : Arguments(*command)) {
      if (!argument.positional && (argument.longest == name || argument.shortest == name)) return argument;
    }
  }
  return std::nullopt;
}

const CLI::App* FindCommand(const CLI::App& command, std::string_view name) {
  const auto commands = Commands(command);
  const auto found =
      std::find_if(commands.begin(), commands.end(), [&](const CLI::App* below) { return below->get_name() == name; });
  return found == commands.end() ? nullptr : *found;
}

void GoOnWithOption(const std::string& word, Place& place) {
  const size_t equals = word.find('=');
  const auto option = FindOption(place.command, std::string_view(word).substr(0, equals));
  if (!option || option->type.empty()) return;
  if (equals == std::string::npos) {
    place.value_of = option;
  } else if (option->longest == "--bus") {
    place.bus = word.substr(equals + 1);
  }
}

void GoOn(const std::string& word, Place& place) {
  if (place.value_of) {
    if (place.value_of->longest == "--bus") place.bus = word;
    place.value_of.reset();
  } else if (word == "--") {
    place.options_over = true;
  } else if (word.starts_with("-") && word.size() > 1 && !place.options_over) {
    GoOnWithOption(word, place);
  } else if (const CLI::App* below = FindCommand(*place.command, word); below != nullptr && place.positional.empty()) {
    place.command = below;
  } else {
    place.positional.push_back(word);
  }
}

void AddTopics(const Tool& tool, Completion& completion) {
  const auto bus = tool.OpenBus(true);
  if (!bus.ok()) return;
  const auto topics = bus->ListTopics();
  if (!topics.ok()) return;
  for (const std::string& topic : *topics) completion.candidates.push_back({topic, "topic"});
}

void AddCursors(const Tool& tool, const std::string& topic_name, Completion& completion) {
  const auto topic = tool.OpenTopic(topic_name);
  if (!topic.ok()) return;
  const auto cursors = topic->ListCursors();
  if (!cursors.ok()) return;
  for (const libbus::CursorInfo& cursor : *cursors) completion.candidates.push_back({cursor.name, "cursor"});
}

void AddCommands(const CLI::App& command, Completion& completion) {
  for (const CLI::App* below : Commands(command)) {
    completion.candidates.push_back({below->get_name(), below->get_description()});
  }
}

void AddHelpWords(const CLI::App& bus, const std::vector<std::string>& before, Completion& completion) {
  const CLI::App* command = &bus;
  for (const std::string& word : before) {
    if (command != nullptr) command = FindCommand(*command, word);
  }
  if (command != nullptr) AddCommands(*command, completion);
  if (!before.empty()) return;
  for (const Guide& guide : Guides()) completion.candidates.push_back({guide.name, guide.what});
}

bool IsChoice(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return std::isupper(c); });
}

// What an argument takes: "T", "loss|all|error", ...
void AddValues(const CLI::App& bus, const Tool& tool, const Place& place, const std::string& type,
               Completion& completion) {
  for (const std::string& kind : std::vector<std::string>(absl::StrSplit(type, '|', absl::SkipEmpty()))) {
    if (kind == "T" || kind == "T2") {
      AddTopics(tool, completion);
    } else if (kind == "C") {
      if (!place.positional.empty()) AddCursors(tool, place.positional.front(), completion);
    } else if (kind == "FILE" || kind.ends_with("PATH")) {
      completion.files = true;
    } else if (kind == "WORD") {
      AddHelpWords(bus, place.positional, completion);
    } else if (IsChoice(kind)) {
      completion.candidates.push_back({kind, ""});
    }
  }
}

void AddOptions(const CLI::App* command, Completion& completion) {
  completion.candidates.push_back({"--help", "explain it"});
  for (; command != nullptr; command = command->get_parent()) {
    for (const Argument& argument : Arguments(*command)) {
      if (!argument.positional) completion.candidates.push_back({argument.longest, argument.what});
    }
  }
}

void AddPositional(const CLI::App& bus, const Tool& tool, const Place& place, Completion& completion) {
  size_t left = place.positional.size();
  for (const Argument& argument : Arguments(*place.command)) {
    if (!argument.positional) break;
    if (left == 0 || argument.repeated) return AddValues(bus, tool, place, argument.type, completion);
    --left;
  }
}

void KeepThoseThatBegin(const std::string& prefix, const std::string& word, Completion& completion) {
  auto& candidates = completion.candidates;
  for (Candidate& candidate : candidates) candidate.word.insert(0, prefix);
  std::erase_if(candidates, [&](const Candidate& candidate) { return !candidate.word.starts_with(word); });
}

}  // namespace

Completion Complete(const CLI::App& bus, Tool tool, std::vector<std::string> words) {
  if (words.empty()) words.emplace_back();
  std::string last = words.back();
  words.pop_back();
  Place place;
  place.command = &bus;
  for (const std::string& word : words) {
    if (word != "=") GoOn(word, place);  // bash takes "--format=raw" for three words
  }
  if (last == "=") last.clear();
  tool.bus_option = place.bus;

  Completion completion;
  const size_t equals = last.find('=');
  std::string prefix;
  if (place.value_of) {
    AddValues(bus, tool, place, place.value_of->type, completion);
  } else if (last.starts_with("--") && equals != std::string::npos && !place.options_over) {
    prefix = last.substr(0, equals + 1);
    const auto option = FindOption(place.command, last.substr(0, equals));
    if (option) AddValues(bus, tool, place, option->type, completion);
  } else if (last.starts_with("-") && !place.options_over) {
    AddOptions(place.command, completion);
  } else {
    if (place.positional.empty()) AddCommands(*place.command, completion);
    AddPositional(bus, tool, place, completion);
  }
  KeepThoseThatBegin(prefix, last, completion);
  return completion;
}

std::string CompletionText(const Completion& completion) {
  std::string out;
  for (const Candidate& candidate : completion.candidates) out += candidate.word + "\t" + candidate.what + "\n";
  return out + (completion.files ? ":files\n" : ":\n");
}

}  // namespace bustool
