"""How the jobs trained: their curves over epochs, one over the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Figure, Part
from nas_lightning.report.look import ACCENT, PALE, axis, escaped, layout, light_axes, plain, spaced
from nas_lightning.report.run import Stage
from nas_lightning.report.sweep import Job, Sweep
from nas_lightning.report.sweep_keys import clean

TITLE = "Curves"
MOST_JOBS, SPARSE = 20, 40
"""Jobs that are drawn, and values up to which all curves of a strip mark theirs."""
MOST_POINTS = 200
"""Of one curve in one stage; of longer ones neighbours are averaged."""
STRIPS = {
    "epoch_loss": "training loss, mean of an epoch",
    "loss": "training loss, single steps",
    "panel/kendall": "panel, Kendall",
    "largest/cross_entropy": "largest, cross entropy",
}
"""What is drawn where it was logged, by column of the metrics; single steps where no job has finished an epoch."""
COLOURS = (ACCENT, "#d1862b", "#7b4fa3", "#3f8f4f", "#b3435b", "#4c78c8", "#8c6d31", "#69737b")
"""Of the settings in their order, where there are no more."""


@dataclass(frozen=True)
class Curve:
    """One column of one job over all its stages; nan parts the stages."""

    job: Job
    setting: int
    """Its place, best first."""
    label: str
    """Of the setting."""
    strip: int
    """From 1, from the top."""
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    sparse: bool
    """So few values that each is marked."""


def curves(sweep: Sweep) -> Part:
    """Strips over a common axis, in the colours of the settings."""
    jobs = [(place, one.label, job) for place, one in enumerate(sweep.settings) for job in one.jobs if job.run.stages]
    if not jobs:
        return Part.missing(TITLE, "Missing: stages/*/metrics.csv of any job.")
    drawn = [jobs[number] for number in spaced(np.arange(len(jobs)), MOST_JOBS)]
    lengths = {job.name: epoch_lengths(job) for _, _, job in drawn}
    by_epoch = all(length is not None for found in lengths.values() for length in found.values())
    titles = {column: title for column, title in STRIPS.items() if any(_is_logged(job, column) for _, _, job in drawn)}
    if "epoch_loss" in titles:
        titles.pop("loss", None)
    if not titles:
        return Part.missing(TITLE, "The metrics of the jobs hold neither a loss nor a result of the panel.")
    found = []
    for strip, column in enumerate(titles, start=1):
        lines = [(job, place, label, *_curve(job, column, lengths[job.name] if by_epoch else {})) for place, label, job in drawn]
        most = max(int(np.isfinite(y).sum()) for *_, y in lines)
        found += [
            Curve(job, place, label, strip, x, y, most <= SPARSE or np.isfinite(y).sum() <= 2)
            for job, place, label, x, y in reversed(lines)  # the best above the others
        ]
    across = "epoch, over all stages" if by_epoch else "optimizer step, over all stages"
    last = max(place for place, _, _ in drawn)
    settings = len({place for place, _, _ in drawn}) if 0 < last < len(COLOURS) else 0  # in the legend, each in so many rows
    rows = 1 + max(label.count(", ") for _, label, _ in drawn)
    return Part(
        TITLE,
        (_said(sweep, drawn, len(jobs), by_epoch),),
        figure=Figure(
            "curves",
            f"Curves of {len(drawn)} {'job' if len(drawn) == 1 else 'jobs'}: {'; '.join(titles.values())}",
            _traces(found, last, "epoch" if by_epoch else "step"),
            _layout(list(titles.values()), across, rows * -(-settings // 4)),
            {"height": 200 * len(titles) + 110 + (14 * rows + 16) * settings, "legend": {"font": {"size": 11}}},
            lambda canvas: _draw(canvas, found, list(titles.values()), across, last),
            (7.2, 1.6 + 2.0 * len(titles)),
        ),
        notes=_notes(last),
    )


def epoch_lengths(job: Job) -> dict[str, float | None]:
    """Steps an epoch, by stage: up to the first end of one in the metrics, else of a stage that is over its steps by its epochs."""
    config = job.run.config or {}
    stages = config.get("stages")
    found: dict[str, float | None] = {}
    for number, stage in enumerate(job.run.stages):
        node = stages.get(stage.name) if isinstance(stages, dict) else None
        said: Mapping[str, Any] = node if isinstance(node, dict) else {}
        ends = stage.steps[np.isfinite(stage.columns.get("top1", np.full(len(stage.steps), np.nan)))]
        epochs = said.get("epochs")
        is_over = job.seconds is not None or number + 1 < len(job.run.stages)
        length = None
        if said.get("max_steps") is None and len(ends):
            length = float(ends[0] + 1)
        elif said.get("max_steps") is None and is_over and isinstance(epochs, int | float) and 0 < epochs < 1e6 and len(stage.steps):
            length = float(stage.steps[-1] + 1) / epochs
        found[stage.name] = length
    return found


def _is_logged(job: Job, column: str) -> bool:
    return any(np.isfinite(stage.columns.get(column, np.zeros(0))).any() for stage in job.run.stages)


def _curve(job: Job, column: str, lengths: Mapping[str, float | None]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Positions in epochs, or in steps without lengths, and values; a stage begins where the one before ended."""
    start, x, y = 0.0, [np.zeros(0)], [np.zeros(0)]
    for stage in job.run.stages:
        values = stage.columns.get(column, np.full(len(stage.steps), np.nan))
        kept = np.isfinite(values)
        length = lengths.get(stage.name) or 1.0
        x += [_means((stage.steps[kept] + 1) / length + start), np.array([np.nan])]
        y += [_means(values[kept]), np.array([np.nan])]
        start += _length(stage) / length
    return np.concatenate(x), np.concatenate(y)


def _length(stage: Stage) -> int:
    return int(stage.steps.max(initial=-1)) + 1


def _means(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    together = max(1, -(-len(values) // MOST_POINTS))
    return np.array([values[first : first + together].mean() for first in range(0, len(values), together)], dtype=np.float64)


def _said(sweep: Sweep, drawn: Sequence[tuple[int, str, Job]], count: int, by_epoch: bool) -> str:
    order = list(dict.fromkeys(clean(stage.name) for _, _, job in drawn for stage in job.run.stages))
    said = [f"Stages in order: {', '.join(order)}."]
    if len(drawn) < count:
        said.append(f"Drawn are {len(drawn)} of {count:,} jobs, evenly spaced from the best setting to the last.")
    if len(sweep.jobs) > count:
        said.append(f"{len(sweep.jobs) - count:,} of {len(sweep.jobs):,} jobs have left no metrics.")
    if not by_epoch:
        said.append("The steps of an epoch are not known for all of them, so the axis counts steps.")
    if any(len(stage.steps) > MOST_POINTS for _, _, job in drawn for stage in job.run.stages):
        said.append(f"Of stages with more than {MOST_POINTS} rows neighbouring rows are averaged.")
    return " ".join(said)


def _notes(last: int) -> list[str]:
    if last < len(COLOURS):
        return ["A colour a setting, a line a job; the legend has the best setting first. A click on it hides one."] if last else []
    return ["Coloured: the best setting. Grey: the others, named where a pointer is."]


def _colour(place: int, last: int) -> str:
    if last < len(COLOURS):
        return COLOURS[place]
    return ACCENT if place == 0 else PALE


def _suffix(number: int) -> str:
    return "" if number == 1 else str(number)


def _traces(found: Sequence[Curve], last: int, unit: str) -> list[dict[str, Any]]:
    """With one entry of the legend a setting, where there are a few."""
    named = {curve.setting: number for number, curve in enumerate(found)} if 0 < last < len(COLOURS) else {}
    return [{**_trace(curve, last, unit), "showlegend": named.get(curve.setting) == number} for number, curve in enumerate(found)]


def _trace(curve: Curve, last: int, unit: str) -> dict[str, Any]:
    label = "<br>".join(escaped(one) for one in curve.label.split(", "))
    told = f"<b>job {escaped(curve.job.name)}</b><br>{label}<br>seed {escaped(clean(curve.job.seed))}".replace("%", "&#37;")
    colour = _colour(curve.setting, last)
    return {
        "type": "scatter",
        "mode": "lines+markers" if curve.sparse else "lines",
        "name": label,
        "legendgroup": str(curve.setting),
        "legendrank": curve.setting,
        "x": plain(curve.x, 8),
        "y": plain(curve.y),
        "xaxis": "x",
        "yaxis": f"y{_suffix(curve.strip)}",
        "line": {"color": colour, "width": 1.8 if curve.setting == 0 else 1.3},
        "marker": {"color": colour, "size": 4},
        "hovertemplate": f"{told}<br>%{{y:.4g}} at {unit} %{{x:,.6~g}}<extra></extra>",
    }


def _layout(titles: Sequence[str], across: str, legend_rows: int) -> dict[str, Any]:
    gap = 0.07 if len(titles) > 1 else 0.0
    each = (1 - gap * (len(titles) - 1)) / len(titles)
    axes: dict[str, Any] = {"xaxis": axis(across, anchor=f"y{_suffix(len(titles))}", rangemode="tozero")}
    for number, title in enumerate(titles, start=1):
        top = 1 - (number - 1) * (each + gap)
        axes[f"yaxis{_suffix(number)}"] = axis(title, domain=[max(0.0, top - each), top], nticks=5, anchor="x")
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}}
    return layout(220 * len(titles) + 80 + 16 * legend_rows, **axes, showlegend=True, legend=legend)


def _draw(canvas: Canvas, found: Sequence[Curve], titles: Sequence[str], across: str, last: int) -> None:
    all_axes = canvas.subplots(len(titles), 1, sharex=True, squeeze=False)[:, 0]
    handles: dict[int, tuple[str, Any]] = {}
    for axes, title in zip(all_axes, titles, strict=True):
        light_axes(axes, "", title)
    for curve in found:
        marker = "o" if curve.sparse else None
        colour, width = _colour(curve.setting, last), 1.8 if curve.setting == 0 else 1.3
        (line,) = all_axes[curve.strip - 1].plot(curve.x, curve.y, color=colour, linewidth=width, marker=marker, markersize=2.5)
        handles[curve.setting] = (curve.label[:60], line)
    all_axes[-1].set_xlabel(across)
    if 0 < last < len(COLOURS):
        labels, lines = zip(*(handles[place] for place in sorted(handles)), strict=True)
        legend = canvas.legend(lines, labels, loc="outside upper left", ncols=2, fontsize=8, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
