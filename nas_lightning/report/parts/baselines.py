"""Agreement beside baselines: three correlations of every score with the known accuracies, each with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from nas_lightning.report.agreement import STATISTICS, Agreement, Estimate, Kind, Row
from nas_lightning.report.content import Figure, Part, Table
from nas_lightning.report.look import ACCENT, INK, MUTED, axis, escaped, layout, light_axes
from nas_lightning.report.parts.verdict import chances
from nas_lightning.report.run import Run

TITLE = "Agreement beside baselines"
PANELS = ("kendall", "pearson", "spearman")
MARKERS = {  # plotly's symbol, matplotlib's, filled, colour
    Kind.SCORE: ("circle", "o", True, ACCENT),
    Kind.BASELINE: ("square", "s", True, MUTED),
    Kind.FITTED: ("diamond-open", "D", False, INK),
}
ROW_HEIGHT = 34  # pixels
LINE_LENGTH = 20  # characters of a label before it is broken


def baselines(run: Run) -> Part:
    """A dot and interval for each score and correlation, then the numbers."""
    agreement = run.agreement
    if agreement is None:
        missing = "Missing: ranking/agreement.json, which a run writes where accuracies are known."
        return Part.missing(TITLE, missing if run.stale is None else f"{run.stale}.")
    rows = sorted(agreement.rows, key=lambda row: row.kind is Kind.SCORE and row is not run.row)  # stable: the configured one first
    rows = [*(row for kind in Kind for row in rows if row.kind is kind)]
    panels = [one for one in PANELS if any(_value(row, one) is not None for row in rows)]
    tables = [_table(agreement, rows, run.kind.name), *_chances_table(agreement, run.kind.name if run.row is None else run.row.name)]
    if not panels:
        return Part(TITLE, ("No correlation of any score is defined.",), tables=tables)
    fitted = any(row.kind is Kind.FITTED for row in rows)
    notes = ["Filled circles: scores of the supernet. Squares: baselines that need no training. Lines: 95 % intervals."]
    if fitted:
        notes.append(
            "Open diamonds: a regression on the widths, fitted on that many known accuracies and judged on the others; the lines say how "
            "much depends on which. It was shown what the scores never saw: it tells what training so many candidates alone would buy."
        )
    if agreement.ceiling:
        notes.append(f"Dashed: what a perfect predictor would reach{_seeds(agreement)}, because the known accuracies are noisy.")
    return Part(
        TITLE,
        ("A supernet that does not beat the baselines has taught nothing that a count of parameters does not say.",),
        figure=Figure(
            "baselines",
            f"Correlations of {len(rows)} scores with the known accuracies, with intervals",
            [_trace(rows, kind, one, number) for number, one in enumerate(panels, start=1) for kind in Kind],
            _layout(agreement, rows, panels),
            _narrow(rows, panels),
            lambda canvas: _draw(canvas, agreement, rows, panels),
            (9.0, 1.2 + 0.36 * len(rows)),
        ),
        notes=notes,
        tables=tables,
    )


def _value(row: Row, statistic: str) -> Estimate | None:
    found = row.statistics.get(statistic)
    return None if found is None or found.value is None else found


def _label(row: Row) -> str:
    """Broken into lines, so that a phone has room beside it."""
    lines = [""]
    for word in row.name[:60].split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= LINE_LENGTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(map(escaped, lines))


def _trace(rows: Sequence[Row], kind: Kind, statistic: str, panel: int) -> dict[str, Any]:
    symbol, _, _, colour = MARKERS[kind]
    shown = [(-place, row, _value(row, statistic)) for place, row in enumerate(rows) if row.kind is kind]
    found = [(place, row, estimate, *_ends(estimate)) for place, row, estimate in shown if estimate is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": kind.value,
        "x": [round(value, 6) for _, _, _, value, _, _ in found],
        "y": [place for place, *_ in found],
        "xaxis": f"x{_suffix(panel)}",
        "yaxis": f"y{_suffix(panel)}",
        "marker": {"symbol": symbol, "size": 10, "color": colour},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [round(high - value, 6) for _, _, _, value, _, high in found],
            "arrayminus": [round(value - low, 6) for _, _, _, value, low, _ in found],
            "color": colour,
            "thickness": 1.5,
            "width": 0,
        },
        "text": [
            f"<b>{escaped(row.name)}</b> ({kind.value})<br>{STATISTICS[statistic]} {estimate.text()}" for _, row, estimate, *_ in found
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "cliponaxis": False,
    }


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    """Value, low and high; where there is no interval, three times the value."""
    value = estimate.value or 0.0
    return value, value if estimate.low is None else estimate.low, value if estimate.high is None else estimate.high


def _suffix(number: int) -> str:
    return "" if number == 1 else str(number)


def _range(rows: Sequence[Row], statistic: str) -> list[float]:
    found = [estimate for row in rows if (estimate := _value(row, statistic)) is not None]
    return [min([-0.03, *(_ends(one)[1] - 0.05 for one in found)]), 1.03]


def _layout(agreement: Agreement, rows: Sequence[Row], panels: Sequence[str]) -> dict[str, Any]:
    share, gap = 1 / len(panels), 0.03
    axes: dict[str, Any] = {}
    shapes: list[dict[str, Any]] = []
    ticks = {"tickvals": [-place for place in range(len(rows))], "ticktext": [_label(row) for row in rows], "ticklen": 0, "linewidth": 0}
    zero = {"zeroline": True, "zerolinecolor": MUTED, "nticks": 6}
    for number, statistic in enumerate(panels, start=1):
        suffix = _suffix(number)
        left = 0 if number == 1 else (number - 1) * share + gap / 2
        right = 1 if number == len(panels) else number * share - gap / 2
        across = {"range": _range(rows, statistic), "domain": [left, right], "anchor": f"y{suffix}", **zero}
        down = {"range": [0.6 - len(rows), 0.6], "domain": [0, 1], "anchor": f"x{suffix}", "showticklabels": number == 1, **ticks}
        axes[f"xaxis{suffix}"], axes[f"yaxis{suffix}"] = axis(STATISTICS[statistic], **across), axis("", **down)
        ceiling = agreement.ceiling.get(statistic)
        if ceiling is not None and ceiling.value is not None:
            line = {"color": MUTED, "width": 1.5, "dash": "dash"}
            ends = {"x0": ceiling.value, "x1": ceiling.value, "y0": 0, "y1": 1}
            shapes.append({"type": "line", "xref": f"x{suffix}", "yref": f"y{suffix} domain", "line": line, **ends})
    return layout(90 + ROW_HEIGHT * len(rows), shapes=shapes, **axes)


def _narrow(rows: Sequence[Row], panels: Sequence[str]) -> dict[str, Any]:
    """The panels one below the other."""
    each = 66 + ROW_HEIGHT * len(rows)  # a panel with its title, in pixels
    height = each * len(panels) + 24
    changes: dict[str, Any] = {"height": height, "margin": {"t": 8, "b": 16}}
    for number in range(1, len(panels) + 1):
        suffix = _suffix(number)
        top = 1 - (number - 1) / len(panels)
        bottom = 1 - number / len(panels) + 56 / (each * len(panels))
        changes[f"xaxis{suffix}"] = {"domain": [0, 1], "nticks": 5}
        changes[f"yaxis{suffix}"] = {"domain": [bottom, top], "showticklabels": True}
    return changes


def _draw(canvas: Canvas, agreement: Agreement, rows: Sequence[Row], panels: Sequence[str]) -> None:
    all_axes = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, statistic in zip(all_axes, panels, strict=True):
        light_axes(axes, STATISTICS[statistic], "")
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_xlim(_range(rows, statistic))
        axes.set_yticks([-place for place in range(len(rows))], [row.name[:60] for row in rows], parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        ceiling = agreement.ceiling.get(statistic)
        if ceiling is not None and ceiling.value is not None:
            axes.axvline(ceiling.value, color=MUTED, linestyle="--")
        for place, row in enumerate(rows):
            estimate = _value(row, statistic)
            if estimate is None:
                continue
            _, marker, filled, colour = MARKERS[row.kind]
            value, low, high = _ends(estimate)
            axes.plot([low, high], [-place, -place], color=colour, linewidth=1.5)
            axes.plot(value, -place, marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6)


def _table(agreement: Agreement, rows: Sequence[Row], ordered_by: str) -> Table:
    statistics = [one for one in STATISTICS if any(one in row.statistics for row in rows)]
    counts = sorted({k for row in rows for k in row.best["top_k_overlap"]})
    regrets = sorted({k for row in rows for k in row.best["regret"]})
    head = [
        "score",
        "kind",
        *(STATISTICS[one] for one in statistics),
        *(f"top-{k} overlap" for k in counts),
        *(f"regret of top {k}, points" for k in regrets),
    ]
    cells = []
    for row in rows:
        overlaps = [row.best["top_k_overlap"].get(k) for k in counts]
        lost = [row.best["regret"].get(k) for k in regrets]
        cells.append(
            [
                row.name,
                row.kind.value,
                *(("constant" if row.constant else row.statistics[one].text()) if one in row.statistics else "" for one in statistics),
                *("" if found is None else found.text(".0%") for found in overlaps),
                *("" if found is None else found.scaled(100).text(".2f") for found in lost),
            ]
        )
    copies = f" ({agreement.copies:,} more names are copies)" if agreement.copies else ""
    caption = (
        f"{agreement.n:,} candidates with known accuracy{copies}, ordered by {ordered_by}; "
        f"95 % intervals from {agreement.resamples:,} resamples"
    )
    return Table(head, cells, caption)


def _chances_table(agreement: Agreement, score: str) -> list[Table]:
    statistics = list(dict.fromkeys([*STATISTICS, *(one for found in agreement.beats.get(score, {}).values() for one in found)]))
    by_statistic: Mapping[str, Mapping[str, float]] = {one: chances(agreement, score, one) for one in statistics}
    measured = [one for one, found in by_statistic.items() if found]
    names = list(dict.fromkeys(name for one in measured for name in by_statistic[one]))
    if not names:
        return []
    rows = [[name, *(f"{by_statistic[one][name]:.3f}" if name in by_statistic[one] else "" for one in measured)] for name in names]
    caption = f"Probability, over paired resamples, that {score} is better than the baseline"
    return [Table(["baseline", *(_statistic(one) for one in measured)], rows, caption)]


def _seeds(agreement: Agreement) -> str:
    return "" if agreement.ceiling_seeds is None else f" against means over {agreement.ceiling_seeds} trainings"


def _statistic(name: str) -> str:
    """In words, also of the k best."""
    words = {"top_k_overlap": "top-{} overlap", "best_rank": "best place of top {}", "regret": "regret of top {}"}
    start, _, k = name.rpartition("_")
    return words[start].format(k) if start in words else STATISTICS.get(name, name)
