"""What a second process is worth: ranking on two devices, and a sweep whose jobs run side by side.   python -m benchmarks.devices

Each round runs all ways once, in turn, as commands of their own. Both cores must be quiet.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).parents[1]
SUPERNET = ROOT / "records" / "2026-11-24_track1_cpu" / "supernet.safetensors"
JOBS = 4
Way = Callable[[Path], float]


def command(threads: int, *arguments: object) -> str:
    """Runs it with so many threads a process, and returns what it said."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    said = [sys.executable, *map(str, arguments)]
    done = subprocess.run(said, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def rank(candidates: Path, count: int, data: Path, processes: int, threads: int) -> Way:
    """Seconds an architecture of a ranking, without the start of the processes."""
    listed = [f"checkpoint={SUPERNET}", f"ranking.list={candidates}", "ranking=sample", f"ranking.count={count}", "ranking.images=500"]
    devices = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={processes}"] if processes > 1 else []

    def seconds(folder: Path) -> float:
        said = command(threads, "-m", "nas_lightning.commands.rank", *listed, f"data.root={data}", *devices, f"run_dir={folder}")
        found = re.search(r"ranking: ([\d,]+) candidates in ([\d.]+) s", said)
        assert found is not None, said
        return float(found[2]) / int(found[1].replace(",", ""))

    return seconds


def sweep(threads: int, *launcher: str) -> Way:
    """Seconds of a sweep of ``JOBS`` jobs, all that it takes."""

    def seconds(folder: Path) -> float:
        seeds = f"seed={','.join(map(str, range(JOBS)))}"
        began = time.perf_counter()
        command(threads, "train.py", "-m", "experiment=quickstart", "standalone=none", seeds, f"hydra.sweep.dir={folder}", *launcher)
        return time.perf_counter() - began

    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "cifar-100-binary")
    parser.add_argument("--list", type=Path, default=ROOT.parent / "shared" / "data" / "track1" / "Track1_final_archs.json")
    parser.add_argument("--count", type=int, default=1000, help="candidates; of few, each process spends its time compiling kernels")
    given = parser.parse_args()
    ways: dict[str, dict[str, Way]] = {
        "ranking, s an architecture on 500 images": {
            "1 process x 1 thread": rank(given.list, given.count, given.data, 1, 1),
            "2 processes x 1 thread": rank(given.list, given.count, given.data, 2, 1),
            "1 process x 2 threads": rank(given.list, given.count, given.data, 1, 2),
        },
        f"sweep of {JOBS} quickstarts, s": {
            "basic launcher, 1 thread": sweep(1),
            "joblib, 2 jobs x 1 thread": sweep(1, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
            "basic launcher, 2 threads": sweep(2),
        },
    }
    for title, group in ways.items():
        seconds: dict[str, list[float]] = {name: [] for name in group}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(given.rounds):
                for name, way in group.items():
                    seconds[name].append(way(Path(folder) / f"{len(seconds)}_{sum(map(len, seconds.values()))}"))
        base = next(iter(seconds.values()))
        rows = []
        for name, found in seconds.items():
            ratios = [one / other for one, other in zip(base, found, strict=True)]
            rows.append([name, statistics.median(found), statistics.median(ratios), f"{min(ratios):.2f} to {max(ratios):.2f}"])
        print(f"\n{title}, {given.rounds} rounds")
        print(tabulate(rows, ["way", "median", "times faster", "range over rounds"], floatfmt=".3g"), flush=True)


if __name__ == "__main__":
    main()
