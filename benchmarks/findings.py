"""The authors' findings, each as the recipe with that one thing undone, at one number of passes; then other ways to train at twice as many.

    python -m benchmarks.findings run FOLDER --overrides data.root=DIR population.file=LIST ranking.list=FILE ranking.known_accuracies=FILE
    python -m benchmarks.findings table FOLDER --known FILE

``run`` starts ``train.py`` for each row and seed that FOLDER lacks, and resumes what was interrupted; each gets the overrides.
``table`` compares each row with the one that it undoes a choice of. One row alone is a command of its own: ``run --dry`` prints them.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from benchmarks.predictors import structure_of
from benchmarks.ways import ROOT
from nas_lightning.agreement.correlations import kendalls
from nas_lightning.agreement.resampling import Side, resample_counts
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.predictors import Monotone, predict
from nas_lightning.scoring.table import read_table
from nas_lightning.space import Architecture, Population, ResidualStructure, read_accuracies

SCORES = ("cross entropy", "monotone", "monotone + 0.5 of capacity")
RESAMPLES = 2000
SEEDS = 3
"""Fewest trainings of a row to say anything of a finding."""
WRITING = threading.Lock()


class Row(NamedTuple):
    """One recipe."""

    finding: str
    """Of the authors, in words; what this row does instead."""
    against: str | None
    """The row that keeps the authors' choice; without it for a row that ``is_the_choice``."""
    experiment: str
    overrides: tuple[str, ...] = ()
    after: str | None = None
    """The row whose supernet it starts from."""
    is_the_choice: bool = False
    """Whether it is the authors' choice itself, which ``against`` undoes."""


TWICE = ("stages.pretrain.epochs=4",)
WIDE = "stages.pretrain.sampler.share=0.75"
P, F, D = "pretraining", "finetuning", "distillation"
ROWS = {
    "running_norms": Row("norms with the statistics of the batch; running ones", "recipe", P, ("supernet.norm=running",)),
    "recipe": Row("", None, P),
    "one_path": Row(
        "six paths a step; one, in six times the steps", "recipe", P, ("stages.pretrain.sampler.paths=1", "stages.pretrain.epochs=12")
    ),
    "official_pipeline": Row("Cutout without ColorJitter; ColorJitter without Cutout", "recipe", P, ("augmentation=official",)),
    "no_cutout": Row("Cutout; none", "recipe", P, ("augmentation.operations.cutout=null",)),
    "shortcuts": Row("1x1 shortcuts everywhere; where needed", "recipe", P, ("supernet.shortcuts=where_needed",)),
    "rate_0.1": Row("learning rate 0.025; 0.1", "recipe", P, ("stages.pretrain.optimizer.lr=0.1",)),
    "rate_0.01": Row("learning rate 0.025; 0.01", "recipe", P, ("stages.pretrain.optimizer.lr=0.01",)),
    "decay_1e-4": Row("weight decay 5e-4; 1e-4", "recipe", P, ("stages.pretrain.optimizer.weight_decay=1e-4",)),
    "finetuned": Row("", None, F, (), "recipe"),
    "finetuned_uniform": Row(
        "200 listed candidates finetuned; uniform ones", "finetuned", F, ("sampler@stages.finetune.sampler=uniform",), "recipe"
    ),
    "finetuned_100": Row(
        "100 listed candidates finetuned; 200", "finetuned", F, ("sampler@stages.finetune.sampler=listed_random100",), "recipe", True
    ),
    "distilled": Row("", None, D, (), "finetuned"),
    "distilled_labels": Row(
        "distillation from the largest; labels alone", "distilled", D, ("objective@stages.distill.objective=cross_entropy",), "finetuned"
    ),
    "second_4e-3": Row("", None, D, ("stages.distill.optimizer.lr=4e-3", "stages.distill.sampler.choose.seed=2"), "distilled"),
    "second_1e-3": Row(
        "the second distillation's rate 4e-3; 1e-3", "second_4e-3", D, ("stages.distill.sampler.choose.seed=2",), "distilled"
    ),
    "half_pretrained": Row("", None, P, ("stages.pretrain.epochs=1",)),
    "finetuned_longer": Row(
        "30 epochs of finetuning, a ninth; two thirds", "finetuned", F, ("stages.finetune.epochs=2",), "half_pretrained"
    ),
    "not_finetuned": Row("finetuning at all; one more epoch of pretraining", "finetuned", P, ("stages.pretrain.epochs=3",)),
    "uniform_twice": Row("", None, P, TWICE),
    "fair_twice": Row("uniform paths; strictly fair ones", "uniform_twice", P, ("sampler@stages.pretrain.sampler=fair", *TWICE)),
    "wide_twice": Row(
        "uniform paths; three in four drawn wide", "uniform_twice", P, ("sampler@stages.pretrain.sampler=wide", WIDE, *TWICE)
    ),
    "sandwich_twice": Row(
        "uniform paths of labels; the sandwich rule, taught by the largest",
        "uniform_twice",
        P,
        ("sampler@stages.pretrain.sampler=sandwich", "objective@stages.pretrain.objective=kl_distillation", *TWICE),
    ),
}


def command_of(name: str, seed: int, folder: Path, overrides: Sequence[str]) -> list[str]:
    """The command of a row."""
    row = ROWS[name]
    start = [f"initial_checkpoint={folder / f'{row.after}_{seed}/supernet.safetensors'}"] if row.after else []
    run_dir = f"run_dir={folder / f'{name}_{seed}'}"
    return ["train.py", f"experiment=findings/{row.experiment}", *row.overrides, f"seed={seed}", *start, *overrides, run_dir]


def run(folder: Path, seeds: Sequence[int], names: Sequence[str], processes: int, overrides: Sequence[str], dry: bool) -> int:
    """Trains what is missing, in the order of the rows, each once the row that it starts from has ended; returns the number of failures."""
    folder.mkdir(parents=True, exist_ok=True)

    def train(name: str, seed: int) -> int:
        if (folder / f"{name}_{seed}/ranking/agreement.json").is_file():
            return 0
        command = command_of(name, seed, folder, overrides)
        if dry:
            print("python", *command)
            return 0
        began = time.perf_counter()
        with (folder / f"{name}_{seed}.txt").open("a") as output:
            code = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT).returncode
        with WRITING, (folder / "seconds.csv").open("a") as file:
            file.write(f"{name},{seed},{code},{time.perf_counter() - began:.1f}\n")
        print(f"{name}, seed {seed}: exit {code}, {time.perf_counter() - began:.0f} s", flush=True)
        return code

    left, running, failed = [(name, seed) for seed in seeds for name in names], dict[Future[int], tuple[str, int]](), set[tuple[str, int]]()
    with ThreadPoolExecutor(1 if dry else processes) as pool:
        while left or running:
            unfinished = {*left, *running.values()}
            ready = [(name, seed) for name, seed in left if (ROWS[name].after, seed) not in unfinished]
            for name, seed in ready[: processes - len(running)]:
                left.remove((name, seed))
                if (ROWS[name].after, seed) in failed:
                    failed.add((name, seed))
                else:
                    running[pool.submit(train, name, seed)] = name, seed
            for one in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(one)
                if one.result():
                    failed.add(job)
    return len(failed)


def tables_of(folder: Path, name: str) -> dict[int, Path]:
    """A row's tables by seed: of its runs in the folder, or kept there as ROW_SEED.csv."""
    runs = {path.parents[1].name: path for path in folder.glob(f"{name}_[0-9]/ranking/scores.csv")}
    kept = {path.name.removesuffix(".csv"): path for path in folder.glob(f"{name}_[0-9].csv")}
    return {int(run.rpartition("_")[2]): path for run, path in sorted((kept | runs).items())}


def scores_of(path: Path, structure: ResidualStructure, known: dict[Architecture, float]) -> dict[str, np.ndarray]:
    """Scores of the known candidates in their order, (n,) each, by name; higher is better."""
    table = read_table(path, structure.space)
    population = Population(structure.space, tuple(table.population))
    row_of = {one: row for row, one in enumerate(population.architectures)}
    rows = [row_of[one] for one in known]
    entropies = np.array([score.cross_entropy for score in table.scores])
    fitted = (predict(way, structure, population, table.scores, population, 0)[0] for way in (Monotone(), Monotone(capacity=0.5)))
    return {name: -values[rows] for name, values in zip(SCORES, (entropies, *fitted), strict=True)}


class Judged(NamedTuple):
    """A score of a row."""

    taus: dict[int, float]
    """Kendall tau by seed."""
    gain: tuple[float, float, float] | None
    """What the authors' choice gains, with the 95 % interval; None in a row that undoes none."""
    seeds: int
    """Of both rows, that the gain is the mean of."""

    @property
    def verdict(self) -> str:
        """What the interval says of the finding."""
        if self.gain is None:
            return ""
        if self.seeds < SEEDS:  # two trainings of one recipe differ by up to 0.09
            return "(one seed)" if self.seeds == 1 else "(two seeds)"
        return "confirmed" if self.gain[1] > 0 else "contradicted" if self.gain[2] < 0 else "not shown"

    def __str__(self) -> str:
        text = " ".join(f"{tau:.3f}" for tau in self.taus.values())
        if self.gain is None:
            return text
        mean, low, high = self.gain
        return f"{text}; {mean:+.3f} [{low:+.3f}, {high:+.3f}] {self.verdict}"


def gain_of(kept: np.ndarray, undone: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """The mean over seeds of the paired differences, and its 95 % interval over resampled seeds and candidates.

    Args:
        kept: Kendall tau of the row that keeps the choice, (seeds, 1 + resamples): on all candidates, then on resampled ones.
        undone: the same of the other row, with the same seeds and resamples.
    """
    gains = kept - undone
    drawn = np.random.default_rng(seed).integers(len(gains), size=(gains.shape[1] - 1, len(gains)))
    low, high = np.quantile(gains[drawn, np.arange(1, gains.shape[1])[:, None]].mean(axis=1), (0.025, 0.975))
    return float(gains[:, 0].mean()), float(low), float(high)


def table(folder: Path, known_file: Path) -> dict[str, dict[str, Judged]]:
    """Every score of every row that was run."""
    structure = structure_of("resnet20_track1", 100, 3)
    known = read_accuracies(known_file, structure.space)
    truth = np.array([known[one] for one in known])
    counts = np.concatenate([np.ones((1, len(truth)), dtype=int), *resample_counts(len(truth), RESAMPLES, 0)])
    taus: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for name in ROWS:
        for seed, path in tables_of(folder, name).items():
            scores = scores_of(path, structure, known)
            by_score = {score: kendalls(Side.of(values, counts), Side.of(truth, counts))["kendall"] for score, values in scores.items()}
            taus.setdefault(name, {})[seed] = by_score

    def judge(name: str, score: str) -> Judged:
        own, kept = taus[name], taus.get(ROWS[name].against or "", {})
        shared = sorted(own.keys() & kept.keys())
        pair = (own, kept) if ROWS[name].is_the_choice else (kept, own)
        with_choice, without = ([one[seed][score] for seed in shared] for one in pair)
        gain = gain_of(np.stack(with_choice), np.stack(without)) if shared else None
        return Judged({seed: float(own[seed][score][0]) for seed in sorted(own)}, gain, len(shared))

    return {name: {score: judge(name, score) for score in SCORES} for name in taus}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.findings", description="The authors' findings, tested.")
    actions = parser.add_subparsers(dest="action", required=True)
    trains = actions.add_parser("run", help="trains the rows that FOLDER lacks")
    trains.add_argument("folder", type=Path, metavar="FOLDER")
    trains.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    trains.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    trains.add_argument("--processes", type=int, default=1, help="runs at a time (default %(default)s)")
    trains.add_argument("--dry", action="store_true", help="print the commands only")
    trains.add_argument("--overrides", nargs="+", default=[], metavar="KEY=VALUE", help="for each train.py")
    judges = actions.add_parser("table", help="what the rows of FOLDER say of each finding")
    judges.add_argument("folder", type=Path, metavar="FOLDER")
    judges.add_argument("--known", type=Path, required=True, metavar="FILE", help="accuracies in the challenge's format")
    judges.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    given = parser.parse_args()
    if given.action == "run":
        raise SystemExit(bool(run(given.folder, given.seeds, given.rows, given.processes, given.overrides, given.dry)))
    judged = table(given.folder, given.known)
    cells = [[name, ROWS[name].finding, *map(str, scores.values())] for name, scores in judged.items()]
    print(tabulate(cells, ["row", "finding; undone", *SCORES], tablefmt="github"))
    if given.json is not None:
        write_json(
            given.json,
            {name: ROWS[name]._asdict() | {score: one._asdict() for score, one in scores.items()} for name, scores in judged.items()},
        )


if __name__ == "__main__":
    main()
