"""How far a ranking of architectures agrees with their known accuracies: three correlations with their spread, and the best found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from tabulate import SEPARATING_LINE, tabulate

from nas_lightning.errors import InputError
from nas_lightning.ranking.resampling import bootstrap

FEWEST_ARCHITECTURES = 3
LONGEST_NAME = 22  # characters of a score's name in the table
ROUNDING = 1e-12  # two statistics nearer than this are equal


def pearson(scores: np.ndarray, truth: np.ndarray) -> float:
    """Linear agreement in [-1, 1].

    Args:
        scores: (n,) finite, higher is better.
        truth: (n,) accuracy of the same architectures, in the same order.

    Raises:
        ValueError: if the lengths differ, n < 2, a value is not finite, or one side is constant so that no order exists.
    """
    return float(stats.pearsonr(*_two_sides(scores, truth)).statistic)


def kendall_tau(scores: np.ndarray, truth: np.ndarray) -> float:
    """Agreement of the order of pairs in [-1, 1]; ties share credit (tau-b). Arguments and errors as in `pearson`."""
    return float(stats.kendalltau(*_two_sides(scores, truth)).statistic)


def spearman(scores: np.ndarray, truth: np.ndarray) -> float:
    """Linear agreement of the ranks in [-1, 1]; ties take their mean rank. Arguments and errors as in `pearson`."""
    return float(stats.pearsonr(*(stats.rankdata(side) for side in _two_sides(scores, truth))).statistic)


STATISTICS = {"pearson": pearson, "kendall": kendall_tau, "spearman": spearman}


def top_k_overlap(scores: np.ndarray, truth: np.ndarray, k: int) -> float:
    """The share of the k best by score that are among the k best by truth, in [0, 1]; about k / n by chance.

    Architectures tied at the k-th place share the places left among them evenly: the result is what breaking ties at random gives on
    average. Breaking them by place in the list would let a list sorted by accuracy flatter a score that cannot tell its
    architectures apart. So a constant score gets exactly k / n, and a column with ties at the k-th place does not reach 1 with itself.

    Raises:
        ValueError: if the lengths differ, a value is not finite, or k is not in 1..n.
    """
    scores, truth = _same_architectures(scores, truth)
    if not 1 <= k <= len(scores):
        raise ValueError(f"top {k} of {len(scores)} architectures: k must be from 1 to their number")
    return float(_chance_in_top(scores, k) @ _chance_in_top(truth, k) / k)


def _chance_in_top(values: np.ndarray, k: int) -> np.ndarray:
    threshold = np.partition(values, -k)[-k]
    above, tied = values > threshold, values == threshold
    return above + tied * (k - above.sum()) / tied.sum()


def _same_architectures(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != truth.shape:
        raise ValueError(f"scores {scores.shape} and truth {truth.shape} must be one-dimensional and of one length")
    if not (np.isfinite(scores).all() and np.isfinite(truth).all()):
        raise ValueError("scores and truth must be finite")
    return scores, truth


def _two_sides(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = _same_architectures(scores, truth)
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} architectures: agreement needs at least 2")
    for name, side in (("scores", scores), ("truth", truth)):
        if side.min() == side.max():
            raise ValueError(f"the {name} are constant ({side[0]}), so that no order exists")
    return scores, truth


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic and its 95 % bootstrap interval (percentiles); None where undefined."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: float | None, draws: np.ndarray) -> "Estimate":
        """From the value on all architectures and on the resamples, nan where a resample has none."""
        defined = draws[~np.isnan(draws)]
        if value is None or not len(defined):
            return cls(value, None, None)
        low, high = np.percentile(defined, [2.5, 97.5])
        return cls(value, float(low), float(high))

    def to_json(self) -> dict[str, float | None]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        return f"{self.value:.3f}" if self.low is None else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """How far one score agrees with the truth."""

    pearson: Estimate
    kendall: Estimate
    spearman: Estimate
    constant: bool  # the score is the same for all architectures
    ties: float  # share of the pairs of architectures that the score cannot tell apart, in [0, 1]
    top_k_overlap: dict[int, float]  # for each k up to n / 2
    dropped: int  # resamples left out because a side was constant in them
    draws: dict[str, np.ndarray] = field(repr=False, compare=False)  # statistic -> (resamples,), nan where dropped

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the draws."""
        return {
            **{statistic: getattr(self, statistic).to_json() for statistic in STATISTICS},
            "top_k_overlap": {str(k): overlap for k, overlap in self.top_k_overlap.items()},
            "constant": self.constant,
            "ties": self.ties,
            "dropped_resamples": self.dropped,
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far each score, and each trivial baseline, agrees with the truth on the same architectures and the same resamples."""

    n: int  # architectures measured
    missing: int  # architectures left out because the truth or a score of theirs is not finite
    resamples: int
    seed: int
    by_score: dict[str, ScoreAgreement]
    baselines: tuple[str, ...] = ()  # those of by_score that are baselines

    def beats(self, first: str, second: str, statistic: str = "kendall") -> float | None:
        """The share of resamples in which the first score's statistic is the higher; equal ones count half.

        Only resamples in which both are defined are counted; None where there are none.
        """
        differences = self.by_score[first].draws[statistic] - self.by_score[second].draws[statistic]
        differences = differences[~np.isnan(differences)]
        if not len(differences):
            return None
        return float(np.mean((differences > ROUNDING) + 0.5 * (np.abs(differences) <= ROUNDING)))

    def to_json(self) -> dict[str, Any]:
        """The content of ranking/agreement.json: plain, and None where undefined."""
        names = [name for name in self.by_score if name not in self.baselines]
        return {
            "n": self.n,
            "missing": self.missing,
            "resamples": self.resamples,
            "seed": self.seed,
            "interval": "95 % bootstrap percentiles over architectures",
            "scores": {name: self.by_score[name].to_json() for name in names},
            "baselines": {name: self.by_score[name].to_json() for name in self.baselines},
            "beats": {
                name: {other: {statistic: self.beats(name, other, statistic) for statistic in STATISTICS} for other in self.baselines}
                for name in names
            },
        }

    def table(self) -> str:
        """For the terminal, about 100 columns wide; the baselines stand below a line."""
        names = [name for name in self.by_score if name not in self.baselines]
        top = min((k for score in self.by_score.values() for k in score.top_k_overlap), default=None)
        rows: list[Any] = [self._row(name, top) for name in names]
        if names and self.baselines:
            rows.append(SEPARATING_LINE)
        rows += [self._row(name, top) for name in self.baselines]
        headers = ["score", "Pearson", "Kendall", "Spearman"] + ([] if top is None else [f"top-{top}"])
        left_out = f" ({self.missing:,} left out)" if self.missing else ""
        intervals = f"; 95 % intervals from {self.resamples:,} resamples, seed {self.seed}" if self.resamples else ""
        return f"{tabulate(rows, headers, disable_numparse=True)}\n{self.n:,} architectures{left_out}{intervals}"

    def beats_table(self, statistic: str = "kendall") -> str:
        """For the terminal: the probability that each score orders the candidates better than each baseline."""
        names = [name for name in self.by_score if name not in self.baselines]
        rows = [[name, *(self.beats(name, other, statistic) for other in self.baselines)] for name in names]
        return tabulate(rows, [f"better {statistic} than", *self.baselines], floatfmt=".3f", missingval="undefined")

    def _row(self, name: str, top: int | None) -> list[str]:
        score = self.by_score[name]
        short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        cells = ["constant" if score.constant else str(getattr(score, statistic)) for statistic in STATISTICS]
        return [short, *cells] + ([] if top is None else [f"{score.top_k_overlap[top]:.2f}"])


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
    choice of architectures moves the result; they say nothing about another training run.

    Args:
        scores: by name, (n,) each, higher is better.
        truth: (n,) known accuracies of the same architectures in the same order; or another ranking's scores.
        baselines: the names in `scores` that stand for trivial rankings, such as the number of parameters.
        resamples: draws of n architectures with replacement; 0 leaves the intervals out.
        seed: of the resamples, at least 0.
        top: the k of the top-k overlap; those over n / 2 are left out.

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
    by_score = {name: _measure_one(column[complete], truth, resamples, seed, top) for name, column in columns.items()}
    return Agreement(n, missing, resamples, seed, by_score, tuple(baselines))


def _measure_one(scores: np.ndarray, truth: np.ndarray, resamples: int, seed: int, top: Sequence[int]) -> ScoreAgreement:
    n = len(scores)
    _, sizes = np.unique(scores, return_counts=True)
    constant = len(sizes) == 1
    if constant or truth.min() == truth.max():
        draws = {statistic: np.full(resamples, np.nan) for statistic in STATISTICS}
        estimates = {statistic: Estimate(None, None, None) for statistic in STATISTICS}
    else:
        draws = bootstrap(scores, truth, resamples, seed)
        estimates = {statistic: Estimate.of(on(scores, truth), draws[statistic]) for statistic, on in STATISTICS.items()}
    return ScoreAgreement(
        **estimates,
        constant=constant,
        ties=float((sizes * (sizes - 1)).sum() / (n * (n - 1))),
        top_k_overlap={k: top_k_overlap(scores, truth, k) for k in top if k <= n / 2},
        dropped=int(np.isnan(draws["kendall"]).sum()),
        draws=draws,
    )
