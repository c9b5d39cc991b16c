"""`zap completion`: a script by which a shell completes verbs, options and names; `zap names`, which it asks."""

from __future__ import annotations

import argparse
import contextlib
import os
import re

from zap import cache, paths
from zap.errors import ZapError
from zap.verbs import reach, usage

HOW = """\
bash: source <(zap completion bash)                                in ~/.bashrc
zsh:  zap completion zsh > ~/.zfunc/_zap                           in a folder of $fpath, before compinit
fish: zap completion fish > ~/.config/fish/completions/zap.fish"""

# Each asks the zap that is typed about the plan that is typed, and lets it look at the beginning of the name.
BASH = """\
_zap_names() {
  local index plan=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    case ${COMP_WORDS[index]} in
      -f | --file) [ -f "${COMP_WORDS[index + 1]}" ] && plan=(--file "${COMP_WORDS[index + 1]}") ;;
    esac
  done
  "${COMP_WORDS[0]}" names "${plan[@]}" -- "$1" 2>/dev/null
}
"""
ZSH = """\
_zap_names() {
  local -a plan found
  local index
  for ((index = 1; index < CURRENT; index++)); do
    case $words[index] in
      -f | --file) [[ -f ${(Q)words[index + 1]} ]] && plan=(--file ${(Q)words[index + 1]}) ;;
    esac
  done
  found=(${(f)"$(zap names $plan -- $PREFIX 2>/dev/null)"})
  compadd -a found
}
"""
FISH = """\
function _zap_names
  set -l words (commandline -opc)
  set -l plan
  for index in (seq (count $words))
    if contains -- $words[$index] -f --file; and test -f "$words[$(math $index + 1)]"
      set plan --file $words[$(math $index + 1)]
    end
  end
  $words[1] names $plan -- (commandline -ct) 2>/dev/null
end
"""
NAMES = {
    "bash": "_zap_names",
    "zsh": "_zap_names",
    "fish": "(_zap_names)",
    "preamble": {"bash": BASH, "zsh": ZSH, "fish": FISH},
}


def register(subparsers: usage.Subparsers) -> None:
    parser = subparsers.add_parser(
        "completion",
        help="a script by which your shell completes names",
        description=run.__doc__,
        epilog=HOW,
        formatter_class=usage.formatter,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(do=run)

    names = subparsers.add_parser("names", formatter_class=usage.formatter)  # without help: it is for scripts alone
    names.add_argument("prefix", nargs="?", default="", metavar="PREFIX")
    names.add_argument("-f", "--file", metavar="FILE")
    names.set_defaults(do=run_names)


def run(arguments: argparse.Namespace) -> int:
    """Prints a script by which a shell completes verbs, options, and the names of systems and jobs."""
    import shtab

    root: argparse.ArgumentParser = arguments.parser
    for action in root._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {choice.dest: choice.help for choice in action._get_subactions()}
            for verb, parser in action.choices.items():
                parser.description = about.get(verb)  # what stands beside it: one line
                _mark(parser)
    script = shtab.complete(root, arguments.shell)
    if arguments.shell == "zsh":  # shtab lets zsh complete the first of several names, as far as 1.13
        script = re.sub(r'"\(\*\)::?', '"*:', script)
    print(script)
    return 0


def _mark(parser: argparse.ArgumentParser) -> None:
    """Says of each argument what completes it."""
    import shtab

    for action in parser._actions:
        if action.metavar in (usage.NAMES, usage.JOB):
            action.complete = NAMES  # type: ignore[attr-defined]
        elif action.dest == "file":
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def run_names(arguments: argparse.Namespace) -> int:
    """Prints the names of systems and jobs that begin so; nothing when there are none, whatever the reason."""
    with contextlib.suppress(Exception):  # whoever is completing a word does not want to be told what is wrong
        known = _known(arguments)
        systems = dict.fromkeys(job.partition("/")[0] for job in known)
        bare = [job.partition("/")[2] for job in known]
        names = [name for name in (*systems, *known) if name.startswith(arguments.prefix)]
        names = names or [name for name in bare if name.startswith(arguments.prefix) and bare.count(name) == 1]
        print(*names, sep="\n", end="\n" if names else "")
    return 0


def _known(arguments: argparse.Namespace) -> list[str]:
    """The jobs, from where they are had fastest: the checked plan that is kept, the runner, or the files."""
    path = paths.plan_file(arguments.file, os.environ)
    plan = cache.read(paths.cache_folder(os.environ), path)
    if plan is None:
        try:
            return list(reach.rows(arguments))
        except ZapError:
            from pathlib import Path

            from zap import config

            plan = config.load(Path(path), os.environ, Path(paths.bundled_fixups())).plan
    return [job.name for job in plan.jobs]
