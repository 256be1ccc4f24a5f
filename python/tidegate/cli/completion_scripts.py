"""The completion scripts of bash, zsh and fish, from the grammar of the command line. Pure: text in, text out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from tidegate.cli.grammar import Argument, Command, every

NAMES: Final = {
    ("call",): "tools",
    ("tools",): "tools",
    ("resources",): "resources",
    ("prompts",): "prompts",
    ("plugin", "inspect"): "plugins",
    ("plugin", "remove"): "plugins",
    ("model", "inspect"): "models",
    ("model", "remove"): "models",
    ("model", "add"): "shipped-models",
}
"""Verbs, and actions of one, whose first word is a name that the running gateway knows."""

_BACKEND_OPTION: Final = "--backend"


def bash(found: Sequence[Command]) -> str:
    """Works without the bash-completion package, from bash 4.4 on."""
    cases = "".join(_bash_case(command) for command in every(list(found)))
    actions = "".join(
        f'    {command.words[0]}) _tidegate_deeper "{" ".join(item.words[1] for item in command.actions)}" ;;\n'
        for command in found
        if command.actions
    )
    verbs = " ".join(command.words[0] for command in found)
    return f"""\
# bash completion of tidegate, made by `tidegate completion bash`.

_tidegate_words() {{ mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }}
_tidegate_files() {{ compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }}
_tidegate_directories() {{ compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); }}
_tidegate_names() {{ _tidegate_words "$(command "${{COMP_WORDS[0]}}" completion names "$1" 2>/dev/null)"; }}
_tidegate_and() {{ local before=("${{COMPREPLY[@]}}"); "$1"; COMPREPLY+=("${{before[@]}}"); }}
_tidegate_deeper() {{ if ((at < COMP_CWORD)); then path+=" ${{COMP_WORDS[at]}}"; ((at++)); else actions=$1; fi; }}

_tidegate() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} path="" actions="" at=2 place=0
  local options="" valued="" word
  COMPREPLY=()
  # `--option=value` comes in three words.
  if [[ $cur == "=" ]]; then cur=""; elif [[ $prev == "=" ]]; then prev=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
  if ((COMP_CWORD == 1)); then _tidegate_words "{verbs} --help --version"; return; fi
  path=${{COMP_WORDS[1]}}
  case $path in
{actions}  esac
  if [[ -n $actions && $cur != -* ]]; then _tidegate_words "$actions"; return; fi
  case $path in
{cases}  esac
}}

complete -F _tidegate tidegate
"""


def _bash_case(command: Command) -> str:
    options = " ".join(name for option in command.options for name in option.names)
    values = "".join(
        f"        {'|'.join(option.names)}) {_bash_value(option)}; return ;;\n"
        for option in command.options
        if option.metavar
    )
    valued = " ".join(name for option in command.options if option.metavar for name in option.names)
    places = ""
    if command.positionals:
        rows = [
            f"          {number if not argument.repeatable else '*'}) {_bash_place(command, number, argument)} ;;\n"
            for number, argument in enumerate(command.positionals)
        ]
        places = f"""\
      valued=" {valued} "
      while ((at < COMP_CWORD)); do
        word=${{COMP_WORDS[at]}}
        if [[ $word == -* ]]; then
          if [[ ${{COMP_WORDS[at + 1]}} == "=" ]]; then ((at += 2))
          elif [[ $valued == *" $word "* ]]; then ((at++)); fi
        else ((place++)); fi
        ((at++))
      done
      case $place in
{"".join(rows)}      esac
"""
    match = (
        f"""\
      case $prev in
{values}      esac
"""
        if values
        else ""
    )
    return f"""\
    "{" ".join(command.words)}")
{match}      if [[ $cur == -* ]]; then _tidegate_words "{options}"; return; fi
{places}      ;;
"""


def _bash_value(argument: Argument) -> str:
    if argument.choices:
        return f'_tidegate_words "{" ".join(argument.choices)}"'
    if _BACKEND_OPTION in argument.names:
        return "_tidegate_names backends"
    return {"file": "_tidegate_files", "directory": "_tidegate_directories"}.get(argument.kind, ":")


def _bash_place(command: Command, number: int, argument: Argument) -> str:
    if number == 0 and command.words in NAMES:
        names = f"_tidegate_names {NAMES[command.words]}"
        return names if argument.kind == "word" else f"{names}; _tidegate_and {_bash_value(argument)}"
    return _bash_value(argument)


def zsh(found: Sequence[Command]) -> str:
    functions = "".join(_zsh_function(command) for command in every(list(found)))
    verbs = "\n".join(f"    {_quoted(f'{command.words[0]}:{command.summary}')}" for command in found)
    return f"""\
#compdef tidegate
# zsh completion of tidegate, made by `tidegate completion zsh`.

_tidegate_names() {{
  local -a names
  names=(${{(f)"$(command $words_of_command completion names $1 2>/dev/null)"}})
  compadd -a names
}}

{functions}_tidegate() {{
  local words_of_command=${{words[1]}} state line
  local -a verbs
  verbs=(
{verbs}
  )
  _arguments -C '--help[help]' '--version[print the version and exit]' '1: :->verb' '*:: :->rest'
  case $state in
    verb) _describe -t verbs verb verbs ;;
    rest) (( $+functions[_tidegate__${{words[1]//-/_}}] )) && _tidegate__${{words[1]//-/_}} ;;
  esac
}}

if [[ $funcstack[1] == _tidegate ]]; then _tidegate "$@"; else compdef _tidegate tidegate; fi
"""


def _zsh_function(command: Command) -> str:
    name = "_tidegate__" + "__".join(word.replace("-", "_") for word in command.words)
    if command.actions:
        listed = " ".join(_quoted(f"{action.words[-1]}:{action.summary}") for action in command.actions)
        return f"""\
{name}() {{
  local -a actions
  actions=({listed})
  local state line
  _arguments -C '(- *)'{{-h,--help}}'[help]' '1: :->action' '*:: :->rest'
  case $state in
    action) _describe -t actions action actions ;;
    rest) (( $+functions[{name}__${{words[1]}}] )) && {name}__${{words[1]}} ;;
  esac
}}

"""
    specs = [_zsh_option(option, name) for option in command.options for name in option.names]
    for number, argument in enumerate(command.positionals):
        place = "*" if argument.repeatable else str(number + 1)
        does = _zsh_action(argument)
        if number == 0 and command.words in NAMES:
            names = f" _tidegate_names {NAMES[command.words]}"  # the blank: no arguments of zsh's own
            # Called by hand, `_files` would offer everything where names were offered before.
            does = names if argument.kind == "word" else f"{{{names}; {does.replace('_files -/', '_path_files -/')} }}"
        specs.append(_quoted(f"{place}:{_zsh_plain(argument.metavar)}:{does}"))
    lines = " \\\n    ".join(specs)
    return f"{name}() {{\n  _arguments -s \\\n    {lines}\n}}\n\n"


def _zsh_option(option: Argument, name: str) -> str:
    star = "*" if option.repeatable else ""
    value = f"{_zsh_plain(option.metavar)}:{_zsh_action(option)}" if option.metavar else ""
    separator = "=" if value and name.startswith("--") else ""
    text = re.sub(r"([\[\]:])", r"\\\1", option.help)
    return _quoted(f"{star}{name}{separator}[{text}]" + (f":{value}" if value else ""))


def _zsh_action(argument: Argument) -> str:
    if argument.choices:
        return f"({' '.join(argument.choices)})"
    if _BACKEND_OPTION in argument.names:
        return " _tidegate_names backends"
    return {"file": "_files", "directory": "_files -/"}.get(argument.kind, " ")


def _zsh_plain(text: str) -> str:
    return text.replace(":", r"\:")


def fish(found: Sequence[Command]) -> str:
    lines = [
        "# fish completion of tidegate, made by `tidegate completion fish`.",
        "",
        "complete -c tidegate -f",
        "complete -c tidegate -n __fish_is_first_arg -l help -d 'help'",
        "complete -c tidegate -n __fish_is_first_arg -l version -d 'print the version and exit'",
    ]
    lines += [
        f"complete -c tidegate -n __fish_is_first_arg -a {command.words[0]} -d {_quoted_fish(command.summary)}"
        for command in found
    ]
    for command in every(list(found)):
        lines.append("")
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.words)
        if command.actions:
            actions = " ".join(action.words[-1] for action in command.actions)
            none = f"{seen}; and not __fish_seen_subcommand_from {actions}"
            for action in command.actions:
                words = f"-a {action.words[-1]} -d {_quoted_fish(action.summary)}"
                lines.append(f"complete -c tidegate -n '{none}' {words}")
        lines += [_fish_option(option, seen) for option in command.options]
        for number, argument in enumerate(command.positionals[:1]):
            does = _fish_values(argument)
            if number == 0 and command.words in NAMES:
                names = f"-a '(command tidegate completion names {NAMES[command.words]} 2>/dev/null)'"
                if argument.kind != "word":
                    lines.append(f"complete -c tidegate -n '{seen}' {names}")
                else:
                    does = names
            if does:
                lines.append(f"complete -c tidegate -n '{seen}' {does}")
    return "\n".join(lines) + "\n"


def _fish_option(option: Argument, seen: str) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    value = f" -x {_fish_values(option)}".rstrip() if option.metavar else ""
    if option.kind in ("file", "directory") and option.metavar:
        value = f" -r {_fish_values(option)}"
    return f"complete -c tidegate -n '{seen}' {names}{value} -d {_quoted_fish(option.help)}"


def _fish_values(argument: Argument) -> str:
    if argument.choices:
        return f"-a {_quoted_fish(' '.join(argument.choices))}"
    if _BACKEND_OPTION in argument.names:
        return "-a '(command tidegate completion names backends 2>/dev/null)'"
    return {"file": "-F", "directory": "-a '(__fish_complete_directories)'"}.get(argument.kind, "")


def _quoted(text: str) -> str:
    """For a POSIX shell."""
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


def _quoted_fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SCRIPTS: Final[dict[str, Callable[[Sequence[Command]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
