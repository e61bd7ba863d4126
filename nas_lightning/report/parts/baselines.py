"""Agreement beside baselines: three correlations of every score with the known accuracies, each with its interval."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.agreement import STATISTICS, Agreement, Estimate, Kind, Row
from nas_lightning.report.content import Part, Table
from nas_lightning.report.drawing import ACCENT, INK, MUTED, Figure, Hover, is_narrow, short
from nas_lightning.report.parts.verdict import wins
from nas_lightning.report.run import Run

TITLE = "Agreement beside baselines"
PANELS = ("kendall", "pearson", "spearman")
MARKERS = {Kind.SCORE: ("o", ACCENT, ACCENT), Kind.BASELINE: ("s", MUTED, MUTED), Kind.FITTED: ("D", INK, "white")}
"""Symbol, colour, colour of the inside."""
ROW_HEIGHT = 34  # CSS pixels
OF_THE_BEST = {"top_k_overlap": "top-{} overlap", "best_rank": "best place of top {}", "regret": "regret of top {}"}


def baselines(run: Run) -> Part:
    """A dot and interval for each score and correlation, then the numbers."""
    agreement = run.agreement
    if agreement is None:
        missing = "Missing: ranking/agreement.json, which a run writes where accuracies are known."
        return Part(TITLE, (missing if run.stale is None else f"{run.stale}.",))
    rows = sorted(agreement.rows, key=lambda row: row.kind is Kind.SCORE and row is not run.row)  # stable: the configured one first
    rows = [row for kind in Kind for row in rows if row.kind is kind]
    panels = [statistic for statistic in PANELS if any(_estimate(row, statistic) is not None for row in rows)]
    tables = [_table(agreement, rows, run.kind.name), *_wins_table(agreement, run.kind.name if run.row is None else run.row.name)]
    if not panels:
        return Part(TITLE, ("No correlation of any score is defined.",), tables=tables)
    notes = ["Filled circles: scores of the supernet. Squares: baselines that need no training. Lines: 95 % intervals."]
    if any(row.kind is Kind.FITTED for row in rows):
        notes.append(
            "Open diamonds: a regression on the widths, fitted on that many known accuracies and judged on the others; the lines say how "
            "much depends on which. It was shown what the scores never saw: it tells what training so many candidates alone would buy."
        )
    if agreement.ceiling:
        means = "" if agreement.ceiling_seeds is None else f" (means over {agreement.ceiling_seeds} trainings)"
        notes.append(f"Dashed: what a perfect predictor would reach, because the known accuracies{means} are noisy.")
    each = 70 + ROW_HEIGHT * len(rows)

    def draw(canvas: Canvas) -> list[Hover]:
        shape = (len(panels), 1) if is_narrow(canvas) else (1, len(panels))
        all_axes = canvas.subplots(*shape, sharey=True, squeeze=False).ravel()
        return [_panel(axes, rows, statistic, agreement.ceiling.get(statistic)) for axes, statistic in zip(all_axes, panels, strict=True)]

    return Part(
        TITLE,
        ("A supernet that does not beat the baselines has taught nothing that a count of parameters does not say.",),
        figure=Figure(
            "baselines",
            f"Correlations of {len(rows)} scores with the known accuracies, with intervals",
            draw,
            each,
            each * len(panels),
        ),
        notes=notes,
        tables=tables,
    )


def _estimate(row: Row, statistic: str) -> Estimate | None:
    found = row.statistics.get(statistic)
    return None if found is None or found.value is None else found


def _panel(axes: Axes, rows: Sequence[Row], statistic: str, ceiling: Estimate | None) -> Hover:
    across, down, texts = [], [], []
    least = -0.03
    for place, row in enumerate(rows):
        estimate = _estimate(row, statistic)
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
        texts.append(f"{short(row.name)}\n{row.kind.value}\n{STATISTICS[statistic]} {estimate.text()}")
    axes.axvline(0, color=MUTED, linewidth=1)
    if ceiling is not None and ceiling.value is not None:
        axes.axvline(ceiling.value, color=MUTED, linestyle="--")
    axes.set(xlabel=STATISTICS[statistic], xlim=(least, 1.03), ylim=(0.6 - len(rows), 0.6))
    axes.set_yticks([-place for place in range(len(rows))], [textwrap.fill(short(row.name), 24) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return Hover(axes, across, down, texts)


def _table(agreement: Agreement, rows: Sequence[Row], ordered_by: str) -> Table:
    statistics = [name for name in STATISTICS if any(name in row.statistics for row in rows)]
    overlaps = sorted({k for row in rows for k in row.best["top_k_overlap"]})
    regrets = sorted({k for row in rows for k in row.best["regret"]})
    head = ["score", "kind", *(STATISTICS[name] for name in statistics)]
    head += [*(f"top-{k} overlap" for k in overlaps), *(f"regret of top {k}, points" for k in regrets)]
    cells = []
    for row in rows:
        correlations = [row.statistics.get(name) for name in statistics]
        best = [row.best["top_k_overlap"].get(k) for k in overlaps]
        lost = [row.best["regret"].get(k) for k in regrets]
        cells.append(
            [
                row.name,
                row.kind.value,
                *("" if found is None else "constant" if row.constant else found.text() for found in correlations),
                *("" if found is None else found.text(".0%") for found in best),
                *("" if found is None else found.scaled(100).text(".2f") for found in lost),
            ]
        )
    copies = f" ({agreement.copies:,} more names are copies)" if agreement.copies else ""
    caption = (
        f"{agreement.n:,} candidates with known accuracy{copies}, ordered by {ordered_by}; "
        f"95 % intervals from {agreement.resamples:,} resamples"
    )
    return Table(head, cells, caption)


def _wins_table(agreement: Agreement, score: str) -> list[Table]:
    baselines = agreement.beats.get(score, {})
    measured = list(dict.fromkeys(name for found in baselines.values() for name in found))
    measured.sort(key=lambda name: [*STATISTICS].index(name) if name in STATISTICS else len(STATISTICS))
    if not measured:
        return []
    rows = [[name, *(wins(found[statistic]) if statistic in found else "" for statistic in measured)] for name, found in baselines.items()]
    head = ["baseline", *map(_statistic, measured)]
    return [Table(head, rows, f"Share of paired resamples in which {score} is better than the baseline")]


def _statistic(name: str) -> str:
    """In words, also of the k best."""
    start, _, k = name.rpartition("_")
    return OF_THE_BEST[start].format(k) if start in OF_THE_BEST else STATISTICS.get(name, name)
