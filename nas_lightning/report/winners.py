"""The best of a ranking, trained alone next to random candidates by nas-standalone: ``winners/standalone`` in the run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_lightning.agreement import Estimate
from nas_lightning.agreement.estimate import FEWEST_OF_A_GROUP
from nas_lightning.errors import InputError
from nas_lightning.runs.lock import WINNERS
from nas_lightning.runs.made_from import changed_source
from nas_lightning.runs.reading import read_json

FOLDER = f"{WINNERS}/standalone"


def gain_of_winners(run_dir: Path) -> str:
    """What choosing by the ranking gained, in a sentence; empty without ``winners.json`` or random ones, or if it is of other scores."""
    path = run_dir / FOLDER / "winners.json"
    if not path.is_file():
        return ""
    content = read_json(path)
    sources = {"scores.csv": run_dir / "ranking/scores.csv", "known_accuracies.json": path.with_name("known_accuracies.json")}
    if changed_source(path, content, sources, {}) is not None:
        return ""
    try:
        if not all(content[kind]["n"] for kind in ("best", "random")):
            return ""  # nothing to compare with
        best, random = (f"{100 * content[kind]['mean']:.2f} % (n = {content[kind]['n']:,})" for kind in ("best", "random"))
        difference: Mapping[str, Any] = content["difference"]
        is_few = min(content[kind]["n"] for kind in ("best", "random")) < FEWEST_OF_A_GROUP  # older versions wrote an interval
        ends = ("value",) if is_few else ("value", "low", "high")
        gain = f"{Estimate(*(difference.get(end) for end in ends)).scaled(100).text('.2f')} points"
        gain += f" (no interval: that takes {FEWEST_OF_A_GROUP} of each)" if is_few else ""
        limit = "" if content["budget"] is None else f", of at most {content['budget'] / 1e6:g} M multiply-adds,"
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: does not hold what nas-standalone writes there ({type(error).__name__}: {error})") from None
    return f"Trained alone, the best reach {best}, random ones of the same list{limit} {random}: choosing by the score gains {gain}."
