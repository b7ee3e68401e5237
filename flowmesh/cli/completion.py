"""`flowmesh completion SHELL`: a script that completes verbs, options and their choices, made from the parser itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

from .exit_codes import OK
from .parser_info import arguments_of, purpose_of, verbs_of

DESCRIPTION = """Print the script that lets a shell complete what is typed after `flowmesh`:

  bash   flowmesh completion bash > ~/.local/share/bash-completion/completions/flowmesh
  zsh    flowmesh completion zsh > ~/.zfunc/_flowmesh     (with ~/.zfunc in $fpath)
  fish   flowmesh completion fish > ~/.config/fish/completions/flowmesh.fish"""


class Completion(NamedTuple):
    """A word that may stand somewhere, and what it is for."""

    text: str
    purpose: str


class CompletionContext(NamedTuple):
    """The completions after some verbs: `path` is () at the very beginning, ("token", "new") within that verb.

    Attributes:
        words: verbs and options.
        choices: of an option that has some, or of what stands without one (under "").
        files: whether what stands without an option is a file.
        valued: options behind which a value of one's own stands, and whether that is a file.
    """

    path: tuple[str, ...]
    words: tuple[Completion, ...]
    choices: dict[str, tuple[str, ...]]
    files: bool
    valued: dict[str, bool]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")


def run(asked: argparse.Namespace) -> int:
    from .main import make_parser

    write = {"bash": bash, "zsh": zsh, "fish": fish}[asked.shell]
    sys.stdout.write(write(list(places(make_parser()))) + "\n")
    return OK


def places(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[CompletionContext]:
    """All completion contexts of a parser, its verbs' too."""
    words: list[Completion] = []
    choices: dict[str, tuple[str, ...]] = {}
    valued: dict[str, bool] = {}
    files = False
    for action in arguments_of(parser):
        words += [Completion(option, purpose_of(action)) for option in action.option_strings]
        for option in action.option_strings or [""]:
            if action.choices:
                choices[option] = tuple(map(str, action.choices))
            elif option and action.nargs != 0:
                valued[option] = action.metavar in ("FILE", "DIR")
        files = files or (not action.option_strings and str(action.metavar).startswith("FILE"))
    verbs = list(verbs_of(parser))
    words += [Completion(verb.name, verb.purpose) for verb in verbs]
    yield CompletionContext(path, tuple(words), choices, files, valued)
    for verb in verbs:
        yield from places(verb.parser, (*path, verb.name))


def bash(everywhere: list[CompletionContext]) -> str:
    """For bash: the verbs so far choose the case."""
    cases = "\n".join(_bash_case(place) for place in everywhere)
    return f"""# flowmesh's completion for bash
_flowmesh() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} path="" each words="" files=""
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $each" in
{_bash_verbs(everywhere)}
        esac
    done
    case "$path" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    if [[ -n $files ]]; then COMPREPLY+=($(compgen -f -- "$word")); fi
}}
complete -o filenames -F _flowmesh flowmesh"""


def _bash_verbs(everywhere: list[CompletionContext]) -> str:
    paths = [place.path for place in everywhere if place.path]
    spoken = {path: " ".join(path) for path in paths}
    return "\n".join(f'            "{" ".join(path[:-1])} {path[-1]}") path="{spoken[path]}" ;;' for path in paths)


def _bash_case(place: CompletionContext) -> str:
    lines = [f'        "{" ".join(place.path)}")', '            case "$before" in']
    for option, choices in place.choices.items():
        if option:
            lines.append(f'                {option}) words="{" ".join(choices)}" ;;')
    for option, is_file in place.valued.items():
        lines.append(f"                {option}) {'files=1 ' if is_file else ''};;")
    words = " ".join([*(word.text for word in place.words), *place.choices.get("", ())])
    lines += [f'                *) words="{words}"{" files=1" if place.files else ""} ;;', "            esac ;;"]
    return "\n".join(lines)


def zsh(everywhere: list[CompletionContext]) -> str:
    """For zsh, whose own function for bash's completions does the rest."""
    return f"#compdef flowmesh\nautoload -U +X bashcompinit && bashcompinit\n{bash(everywhere)}"


def fish(everywhere: list[CompletionContext]) -> str:
    """For fish: one line per word."""
    lines = ["# flowmesh's completion for fish", "complete -c flowmesh -f"]
    for place in everywhere:
        where = f"complete -c flowmesh -n {_fish(_condition(place, everywhere))}"
        for word, purpose in place.words:
            flag = (
                f"-l {word[2:]}"
                if word.startswith("--")
                else f"-s {word[1:]}"
                if word.startswith("-")
                else f"-a {word}"
            )
            values = f" -x -a {_fish(' '.join(place.choices[word]))}" if word in place.choices else ""
            lines.append(f"{where} {flag}{values or _fish_value(place.valued.get(word))} -d {_fish(purpose)}")
        if "" in place.choices:
            lines.append(f"{where} -a {_fish(' '.join(place.choices['']))}")
        if place.files:
            lines.append(f"{where} -F")
    return "\n".join(lines)


def _fish_value(is_file: bool | None) -> str:
    """The value of an option: none, a file, or one that only the user knows."""
    return "" if is_file is None else " -r -F" if is_file else " -x"


def _condition(place: CompletionContext, everywhere: list[CompletionContext]) -> str:
    """All verbs of the path were given, and none below it."""
    seen = [f"__fish_seen_subcommand_from {verb}" for verb in place.path]
    below = [other.path[-1] for other in everywhere if other.path[:-1] == place.path and other.path]
    return "; and ".join(seen + ([f"not __fish_seen_subcommand_from {' '.join(below)}"] if below else [])) or "true"


def _fish(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"
