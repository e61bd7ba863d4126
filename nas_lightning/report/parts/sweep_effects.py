"""The effect of each swept key on the statistic, and a map of two numeric keys."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import ACCENT, INK, Figure, Hover, heat_map, is_narrow, short, spaced
from nas_lightning.report.parts.sweep_verdict import pooled
from nas_lightning.report.sweep import Setting, Sweep
from nas_lightning.report.sweep_keys import clean, listed

MOST_EFFECTS = 8
"""Maximum swept keys with a part of their own."""
MOST_TICKS = 12
"""Maximum values of a key named on an axis."""
MOST_WRITTEN = 40
"""Maximum cells of a map with written means."""


def sweep_effects(sweep: Sweep) -> list[Part]:
    """A map of the first two numeric keys, then one part per swept key."""
    if not sweep.ranked:
        return []
    if not sweep.factors:
        return [Part("Effects", ("Nothing but the seed differs between the configs of the jobs.",))]
    parts = [*_map(sweep), *(_effect(sweep, number) for number in range(len(sweep.factors[:MOST_EFFECTS])))]
    if others := [factor.title for factor in sweep.factors[MOST_EFFECTS:]]:
        parts.append(Part("Other swept keys", (f"Not shown one by one: {len(others)} ({listed(others, 12)}).",)))
    return parts


def _effect(sweep: Sweep, number: int) -> Part:
    factor = sweep.factors[number]
    name = sweep.statistic.name
    groups = [[setting for setting in sweep.ranked if setting.places[number] == place] for place in range(len(factor.values))]
    levels = [(factor.text(place), settings) for place, settings in enumerate(groups) if settings]
    means = [_mean(settings) for _, settings in levels]
    noises = [pooled(settings) for _, settings in levels]
    stds = [0.0 if noise is None else noise.std for noise in noises]
    spreads = ["" if noise is None else f", standard deviation over seeds {noise.std:.4f}" for noise in noises]
    summaries = [
        f"{short(value)}\nmean {mean:.4f}{spread}\nsettings: {len(settings)}"
        for (value, settings), mean, spread in zip(levels, means, spreads, strict=True)
    ]
    jobs = [(place, *point) for place, (_, settings) in enumerate(levels) for point in _jobs(sweep, settings)]

    def draw(canvas: Canvas) -> list[Hover]:
        axes = canvas.subplots()
        across = [place for place, _, _ in jobs]
        axes.scatter(across, [value for _, value, _ in jobs], s=40, color=ACCENT, alpha=0.65, linewidths=0)
        style = "-" if factor.numeric else "none"
        axes.errorbar(range(len(levels)), means, yerr=stds, color=INK, linestyle=style, marker="D", markersize=5, capsize=3)
        named = spaced(np.arange(len(levels)), 5 if is_narrow(canvas) else MOST_TICKS)
        axes.set_xticks(named, [f"{short(levels[place][0])}\n{means[place]:.4f}" for place in named])
        axes.set(xlabel=f"{short(factor.title)} (below each value: the mean)", ylabel=short(name), xlim=(-0.5, len(levels) - 0.5))
        axes.grid(visible=False, axis="x")
        return [
            Hover(axes, across, [value for _, value, _ in jobs], [text for _, _, text in jobs]),
            Hover(axes, list(range(len(levels))), means, summaries),
        ]

    return Part(
        f"Effect of {factor.title}",
        (_comparable(sweep, number, [settings for _, settings in levels]),),
        figure=Figure(f"effect_{number + 1}", f"{name} of {len(jobs)} jobs for {len(levels)} values of {factor.title}", draw, 380, 340),
        notes=(
            "Points: jobs. Diamonds: the mean over settings, each by the mean of its seeds. Bars: the standard deviation over seeds, if a "
            f"setting has two. Values are spaced evenly, {'in ascending order' if factor.numeric else 'in the order of the jobs'}.",
        ),
    )


def _mean(settings: Sequence[Setting]) -> float:
    """The mean of the settings' means over seeds, so that more seeds do not weigh more."""
    return float(np.mean([setting.mean for setting in settings]))


def _jobs(sweep: Sweep, settings: Sequence[Setting]) -> list[tuple[float, str]]:
    """The value and the hover text of each job with a result."""
    return [
        (value, f"job {short(job.name)}\n{setting.label.replace(', ', chr(10))}\nseed {short(clean(job.seed))}\n{value:.4f}")
        for setting in settings
        for job in setting.jobs
        if (value := sweep.statistic.of(job)) is not None
    ]


def _comparable(sweep: Sweep, number: int, levels: Sequence[Sequence[Setting]]) -> str:
    """Other differences between the values of a key."""
    factor = sweep.factors[number]
    others = [other.title for other in sweep.factors if other is not factor]
    sentences = []
    if len(factor.keys) > 1:
        sentences.append(f"Keys that always change together, so that their effects cannot be told apart: {listed(factor.names, 8)}.")
    if others:
        tried = {frozenset(setting.places[:number] + setting.places[number + 1 :] for setting in settings) for settings in levels}
        balanced = "for all values alike, so that the means compare like with like"
        unbalanced = "but not for all values alike, so that a difference of means may come from them"
        sentences.append(f"Other keys were swept, {balanced if len(tried) == 1 else unbalanced}: {listed(others, 8)}.")
    else:
        sentences.append("Nothing else but the seed was swept.")
    if absent := len(factor.values) - len(levels):
        sentences.append(f"Values without a result yet: {absent} of {len(factor.values)}.")
    return " ".join(sentences)


def _map(sweep: Sweep) -> list[Part]:
    """The mean for each pair of values of the first two numeric keys; empty with fewer than two."""
    numeric = [number for number, factor in enumerate(sweep.factors) if factor.numeric]
    if len(numeric) < 2:
        return []
    down, across = numeric[:2]
    rows, columns = sweep.factors[down], sweep.factors[across]
    cells: dict[tuple[int, int], list[Setting]] = {}
    for setting in sweep.ranked:
        cells.setdefault((setting.places[down], setting.places[across]), []).append(setting)
    values = np.full((len(rows.values), len(columns.values)), np.nan)
    for cell, settings in cells.items():
        values[cell] = _mean(settings)
    texts = [
        f"{short(rows.title)} {short(rows.text(row))}, {short(columns.title)} {short(columns.text(column))}\nmean {values[row, column]:.4f}"
        f"\njobs: {sum(len(setting.jobs) for setting in settings)}"
        for (row, column), settings in cells.items()
    ]
    name = sweep.statistic.name
    middle = (np.nanmax(values) + np.nanmin(values)) / 2
    spread = float(np.nanmax(values) - middle) or 1.0

    def draw(canvas: Canvas) -> list[Hover]:
        ticks = [[factor.text(place) for place in range(len(factor.values))] for factor in (columns, rows)]
        axes = heat_map(canvas, values, *ticks, centre=middle, spread=spread, unit=short(name))
        axes.set(xlabel=short(columns.title), ylabel=short(rows.title))
        for row, column in cells if len(cells) <= MOST_WRITTEN else ():
            axes.text(column, row, f"{values[row, column]:.4f}", ha="center", va="center", bbox={"color": "white", "alpha": 0.7, "pad": 2})
        return [Hover(axes, [column for _, column in cells], [row for row, _ in cells], texts, reach=200)]

    return [
        Part(
            f"{rows.title} and {columns.title}",
            (f"Each cell is the mean {name} of the settings with these two values, each by the mean of its seeds.",),
            figure=Figure("map", f"Heat map of the mean {name} by {rows.title} and {columns.title}", draw, 400, 380),
        )
    ]
