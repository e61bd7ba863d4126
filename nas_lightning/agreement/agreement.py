"""Agreement of scores with known accuracies: the content of ``agreement.json``, and its table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tabulate import SEPARATING_LINE, tabulate

from nas_lightning.agreement.estimate import Estimate
from nas_lightning.agreement.noise_ceiling import NoiseCeiling
from nas_lightning.agreement.sampling_error import SamplingError
from nas_lightning.agreement.supervised_predictor import SupervisedPredictor

LONGEST_NAME = 22  # characters of a score's name in the table
CORRELATIONS = ("pearson", "kendall", "spearman", "weighted_kendall", "kendall_top_third")
OF_THE_TOP = ("top_k_overlap", "best_rank", "regret")
"""Statistics of the k best by score, one value per k."""


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """Agreement of one score with the truth."""

    estimates: Mapping[str, Estimate]
    """By statistic, if measured: ``CORRELATIONS``, and ``OF_THE_TOP`` with their k, such as ``regret_10``."""
    constant: bool = False
    """The score is the same for all architectures."""
    ties: float | None = None
    """Share of the pairs of architectures with equal scores, in [0, 1]; None if not measured."""
    dropped: int = 0
    """Resamples without correlations, because a side was constant in them."""

    def by_k(self, statistic: str) -> dict[int, Estimate]:
        """One of ``OF_THE_TOP`` by its k."""
        start = f"{statistic}_"
        return {int(name.removeprefix(start)): estimate for name, estimate in self.estimates.items() if name.startswith(start)}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **{name: self.estimates[name].to_json() for name in CORRELATIONS},
            **{name: {str(k): estimate.to_json() for k, estimate in self.by_k(name).items()} for name in OF_THE_TOP},
            "constant": self.constant,
            "ties": self.ties,
            "dropped_resamples": self.dropped,
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of scores and trivial baselines with the truth, on the same architectures and resamples."""

    n: int
    """Architectures measured."""
    missing: int
    """Architectures left out because their truth or a score is not finite."""
    resamples: int
    seed: int
    scores: Mapping[str, ScoreAgreement]
    baselines: Mapping[str, ScoreAgreement] = field(default_factory=dict)
    win_shares: Mapping[str, Mapping[str, Mapping[str, float | None]]] = field(default_factory=dict)
    """Values of ``wins``, by both names and statistic; a file holds those of a score over a baseline."""
    fitted: Mapping[int, SupervisedPredictor] = field(default_factory=dict)
    """By the number of known accuracies to fit on."""
    noise_ceiling: NoiseCeiling | None = None
    """None if the truth has one seed, or is not the run's own."""
    sampling_error: SamplingError | None = None
    """None if it is not recorded on how many images the truth was measured."""
    copies: int = 0
    """Names left out because their architecture is measured under another name."""
    kendall_subset: int | None = None
    """Number of random architectures for the resamples' Kendall correlations; None for all."""

    @property
    def is_noisy(self) -> bool:
        """Whether the choice of the test images is known to blur the known accuracies' order."""
        return self.sampling_error is not None and self.sampling_error.is_large

    @property
    def by_name(self) -> dict[str, ScoreAgreement]:
        """The scores, then the baselines."""
        return {**self.scores, **self.baselines}

    @property
    def statistics(self) -> tuple[str, ...]:
        """The measured statistics: correlations, and those of the top with their k, such as ``regret_10``."""
        return tuple(next(iter(self.by_name.values())).estimates)

    def wins(self, first: str, second: str, statistic: str = "kendall") -> float | None:
        """The share of resamples in which the first score's statistic is better; ties count half.

        Only resamples in which both are defined count; None if there are none, or the share was not measured.
        """
        return self.win_shares.get(first, {}).get(second, {}).get(statistic)

    def wins_over_baselines(self, score: str, statistic: str = "kendall") -> dict[str, float]:
        """The share of resamples that the score wins, by baseline, if defined."""
        shares = {name: self.wins(score, name, statistic) for name in self.win_shares.get(score, {}) if name not in self.scores}
        return {name: share for name, share in shares.items() if share is not None}

    def to_json(self) -> dict[str, Any]:
        """The content of ranking/agreement.json: plain values, None if undefined."""
        return {
            "n": self.n,
            "missing": self.missing,
            "copies": self.copies,
            "resamples": self.resamples,
            "seed": self.seed,
            "interval": "95 % bootstrap percentiles over architectures",
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "baselines": {name: score.to_json() for name, score in self.baselines.items()},
            "beats": {
                name: {other: {statistic: self.wins(name, other, statistic) for statistic in self.statistics} for other in self.baselines}
                for name in self.scores
            },
            "fitted": {str(count): predictor.to_json() for count, predictor in self.fitted.items()},
            "ceiling": None if self.noise_ceiling is None else self.noise_ceiling.to_json(),
            **({} if self.sampling_error is None else {"sampling_error": self.sampling_error.to_json()}),
            **({} if self.kendall_subset is None else {"kendall_subset": self.kendall_subset}),
        }

    def table(self) -> str:
        """A table for the terminal, the baselines below a line; the other statistics are in the file and in the page."""
        shared = next((k for k in next(iter(self.by_name.values())).by_k("top_k_overlap")), None)
        rows: list[Any] = [[_short(name), *cells_of(score, shared)] for name, score in self.by_name.items()]
        if self.scores and self.baselines:
            rows.insert(len(self.scores), SEPARATING_LINE)
        return f"{tabulate(rows, ['score', *headers_of(shared)], disable_numparse=True)}\n{self.footnote}"

    @property
    def footnote(self) -> str:
        """How many architectures and resamples are behind the table."""
        left_out = f" ({self.missing:,} left out)" if self.missing else ""
        copies = f" ({self.copies:,} more names are copies of these)" if self.copies else ""
        intervals = f"; 95 % intervals from {self.resamples:,} resamples, seed {self.seed}" if self.resamples else ""
        if self.resamples and self.kendall_subset is not None:
            intervals += f"; Kendall's from {self.kendall_subset:,} of the architectures at random"
        return f"{self.n:,} architectures{left_out}{copies}{intervals}"


def headers_of(shared: int | None) -> list[str]:
    """Heads of ``cells_of``."""
    return ["Kendall, 95 % interval", *([] if shared is None else [f"top-{shared} overlap"])]


def cells_of(score: ScoreAgreement, shared: int | None) -> list[str]:
    """Kendall's tau-b, and the share of the ``shared`` best by score among the truly best, unless that is None."""
    kendall = score.estimates["kendall"].text()
    of_top = [] if shared is None else [f"{score.estimates[f'top_k_overlap_{shared}'].value:.2f}"]
    return ["constant" if score.constant and kendall == "undefined" else kendall, *of_top]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
