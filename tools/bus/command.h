// What the command line may say, as the commands themselves declare it. The help texts, the man page and the completion
// are all made from this, so that they cannot differ.
#ifndef LIBBUS_TOOLS_BUS_COMMAND_H_
#define LIBBUS_TOOLS_BUS_COMMAND_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace bustool {

struct CommandText {
  std::string name;
  std::string what;  // one line
  // Paragraphs, with an empty line between them. A paragraph whose lines begin with two spaces stands as it is.
  std::string details = {};
  std::vector<std::string> examples = {};
};

class Command : public CLI::App {
 public:
  explicit Command(CommandText text);
  const CommandText& text() const { return text_; }

 private:
  CommandText text_;
};

// An option or a positional argument. Its type name says what it takes, and so what completes it: choices in small
// letters, "loss|all|error"; else what it stands for in capitals: T, C, FILE, PATH, N, ...
struct Argument {
  std::string name;      // "-o, --offset", "T"
  std::string shortest;  // "-o", "T"
  std::string longest;   // "--offset", "T"
  std::string type;      // "RANGE"; empty: a flag
  std::string what;
  bool positional = false;
  bool required = false;
  bool repeated = false;
  std::vector<std::string> excludes;  // by their longest names
};

// The arguments of a command in the order in which they were declared, positional ones first, without --help.
std::vector<Argument> Arguments(const CLI::App& command);

// The commands directly below this one that are not hidden.
std::vector<const CLI::App*> Commands(const CLI::App& command);

// The text of a command; one that was made otherwise has none.
const CommandText& TextOf(const CLI::App& command);

// "bus", "bus topic create".
std::string Words(const CLI::App& command);

// "bus pub T [FILE...] [--lines|--ndjson] [-o RANGE]", as a list of parts that are not broken.
std::vector<std::string> Synopsis(const CLI::App& command);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_COMMAND_H_
