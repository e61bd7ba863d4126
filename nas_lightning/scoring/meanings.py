"""What the values of a score are, wherever they are shown: as in ``scores.csv``, but top-1 in per cent.

Orders and correlations take ``ScoreTable.quality``, of which more is better.
"""

import math
from collections.abc import Iterable

UNITS = {"top1": "%", "cross_entropy": "nats", "predicted": "nats"}
NAMES = {"top1": "top-1", "cross_entropy": "cross entropy", "predicted": "predicted"}
MEANINGS = {
    "top1": "share of the images classified right; more is better",
    "cross_entropy": "mean over the images; less is better",
    "predicted": "the cross entropy foretold from the widths, of which only the order counts; less is better",
}


def meaning_of(key: str) -> str:
    """Such as ``cross entropy, nats: mean over the images; less is better``."""
    return f"{head_of(key)}: {MEANINGS[key]}"


def head_of(key: str) -> str:
    """Of a column or an axis, such as ``cross entropy, nats``."""
    return f"{NAMES[key]}, {UNITS[key]}"


def direction_of(key: str) -> str:
    """``more is better`` or ``less is better``."""
    return MEANINGS[key].rpartition("; ")[2]


def worse_than_guessing(cross_entropies: Iterable[float], classes: int) -> str:
    """A sentence if equal chances for all classes would have a lower cross entropy than every candidate; empty otherwise."""
    best, guess = min(cross_entropies), math.log(classes)
    if best <= guess:
        return ""
    return (
        f"Every candidate scores worse than guessing: cross entropy {best:.3f} and more, where equal chances for {classes} classes "
        f"have {guess:.3f}. The supernet is hardly trained, and this order says nothing: train it longer."
    )
