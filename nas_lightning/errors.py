"""The one error that a user can cause."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A user's mistake, told in one line that names the place, the value and the rule.

    The console entries print the line to stderr and exit with code 2; every other exception is a bug and shows its traceback.
    """


def check_known(place: str, key: str, known: Iterable[str]) -> None:
    """Raises InputError if the key at ``place`` is not among the known ones, with the closest of them."""
    names = list(known)
    if key in names:
        return
    close = difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"
    raise InputError(f"{place}: is not a key; {hint}")


def check_at_least(place: str, value: object, least: int) -> None:
    """Raises InputError unless ``value`` is an integer of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{place}: {value!r} must be an integer of at least {least}")
