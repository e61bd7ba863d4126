"""Measures the agreement of scores with a truth, on the same architectures and resamples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nas_lightning.agreement.agreement import CORRELATIONS, Agreement, ScoreAgreement
from nas_lightning.agreement.correlations import MOST_PAIRED, kendalls, kendalls_of_all, of_values_and_ranks
from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES, Estimate
from nas_lightning.agreement.noise_ceiling import NoiseCeiling
from nas_lightning.agreement.resampling import Side, Statistics, bootstrap
from nas_lightning.agreement.sampling_error import SamplingError
from nas_lightning.agreement.supervised_predictor import supervised_predictors
from nas_lightning.agreement.top import of_top
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.scoring.table import ScoreTable
from nas_lightning.space import Architecture, size_and_last_width

BASELINES = ("parameters", "multiply-adds", "last width", "sum of widths", "size and last width")
LOWER_IS_BETTER = ("best_rank", "regret")
ROUNDING = 1e-12
"""Statistics closer than this are equal."""


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

    An architecture with a nan or infinite truth or score is left out throughout. The intervals cover the choice of
    architectures, but not another training run. A resample holds some architectures several times, so that its k best
    are fewer distinct ones: intervals of the top are rough. Above 4,000 architectures the weighted Kendall has no interval.

    Args:
        scores: by name, (n,) each, higher is better.
        truth: (n,) known accuracies of the same architectures in the same order; or another ranking's scores.
        baselines: the names in ``scores`` of trivial rankings, such as the number of parameters.
        resamples: of n architectures, with replacement; 0 omits the intervals.
        seed: of the resamples, at least 0.
        top: each k of top-k overlap, best rank and regret (these two also have k = 1); those over n / 2 are omitted.

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
    truth, columns = truth[complete], {name: column[complete] for name, column in columns.items()}
    ks = [k for k in top if k <= n / 2]

    def statistics(x: Side, y: Side) -> dict[str, np.ndarray]:
        return of_values_and_ranks(x, y) | of_top(x, y, ks) | (kendalls(x, y) if n <= MOST_PAIRED else {})

    values = {name: _on_all(statistics, column, truth) for name, column in columns.items()}
    resampled = bootstrap(columns, truth, resamples, seed, statistics)
    if n > MOST_PAIRED:
        values = {name: others | kendalls_of_all(columns[name], truth) for name, others in values.items()}
        for name, distances in _kendalls_of_some(columns, truth, resamples, seed).items():
            resampled[name] |= {statistic: (values[name][statistic] + distance).clip(-1, 1) for statistic, distance in distances.items()}
    agreements = {name: _agreement(column, values[name], resampled[name]) for name, column in columns.items()}
    return Agreement(
        n,
        missing,
        resamples,
        seed,
        {name: agreement for name, agreement in agreements.items() if name not in baselines},
        {name: agreements[name] for name in baselines},
        {name: {other: _win_shares(resampled[name], resampled[other]) for other in columns if other != name} for name in columns},
        kendall_subset=None if n <= MOST_PAIRED else MOST_PAIRED,
    )


def _kendalls_of_some(columns: Mapping[str, np.ndarray], truth: np.ndarray, resamples: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Distances of Kendall's correlations on resamples from their values, on ``MOST_PAIRED`` random architectures.

    The distances are scaled by the square root of the ratio of sizes, like the spread of a correlation. The weighted one has
    none: a few candidates at the top weigh most, however many follow, so that its spread hardly shrinks.
    """
    rows = generator(seed, "bootstrap subset").choice(len(truth), MOST_PAIRED, replace=False)
    some, some_truth = {name: column[rows] for name, column in columns.items()}, truth[rows]
    scale = np.sqrt(MOST_PAIRED / len(truth))
    resampled = bootstrap(some, some_truth, resamples, seed, kendalls)
    values = {name: _on_all(kendalls, column, some_truth) for name, column in some.items()}
    return {
        name: {
            key: np.full_like(drawn, np.nan) if key == "weighted_kendall" else scale * (drawn - values[name][key])
            for key, drawn in by_key.items()
        }
        for name, by_key in resampled.items()
    }


def _on_all(statistics: Statistics, scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    once = np.ones((1, len(truth)))
    return {name: float(value[0]) for name, value in statistics(Side.of(scores, once), Side.of(truth, once)).items()}


def _agreement(scores: np.ndarray, values: Mapping[str, float], resampled: Mapping[str, np.ndarray]) -> ScoreAgreement:
    n, sizes = len(scores), np.unique(scores, return_counts=True)[1]
    names = (*CORRELATIONS, *(name for name in values if name not in CORRELATIONS))
    return ScoreAgreement(
        {name: Estimate.of(values[name], resampled.get(name, np.empty(0))) for name in names},
        constant=len(sizes) == 1,
        ties=float((sizes * (sizes - 1)).sum() / (n * (n - 1))),
        dropped=int(np.isnan(resampled.get("pearson", np.empty(0))).sum()),
    )


def _win_shares(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """``Agreement.wins`` by statistic."""
    shares: dict[str, float | None] = {}
    for statistic, values in first.items():
        differences = values - second[statistic]
        differences = differences[~np.isnan(differences)] * (-1 if statistic.startswith(LOWER_IS_BETTER) else 1)
        won = (differences > ROUNDING) + 0.5 * (np.abs(differences) <= ROUNDING)
        shares[statistic] = float(won.mean()) if len(won) else None
    return shares


def agreement_with(
    table: ScoreTable,
    known: Mapping[Architecture, float],
    resamples: int,
    seed: int = 0,
    by_seed: npt.NDArray[np.float64] | None = None,
    images: int | None = None,
) -> Agreement:
    """Agreement of scores, and baselines without training, with known accuracies; duplicate architectures count once.

    Args:
        known: accuracies as fractions; candidates of the table without one are left out.
        by_seed: (n, seeds) accuracies whose means are the known ones, one row per architecture, if there are any.
        images: on which the known accuracies were measured; None if that is unknown.
    """
    architectures = table.population.architectures
    distinct = list(table.population.distinct_rows)
    rows = [row for row in distinct if architectures[row] in known]
    truth = np.array([known[architectures[row]] for row in rows])
    widths, parameters = table.population.widths[rows], table.parameters[rows]
    last = table.population.widths[:, -1] if table.last_widths is None else table.last_widths
    untrained = size_and_last_width(table.parameters[distinct], last[distinct])
    scores = {
        **{label: values[rows] for label, values in table.qualities().items()},
        "parameters": parameters.astype(float),
        "multiply-adds": table.multiply_adds[rows].astype(float),
        "last width": last[rows].astype(float),
        "sum of widths": widths.sum(axis=1).astype(float),
        "size and last width": untrained(parameters, last[rows]),
    }
    return replace(
        measure(scores, truth, baselines=BASELINES, resamples=resamples, seed=seed),
        fitted=supervised_predictors(widths[np.isfinite(truth)], truth[np.isfinite(truth)], seed),
        noise_ceiling=None if by_seed is None else NoiseCeiling.of(by_seed, seed),
        sampling_error=None if images is None else SamplingError.of(truth, images),
        copies=sum(architecture in known for architecture in architectures) - len(rows),
    )
