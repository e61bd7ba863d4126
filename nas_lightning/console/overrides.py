"""Lets users type paths and options as in a shell: Hydra's grammar knows neither ``~/x`` nor ``a/epoch=3.ckpt`` nor ``straße``."""

import argparse
import itertools
import os
import re
import shlex
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from nas_lightning.errors import InputError

SYNTAX = frozenset("()[]{}'\"\\")
"""Characters of structure in Hydra's grammar, besides commas; a value without them is a plain string."""
OPTIONS = ("cfg", "info", "package", "config-path", "config-name", "config-dir", "experimental-rerun", "shell-completion")
"""Hydra's own that take a value."""
MAPPINGS = ("search.budgets", "network.widths.overrides", "search")
"""Keys whose values are mappings that users write."""


def readable(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``~`` expanded, and with quotes around plain strings that Hydra cannot read.

    Raises:
        InputError: for any other value that Hydra cannot read, with how to quote it.
    """
    parser = OverridesParser.create()
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_word = "=" not in argument and not argument.startswith(("-", "~")) and not before.startswith("-")
        if is_word and (os.sep in argument or os.path.exists(argument)):
            what, key = ("checkpoint", "checkpoint") if argument.endswith((".ckpt", ".safetensors")) else ("run's folder", "run_dir")
            other = "a file is given by its key" if argument.endswith((".csv", ".json")) else f"for a {what} that is {key}={argument}"
            raise InputError(f"{argument}: is not key=value; {other}")
        name, equals, _ = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and equals and (name == "experiment" or not any(option.startswith(name) for option in OPTIONS)):
            raise InputError(f"{argument}: is no option; keys are written {argument[2:]}")
    _check_braces(arguments, parser)
    for start, argument in enumerate(arguments):
        _check_whole(argument, arguments[start + 1 :], parser)
    return [_readable(argument, parser) for argument in arguments]


def in_hydras_order(arguments: Sequence[str]) -> tuple[list[str], argparse.Namespace]:
    """Overrides before options, as Hydra can read them, wherever the user put them; and what Hydra reads in them.

    Raises:
        InputError: for what is neither.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    found = parser.parse_intermixed_args(arguments)
    options = list(reversed(arguments))
    for override in reversed(found.overrides):
        options.remove(override)  # the last one: an option before it may have an equal value
    return [*found.overrides, *reversed(options)], found


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}; keys are written KEY=VALUE, Hydra's options are those of --hydra-help")


def with_home(node: object) -> object:
    """A plain config with ``~`` expanded at the head of each string."""
    if isinstance(node, dict):
        return {key: with_home(value) for key, value in node.items()}
    if isinstance(node, list):
        return [with_home(value) for value in node]
    return os.path.expanduser(node) if isinstance(node, str) and node.startswith("~") else node


def _readable(argument: str, parser: OverridesParser) -> str:
    key, equals, text = argument.partition("=")
    if argument.startswith("-") or not equals:
        return argument
    try:
        value = parser.parse_override(argument).value()
    except HydraException as error:
        if not SYNTAX.isdisjoint(text):
            reason = str(error).splitlines()[0]
            example = shlex.quote(f"{key}={quoted(text)}" if text[0] not in "[{" else f'{key}=["a=b"]')
            raise InputError(f"{key}: {text} cannot be read ({reason}); text with such letters needs quotes: {example}") from None
        return f"{key}={','.join(quoted(os.path.expanduser(part)) if part else part for part in text.split(','))}"
    return f"{key}={quoted(os.path.expanduser(value))}" if isinstance(value, str) and value.startswith("~") else argument


def _check_whole(argument: str, following: Sequence[str], parser: OverridesParser) -> None:
    """Raises InputError for a list or mapping that the shell took apart at its spaces."""
    key, _, text = argument.partition("=")
    if argument.startswith("-") or not text.startswith(("[", "{")) or _is_read(argument, parser):
        return
    for end in range(1, len(following) + 1):
        if _is_read(whole := " ".join([argument, *following[:end]]), parser):
            raise InputError(f"{key}: {text} is a part that the shell cut off at a space; quote the whole argument: {shlex.quote(whole)}")


def _check_braces(arguments: Sequence[str], parser: OverridesParser) -> None:
    """Raises InputError for a mapping such as key={a:1,b:[2,3]}, of which the shell made key=a:1 key=b:[2 key=3]."""
    for key, group in itertools.groupby(arguments, key=lambda argument: argument.partition("=")[0]):
        values = [argument.partition("=")[2] for argument in group]
        if key in MAPPINGS and len(values) > 1 and _is_read(whole := f"{key}={{{','.join(values)}}}", parser):
            raise InputError(
                f"{key}: {values[0]} is a part that the shell cut off at a comma; quote the whole argument: {shlex.quote(whole)}"
            )


def _is_read(argument: str, parser: OverridesParser) -> bool:
    try:
        parser.parse_override(argument)
    except HydraException:
        return False
    return True


def quoted(text: str) -> str:
    """A text in Hydra's quotes, where backslashes are doubled only before a quote."""
    escaped = re.sub(r'(\\*)("|\Z)', lambda match: 2 * match[1] + ('\\"' if match[2] else ""), text)
    return f'"{escaped}"'
