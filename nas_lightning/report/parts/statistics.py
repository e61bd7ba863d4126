"""Statistics of an agreement as heads and cells of tables."""

from nas_lightning.agreement import Estimate

CORRELATIONS = {
    "kendall": "Kendall tau-b",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "weighted_kendall": "weighted Kendall",
    "kendall_top_third": "Kendall, top third",
}
OF_THE_TOP = {
    "top_k_overlap": ("top-{} overlap", ".2f", 1),
    "best_rank": ("best place of top {}", ".3g", 1),
    "regret": ("regret of top {}, points", ".2f", 100),
}
"""Head, number format and factor of each statistic of the k best."""


def head(statistic: str) -> str:
    """Such as ``regret of top 10, points`` for ``regret_10``; ``regret of top k, points`` for ``regret``."""
    name, _, k = statistic.rpartition("_") if statistic not in OF_THE_TOP else (statistic, "", "k")
    return OF_THE_TOP[name][0].format(k) if name in OF_THE_TOP else CORRELATIONS.get(statistic, statistic)


def cell(statistic: str, estimate: Estimate | None) -> str:
    """The estimate with its interval; empty if it was not measured."""
    _, form, factor = OF_THE_TOP.get(statistic.rpartition("_")[0], ("", ".3f", 1))
    return "" if estimate is None else estimate.scaled(factor).text(form)
