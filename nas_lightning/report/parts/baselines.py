"""Agreement next to baselines: three correlations of every score with the known accuracies, with intervals."""

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from nas_lightning.agreement import Agreement, Estimate
from nas_lightning.report.content import Part, Table
from nas_lightning.report.drawing import ACCENT, INK, MUTED, Figure, Hover, is_narrow
from nas_lightning.report.parts.statistics import CORRELATIONS, cell, head
from nas_lightning.report.run import RunFiles
from nas_lightning.report.text import short

PANELS = ("kendall", "pearson", "spearman")
MARKERS = {"score": ("o", ACCENT, ACCENT), "baseline": ("s", MUTED, MUTED), "fitted on known accuracies": ("D", INK, "white")}
"""Symbol, colour, fill colour."""
MARKED = "Filled circles: scores of the supernet. Squares: baselines that need no training. Lines: 95 % intervals."
OPEN = (
    "Open diamonds: a regression on the widths, fitted on that many known accuracies and judged on the others; the lines say how "
    "much depends on which. It was shown what the scores never saw: it tells what training so many candidates alone would buy."
)
DASHED = "Dashed: what a perfect predictor would reach, because the known accuracies are noisy."


Row = tuple[str, str, Mapping[str, Estimate]]
"""Name, kind and estimates of a score, or of a baseline that it is compared with."""


def baselines(run: RunFiles) -> Part | None:
    """A dot and interval for each score and correlation, then the numbers."""
    if run.ranking is None or (agreement := run.agreement) is None:
        return None
    scores = sorted(agreement.scores.items(), key=lambda item: item[0] != run.label)  # stable: the configured one first
    rows: list[Row] = [
        *((name, "score", score.estimates) for name, score in scores),
        *((name, "baseline", score.estimates) for name, score in agreement.baselines.items()),
        *((f"fitted on {count} known", "fitted on known accuracies", fit.estimates) for count, fit in agreement.fitted.items()),
    ]
    ceiling = {} if agreement.noise_ceiling is None else agreement.noise_ceiling.estimates

    def draw(canvas: Canvas) -> list[Hover]:
        shape = (len(PANELS), 1) if is_narrow(canvas) else (1, len(PANELS))
        all_axes = canvas.subplots(*shape, sharey=True).ravel()
        return [_panel(axes, rows, statistic, ceiling.get(statistic)) for axes, statistic in zip(all_axes, PANELS, strict=True)]

    notes = [MARKED, *([OPEN] if agreement.fitted else []), *([DASHED] if ceiling else [])]
    height = 70 + 34 * len(rows)
    says = f"Correlations of {len(rows)} scores with the known accuracies, with intervals"
    return Part(
        "Agreement next to baselines",
        ("A supernet that does not beat the baselines has taught nothing that a count of parameters does not say.",),
        figures=(Figure("baselines", says, draw, notes, height, height * len(PANELS)),),
        tables=(_numbers(agreement, rows, run.label), _wins(agreement, run.label)),
    )


def _panel(axes: Axes, rows: Sequence[Row], statistic: str, ceiling: Estimate | None) -> Hover:
    hover = Hover(axes, [], [], [])
    for place, (name, kind, estimates) in enumerate(rows):
        estimate = estimates.get(statistic)
        if estimate is None or estimate.value is None:
            continue
        low, high = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
        symbol, colour, inside = MARKERS[kind]
        axes.plot([low, high], [-place, -place], color=colour, linewidth=1.5)
        axes.plot(estimate.value, -place, symbol, color=colour, markerfacecolor=inside, markersize=7)
        hover.add(estimate.value, -place, f"{short(name)}\n{kind}\n{CORRELATIONS[statistic]} {estimate}")
    axes.axvline(0, color=MUTED, linewidth=1)
    if ceiling is not None and ceiling.value is not None:
        axes.axvline(ceiling.value, color=MUTED, linestyle="--")
    axes.set(xlabel=CORRELATIONS[statistic], ylim=(0.6 - len(rows), 0.6))
    axes.set_xlim(right=1.03)
    axes.set_yticks([-place for place in range(len(rows))], [textwrap.fill(short(name), 24) for name, _, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return hover


def _numbers(agreement: Agreement, rows: Sequence[Row], ordered_by: str) -> Table:
    cells = [
        {
            "score": name,
            "kind": kind,
            **{head(each): cell(each, estimates.get(each)) for each in dict.fromkeys([*CORRELATIONS, *estimates])},
        }
        for name, kind, estimates in rows
    ]
    caption = (
        f"{agreement.n:,} candidates with known accuracy, ordered by {ordered_by}; 95 % intervals from {agreement.resamples:,} resamples"
    )
    return Table(cells, caption, is_folded=True)


def _wins(agreement: Agreement, score: str) -> Table:
    rows = [
        {"baseline": name, **{head(statistic): f"{100 * share:.1f} %" for statistic, share in shares.items() if share is not None}}
        for name, shares in agreement.win_shares.get(score, {}).items()
    ]
    return Table(rows, f"Share of paired resamples in which {score} is better than the baseline", is_folded=True)
