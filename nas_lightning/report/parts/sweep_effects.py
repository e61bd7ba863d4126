"""The effect of each swept key: the jobs' values of the statistic over the key's values, with the spread over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Figure, Part, Table
from nas_lightning.report.look import ACCENT, INK, PALE, axis, escaped, layout, light_axes, plain, spaced
from nas_lightning.report.parts.sweep_settings import pooled
from nas_lightning.report.sweep import Setting, Sweep
from nas_lightning.report.sweep_keys import Factor, clean, joined

MOST_EFFECTS = 8
"""Swept keys that have a part each."""
MOST_ROWS, MOST_TICKS = 60, 12
"""Values of a key that a table lists, and that an axis names."""
MOST_LINES = 40
"""Lines of jobs that differ in nothing else."""


@dataclass(frozen=True)
class Level:
    """The jobs with one value of a swept key."""

    place: int
    """Of the value."""
    settings: tuple[Setting, ...]
    jobs: tuple[tuple[str, float], ...]
    """Hover text and statistic of those with a result."""

    @property
    def mean(self) -> float:
        """Over the settings, each by its mean over seeds: one with more seeds does not count for more."""
        return float(np.mean([one.mean for one in self.settings if one.mean is not None]))

    @property
    def std(self) -> float | None:
        """Over seeds, pooled over the settings; None where no setting has two."""
        found = pooled(self.settings)
        return None if found is None else found.std

    @property
    def seeds(self) -> str:
        """How many the settings have."""
        counts = sorted({len(one.by_seed) for one in self.settings})
        return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def effects(sweep: Sweep) -> list[Part]:
    """A part a swept key."""
    if not sweep.factors:
        return [Part.missing("Effects", _nothing_swept(sweep))]
    parts = [_effect(sweep, number) for number in range(min(len(sweep.factors), MOST_EFFECTS))]
    if len(sweep.factors) > MOST_EFFECTS:
        others = [factor.title for factor in sweep.factors[MOST_EFFECTS:]]
        parts.append(Part("Further swept keys", (f"{len(others)} more are not shown one by one: {joined(others, 12)}.",)))
    return parts


def _nothing_swept(sweep: Sweep) -> str:
    if _has_seeds(sweep):
        return "Only the seed differs from job to job: all are repetitions of one setting."
    return "The configs of the jobs differ in nothing that was swept."


def _has_seeds(sweep: Sweep) -> bool:
    return len({job.seed for job in sweep.jobs}) > 1


def _effect(sweep: Sweep, number: int) -> Part:
    factor = sweep.factors[number]
    title = f"Effect of {factor.title}"
    levels = _levels(sweep, number)
    if sweep.statistic is None or not levels:
        return Part.missing(title, "No job has a result to compare yet.")
    lines = _lines(sweep, number)
    name, axis_title = sweep.statistic.name, sweep.statistic.axis
    return Part(
        title,
        (_said(sweep, number, levels),),
        figure=Figure(
            f"effect_{number + 1}",
            f"{name} of {sum(len(one.jobs) for one in levels)} jobs for {len(levels)} values of {factor.title}, with the means",
            _traces(factor, levels, lines),
            layout(380, xaxis=_ticks(factor, levels, MOST_TICKS), yaxis=axis(escaped(axis_title), nticks=6)),
            {"height": 330, "xaxis": {"tickfont": {"size": 11}}},
            lambda canvas: _draw(canvas, factor, levels, lines, axis_title),
            (7.2, 3.6),
        ),
        notes=_notes(factor, levels, lines),
        tables=(_table(factor, levels, name),),
    )


def _levels(sweep: Sweep, number: int) -> list[Level]:
    """Those with a result, in the values' order."""
    factor, levels = sweep.factors[number], []
    for place in range(len(factor.values)):
        settings = tuple(one for one in sweep.ranked if one.places[number] == place)
        shown = [
            (f"<b>job {escaped(job.name)}</b><br>{_broken(one.label)}<br>seed {escaped(clean(job.seed))}<br>{value:.4f}", value)
            for one in settings
            for job in one.jobs
            if (value := sweep.value(job)) is not None
        ]
        if shown:
            levels.append(Level(place, settings, tuple(shown)))
    return levels


def _broken(label: str) -> str:
    return "<br>".join(escaped(one) for one in label.split(", "))


def _lines(sweep: Sweep, number: int) -> list[list[tuple[int, float]]]:
    """Means over seeds, by value, of the settings that share all other swept keys; none where no other key is swept."""
    if len(sweep.factors) < 2:
        return []
    found: dict[tuple[int, ...], list[tuple[int, float]]] = {}
    for one in sweep.ranked:
        others = one.places[:number] + one.places[number + 1 :]
        found.setdefault(others, []).append((one.places[number], one.mean or 0.0))
    return [sorted(line) for line in found.values() if len(line) > 1]


def _said(sweep: Sweep, number: int, levels: Sequence[Level]) -> str:
    factor = sweep.factors[number]
    together = f"{joined(factor.names, 8)} always change together: their effects cannot be told apart. " if len(factor.keys) > 1 else ""
    absent = len(factor.values) - len(levels)
    missing = f" {absent} of its {len(factor.values)} values {'has' if absent == 1 else 'have'} no result yet." if absent else ""
    others = [one.title for place, one in enumerate(sweep.factors) if place != number]
    if not others:
        return f"{together}{'The seed aside, nothing' if _has_seeds(sweep) else 'Nothing'} else was swept.{missing}"
    tried = {frozenset(one.places[:number] + one.places[number + 1 :] for one in level.settings) for level in levels}
    what, verb = joined(others, 8), _varies(others)
    if len(tried) == 1 and all(len(one.settings) == 1 for one in levels):
        return f"{together}{what} {'was' if verb == 'varies' else 'were'} the same for all results here.{missing}"
    if len(tried) > 1:
        return f"{together}{what} {verb} too, and not in the same way for all values: a difference of means may come from there.{missing}"
    return f"{together}Within each value {what} {verb} too, in the same way for all: the means compare like with like.{missing}"


def _varies(others: Sequence[str]) -> str:
    return "varies" if len(others) == 1 and " and " not in others[0] else "vary"


def _notes(factor: Factor, levels: Sequence[Level], lines: Sequence[Any]) -> list[str]:
    notes = [
        "Points: jobs. Dark: the mean over settings"
        + (", with the standard deviation over seeds where a setting has two." if _has_std(levels) else ".")
    ]
    if lines and len(lines) <= MOST_LINES:
        notes.append("Pale lines: means over seeds with all other swept keys fixed.")
    notes.append(f"Values are spaced evenly, {'in ascending order' if factor.numeric else 'in the order of the jobs'}.")
    return notes


def _has_std(levels: Sequence[Level]) -> bool:
    return any(one.std is not None for one in levels)


def _table(factor: Factor, levels: Sequence[Level], name: str) -> Table:
    rows = []
    for one in levels[:MOST_ROWS]:
        values = [value for _, value in one.jobs]
        spread = "one seed" if one.std is None else f"{one.std:.4f}"
        ends = f"{min(values):.4f} to {max(values):.4f}" if len(values) > 1 else ""
        rows.append([factor.text(one.place), str(len(values)), str(len(one.settings)), one.seeds, f"{one.mean:.4f}", spread, ends])
    caption = f"Means of {name} over the settings, each the mean of its seeds; the standard deviation over seeds is that within settings"
    more = f"; the first {MOST_ROWS} of {len(levels):,} values" if len(levels) > MOST_ROWS else ""
    head = [factor.title, "jobs", "settings", "seeds each", "mean", "std over seeds", "lowest to highest job"]
    return Table(head, rows, caption + more)


def _ticks(factor: Factor, levels: Sequence[Level], most: int) -> dict[str, Any]:
    named = spaced(np.arange(len(levels)), most)
    texts = [escaped(factor.text(levels[place].place)) for place in named]
    ends = [-0.5, len(levels) - 0.5]
    return axis(escaped(factor.title), tickvals=named.tolist(), ticktext=texts, range=ends, showgrid=False)


def _traces(factor: Factor, levels: Sequence[Level], lines: Sequence[Sequence[tuple[int, float]]]) -> list[dict[str, Any]]:
    across = {level.place: place for place, level in enumerate(levels)}
    plot: dict[str, Any] = {"type": "scatter", "cliponaxis": False}
    pale = [
        {
            **plot,
            "mode": "lines",
            "x": [across[place] for place, _ in line],
            "y": plain(np.array([value for _, value in line])),
            "line": {"color": PALE, "width": 1},
            "hoverinfo": "skip",
        }
        for line in (lines if len(lines) <= MOST_LINES else [])
    ]
    points = [(across[level.place], text, value) for level in levels for text, value in level.jobs]
    means = plain(np.array([level.mean for level in levels]))
    spread = [0.0 if level.std is None else float(f"{level.std:.6g}") for level in levels]
    texts = [f"<b>{escaped(factor.text(one.place))}</b><br>mean {one.mean:.4f}" for one in levels]
    marks = {
        **plot,
        "mode": "lines+markers" if factor.numeric else "markers",
        "name": "mean",
        "x": list(range(len(levels))),
        "y": means,
        "line": {"color": INK, "width": 1.6},
        "marker": {"color": INK, "size": 9, "symbol": "diamond"},
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }
    if _has_std(levels):
        marks["error_y"] = {"type": "data", "array": spread, "color": INK, "thickness": 1.5, "width": 4}
    jobs = {
        **plot,
        "mode": "markers",
        "name": "jobs",
        "x": [place for place, _, _ in points],
        "y": plain(np.array([value for _, _, value in points])),
        "marker": {"color": ACCENT, "size": 9, "opacity": 0.65},
        "text": [text for _, text, _ in points],
        "hovertemplate": "%{text}<extra></extra>",
    }
    return [*pale, marks, jobs]


def _draw(canvas: Canvas, factor: Factor, levels: Sequence[Level], lines: Sequence[Sequence[tuple[int, float]]], title: str) -> None:
    axes = canvas.subplots()
    across = {level.place: place for place, level in enumerate(levels)}
    for line in lines if len(lines) <= MOST_LINES else []:
        axes.plot([across[place] for place, _ in line], [value for _, value in line], color=PALE, linewidth=1)
    spread = [0.0 if level.std is None else level.std for level in levels]
    style = "-" if factor.numeric else "none"
    where, means = range(len(levels)), [level.mean for level in levels]
    axes.errorbar(where, means, yerr=spread if _has_std(levels) else None, color=INK, linestyle=style, marker="D", markersize=5, capsize=2)
    points = [(across[level.place], value) for level in levels for _, value in level.jobs]
    axes.plot(*zip(*points, strict=True), "o", color=ACCENT, alpha=0.65, markersize=6, markeredgewidth=0)
    light_axes(axes, "", "")
    axes.set_xlabel(factor.title[:80], parse_math=False)
    axes.set_ylabel(title[:60], parse_math=False)
    named = spaced(np.arange(len(levels)), MOST_TICKS)
    axes.set_xticks(named, [factor.text(levels[place].place)[:24] for place in named], parse_math=False)
    axes.set_xlim(-0.5, len(levels) - 0.5)
