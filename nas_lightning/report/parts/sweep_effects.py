"""The effect of each swept key on the statistic, and a map of two numeric keys."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import ACCENT, INK, Figure, Hover, heat_map, is_narrow, short, spaced
from nas_lightning.report.parts.sweep_verdict import pooled
from nas_lightning.report.sweep import Setting, Sweep
from nas_lightning.report.sweep_keys import clean, listed

MOST_EFFECTS = 8
"""Swept keys that have a part each."""
MOST_TICKS = 12
"""Values of a key that an axis names."""
MOST_WRITTEN = 40
"""Cells of a map whose means are written into them."""


@dataclass(frozen=True)
class Level:
    """The settings with a result that share a value of a swept key."""

    name: str
    settings: tuple[Setting, ...]

    @property
    def mean(self) -> float:
        """Over the settings, each by its mean over seeds: one with more seeds does not count for more."""
        return float(np.mean([setting.mean for setting in self.settings]))

    @property
    def std(self) -> float:
        """Over seeds, pooled over the settings; nan where no setting has two."""
        found = pooled(self.settings)
        return np.nan if found is None else found.std


def sweep_effects(sweep: Sweep) -> list[Part]:
    """A map of the first two numeric keys, then a part a swept key."""
    if not sweep.factors:
        return [Part("Effects", ("Nothing but the seed differs between the configs of the jobs.",))]
    parts = [*_map(sweep), *(_effect(sweep, number) for number in range(len(sweep.factors[:MOST_EFFECTS])))]
    if others := [factor.title for factor in sweep.factors[MOST_EFFECTS:]]:
        parts.append(Part("Other swept keys", (f"Not shown one by one: {len(others)} ({listed(others, 12)}).",)))
    return parts


def _effect(sweep: Sweep, number: int) -> Part:
    factor = sweep.factors[number]
    title = f"Effect of {factor.title}"
    groups = [tuple(setting for setting in sweep.ranked if setting.places[number] == place) for place in range(len(factor.values))]
    levels = [Level(factor.text(place), settings) for place, settings in enumerate(groups) if settings]
    if sweep.statistic is None or not levels:
        return Part(title, ("No job has a result to compare yet.",))
    name = sweep.statistic.name
    jobs = [(place, *point) for place, level in enumerate(levels) for point in _jobs(sweep, level.settings)]
    means, stds = ([getattr(level, key) for level in levels] for key in ("mean", "std"))
    spreads = ["" if np.isnan(level.std) else f", standard deviation over seeds {level.std:.4f}" for level in levels]
    summaries = [
        f"{short(level.name)}\nmean {level.mean:.4f}{spread}\nsettings: {len(level.settings)}"
        for level, spread in zip(levels, spreads, strict=True)
    ]

    def draw(canvas: Canvas) -> list[Hover]:
        axes = canvas.subplots()
        across = [place for place, _, _ in jobs]
        axes.scatter(across, [value for _, value, _ in jobs], s=40, color=ACCENT, alpha=0.65, linewidths=0)
        style = "-" if factor.numeric else "none"
        axes.errorbar(range(len(levels)), means, yerr=np.nan_to_num(stds), color=INK, linestyle=style, marker="D", markersize=5, capsize=3)
        named = spaced(np.arange(len(levels)), 5 if is_narrow(canvas) else MOST_TICKS)
        axes.set_xticks(named, [f"{short(levels[place].name)}\n{means[place]:.4f}" for place in named])
        axes.set(xlabel=f"{short(factor.title)} (below each value: the mean)", ylabel=short(name), xlim=(-0.5, len(levels) - 0.5))
        axes.grid(visible=False, axis="x")
        return [
            Hover(axes, across, [value for _, value, _ in jobs], [text for _, _, text in jobs]),
            Hover(axes, list(range(len(levels))), means, summaries),
        ]

    return Part(
        title,
        (_comparable(sweep, number, levels),),
        figure=Figure(f"effect_{number + 1}", f"{name} of {len(jobs)} jobs for {len(levels)} values of {factor.title}", draw, 380, 340),
        notes=(
            "Points: jobs. Diamonds: the mean over settings, each by the mean of its seeds. Bars: the standard deviation over seeds, if a "
            f"setting has two. Values are spaced evenly, {'in ascending order' if factor.numeric else 'in the order of the jobs'}.",
        ),
    )


def _jobs(sweep: Sweep, settings: Sequence[Setting]) -> list[tuple[float, str]]:
    """The value and the hover text of each job with a result."""
    return [
        (value, f"job {short(job.name)}\n{setting.label.replace(', ', chr(10))}\nseed {short(clean(job.seed))}\n{value:.4f}")
        for setting in settings
        for job in setting.jobs
        if (value := sweep.value(job)) is not None
    ]


def _comparable(sweep: Sweep, number: int, levels: Sequence[Level]) -> str:
    """What else differs between the values of a key."""
    factor = sweep.factors[number]
    others = [other.title for other in sweep.factors if other is not factor]
    sentences = []
    if len(factor.keys) > 1:
        sentences.append(f"Keys that always change together, so that their effects cannot be told apart: {listed(factor.names, 8)}.")
    if others:
        tried = {frozenset(setting.places[:number] + setting.places[number + 1 :] for setting in level.settings) for level in levels}
        balanced = "for all values alike, so that the means compare like with like"
        unbalanced = "but not for all values alike, so that a difference of means may come from them"
        sentences.append(f"Other keys were swept, {balanced if len(tried) == 1 else unbalanced}: {listed(others, 8)}.")
    else:
        sentences.append("Nothing else but the seed was swept.")
    if absent := len(factor.values) - len(levels):
        sentences.append(f"Values without a result yet: {absent} of {len(factor.values)}.")
    return " ".join(sentences)


def _map(sweep: Sweep) -> list[Part]:
    """The mean for each pair of values of the first two numeric keys; none where there are no two."""
    numeric = [number for number, factor in enumerate(sweep.factors) if factor.numeric]
    if len(numeric) < 2 or sweep.statistic is None or not sweep.ranked:
        return []
    down, across = numeric[:2]
    rows, columns = sweep.factors[down], sweep.factors[across]
    cells: dict[tuple[int, int], list[Setting]] = {}
    for setting in sweep.ranked:
        cells.setdefault((setting.places[down], setting.places[across]), []).append(setting)
    values = np.full((len(rows.values), len(columns.values)), np.nan)
    for cell, settings in cells.items():
        values[cell] = np.mean([setting.mean for setting in settings])
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
