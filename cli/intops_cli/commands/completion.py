"""`intops completion SHELL`: a script that lets a shell complete commands, flags and names of Flows."""

import argparse
from typing import Final

from intops_cli.exits import OK

HELP = "print a script that lets a shell complete commands, flags and names"
EPILOG = """\
examples:
  source <(intops completion bash)                 in ~/.bashrc
  source <(intops completion zsh)                  in ~/.zshrc, after compinit
  intops completion fish | source                  in ~/.config/fish/config.fish

The script asks the program itself what may come next, so it fits every version: names of Flows come from the local
run or from the cluster, contexts from the kubeconfig. As a plugin kubectl asks by itself, without this script: it
finds kubectl_complete-intops beside kubectl-intops.
exit codes: 0 printed, 2 wrong use"""
FORMS = ("script",)

BASH: Final = """\
_intops() {
  local IFS=$'\\n' found
  found=$(intops __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=()
  if [ "$found" = ":files" ]; then
    compopt -o default 2>/dev/null
  else
    compopt +o default 2>/dev/null
    COMPREPLY=($found)
  fi
}
complete -o default -F _intops intops
"""
ZSH: Final = """\
#compdef intops
_intops() {
  local -a found
  found=("${(@f)$(intops __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "${found[1]}" == ":files" ]]; then
    _files
  elif [[ -n "${found[1]}" ]]; then
    compadd -a found
  fi
}
compdef _intops intops
"""
FISH: Final = """\
function __intops_complete
  set -l before (commandline -opc)
  set -l begun (commandline -ct)
  set -l found (intops __complete $before[2..-1] "$begun" 2>/dev/null)
  if test "$found[1]" = ":files"
    __fish_complete_path "$begun"
  else if test -n "$found[1]"
    printf '%s\\n' $found
  end
end
complete -c intops -f -a '(__intops_complete)'
"""
SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), metavar="SHELL", help=", ".join(SCRIPTS))


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    print(SCRIPTS[given.shell], end="")
    return OK
