// Runs the built tool as a person does: on a pseudo-terminal that has a size, takes keys and shows what is written.
#ifndef LIBBUS_TESTS_CLI_TERMINAL_H_
#define LIBBUS_TESTS_CLI_TERMINAL_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace libbus::test {

inline constexpr std::string_view kCtrlC = "\x03";
inline constexpr std::string_view kCtrlD = "\x04";

struct TerminalOptions {
  // Which of the three are the terminal; the others are pipes.
  bool in = true;
  bool out = true;
  bool err = true;
  unsigned short rows = 24;
  unsigned short columns = 80;
  // Set on top of what this process has; without a value: not set. TERM, NO_COLOR, PAGER and the like are taken away
  // first, so that a test sees the same wherever it runs.
  std::map<std::string, std::optional<std::string>> environment = {};
};

struct TerminalResult {
  int code = -1;       // exit code; -signal if it was killed
  std::string screen;  // what the terminal got, line ends as \n; the keys that were typed are echoed there
  std::string out;     // from the pipes, where there are any
  std::string err;
};

// A program that runs on a terminal of its own, which is its controlling one: Ctrl-C is a SIGINT to all that run in its
// foreground. Killed with its group when it goes out of scope, or after a minute without what is waited for.
class Terminal {
 public:
  // words[0] is looked up in the directory of the built tool, then in PATH: {"bus", "tail", "t"}. BUS_PATH is b.
  Terminal(const std::vector<std::string>& words, const std::string& directory, const TerminalOptions& options = {});
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Keys at the terminal.
  void Type(std::string_view keys) const;
  // Where stdin is a pipe.
  void Write(std::string_view bytes) const;
  void CloseInput();
  void Signal(int signal) const;
  // Reads on until the screen or a pipe holds `text`. False, and a failure of the test that shows what there was: it
  // ended before, or took longer than a minute.
  bool ReadUntil(std::string_view text);
  // What was read so far.
  const TerminalResult& seen() const { return seen_; }
  // Reads to the end and waits for it.
  TerminalResult Wait();

 private:
  struct Source {
    int fd;
    std::string* text;
  };

  void Start(const std::vector<std::string>& words, const std::string& directory, const TerminalOptions& options,
             int slave);
  bool ReadMore();
  static void Take(Source& source);
  bool Seen(std::string_view text) const;

  pid_t pid_ = -1;
  int master_ = -1;
  int input_ = -1;
  std::vector<Source> sources_;
  TerminalResult seen_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CLI_TERMINAL_H_
