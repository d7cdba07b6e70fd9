// What may stand next on a command line, for the shells. Made from the commands (command.h) and from what the bus
// holds.
#ifndef LIBBUS_TOOLS_BUS_COMPLETION_H_
#define LIBBUS_TOOLS_BUS_COMPLETION_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "tools/bus/tool.h"

namespace bustool {

struct Candidate {
  std::string word;
  std::string what;  // may be empty
};

struct Completion {
  std::vector<Candidate> candidates;
  bool files = false;  // names of files may stand there too
};

// `words` are those behind "bus"; the last one is being written and may be empty. Looks for topics and cursors in the
// bus that the words name, else in the usual one; where there is none it knows no names. Never fails.
Completion Complete(const CLI::App& bus, Tool tool, std::vector<std::string> words);

// A line "WORD<tab>WHAT" each, then ":files" or ":".
std::string CompletionText(const Completion& completion);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_COMPLETION_H_
