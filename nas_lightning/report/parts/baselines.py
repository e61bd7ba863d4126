"""Agreement next to baselines: three correlations of every score with the known accuracies, with intervals."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from nas_lightning.agreement import Agreement, Estimate, ScoreAgreement
from nas_lightning.report.content import Part, Table
from nas_lightning.report.drawing import ACCENT, INK, MUTED, Figure, Hover, is_narrow, short
from nas_lightning.report.parts.verdict import wins
from nas_lightning.report.run import RunFiles

TITLE = "Agreement beside baselines"
STATISTICS = {
    "kendall": "Kendall tau-b",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "weighted_kendall": "weighted Kendall",
    "kendall_top_third": "Kendall, top third",
}
PANELS = ("kendall", "pearson", "spearman")
SCORE, BASELINE, FITTED = "score", "baseline", "fitted on known accuracies"
MARKERS = {SCORE: ("o", ACCENT, ACCENT), BASELINE: ("s", MUTED, MUTED), FITTED: ("D", INK, "white")}
"""Symbol, colour, fill colour."""
ROW_HEIGHT = 34  # CSS pixels
MOST_ROWS = 40
"""Maximum rows of the figure; the table has all."""
OF_THE_BEST = {"top_k_overlap": "top-{} overlap", "best_rank": "best place of top {}", "regret": "regret of top {}"}


class Row(NamedTuple):
    """A score, or a baseline that it is compared with."""

    name: str
    kind: str
    score: ScoreAgreement

    def estimate(self, statistic: str) -> Estimate | None:
        """The estimate of a statistic; None if undefined or not measured."""
        estimate = self.score.estimates.get(statistic)
        return None if estimate is None or estimate.value is None else estimate


def baselines(run: RunFiles) -> Part:
    """A dot and interval for each score and correlation, then the numbers."""
    agreement = run.agreement
    if agreement is None:
        missing = "Missing: ranking/agreement.json, which a run writes where accuracies are known."
        return Part(TITLE, (missing if run.stale is None else f"{run.stale}.",))
    scores = sorted(agreement.scores.items(), key=lambda item: item[0] != run.label)  # stable: the configured one first
    rows = [Row(name, SCORE, score) for name, score in scores]
    rows += [Row(name, BASELINE, score) for name, score in agreement.baselines.items()]
    rows += [Row(f"fitted on {count} known", FITTED, ScoreAgreement(fit.estimates)) for count, fit in agreement.fitted.items()]
    panels = [statistic for statistic in PANELS if any(row.estimate(statistic) is not None for row in rows)]
    tables = [_table(agreement, rows, run.label), *_wins_table(agreement, run.label)]
    if not panels:
        return Part(TITLE, ("No correlation of any score is defined.",), tables=tables)
    notes = ["Filled circles: scores of the supernet. Squares: baselines that need no training. Lines: 95 % intervals."]
    if agreement.fitted:
        notes.append(
            "Open diamonds: a regression on the widths, fitted on that many known accuracies and judged on the others; the lines say how "
            "much depends on which. It was shown what the scores never saw: it tells what training so many candidates alone would buy."
        )
    ceiling = agreement.noise_ceiling
    if ceiling is not None:
        means = f" (means over {ceiling.seeds} trainings)" if ceiling.seeds else ""
        notes.append(f"Dashed: what a perfect predictor would reach, because the known accuracies{means} are noisy.")
    limits = {} if ceiling is None else ceiling.estimates
    if len(rows) > MOST_ROWS:
        notes.append(f"Drawn are the first {MOST_ROWS} of {len(rows):,}; the table has all.")
        rows = rows[:MOST_ROWS]
    height = 70 + ROW_HEIGHT * len(rows)

    def draw(canvas: Canvas) -> list[Hover]:
        shape = (len(panels), 1) if is_narrow(canvas) else (1, len(panels))
        all_axes = canvas.subplots(*shape, sharey=True, squeeze=False).ravel()
        return [_panel(axes, rows, statistic, limits.get(statistic)) for axes, statistic in zip(all_axes, panels, strict=True)]

    return Part(
        TITLE,
        ("A supernet that does not beat the baselines has taught nothing that a count of parameters does not say.",),
        figure=Figure(
            "baselines",
            f"Correlations of {len(rows)} scores with the known accuracies, with intervals",
            draw,
            height,
            height * len(panels),
        ),
        notes=notes,
        tables=tables,
    )


def _panel(axes: Axes, rows: Sequence[Row], statistic: str, ceiling: Estimate | None) -> Hover:
    across, down, texts = [], [], []
    least = -0.03
    for place, row in enumerate(rows):
        estimate = row.estimate(statistic)
        if estimate is None or estimate.value is None:
            continue
        value = estimate.value
        low, high = (value if end is None else end for end in (estimate.low, estimate.high))
        symbol, colour, inside = MARKERS[row.kind]
        axes.plot([low, high], [-place, -place], color=colour, linewidth=1.5)
        axes.plot(value, -place, symbol, color=colour, markerfacecolor=inside, markersize=7)
        least = min(least, low - 0.05)
        across.append(value)
        down.append(-place)
        texts.append(f"{short(row.name)}\n{row.kind}\n{STATISTICS[statistic]} {estimate.text()}")
    axes.axvline(0, color=MUTED, linewidth=1)
    if ceiling is not None and ceiling.value is not None:
        axes.axvline(ceiling.value, color=MUTED, linestyle="--")
    axes.set(xlabel=STATISTICS[statistic], xlim=(least, 1.03), ylim=(0.6 - len(rows), 0.6))
    axes.set_yticks([-place for place in range(len(rows))], [textwrap.fill(short(row.name), 24) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return Hover(axes, across, down, texts)


def _table(agreement: Agreement, rows: Sequence[Row], ordered_by: str) -> Table:
    scores = [row.score for row in rows]
    columns = [("score", [row.name for row in rows]), ("kind", [row.kind for row in rows])]
    for name, label in STATISTICS.items():
        if any(name in score.estimates for score in scores):
            columns.append((label, ["constant" if score.constant else _cell(score, name, ".3f") for score in scores]))
    for name, label, form, factor in (("top_k_overlap", "top-{} overlap", ".0%", 1), ("regret", "regret of top {}, points", ".2f", 100)):
        for k in dict.fromkeys(k for score in scores for k in score.by_k(name)):
            columns.append((label.format(k), [_cell(score, f"{name}_{k}", form, factor) for score in scores]))
    copies = f" ({agreement.copies:,} more names are copies)" if agreement.copies else ""
    caption = (
        f"{agreement.n:,} candidates with known accuracy{copies}, ordered by {ordered_by}; "
        f"95 % intervals from {agreement.resamples:,} resamples"
    )
    return Table.of(columns, caption, is_folded=True)


def _cell(score: ScoreAgreement, name: str, form: str, factor: float = 1) -> str:
    estimate = score.estimates.get(name)
    return "" if estimate is None else estimate.scaled(factor).text(form)


def _wins_table(agreement: Agreement, score: str) -> list[Table]:
    measured = dict.fromkeys(name for shares in agreement.win_shares.get(score, {}).values() for name in shares)
    columns = {statistic: agreement.wins_over_baselines(score, statistic) for statistic in measured}
    names = dict.fromkeys(name for shares in columns.values() for name in shares)
    if not names:
        return []
    rows = [[name, *(wins(shares[name]) if name in shares else "" for shares in columns.values())] for name in names]
    caption = f"Share of paired resamples in which {score} is better than the baseline"
    return [Table(["baseline", *map(_statistic, columns)], rows, caption, is_folded=True)]


def _statistic(name: str) -> str:
    """A statistic in words, also one of the k best."""
    start, _, k = name.rpartition("_")
    return OF_THE_BEST[start].format(k) if start in OF_THE_BEST else STATISTICS.get(name, name)
