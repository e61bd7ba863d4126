"""``python -m benchmarks.scaling FOLDER``: how time grows with candidates, images, paths and threads; plots and the numbers beside them.

Needs matplotlib. Every point is the median of a few rounds in one process of our own, which measures all points of a plot in turn;
thousands of candidates are ranked once.
"""

import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.turns import Worker

ROUNDS = 3
CANDIDATES, IMAGE_COUNTS, PATH_COUNTS = (10, 100, 1_000, 10_000), (100, 300, 1_000, 3_000, 10_000), (1, 2, 4, 6, 8, 12, 16)
FEW_IMAGES = 100
"""For many candidates: thousands of them would take too long on more."""
LOGARITHMIC = ("neighbours ranked together", "images")
WARM_UP = 25

Points = dict[int, float]


def medians(measured: Callable[[int, int], float], places: tuple[int, ...], rounds: int = ROUNDS) -> Points:
    """The median seconds at each place, over rounds that visit all places in turn."""
    seconds: dict[int, list[float]] = {place: [] for place in places}
    for place in places[:-1]:
        measured(place, 0)  # warms up
    for number in range(rounds):
        for place in places:
            seconds[place].append(measured(place, number))
    return {place: statistics.median(some) for place, some in seconds.items()}


def measure() -> dict[str, tuple[str, str, dict[str, Points]]]:
    """For each plot: what is on its axes, and its lines."""
    cores = os.cpu_count() or 1
    ours = Worker("ours", cores)
    for number in range(WARM_UP):
        ours("training_step", 10_000 + number, max(PATH_COUNTS))
    ranking = medians(lambda count, _: ours("ranking", 0, count, FEW_IMAGES)[0] / count, CANDIDATES, rounds=1)
    images = medians(lambda count, _: ours("ranking", 0, 10, count)[0] / 10, IMAGE_COUNTS)
    paths = medians(lambda count, number: ours("training_step", number, count)[0], PATH_COUNTS)
    ours.stop()
    threads: dict[str, Points] = {"training step, 6 paths": {}, "ranking, a candidate on 500 images": {}}
    for count in range(1, cores + 1):
        worker = Worker("ours", count)
        for number in range(WARM_UP):
            worker("training_step", number)
        worker("ranking", 0, 30)
        steps = [worker("training_step", number)[0] for number in range(2 * ROUNDS)]
        ranked = [worker("ranking", 0, 30)[0] / 30 for _ in range(ROUNDS)]
        threads["training step, 6 paths"][count] = statistics.median(steps)
        threads["ranking, a candidate on 500 images"][count] = statistics.median(ranked)
        worker.stop()
    return {
        "candidates": ("neighbours ranked together", f"seconds a candidate, {FEW_IMAGES} images", {"": ranking}),
        "images": ("images", "seconds a candidate, of 10 neighbours", {"": images}),
        "paths": ("paths a step", "seconds a step, batch 128", {"": paths}),
        "threads": ("threads", "seconds", threads),
    }


def draw(plots: dict[str, tuple[str, str, dict[str, Points]]], file: Path) -> None:
    """All plots in one picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(plots), figsize=(4 * len(plots), 3.4), layout="constrained")
    for axis, (x, y, lines) in zip(axes, plots.values(), strict=True):
        for label, points in lines.items():
            axis.plot(list(points), list(points.values()), marker="o", label=label or None)
        axis.set(xlabel=x, ylabel=y)
        axis.set_xscale("log" if x in LOGARITHMIC else "linear")
        if x == "images":
            axis.set_yscale("log")
        else:
            axis.set_ylim(0, 1.1 * max(value for points in lines.values() for value in points.values()))
        if x == "threads":
            axis.set_xticks(sorted({place for points in lines.values() for place in points}))
        if any(lines):
            axis.legend(frameon=False, fontsize="small")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.scaling FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    plots = measure()
    content = {name: {"x": x, "y": y, "lines": lines} for name, (x, y, lines) in plots.items()}
    (folder / "scaling.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(plots, folder / "scaling.png")


if __name__ == "__main__":
    main()
