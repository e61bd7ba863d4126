"""How far a ranking of architectures agrees with their known accuracies: correlations and the best found, with their spread."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from tabulate import SEPARATING_LINE, tabulate

from nas_lightning.errors import InputError
from nas_lightning.ranking.ceiling import Ceiling
from nas_lightning.ranking.fitted_baseline import FittedBaseline
from nas_lightning.ranking.resampling import Drawn, Estimate, Sides, bootstrap, correlations, same_architectures
from nas_lightning.ranking.top import top_statistics

FEWEST_ARCHITECTURES = 3
LONGEST_NAME = 22  # characters of a score's name in the table
ROUNDING = 1e-12  # two statistics nearer than this are equal
CORRELATIONS = ("pearson", "kendall", "spearman", "weighted_kendall", "kendall_top_third")
OF_THE_TOP = ("top_k_overlap", "best_rank", "regret")
LOWER_IS_BETTER = ("best_rank", "regret")


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


def _two_sides(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = same_architectures(scores, truth)
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} architectures: agreement needs at least 2")
    for name, side in (("scores", scores), ("truth", truth)):
        if side.min() == side.max():
            raise ValueError(f"the {name} are constant ({side[0]}), so that no order exists")
    return scores, truth


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """How far one score agrees with the truth; the intervals hold 95 % of the resamples' values."""

    pearson: Estimate
    kendall: Estimate
    spearman: Estimate
    weighted_kendall: Estimate  # as `correlations` says
    kendall_top_third: Estimate
    top_k_overlap: dict[int, Estimate]  # for each k up to n / 2; so are best_rank and regret, and also for k = 1
    best_rank: dict[int, Estimate]
    regret: dict[int, Estimate]
    constant: bool  # the score is the same for all architectures
    ties: float  # share of the pairs of architectures that the score cannot tell apart, in [0, 1]
    dropped: int  # resamples without correlations because a side was constant in them
    draws: dict[str, np.ndarray] = field(repr=False, compare=False)  # statistic, or statistic_k -> (resamples,), nan where undefined

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the draws."""
        of_the_top = {one: getattr(self, one) for one in OF_THE_TOP}
        return {
            **{statistic: getattr(self, statistic).to_json() for statistic in CORRELATIONS},
            **{one: {str(k): estimate.to_json() for k, estimate in found.items()} for one, found in of_the_top.items()},
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
    fitted: dict[int, FittedBaseline] = field(default_factory=dict)  # by the number of known accuracies that it was fitted on
    ceiling: Ceiling | None = None  # None where the truth has one seed, or is not the run's own
    copies: int = 0  # names left out because the architecture is measured under another one

    @property
    def statistics(self) -> tuple[str, ...]:
        """Whatever was resampled: the correlations, and those of the top with their k, such as ``regret_10``."""
        return tuple(next(iter(self.by_score.values())).draws)

    def beats(self, first: str, second: str, statistic: str = "kendall") -> float | None:
        """The share of resamples in which the first score's statistic is the better; equal ones count half.

        Only resamples in which both are defined are counted; None where there are none.
        """
        differences = self.by_score[first].draws[statistic] - self.by_score[second].draws[statistic]
        differences = differences[~np.isnan(differences)] * (-1 if statistic.startswith(LOWER_IS_BETTER) else 1)
        if not len(differences):
            return None
        return float(np.mean((differences > ROUNDING) + 0.5 * (np.abs(differences) <= ROUNDING)))

    def to_json(self) -> dict[str, Any]:
        """The content of ranking/agreement.json: plain, and None where undefined."""
        names = [name for name in self.by_score if name not in self.baselines]
        return {
            "n": self.n,
            "missing": self.missing,
            "copies": self.copies,
            "resamples": self.resamples,
            "seed": self.seed,
            "interval": "95 % bootstrap percentiles over architectures",
            "scores": {name: self.by_score[name].to_json() for name in names},
            "baselines": {name: self.by_score[name].to_json() for name in self.baselines},
            "beats": {
                name: {other: {one: self.beats(name, other, one) for one in self.statistics} for other in self.baselines} for name in names
            },
            "fitted": {str(count): baseline.to_json() for count, baseline in self.fitted.items()},
            "ceiling": None if self.ceiling is None else self.ceiling.to_json(),
        }

    def table(self) -> str:
        """For the terminal, about 100 columns wide: the whole order, then the top of it; the baselines stand below a line."""
        one = next(iter(self.by_score.values()))
        k = next((k for k in one.best_rank if k > 1), 1)
        shared = next(iter(one.top_k_overlap), None)
        of_order = self._rows(
            lambda score: [
                *(str(getattr(score, statistic)) for statistic in ("pearson", "kendall", "spearman")),
                *([] if shared is None else [f"{score.top_k_overlap[shared].value:.2f}"]),
            ]
        )
        of_top = self._rows(
            lambda score: [
                *(estimate.text(2) for estimate in (score.weighted_kendall, score.kendall_top_third)),
                score.best_rank[k].text(0),
                score.regret[k].text(),
            ]
        )
        order = ["score", "Pearson", "Kendall", "Spearman", *([] if shared is None else [f"top-{shared}"])]
        top = ["score", "weighted Kendall", "Kendall top third", f"best of {k}", f"regret of {k}"]
        left_out = f" ({self.missing:,} left out)" if self.missing else ""
        copies = f" ({self.copies:,} more names are copies of these)" if self.copies else ""
        intervals = f"; 95 % intervals from {self.resamples:,} resamples, seed {self.seed}" if self.resamples else ""
        tables = [tabulate(rows, headers, disable_numparse=True) for rows, headers in ((of_order, order), (of_top, top))]
        return "\n\n".join([*tables, f"{self.n:,} architectures{left_out}{copies}{intervals}"])

    def _rows(self, cells: Callable[[ScoreAgreement], list[str]]) -> list[Any]:
        names = [name for name in self.by_score if name not in self.baselines]
        line = [SEPARATING_LINE] if names and self.baselines else []
        return [*(self._row(name, cells) for name in names), *line, *(self._row(name, cells) for name in self.baselines)]

    def _row(self, name: str, cells: Callable[[ScoreAgreement], list[str]]) -> list[str]:
        score = self.by_score[name]
        short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        return [short, *("constant" if score.constant and cell == "undefined" else cell for cell in cells(score))]


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
        resamples: draws of n architectures with replacement; 0 leaves the intervals out.
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
    by_score = {name: _measure_one(column[complete], truth, resamples, seed, top) for name, column in columns.items()}
    return Agreement(n, missing, resamples, seed, by_score, tuple(baselines))


def _measure_one(scores: np.ndarray, truth: np.ndarray, resamples: int, seed: int, top: Sequence[int]) -> ScoreAgreement:
    n = len(scores)
    top = [k for k in top if k <= n / 2]
    depths = sorted({1, *top})

    def statistics(drawn: Drawn) -> dict[str, np.ndarray]:
        of_top = {k: top_statistics(drawn, k) for k in depths}
        return correlations(drawn) | {
            f"{one}_{k}": of_top[k][one] for one in OF_THE_TOP for k in (top if one == "top_k_overlap" else depths)
        }

    sides = Sides.of(scores, truth)
    values = statistics(Drawn.all_once(sides))
    draws = bootstrap(sides, resamples, seed, statistics) if resamples else {name: np.empty(0) for name in values}
    estimates = {name: Estimate.of(float(value[0]), draws[name]) for name, value in values.items()}
    _, sizes = np.unique(scores, return_counts=True)
    return ScoreAgreement(
        **{name: estimates[name] for name in CORRELATIONS},
        top_k_overlap={k: estimates[f"top_k_overlap_{k}"] for k in top},
        best_rank={k: estimates[f"best_rank_{k}"] for k in depths},
        regret={k: estimates[f"regret_{k}"] for k in depths},
        constant=len(sizes) == 1,
        ties=float((sizes * (sizes - 1)).sum() / (n * (n - 1))),
        dropped=int(np.isnan(draws["kendall"]).sum()),
        draws=draws,
    )
