"""`segue completion`: a script that has a shell complete commands, flags and their values.

The scripts are made from the parser itself, and hold everything: completing starts no `segue`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from proxy.cli.configuration import Subparsers
from proxy.cli.parser import Parser

_FILES: Final = frozenset({"FILE", "DIRECTORY", "MAPPING"})
"""What stands for a value that names a file."""


class Value(Enum):
    """What comes after a flag."""

    NOTHING = "nothing"
    ANYTHING = "anything"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of a command.

    Attributes:
        names: as they are written.
        text: what it does, in short.
        value: what comes after it.
        words: what may come after it, where that is known.
    """

    names: tuple[str, ...]
    text: str
    value: Value
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the tree of commands.

    Attributes:
        path: the words that lead there, `segue` among them.
        flags: that are known there.
        words: commands, or values of an argument, and what they do in short.
        takes_files: whether an argument may name a file.
        begins_free: whether the first argument is one of which no values are known.
    """

    path: str
    flags: tuple[Flag, ...]
    words: Mapping[str, str]
    takes_files: bool
    begins_free: bool


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "print a script that has a shell complete commands and flags"
    command = commands.add_parser(
        "completion",
        help=text,
        description=text.capitalize() + ".",
        epilog='bash: eval "$(segue completion bash)" in ~/.bashrc. zsh: likewise in ~/.zshrc,'
        " behind compinit. fish: segue completion fish > ~/.config/fish/completions/segue.fish",
    )
    command.add_argument("shell", choices=sorted(SCRIPTS), help="which")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a script."""
    # What `add` put into place with all other commands.
    from proxy.cli.main import parser  # noqa: PLC0415 (it knows this module)

    for line in SCRIPTS[options.shell](list(places(parser()))):
        print(line)
    return 0


def places(parser: Parser) -> Iterator[Place]:
    """Every place in the tree of commands below a parser."""
    below = parser.commands()
    words = {name: (inner.description or "").removesuffix(".") for name, inner in below.items()}
    takes_files, arguments = False, parser.arguments()
    for argument in arguments:
        words |= dict.fromkeys(map(str, argument.choices or ()), "")
        takes_files = takes_files or argument.metavar in _FILES
    begins_free = len(arguments) > 1 and not arguments[0].choices
    flags = tuple(map(_flag, parser.options()))
    yield Place(parser.prog, flags, words, takes_files, begins_free)
    for inner in below.values():
        yield from places(inner)


def _flag(action: argparse.Action) -> Flag:
    words = tuple(map(str, action.choices or ()))
    if action.nargs == 0:
        value = Value.NOTHING
    else:
        value = Value.FILE if action.metavar in _FILES else Value.ANYTHING
    text = (action.help or "").partition(" (")[0].partition(";")[0]
    return Flag(tuple(action.option_strings), text, value, words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _bash(found: list[Place]) -> Iterator[str]:
    yield "# segue's completion for bash"
    yield "_segue() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
    yield "    local at=segue each found flags"
    yield "    COMPREPLY=()"
    yield '    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do'
    yield from _descent(found, "    ", '"$at $each"', 'at="$at $each"')
    yield "    done"
    yield '    case "$at $before" in'
    for place in found:
        if place.begins_free:
            at = _quoted(f"{place.path} {place.path.rpartition(' ')[2]}")
            yield f"        {at}) [[ $word == -* ]] || return ;;"
        for flag in place.flags:
            if flag.value is not Value.NOTHING:
                names = " | ".join(_quoted(f"{place.path} {name}") for name in flag.names)
                yield f"        {names})"
                if flag.value is Value.FILE:
                    yield '            COMPREPLY=($(compgen -f -- "$word")) ;'
                elif flag.words:
                    words = _quoted(" ".join(flag.words))
                    yield f'            COMPREPLY=($(compgen -W {words} -- "$word")) ;'
                yield "            return ;;"
    yield "    esac"
    yield '    case "$at" in'
    for place in found:
        flags = " ".join(name for flag in place.flags for name in flag.names)
        files = " -f" if place.takes_files else ""
        yield f"        {_quoted(place.path)})"
        yield f"            found={_quoted(' '.join(place.words))} flags={_quoted(flags)}"
        yield "            [[ $word == -* ]] ||"
        yield f'                COMPREPLY=($(compgen{files} -W "$found" -- "$word"))'
        yield '            [[ $word != -* ]] || COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;'
    yield "    esac"
    yield "}"
    yield "complete -o filenames -F _segue segue"


def _zsh(found: list[Place]) -> Iterator[str]:
    yield "#compdef segue"
    yield "_segue() {"
    yield "    local at=segue each before=${words[CURRENT-1]}"
    yield "    local -a found flags"
    yield '    for each in "${(@)words[2,CURRENT-1]}"; do'
    yield from _descent(found, "    ", '"$at $each"', 'at="$at $each"')
    yield "    done"
    yield '    case "$at $before" in'
    for place in found:
        if place.begins_free:
            at = _quoted(f"{place.path} {place.path.rpartition(' ')[2]}")
            yield f"        ({at}) [[ $PREFIX == -* ]] || return 0 ;;"
        for flag in place.flags:
            if flag.value is not Value.NOTHING:
                names = " | ".join(_quoted(f"{place.path} {name}") for name in flag.names)
                words = " ".join(map(_quoted, flag.words))
                act = f"compadd -- {words}" if words else ":"
                act = "_files" if flag.value is Value.FILE else act
                yield f"        ({names}) {act}; return ;;"
    yield "    esac"
    yield '    case "$at" in'
    for place in found:
        yield f"        ({_quoted(place.path)})"
        for name, text in place.words.items():
            yield f"            found+=({_described(name, text)})"
        for flag in place.flags:
            for name in flag.names:
                yield f"            flags+=({_described(name, flag.text)})"
        yield "            _files ;;" if place.takes_files else "            ;;"
    yield "    esac"
    yield "    (( $#found )) && _describe -t commands command found"
    yield "    [[ $PREFIX == -* ]] && _describe -o -t options option flags"
    yield "    return 0"
    yield "}"
    yield 'if [[ "${zsh_eval_context[-1]}" == loadautofunc ]]; then'
    yield '    _segue "$@"'
    yield "else"
    yield "    compdef _segue segue"
    yield "fi"


def _described(name: str, text: str) -> str:
    return _quoted(f"{name}:{text}" if text else name)


def _descent(found: list[Place], indent: str, word: str, descend: str) -> Iterator[str]:
    """The lines that go one command down where a word is one."""
    paths = " | ".join(_quoted(place.path) for place in found[1:])
    yield f"{indent}    case {word} in"
    yield f"{indent}        {paths}) {descend} ;;"
    yield f"{indent}    esac"


def _fish(found: list[Place]) -> Iterator[str]:
    paths = " ".join(_quoted(place.path) for place in found[1:])
    yield "# segue's completion for fish"
    yield "function __segue_at"
    yield "    set -l at segue"
    yield "    for each in (commandline -opc)[2..-1]"
    yield f'        contains -- "$at $each" {paths}; and set at "$at $each"'
    yield "    end"
    yield '    test "$at" = "$argv"'
    yield "end"
    yield "complete -c segue -f"
    for place in found:
        at = f"complete -c segue -n {_quoted(f'__segue_at {place.path}')}"
        word_at = at
        if place.begins_free:
            last = place.path.rpartition(" ")[2]
            behind = f"__segue_at {place.path}; and test (commandline -opc)[-1] != {last}"
            word_at = f"complete -c segue -n {_quoted(behind)}"
        for name, text in place.words.items():
            yield f"{word_at} -a {name} -d {_quoted(text)}"
        if place.takes_files:
            yield f"{at} -F"
        for flag in place.flags:
            kinds = ("-l" if name.startswith("--") else "-s" for name in flag.names)
            names = " ".join(
                f"{kind} {name.lstrip('-')}" for kind, name in zip(kinds, flag.names, strict=True)
            )
            value = {Value.NOTHING: "", Value.ANYTHING: " -x", Value.FILE: " -r -F"}[flag.value]
            words = f" -a {_quoted(' '.join(flag.words))}" if flag.words else ""
            yield f"{at} {names}{value}{words} -d {_quoted(flag.text)}"


SCRIPTS: Final[Mapping[str, Callable[[list[Place]], Iterator[str]]]] = {
    "bash": _bash,
    "fish": _fish,
    "zsh": _zsh,
}
"""The shells, and what writes the script of each."""
