"""``python -m benchmarks.which_score CHECKPOINT --data DIR --known FILE [--json FILE] [...]``: which score agrees best, at what cost.

One checkpoint, the candidates whose accuracy is known, one run of each way to score them. The intervals are over candidates alone; whether
two ways differ is better seen in the last column, which compares them on the same resamples. Seconds are those of one run, of this machine
as busy as it was, with what sorted neighbours of this list share: a longer list shares more. The file is written again after every row.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tabulate import tabulate

from benchmarks.__main__ import machine
from nas_lightning.agreement import measure
from nas_lightning.data import ImageDataset, dataset_from_header, evaluation_images
from nas_lightning.devices.process import configure_process
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.bn_recalibration import Recalibration
from nas_lightning.scoring.score import Scorer, rank_by_image, score_candidates
from nas_lightning.scoring.table import Score
from nas_lightning.search.successive_halving import Halving, Losses, make_rungs, successive_halving
from nas_lightning.space import Population, read_accuracies
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import load_supernet

RESAMPLES = 1000
FEWER = 10
"""With --few all images are divided by it."""
LOSS, TOP1 = "negative cross entropy", "top-1"


class Way(NamedTuple):
    """How candidates are scored."""

    images: int
    batch_size: int | None = None
    """None takes all images in one batch."""
    training_images: int = 0
    """That the norms take their statistics from, in batches of 250; 0 takes those of the batch."""

    def fewer(self) -> "Way":
        """For a try."""
        return Way(self.images // FEWER, self.batch_size and self.batch_size // FEWER, self.training_images // FEWER)

    def __str__(self) -> str:
        batches = "one batch" if self.batch_size is None else f"batches of {self.batch_size:,}"
        return f"{self.images:,} images, {batches}" + (f", recalibrated on {self.training_images:,}" if self.training_images else "")


REFERENCE = Way(1000)
"""What the others are compared with, by its cross entropy."""
WAYS = (
    *(Way(images) for images in (100, 250, 500, 2000)),
    *(Way(1000, batch_size) for batch_size in (100, 250, 500)),
    *(Way(images, None, training) for images, training in ((1000, 250), (1000, 1000), (250, 1000))),
)
CHEAP = Way(2000, 250)
"""Cheap first, and the full evaluation that it is compared with."""
KEPT = (0.04, 0.1, 0.2, 0.5)
RECALIBRATION_BATCH = 250


@dataclass(frozen=True)
class Subject:
    """What is scored, and what is known."""

    supernet: Supernet
    population: Population
    truth: np.ndarray
    """(n,) accuracies."""
    dataset: ImageDataset

    def score(self, way: Way) -> tuple[list[Score], float]:
        """In the list's order, and the seconds that it took."""
        images, labels = evaluation_images(self.dataset, way.images)
        recalibration = None
        if way.training_images:
            batch_size = min(RECALIBRATION_BATCH, way.training_images)
            recalibration = Recalibration.from_training(self.dataset, way.training_images, batch_size)
        began = time.perf_counter()
        scores = score_candidates(self.supernet, self.population.architectures, images, labels, way.batch_size, recalibration=recalibration)
        return scores, time.perf_counter() - began

    def score_cheap_first(self, way: Way, keep: float) -> tuple[Halving, float]:
        """Likewise."""
        images, labels = evaluation_images(self.dataset, way.images)

        def evaluate(some: Population, first: int, end: int) -> tuple[list[Score], Losses]:
            part = (images[first:end], labels[first:end])
            scores, losses = rank_by_image(self.supernet, some.architectures, *part, Scorer(batch_size=way.batch_size))
            return scores, losses.numpy()

        began = time.perf_counter()
        found = successive_halving(self.population, make_rungs(way.images, way.batch_size), keep, evaluate)
        return found, time.perf_counter() - began


def columns(scores: Sequence[Score]) -> dict[str, np.ndarray]:
    """Higher is better."""
    return {LOSS: np.array([-one.cross_entropy for one in scores]), TOP1: np.array([one.top1 for one in scores])}


def agreement_row(name: str, scores: dict[str, np.ndarray], seconds: float, subject: Subject, reference: np.ndarray) -> dict[str, Any]:
    """How far each score agrees with the truth, and how probably it orders better than the reference."""
    found = measure({**scores, "reference": reference}, subject.truth, resamples=RESAMPLES)
    told = {
        score: {
            "pearson": found.scores[score].estimates["pearson"].to_json(),
            "kendall": found.scores[score].estimates["kendall"].to_json(),
            "better_than_reference": found.wins(score, "reference"),
        }
        for score in scores
    }
    return {"name": name, "seconds": seconds, "seconds_a_candidate": seconds / len(subject.truth), "scores": told}


def cheap_row(keep: float, way: Way, full: list[Score], full_seconds: float, subject: Subject, reference: np.ndarray) -> dict[str, Any]:
    """Cheap first beside the full evaluation of the same batches."""
    found, seconds = subject.score_cheap_first(way, keep)
    mine, theirs = columns(found.scores)[LOSS], columns(full)[LOSS]
    row = agreement_row(f"cheap first, keep {keep:g}, of {way}", {LOSS: mine}, seconds, subject, reference)
    best = [set(np.argsort(-values, kind="stable")[: found.place]) for values in (mine, theirs)]
    with_full = measure({"cheap first": mine}, theirs, resamples=0).scores["cheap first"]
    return {
        **row,
        **found.to_json(),
        "kendall_with_full": with_full.estimates["kendall"].value,
        "best_found": len(best[0] & best[1]) / found.place,
        "time_saved": 1 - seconds / full_seconds,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For the terminal."""
    lines, cheap = [], []
    for row in rows:
        for score, told in row["scores"].items():
            cells = [_estimate(told[statistic]) for statistic in ("kendall", "pearson")]
            lines.append([row["name"], score, f"{row['seconds_a_candidate']:.3f}", *cells, _share(told["better_than_reference"])])
        if "images_saved" in row:
            levels = ", ".join(f"{level['candidates']} on {level['images']:,}" for level in row["levels"])
            saved = (f"{row['images_saved']:.0%}", f"{row['time_saved']:.0%}")
            cheap.append([row["name"].split(",")[1], levels, *saved, f"{row['kendall_with_full']:.3f}", f"{row['best_found']:.0%}"])
    first = tabulate(lines, ["way", "score", "s a candidate", "Kendall", "Pearson", "better than the first"], disable_numparse=True)
    if not cheap:
        return first
    headers = ["cheap first", "candidates on images", "images saved", "time saved", "Kendall with full", "of the best found"]
    return f"{first}\n\n{tabulate(cheap, headers, disable_numparse=True)}"


def _estimate(told: dict[str, float | None]) -> str:
    if told["value"] is None:
        return "undefined"
    return f"{told['value']:.3f} [{told['low']:.3f}, {told['high']:.3f}]"


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def read(arguments: argparse.Namespace) -> Subject:
    """The checkpoint with its images, and the candidates whose accuracy is known, or a few of them from end to end of the file."""
    supernet, header = load_supernet(arguments.checkpoint)
    dataset = dataset_from_header({key: header["data"][key] for key in ("name", "arguments")}, str(arguments.data))
    known = read_accuracies(arguments.known, supernet.space)
    architectures = list(known)
    if arguments.few is not None:
        architectures = [architectures[place] for place in np.linspace(0, len(known) - 1, arguments.few).astype(int)]
    truth = np.array([known[architecture] for architecture in architectures])
    return Subject(supernet, Population.of(supernet.space, architectures), truth, dataset)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.which_score", description="Which score agrees best, at what cost.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="where the data set's files lie")
    parser.add_argument("--known", type=Path, required=True, metavar="FILE", help="accuracies in the challenge's format")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there, after each of them")
    parser.add_argument("--cheap-first", action="store_true", help="only the full evaluation and cheap first, not the other ways")
    parser.add_argument("--few", type=int, metavar="N", help=f"a try: only N candidates, and 1/{FEWER} of all images")
    arguments = parser.parse_args()
    configure_process()
    subject = read(arguments)
    reference_way, cheap_way, *ways = (way if arguments.few is None else way.fewer() for way in (REFERENCE, CHEAP, *WAYS))
    ways = [] if arguments.cheap_first else ways
    conditions = {**machine(), "command": " ".join(["python -m benchmarks.which_score", *sys.argv[1:]])}
    rows: list[dict[str, Any]] = []

    def keep(row: dict[str, Any]) -> None:
        rows.append(row)
        print(f"{row['name']}: {row['seconds']:.1f} s", file=sys.stderr)
        if arguments.json is not None:
            content = {"machine": conditions, "candidates": len(subject.truth), "resamples": RESAMPLES, "rows": rows}
            write_json(arguments.json, content)

    subject.score(Way(10))  # warms up
    try:
        scores, seconds = subject.score(reference_way)
        reference = columns(scores)[LOSS]
        keep(agreement_row(str(reference_way), columns(scores), seconds, subject, reference))
        for way in [*ways, cheap_way]:
            scores, seconds = subject.score(way)
            keep(agreement_row(str(way), columns(scores), seconds, subject, reference))
        for share in KEPT:
            keep(cheap_row(share, cheap_way, scores, seconds, subject, reference))
    except KeyboardInterrupt:
        print("interrupted; these are the rows so far", file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
