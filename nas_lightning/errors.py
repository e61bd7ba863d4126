"""The one error that a user can cause."""

import difflib
from collections.abc import Iterable, Sequence

LONGEST_LINE = 2000
"""Characters of an error's line; it may quote a foreign file."""


class InputError(ValueError):
    """A user's mistake, reported in one line of bounded length that names the place, the value and the rule.

    The console entries print the line to stderr and exit with code 2; any other exception is a bug, with a traceback.
    """

    def __init__(self, line: str) -> None:
        super().__init__(bounded(line))


def bounded(line: str) -> str:
    """The line, without its middle if it is too long: its start names the place, its end the rule."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[: half - 3]} ... {line[2 - half :]}"


def cut(text: str, most: int = 80) -> str:
    """The text, or its start and dots if it is longer than ``most``."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shorten(value: object) -> str:
    """A value of a foreign file, as errors quote it; of a container only its size, as it may nest endlessly."""
    if isinstance(value, str):
        return repr(cut(value))
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() < 256 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)} entries"
    return f"a {type(value).__name__}"


def check_known(place: str, key: str, known: Iterable[str]) -> None:
    """Raises InputError, with the closest known key, if the key at ``place`` is unknown."""
    names = list(known)
    if key in names:
        return
    raise InputError(f"{place}: is not a key; {nearest(key, names)}")


def nearest(word: str, known: Sequence[str]) -> str:
    """The closest known word, or all of them."""
    return suggestion(word, known).removeprefix("; ") or f"known: {', '.join(known)}"


def suggestion(word: str, known: Iterable[str], before: str = "") -> str:
    """Such as ``; did you mean top1?``, the end of an error line; empty if no known word is close.

    Args:
        before: stands before the suggested word, as the package of a class.
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {before}{close[0]}?" if close else ""


def check_at_least(place: str, value: object, least: int, most: int | None = None) -> None:
    """Raises InputError unless ``value`` is an integer of at least ``least``, and at most ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        rule = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{place}: {value!r} must be an integer {rule}")
