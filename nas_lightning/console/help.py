"""What ``--help`` prints: the head of the command's file in conf/, then its keys, as their dataclasses declare them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from nas_lightning.config.declared import COMMANDS, TYPES, Key, Schema, schema_of

COLUMN, WIDTH = 28, 79
"""Where a meaning begins, and the longest line."""
ON_KEYS = "KEY=VALUE on the command line sets a key. --cfg job prints the whole config and stops. docs/keys.md has all keys as a page."
ON_WORDS = "--help WORD shows only what has WORD in its name, such as --help ranking or --help epochs."
ON_CHOICES = "GROUP=OPTION takes a file conf/GROUP/OPTION.yaml. -m runs every combination of values such as seed=0,1,2."


@dataclass(frozen=True)
class Entry:
    """A key, or the choice of a group's option.

    Args:
        name: as typed; NAME stands for a name that is free.
        legal: the values that a key may have.
        options: of a group, each with the first line of its file; empty for a key.
    """

    name: str
    meaning: str
    default: str = ""
    legal: str = ""
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Section:
    """The keys below one, or those at the top."""

    name: str
    meaning: str
    entries: tuple[Entry, ...]

    def of(self, word: str) -> "Section":
        """Only the entries with a word in their names, or in that of an option."""
        return replace(self, entries=tuple(entry for entry in self.entries if word in " ".join([entry.name, *dict(entry.options)])))


def help_of(command: str, conf: Path, word: str = "") -> str:
    """The help of a command, for a terminal of 80 columns.

    Args:
        command: the name of its file in ``conf``.
        word: shows only keys, groups and options with it in their names; empty shows all.
    """
    sections, seen = [section.of(word) for section in sections_of(command, conf)], set[Any]()
    sections = [section for section in sections if section.entries]
    if not sections:
        return f"No key, group or option has {word} in its name."
    has_choices = any(entry.options for section in sections for entry in section.entries)
    usage = textwrap.wrap(f"{ON_KEYS} {ON_CHOICES} {ON_WORDS}" if has_choices else ON_KEYS, WIDTH)
    lines = [] if word else [*head_of(conf / f"{command}.yaml"), "", *usage]
    for section in sections:
        lines += ["", *textwrap.wrap(f"{section.name}: {section.meaning}".replace("`", "") if section.name else "Choices and keys:", WIDTH)]
        for entry in section.entries:
            legal = f" [{entry.legal}]" if entry.legal else ""
            lines += _row(f"  {entry.name}{'=' if entry.default else ''}{entry.default}", entry.meaning + legal)
            if entry.options not in seen:
                lines += [line for name, meaning in entry.options for line in _row(f"    {name}", meaning)]
                seen |= {entry.options} if entry.options else set()
    return "\n".join(lines).lstrip("\n")


def sections_of(command: str, conf: Path) -> list[Section]:
    """The keys and choices of a command."""
    content = yaml.safe_load((conf / f"{command}.yaml").read_text(encoding="utf-8"))
    chosen = {group: option for entry in content["defaults"] if isinstance(entry, dict) for group, option in entry.items()}
    if "experiment" in chosen:  # it chooses the others
        chosen |= dict.fromkeys(chosen.keys() - {"experiment", "trainer"})
    free = [_choice(group, _MEANINGS[group], chosen[group], conf / group) for group in ("experiment", "sweep") if group in chosen]
    first, *others = _sections(schema_of(*COMMANDS[command]), "", content, chosen, conf)
    return [Section("", first.meaning, (*free, *first.entries)), *others]


def options_of(group: Path) -> tuple[tuple[str, str], ...]:
    """The options of a folder in conf/, each with what the first line of its file says; those of a folder in it come last."""
    paths = (*sorted(group.glob("*.yaml")), *sorted(group.glob("*/*.yaml")))
    return tuple((path.relative_to(group).with_suffix("").as_posix(), head_of(path)[0].split("   ")[0]) for path in paths)


def head_of(path: Path) -> list[str]:
    """The comment at the head of a config file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines = lines[1:] if lines[0].startswith("# @package") else lines
    return [line[2:] for line in lines[: next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))]]


_MEANINGS = {
    "experiment": "A whole run: chooses most options below.",
    "sweep": "Many runs: a sweep over one key.",
    "stages": "A stage as in the recipe; +stage@stages.NAME=OPTION adds one.",
}
_FOLDERS = {"stages": "stage"}
"""Folders in conf/ whose name is not the key's."""


def _sections(schema: Schema, place: str, given: dict[str, Any], chosen: dict[str, Any], conf: Path) -> Iterator[Section]:
    """The section of a dataclass, then those of the dataclasses in it.

    Args:
        given: the values in the command's file.
        chosen: the groups in its defaults list, each with its option.
    """
    entries: list[Entry] = []
    inner: list[Section] = []
    for key in schema.keys:
        name, folder = f"{place}{key.name}", conf / _FOLDERS.get(key.name, key.name)
        is_group = key.kind == "object" if place else key.name in chosen or key.kind == "many"
        at = f"{folder.name}@{name}" if place else f"{folder.name}@{name}.NAME" if key.kind == "many" else name
        choice = _choice(at, words(key.meaning or _MEANINGS.get(key.name, "")), chosen.get(name), folder) if is_group else None
        if key.schema is not None and key.default is MISSING:
            below = f"{name}.NAME." if key.kind == "many" else f"{name}."
            own, *more = _sections(key.schema, below, {}, chosen, conf)
            is_real = choice is not None and len(choice.options) > 1  # of a single option only its keys matter
            inner += [Section(below.rstrip("."), own.meaning, (*([choice] if choice and is_real else []), *own.entries)), *more]
            continue
        entries.append(choice or _entry(key, name, given))
        if key.schema is not None:
            own, *more = _sections(key.schema, f"{name}.", {}, chosen, conf)
            entries += own.entries
            inner += more
    yield Section(place.rstrip("."), words(re.sub(r"^``[^:]*: ", "", schema.meaning.split("\n\n")[0])), tuple(entries))
    yield from inner


def _choice(name: str, meaning: str, default: str | None, folder: Path) -> Entry:
    return Entry(f"{name}=OPTION", f"{meaning} Default: {default}.".strip() if default else meaning, options=options_of(folder))


def _entry(key: Key, name: str, given: dict[str, Any]) -> Entry:
    default = key.default if key.default is not MISSING else given.get(name, MISSING)
    is_shown = default is not MISSING and "${" not in str(default) and default != "???"
    legal = "required" if default == "???" else "" if is_shown and default is not None and key.legal in TYPES.values() else key.legal
    return Entry(name, words(key.meaning), "" if not is_shown else plain_value(default), legal)


def plain_value(value: Any) -> str:
    """A value as typed."""
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)


def words(meaning: str) -> str:
    """A docstring in the words of a config."""
    text = " ".join(meaning.replace("``", "`").split())
    for name, value in (("None", "null"), ("False", "false"), ("True", "true")):
        text = re.sub(rf"\b{name}\b", value, text)
    return text


def _row(head: str, meaning: str) -> list[str]:
    """A name and its meaning in two columns; the name alone on its line where it is long."""
    wrapped = textwrap.wrap(meaning.replace("`", ""), WIDTH - COLUMN) or [""]
    lines = [f"{' ' * COLUMN}{line}" for line in wrapped]
    if len(head) > COLUMN - 2:
        return [head, *(lines if wrapped[0] else [])]
    return [f"{head:{COLUMN}}{wrapped[0]}".rstrip(), *lines[1:]]
