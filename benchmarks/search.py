"""``python -m benchmarks.search RUN [...]``: the hypervolume of searches, and of their baselines, by number of evaluated candidates.

Each RUN is a folder of nas-search. The figures of records/ come from these commands, a pair for each seed N:

    C="checkpoint=records/2026-11-24_track1_cpu/supernet.safetensors search.images=100 search.evaluations=1000"
    nas-search $C data.root=DIR search.seed=N run_dir=found_N
    nas-search $C data.root=DIR search.seed=N search.algorithm=random run_dir=random_N
    python -m benchmarks.search found_N random_N

Seconds, of the clock and of the CPU, stand in the line that each command prints when its candidates are evaluated.
"""

import argparse
import csv
from pathlib import Path

from tabulate import tabulate

COUNTS = (100, 200, 500, 1000, 2000)


def rows_of(folder: Path) -> list[list[str]]:
    """A row for the search of a folder and for each of its baselines."""
    with (folder / "search/hypervolume.csv").open(newline="") as file:
        volumes = {(row["run"], int(row["evaluated"])): float(row["hypervolume"]) for row in csv.DictReader(file)}
    with (folder / "search/evaluated.csv").open(newline="") as file:
        codes = [(row["architecture"], row.get("share_of_images")) for row in csv.DictReader(file)]
    assert len(codes) == len({*codes}), f"{folder}: a candidate was evaluated twice on the same images"
    runs = dict.fromkeys(run for run, _ in volumes)
    return [[folder.name, run, *(f"{volumes[run, count]:.4f}" if (run, count) in volumes else "" for count in COUNTS)] for run in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN")
    table = [row for folder in parser.parse_args().folders for row in rows_of(folder)]
    print(tabulate(table, ["folder", "run", *map(str, COUNTS)], disable_numparse=True))


if __name__ == "__main__":
    main()
