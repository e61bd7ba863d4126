"""The commands that train candidates alone to judge a ranking: its own command again with a truth, or with more of it."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas_lightning.config.build import packages_in
from nas_lightning.runs.lock import WINNERS

TRUTH = 24
"""Candidates of a first truth. Of so many with a correlation of 0.7, Kendall lies within 0.2 to 0.25 in 95 % of draws."""
SEEDS = 3
"""Trainings a candidate where the sampling error of one is large."""
AGAIN = (
    *("run_dir=", "resume=", "dry_run=", "hydra.", "sweep="),
    *("standalone.enabled=", "standalone.count=", "ranking.known_accuracies="),
)
"""Arguments that the commands give anew."""


def truth_commands(
    made_by: Sequence[str],
    config: Mapping[str, Any],
    folder: Path,
    candidates: int,
    known: int,
    assigned: Callable[[str, str], str] = "{}={}".format,
    is_noisy: bool = False,
) -> list[list[str]]:
    """Command lines as words, to give one after the other; none if all candidates are known.

    Args:
        made_by: the command line of nas-train or nas-rank that made the ranking, its program first.
        config: of that run; of nas-rank it has a ``checkpoint``.
        folder: of that run.
        candidates: of the ranking.
        known: those with a known accuracy.
        assigned: makes a word of a key and a path.
        is_noisy: the known accuracies have a large sampling error; then those of a run's own trainings get more seeds.
    """
    standalone, ranking = (config.get(key) or {} for key in ("standalone", "ranking"))
    seeds = standalone.get("seeds") or [0]
    adds_seeds = is_noisy and standalone.get("enabled") is True and len(seeds) < SEEDS
    if known >= candidates and not adds_seeds:
        return []
    program, *words = made_by
    start = ["python", program] if program.endswith(".py") else [Path(program).name]
    again = [*start, *(word for word in words if not word.startswith(AGAIN))]
    place, count = assigned("run_dir", str(folder)), min(candidates, max(TRUTH, 2 * known))
    if "checkpoint" in config:  # nas-rank trains none: random ones of its list, trained by nas-standalone, become its known accuracies
        of_winners = folder / WINNERS
        scores, accuracies = folder / "ranking/scores.csv", of_winners / "standalone/known_accuracies.json"
        train = [
            "choose=best",
            assigned("scores", str(scores)),
            "count=1",
            f"random={count}",
            assigned("run_dir", str(of_winners)),
            *packages_in(words),
        ]
        return [["nas-standalone", *train], [*again, assigned("ranking.known_accuracies", str(accuracies)), place]]
    if standalone.get("enabled"):
        trained = standalone.get("count") or candidates
        if trained >= candidates and not adds_seeds:
            return []
        count = min(candidates, _more(trained))
    if adds_seeds:
        free = (number for number in itertools.count() if number not in seeds)
        again = [word for word in again if not word.startswith("standalone.seeds=")]
        again.append(f"standalone.seeds=[{','.join(map(str, [*seeds, *itertools.islice(free, SEEDS - len(seeds))]))}]")
    of_file = ["ranking.known_accuracies=null"] if ranking.get("known_accuracies") else []  # else the file's count, not what is trained
    return [[*again, "standalone.enabled=true", f"standalone.count={count}", *of_file, place]]


def reason(command: Sequence[str], known: int, is_noisy: bool = False) -> str:
    """Why it trains as many as it does, in brackets; empty if it trains all.

    Args:
        command: the first of ``truth_commands``.
        known: as given to these.
        is_noisy: likewise.
    """
    count = next((int(word.partition("=")[2]) for word in command if word.startswith(("standalone.count=", "random="))), known)
    reasons = []
    if count == TRUTH:
        reasons = [f"{TRUTH} tell Kendall to about 0.2 either way"]
    elif known < count:
        reasons = [f"{count:,} in place of {known:,} narrow Kendall's interval to about {math.sqrt(known / count):.0%}"] if known else []
    if is_noisy and any(word.startswith("standalone.seeds=") for word in command):
        reasons.append("several seeds, as one accuracy on these test images is noisy")
    return f"({'; '.join(reasons)})" if reasons else ""


def _more(count: int) -> int:
    """At least twice as many, and ``TRUTH``, so that evenly spaced ones hold those that were trained: none is trained in vain."""
    gaps = max(1, count - 1)
    return gaps * max(2, -(-(TRUTH - 1) // gaps)) + 1
