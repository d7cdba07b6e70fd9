// Runs format_reader.py, the reader that was written from docs/format.md alone. It needs python3 and nothing else.
#ifndef LIBBUS_TESTS_DOCS_FORMAT_READER_H_
#define LIBBUS_TESTS_DOCS_FORMAT_READER_H_

#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace libbus::format {

struct ReaderOutcome {
  int exit_code = -1;
  std::string output;  // stdout and stderr
};

inline ReaderOutcome RunReader(const std::string& mode, const std::string& path) {
  const std::string command =
      "python3 -B '" LIBBUS_SOURCE_DIR "/tests/docs/format_reader.py' " + mode + " '" + path + "' 2>&1 </dev/null";
  ReaderOutcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

}  // namespace libbus::format

#endif  // LIBBUS_TESTS_DOCS_FORMAT_READER_H_
