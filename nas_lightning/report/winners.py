"""The best of a ranking, trained alone next to random candidates by nas-standalone: ``winners/standalone`` in the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_lightning.agreement.estimate import FEWEST_OF_A_GROUP
from nas_lightning.errors import InputError
from nas_lightning.runs.lock import WINNERS
from nas_lightning.runs.made_from import changed_source
from nas_lightning.runs.reading import read_json

FOLDER = f"{WINNERS}/standalone"
COLUMN = "winners, trained alone, %"
"""Head of their accuracies in a table."""


def read_winners(run_dir: Path) -> Mapping[str, Any] | None:
    """The content of ``winners.json``; None without one, or if it is of other scores or accuracies than the folder's."""
    path = run_dir / FOLDER / "winners.json"
    if not path.is_file():
        return None
    content = read_json(path)
    sources = {"scores.csv": run_dir / "ranking/scores.csv", "known_accuracies.json": path.with_name("known_accuracies.json")}
    if changed_source(path, content, sources, {}) is not None:
        return None
    try:
        gain_in_words(content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: does not hold what nas-standalone writes there ({type(error).__name__}: {error})") from None
    return content


def limit_in_words(content: Mapping[str, Any]) -> str:
    """What none of ``winners.json`` exceeds; empty without a limit."""
    budget = content["budget"]
    under = content.get("under") or (None if budget is None else f"{budget / 1e6:g} M multiply-adds")
    return "" if under is None else f", of at most {under}"


def gain_in_words(content: Mapping[str, Any]) -> str:
    """The verdict on a choice by the ranking, and what it rests on; empty without anything to compare with.

    Args:
        content: of ``winners.json``.
    """
    counts = [content[kind]["n"] for kind in ("best", "random")]
    if not all(counts):
        return ""
    best, random = (f"{100 * content[kind]['mean']:.2f} % (n = {content[kind]['n']:,})" for kind in ("best", "random"))
    difference: Mapping[str, Any] = content["difference"]
    low, high = (difference.get(end) for end in ("low", "high"))
    if min(counts) < FEWEST_OF_A_GROUP:  # older versions wrote an interval
        outcome, interval = "is open", f"no interval: that takes {FEWEST_OF_A_GROUP} of each"
    elif low is None or high is None:
        outcome, interval = "is open", "no interval: in each kind all are equal"
    else:
        outcome = "is open" if low <= 0 <= high else "pays" if low > 0 else "does harm"
        interval = f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}, Welch's, over the candidates"
    verdict = f"Whether it pays to choose by {content.get('ordered_by', 'the score')} {outcome}."
    if outcome != "is open":
        verdict = f"Choosing by {content.get('ordered_by', 'the score')} {outcome}."
    limit = limit_in_words(content)
    among = f"random ones of the same {content.get('among', 'list')}{limit}{',' if limit else ''}"
    gain = f"{100 * difference['value']:+.2f} points ({interval})"
    return f"{verdict} Trained alone, the best reach {best}, {among} {random}: a difference of {gain}."
