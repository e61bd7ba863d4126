"""Paths on the command line as a shell's user types them: Hydra's grammar knows neither ``~/x`` nor ``a/epoch=3.ckpt`` nor ``straße``."""

import os
import re
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from nas_lightning.errors import InputError

SYNTAX = frozenset("()[]{}'\"\\")
"""What gives a value a structure in Hydra's grammar, commas aside; a value without any of it can only be meant as it stands."""


def readable(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``~`` as the home folder and with quotes around values that Hydra cannot read but for being text.

    Raises:
        InputError: for another value that Hydra cannot read, with how to quote it.
    """
    parser = OverridesParser.create()
    return [_readable(argument, parser) for argument in arguments]


def with_home(node: object) -> object:
    """A config, plain, with ``~`` as the home folder at the head of each of its texts."""
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
            example = shlex.quote(f"{key}={_quoted(text)}" if text[0] not in "[{" else f'{key}=["a=b"]')
            raise InputError(f"{key}: {text} cannot be read ({reason}); text with such letters needs quotes: {example}") from None
        return f"{key}={','.join(_quoted(os.path.expanduser(part)) if part else part for part in text.split(','))}"
    return f"{key}={_quoted(os.path.expanduser(value))}" if isinstance(value, str) and value.startswith("~") else argument


def _quoted(text: str) -> str:
    """In Hydra's quotes: backslashes count as two before a quote, and as themselves elsewhere."""
    escaped = re.sub(r'(\\*)("|\Z)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), text)
    return f'"{escaped}"'
