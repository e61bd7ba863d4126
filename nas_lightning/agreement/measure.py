"""Measures how far scores agree with a truth, all on the same architectures and the same resamples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nas_lightning.agreement.agreement import FEWEST_ARCHITECTURES, OF_THE_TOP, Agreement, ScoreAgreement
from nas_lightning.agreement.estimate import Estimate
from nas_lightning.agreement.noise_ceiling import NoiseCeiling
from nas_lightning.agreement.resampling import Drawn, Sides, bootstrap, correlations
from nas_lightning.agreement.supervised_predictor import supervised_predictors
from nas_lightning.agreement.top import top_statistics
from nas_lightning.errors import InputError
from nas_lightning.ranking.table import ScoreTable
from nas_lightning.space import Architecture

BASELINES = ("parameters", "multiply-adds", "last width", "sum of widths")
LOWER_IS_BETTER = ("best_rank", "regret")
ROUNDING = 1e-12
"""Two statistics nearer than this are equal."""


def measure(
    scores: Mapping[str, np.ndarray],
    truth: np.ndarray,
    *,
    baselines: Sequence[str] = (),
    resamples: int = 1000,
    seed: int = 0,
    top: Sequence[int] = (10, 50),
) -> Agreement:
    """Compares every score with the truth, all on the same architectures and the same bootstrap resamples.

    An architecture whose truth, or any of whose scores, is nan or infinite is left out of all of them. The intervals say how the
    choice of architectures moves the result; they say nothing about another training run. A resample holds some architectures several
    times, so its k best are fewer different ones: the intervals of what concerns the top are rough.

    Args:
        scores: by name, (n,) each, higher is better.
        truth: (n,) known accuracies of the same architectures in the same order; or another ranking's scores.
        baselines: the names in `scores` that stand for trivial rankings, such as the number of parameters.
        resamples: of n architectures, with replacement; 0 leaves the intervals out.
        seed: of the resamples, at least 0.
        top: the k of the top-k overlap, the best rank and the regret, which also have k = 1; those over n / 2 are left out.

    Raises:
        InputError: if fewer than 3 architectures are left.
        ValueError: if the shapes differ, or a baseline is not among the scores.
    """
    if unknown := [name for name in baselines if name not in scores]:
        raise ValueError(f"baselines {unknown} are not among the scores {list(scores)}")
    truth = np.asarray(truth, dtype=np.float64)
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in scores.items()}
    for name, column in columns.items():
        if truth.ndim != 1 or column.shape != truth.shape:
            raise ValueError(f"{name} {column.shape} and truth {truth.shape} must be one-dimensional and of one length")
    complete = np.isfinite(truth)
    for column in columns.values():
        complete &= np.isfinite(column)
    n, missing = int(complete.sum()), int((~complete).sum())
    if n < FEWEST_ARCHITECTURES:
        left_out = f" ({missing} more have a truth or score that is nan or infinite)" if missing else ""
        raise InputError(f"found {n} architectures with truth and all scores{left_out}; agreement needs at least {FEWEST_ARCHITECTURES}")
    truth = truth[complete]
    measured = {name: _measure_one(column[complete], truth, resamples, seed, top) for name, column in columns.items()}
    agreements = {name: agreement for name, (agreement, _) in measured.items()}
    resampled = {name: by_statistic for name, (_, by_statistic) in measured.items()}
    return Agreement(
        n,
        missing,
        resamples,
        seed,
        {name: agreement for name, agreement in agreements.items() if name not in baselines},
        {name: agreements[name] for name in baselines},
        {name: {other: _win_shares(resampled[name], resampled[other]) for other in columns if other != name} for name in columns},
    )


def _measure_one(
    scores: np.ndarray, truth: np.ndarray, resamples: int, seed: int, top: Sequence[int]
) -> tuple[ScoreAgreement, dict[str, np.ndarray]]:
    """The agreement, and every statistic on each resample: (resamples,), nan where it is undefined."""
    n = len(scores)
    top = [k for k in top if k <= n / 2]
    depths = sorted({1, *top})

    def statistics(drawn: Drawn) -> dict[str, np.ndarray]:
        of_top = {k: top_statistics(drawn, k) for k in depths}
        return correlations(drawn) | {
            f"{name}_{k}": of_top[k][name] for name in OF_THE_TOP for k in (top if name == "top_k_overlap" else depths)
        }

    sides = Sides.of(scores, truth)
    values = statistics(Drawn.all_once(sides))
    resampled = bootstrap(sides, resamples, seed, statistics) if resamples else {name: np.empty(0) for name in values}
    _, sizes = np.unique(scores, return_counts=True)
    agreement = ScoreAgreement(
        {name: Estimate.of(float(value[0]), resampled[name]) for name, value in values.items()},
        constant=len(sizes) == 1,
        ties=float((sizes * (sizes - 1)).sum() / (n * (n - 1))),
        dropped=int(np.isnan(resampled["kendall"]).sum()),
    )
    return agreement, resampled


def _win_shares(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """By statistic, as ``Agreement.wins``."""
    shares: dict[str, float | None] = {}
    for statistic, values in first.items():
        differences = values - second[statistic]
        differences = differences[~np.isnan(differences)] * (-1 if statistic.startswith(LOWER_IS_BETTER) else 1)
        won = (differences > ROUNDING) + 0.5 * (np.abs(differences) <= ROUNDING)
        shares[statistic] = float(won.mean()) if len(won) else None
    return shares


def agreement_with(
    table: ScoreTable, known: Mapping[Architecture, float], resamples: int, seed: int = 0, by_seed: npt.NDArray[np.float64] | None = None
) -> Agreement:
    """How far the scores, and the baselines that need no training, agree with known accuracies; copies of an architecture count once.

    Args:
        known: accuracies as fractions; candidates of the table without one are left out.
        by_seed: (n, s) the accuracies of the training seeds whose means are the known ones, a row an architecture, where there are such.
    """
    architectures = table.population.architectures
    rows = [row for row in table.population.distinct_rows if architectures[row] in known]
    truth = np.array([known[architectures[row]] for row in rows])
    widths = table.population.widths[rows]
    scores = {
        **{label: values[rows] for label, values in table.qualities().items()},
        "parameters": table.parameters[rows].astype(float),
        "multiply-adds": table.multiply_adds[rows].astype(float),
        "last width": widths[:, -1].astype(float),
        "sum of widths": widths.sum(axis=1).astype(float),
    }
    return replace(
        measure(scores, truth, baselines=BASELINES, resamples=resamples, seed=seed),
        fitted=supervised_predictors(widths, truth, seed),
        noise_ceiling=None if by_seed is None else NoiseCeiling.of(by_seed, seed),
        copies=sum(architecture in known for architecture in architectures) - len(rows),
    )
