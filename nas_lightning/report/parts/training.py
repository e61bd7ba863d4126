"""The training curves of the stages, one after the other, from their metrics."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import ACCENT, INK, MUTED, PALE, TINT, Figure, Hover, is_narrow, short
from nas_lightning.report.run import RunFiles, StageMetrics

TITLE = "Training"
MOST_POINTS = 600
"""Maximum points of one curve in one stage; longer curves average neighbours."""
WIDE_GAP, NARROW_GAP = 0.03, 0.1
"""Minimum share of all steps between the names of two stages; the text above the figure names them all."""
MOST_PANEL = 12
"""Maximum monitored candidates to draw."""
FEW = 40
"""Maximum values of a curve with a marker each."""


class Look(NamedTuple):
    """A column of the metrics and how it is drawn."""

    column: str
    label: str
    meaning: str = ""
    """Description of the curve in the note under the figure."""
    colour: str = ACCENT
    width: float = 1.6


Curve = tuple[Look, npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Steps and values of one column over all stages, with nan between stages."""


def training(run: RunFiles) -> Part:
    """Strips over a common axis of steps."""
    if not run.stages:
        return Part(TITLE, ("Missing: stages/*/metrics.csv.",))
    starts = np.concatenate([[0], np.cumsum([int(stage.steps.max(initial=-1)) + 1 for stage in run.stages])])
    strips = _strips(run.stages, starts)
    if not strips:
        return Part(TITLE, ("The metrics of the stages hold no values.",))
    names = [stage.name for stage in run.stages]
    steps = ", ".join(f"{name} ({starts[number + 1] - starts[number]:,} steps)" for number, name in enumerate(names))
    absent = f" Not trained yet, or without metrics: {', '.join(run.untrained)}." if run.untrained else ""
    is_averaged = any(len(stage.steps) > MOST_POINTS for stage in run.stages)
    averaged = f" Of stages with more than {MOST_POINTS:,} rows neighbouring rows are averaged." if is_averaged else ""

    def draw(canvas: Canvas) -> list[Hover]:
        all_axes = canvas.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
        hovers = []
        for axes, (title, curves) in zip(all_axes, strips.items(), strict=True):
            axes.set_ylabel(title)
            for look, steps, values in curves:
                defined = np.isfinite(values)
                marker = "o" if defined.sum() <= FEW else None
                axes.plot(steps, values, color=look.colour, linewidth=look.width, marker=marker, markersize=3)
                points = list(zip(steps[defined].tolist(), values[defined].tolist(), strict=True))
                texts = [f"{short(look.label)}\n{value:.4g}\nstep {step:,.0f}" for step, value in points]
                hovers.append(Hover(axes, [step for step, _ in points], [value for _, value in points], texts))
            for start in starts[1:-1]:
                axes.axvline(start, color=PALE, linewidth=1)
        last = -np.inf
        for start, name in zip(starts[:-1], names, strict=True):
            if start - last >= (NARROW_GAP if is_narrow(canvas) else WIDE_GAP) * starts[-1]:
                above = (start, 1.02)
                all_axes[0].annotate(short(name), above, xycoords=("data", "axes fraction"), fontsize=8, color=MUTED, rotation=35)
                last = start
        all_axes[-1].set_xlabel("optimizer step, over all stages")
        return hovers

    height = 110 + 160 * len(strips)
    return Part(
        TITLE,
        (f"Stages in order: {steps}.{absent}{averaged}",),
        figure=Figure("training", f"Training curves, stage after stage: {'; '.join(strips)}", draw, height, height),
        notes=[
            f"{title.partition(',')[0].capitalize()}: {'; '.join(dict.fromkeys(look.meaning for look, _, _ in curves))}."
            for title, curves in strips.items()
            if curves[0][0].meaning
        ],
    )


def _strips(stages: Sequence[StageMetrics], starts: npt.NDArray[np.int64]) -> dict[str, list[Curve]]:
    """The curves with values, by the title of the axis that they share."""
    columns = list(dict.fromkeys(column for stage in stages for column in stage.columns))
    panel = [column.removesuffix("/top1") for column in columns if column.endswith("/top1")][:MOST_PANEL]
    fixed = {
        "largest": ("black, the largest candidate, on held-out images", INK, 1.6),
        "smallest": ("light, the smallest candidate", TINT, 1.6),
    }
    other = ("grey, other fixed candidates, on held-out images", PALE, 1.0)
    strips = {
        "loss": (
            Look("loss", "training loss, single steps", "light, single steps", TINT, 1.0),
            Look("epoch_loss", "training loss, mean of an epoch", "dark, the mean of an epoch's steps"),
        ),
        "top-1, %": (
            Look("top1", "training paths", "coloured, the paths that train, on training images"),
            *(Look(f"{name}/top1", name, *fixed.get(name, other)) for name in panel),
        ),
        "panel, Kendall": (Look("panel/kendall", "Kendall tau-b of the panel"),),
        "learning rate": (Look("lr", "learning rate", colour=MUTED),),
    }
    by_title = {title: [_curve(stages, starts, look, 100 if "%" in title else 1) for look in looks] for title, looks in strips.items()}
    drawn = {title: [curve for curve in curves if np.isfinite(curve[2]).any()] for title, curves in by_title.items()}
    return {title: curves for title, curves in drawn.items() if curves}


def _curve(stages: Sequence[StageMetrics], starts: npt.NDArray[np.int64], look: Look, scale: float) -> Curve:
    steps, values = [np.zeros(0)], [np.zeros(0)]
    for stage, start in zip(stages, starts, strict=False):
        column = stage.columns.get(look.column, np.full(len(stage.steps), np.nan))
        kept = np.isfinite(column)
        steps += [_means(stage.steps[kept] + float(start)), np.array([np.nan])]
        values += [_means(column[kept]) * scale, np.array([np.nan])]
    return look, np.concatenate(steps), np.concatenate(values)


def _means(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """At most ``MOST_POINTS`` values, each the mean of equally many neighbours."""
    together = max(1, -(-len(values) // MOST_POINTS))
    return np.array([values[start : start + together].mean() for start in range(0, len(values), together)], dtype=np.float64)
