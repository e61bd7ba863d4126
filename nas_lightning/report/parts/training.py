"""How the stages went: what their metrics tables say, one stage after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Figure, Part
from nas_lightning.report.look import ACCENT, INK, MUTED, PALE, TINT, axis, escaped, layout, light_axes, plain
from nas_lightning.report.run import Run, Stage

TITLE = "Training"
MOST_POINTS = 600
"""Of one curve in one stage; of longer ones neighbours are averaged."""
WIDE_GAP, NARROW_GAP = 0.03, 0.1
"""Of all steps, between the names of two stages; the text above the figure names them all."""
MOST_PANEL = 12
"""Panel candidates that are drawn."""


@dataclass(frozen=True)
class Curve:
    """One column over all stages; nan parts the stages."""

    label: str
    steps: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    colour: str
    width: float
    sparse: bool
    """So few values that each is marked."""


@dataclass(frozen=True)
class Strip:
    """Curves that share an axis."""

    title: str
    curves: tuple[Curve, ...]


def training(run: Run) -> Part:
    """Strips over a common axis of steps."""
    if not run.stages:
        return Part.missing(TITLE, "Missing: stages/*/metrics.csv.")
    starts = np.concatenate([[0], np.cumsum([int(stage.steps.max(initial=-1)) + 1 for stage in run.stages])])
    strips = _strips(run.stages, starts)
    if not strips:
        return Part.missing(TITLE, "The metrics of the stages hold no values.")
    names = [stage.name for stage in run.stages]
    told = [f"{name} ({starts[number + 1] - starts[number]:,} steps)" for number, name in enumerate(names)]
    absent = f" Not trained yet, or without metrics: {', '.join(run.untrained)}." if run.untrained else ""
    averaged = any(len(stage.steps) > MOST_POINTS for stage in run.stages)
    bins = f" Of stages with more than {MOST_POINTS:,} rows neighbouring rows are averaged." if averaged else ""
    return Part(
        TITLE,
        (f"Stages in order: {', '.join(told)}.{absent}{bins}",),
        figure=Figure(
            "training",
            f"Training curves, stage after stage: {'; '.join(strip.title for strip in strips)}",
            [_trace(curve, number) for number, strip in enumerate(strips, start=1) for curve in strip.curves],
            _layout(strips, starts, names),
            {"height": 150 * len(strips) + 110, "annotations": _labels(starts, names, NARROW_GAP)},
            lambda canvas: _draw(canvas, strips, starts, names),
            (7.2, 1.0 + 1.7 * len(strips)),
        ),
        notes=_notes(strips),
    )


def _notes(strips: Sequence[Strip]) -> list[str]:
    """Which curve is which, where a strip has several."""
    said = {
        "training paths": "coloured, the paths that train, on training images",
        "largest": "black, the largest candidate, on held-out images",
        "smallest": "light, the smallest",
    }
    labels = [curve.label for strip in strips for curve in strip.curves if strip.title.startswith("top-1")]
    known = [said[label] for label in labels if label in said]
    others = ["grey, other fixed candidates, on held-out images"] if len(labels) > len(known) else []
    losses = [curve.label for strip in strips for curve in strip.curves if strip.title == "loss"]
    of_loss = ["Loss: light, single steps; dark, the mean of an epoch's steps."] if len(losses) == 2 else []
    return of_loss + ([f"Top-1: {'; '.join([*known, *others])}."] if labels else [])


class Look(NamedTuple):
    """A column of the metrics and how it is drawn."""

    column: str
    label: str
    colour: str = ACCENT
    width: float = 1.6


def _strips(stages: Sequence[Stage], starts: npt.NDArray[np.int64]) -> list[Strip]:
    columns = list(dict.fromkeys(column for stage in stages for column in stage.columns))
    names = [column.removesuffix("/top1") for column in columns if column.endswith("/top1")][:MOST_PANEL]
    colours = {"largest": (INK, 1.6), "smallest": (TINT, 1.6)}
    panel = [Look(f"{name}/top1", name, *colours.get(name, (PALE, 1.0))) for name in names]
    wanted = {
        "loss": (1.0, [Look("loss", "training loss, single steps", TINT, 1.0), Look("epoch_loss", "training loss, mean of an epoch")]),
        "top-1, %": (100.0, [Look("top1", "training paths"), *panel]),
        "panel, Kendall": (1.0, [Look("panel/kendall", "Kendall tau-b of the panel")]),
        "learning rate": (1.0, [Look("lr", "learning rate", MUTED)]),
    }
    strips = []
    for title, (scale, looks) in wanted.items():
        curves = [_curve(stages, starts, look, scale) for look in looks]
        drawn = tuple(curve for curve in curves if np.isfinite(curve.values).any())
        if drawn:
            strips.append(Strip(title, drawn))
    return strips


def _curve(stages: Sequence[Stage], starts: npt.NDArray[np.int64], look: Look, scale: float) -> Curve:
    steps, values = [np.zeros(0)], [np.zeros(0)]
    for stage, start in zip(stages, starts, strict=False):
        found = stage.columns.get(look.column, np.full(len(stage.steps), np.nan))
        kept = np.isfinite(found)
        steps += [_means(stage.steps[kept] + float(start)), np.array([np.nan])]
        values += [_means(found[kept]) * scale, np.array([np.nan])]
    whole = np.concatenate(values)
    return Curve(look.label, np.concatenate(steps), whole, look.colour, look.width, bool(np.isfinite(whole).sum() <= 40))


def _means(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """At most MOST_POINTS of them, each the mean of as many neighbours."""
    together = max(1, -(-len(values) // MOST_POINTS))
    return np.array([values[start : start + together].mean() for start in range(0, len(values), together)], dtype=np.float64)


def _suffix(number: int) -> str:
    return "" if number == 1 else str(number)


def _trace(curve: Curve, strip: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if curve.sparse else "lines",
        "name": escaped(curve.label),
        "x": plain(curve.steps, 8),
        "y": plain(curve.values),
        "xaxis": "x",
        "yaxis": f"y{_suffix(strip)}",
        "line": {"color": curve.colour, "width": curve.width},
        "marker": {"color": curve.colour, "size": 5},
        "hovertemplate": f"{escaped(curve.label).replace('%', '&#37;')} %{{y:.4g}}<br>step %{{x:,.0f}}<extra></extra>",
    }


def _domains(count: int) -> list[tuple[float, float]]:
    gap = 0.06
    each = (1 - gap * (count - 1)) / count
    tops = [1 - number * (each + gap) for number in range(count)]
    return [(max(0.0, top - each), top) for top in tops]


def _layout(strips: Sequence[Strip], starts: npt.NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    axes: dict[str, Any] = {"xaxis": axis("optimizer step, over all stages", anchor=f"y{_suffix(len(strips))}", tickformat=",d")}
    for number, (strip, domain) in enumerate(zip(strips, _domains(len(strips)), strict=True), start=1):
        axes[f"yaxis{_suffix(number)}"] = axis(strip.title, domain=list(domain), nticks=5, anchor="x")
    ends = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": PALE, "width": 1}}
    borders = [{"type": "line", "x0": int(start), "x1": int(start), **ends} for start in starts[1:-1]]
    return layout(
        170 * len(strips) + 110,
        **axes,
        shapes=borders,
        annotations=_labels(starts, names, WIDE_GAP),
        margin={"l": 60, "r": 12, "t": 62, "b": 48},
    )


def _labels(starts: npt.NDArray[np.int64], names: Sequence[str], gap: float) -> list[dict[str, Any]]:
    """The stages' names where they begin, but for those too near to the last one named."""
    named: list[int] = []
    for number in range(len(names)):
        if not named or starts[number] - starts[named[-1]] >= gap * starts[-1]:
            named.append(number)
    return [
        {
            "text": escaped(names[number]),
            "xref": "x",
            "yref": "paper",
            "x": int(starts[number]),
            "y": 1,
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 11, "color": MUTED},
            "textangle": -35,
        }
        for number in named
    ]


def _draw(canvas: Canvas, strips: Sequence[Strip], starts: npt.NDArray[np.int64], names: Sequence[str]) -> None:
    all_axes = canvas.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
    for axes, strip in zip(all_axes, strips, strict=True):
        light_axes(axes, "", strip.title)
        for curve in strip.curves:
            marker = "o" if curve.sparse else None
            axes.plot(curve.steps, curve.values, color=curve.colour, linewidth=curve.width, marker=marker, markersize=3)
        for start in starts[1:-1]:
            axes.axvline(start, color=PALE, linewidth=1)
    for label in _labels(starts, names, WIDE_GAP):
        place, name = (label["x"], 1.02), names[starts.tolist().index(label["x"])][:40]
        all_axes[0].annotate(name, place, xycoords=("data", "axes fraction"), fontsize=8, color=MUTED, rotation=35, parse_math=False)
    all_axes[-1].set_xlabel("optimizer step, over all stages")
