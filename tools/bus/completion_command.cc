#include <fmt/format.h>

#include <memory>
#include <string>

#include "tools/bus/commands.h"
#include "tools/bus/output.h"

namespace bustool {
namespace {

// Each asks `bus __complete WORD...`: a line "CANDIDATE<tab>DESCRIPTION" each, then ":files" if files may stand there.
constexpr char kBash[] = R"sh(# bash completion of bus. Put it where bash looks, or: source <(bus completion bash)
_bus() {
  local line cur=${COMP_WORDS[COMP_CWORD]}
  [ "$cur" = = ] && cur=
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files)
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
        ;;
      :*) ;;
      *) COMPREPLY+=("${line%%$'\t'*}") ;;
    esac
  done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _bus bus
)sh";

constexpr char kZsh[] = R"sh(#compdef bus
# zsh completion of bus. Save it as _bus in a directory of $fpath, or: source <(bus completion zsh)
_bus() {
  local line files=0
  local -a answers
  for line in "${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :files) files=1 ;;
      :*|'') ;;
      *) answers+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    esac
  done
  (( $#answers )) && _describe -t values value answers
  (( files )) && _files
}
if [[ ${funcstack[1]} == _bus ]]; then _bus "$@"; else compdef _bus bus; fi
)sh";

constexpr char kFish[] =
    R"sh(# fish completion of bus. Save it as bus.fish in ~/.config/fish/completions, or: bus completion fish | source
function __bus_complete
    set -l words (commandline -opc)
    $words[1] __complete $words[2..] "$(commandline -ct)" 2>/dev/null
end
complete -c bus -f -a '(__bus_complete | string match -v ":*")'
complete -c bus -n '__bus_complete | string match -q ":files"' -F
)sh";

int Script(const std::string& shell) {
  if (shell == "bash") return Stdout().Write(kBash), kOk;
  if (shell == "zsh") return Stdout().Write(kZsh), kOk;
  if (shell == "fish") return Stdout().Write(kFish), kOk;
  return Tool::Fail(UsageError(fmt::format("{}: no shell that is known: use bash, zsh or fish", shell)));
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Tool& tool) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = Tool::AddCommand(
      app,
      {.name = "completion",
       .what = "print a shell's script for completion, also of topics and cursors",
       .details = "For one session, or for all of them from the shell's own file (~/.bashrc, ~/.zshrc, "
                  "~/.config/fish/config.fish):",
       .examples = {"source <(bus completion bash)", "source <(bus completion zsh)", "bus completion fish | source"}});
  command->add_option("bash|zsh|fish", *shell, "the shell")->required();
  tool.OnRun(command, [shell] { return Script(*shell); });
}

}  // namespace bustool
