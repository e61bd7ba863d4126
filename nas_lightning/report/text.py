"""Texts and values of files, as a report shows them."""

from collections.abc import Sequence

from nas_lightning.errors import cut


def writable(text: str) -> str:
    """The text without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def short(text: str, most: int = 40) -> str:
    """The text in one line, cut, such as a name in a figure."""
    return cut(" ".join(writable(text).split()), most)


def listed(words: Sequence[str], most: int = 6) -> str:
    """The first ``most`` words, and the number of others."""
    return ", ".join([*words[:most], *([f"{len(words) - most:,} more"] if len(words) > most else [])])


def plain(value: object) -> str:
    """A single value; the same text for equal numbers, such as 1 and 1.0."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(value)  # Python refuses to write very large integers in decimal
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else str(value)
