"""The training curves of the stages, one after the other, from their metrics."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import ACCENT, INK, MUTED, PALE, TINT, Figure, Hover
from nas_lightning.report.run import RunFiles, section
from nas_lightning.report.text import short

TITLE = "Training"
MOST_POINTS = 600
"""Maximum points of one curve in one stage; longer curves average neighbours."""
MOST_MONITORED = 12
"""Maximum monitored candidates to draw."""
FEW = 40
"""Maximum values of a curve with a marker each."""


class Curve(NamedTuple):
    """A column of the metrics and how it is drawn."""

    strip: str
    """The title of the axis that it shares."""
    column: str
    label: str
    colour: str = ACCENT
    width: float = 1.6


FIXED = {"largest": (INK, 1.6), "smallest": (TINT, 1.6)}
"""Colour and line width of monitored candidates; others are grey."""
NOTES = (
    "Loss: light, single steps; dark, the mean of an epoch's steps.",
    "Top-1: coloured, the paths that train, on training images; black, the largest candidate, on held-out images; light, the smallest "
    "candidate; grey, other fixed candidates, on held-out images.",
)


def training(run: RunFiles) -> Part | None:
    """Strips over a common axis of steps."""
    if not run.stages:
        return None
    starts = np.cumsum([0, *(stage.steps for stage in run.stages[:-1])])
    curves = _curves({column: None for stage in run.stages for column in stage.columns})
    strips = list(dict.fromkeys(curve.strip for curve in curves))
    if not strips:
        return Part(TITLE, ("The metrics of the stages hold no values.",))
    trained = {stage.name for stage in run.stages}
    untrained = [str(name) for name in section(run.config, "stages") if str(name) not in trained]
    steps = ", ".join(f"{stage.name} ({stage.steps:,} steps)" for stage in run.stages)

    def draw(canvas: Canvas) -> list[Hover]:
        all_axes = canvas.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
        hovers = []
        for curve in curves:
            axes = all_axes[strips.index(curve.strip)]
            axes.set_ylabel(curve.strip)
            hovers.append(Hover(axes, [], [], []))
            for stage, start in zip(run.stages, starts, strict=True):
                across, values = _means(stage.columns.get(curve.column, np.zeros((2, 0)))) * [[1], [100 if "%" in curve.strip else 1]]
                marker = "o" if len(values) <= FEW else None
                axes.plot(start + across, values, color=curve.colour, linewidth=curve.width, marker=marker, markersize=3)
                for step, value in zip((start + across).tolist(), values.tolist(), strict=True):
                    hovers[-1].add(step, value, f"{short(curve.label)}\n{value:.4g}\nstep {step:,.0f}")
        for axes in all_axes:
            for start in starts[1:]:
                axes.axvline(start, color=PALE, linewidth=1)
        for start, stage in zip(starts, run.stages, strict=True):
            above = (start, 1.02)
            all_axes[0].annotate(short(stage.name), above, xycoords=("data", "axes fraction"), fontsize=8, color=MUTED, rotation=35)
        all_axes[-1].set_xlabel("optimizer step, over all stages")
        return hovers

    height = 110 + 160 * len(strips)
    return Part(
        TITLE,
        (
            f"Stages in order: {steps}.",
            f"Not trained yet, or without metrics: {', '.join(untrained)}." if untrained else "",
            f"Of stages with more than {MOST_POINTS:,} rows neighbouring rows are averaged.",
        ),
        figures=(Figure("training", f"Training curves, stage after stage: {'; '.join(strips)}", draw, NOTES, height, height),),
    )


def _curves(columns: Collection[str]) -> list[Curve]:
    """The curves that have values, strip by strip."""
    monitored = [column.removesuffix("/top1") for column in columns if column.endswith("/top1")][:MOST_MONITORED]
    curves = [
        Curve("loss", "loss", "training loss, single steps", TINT, 1.0),
        Curve("loss", "epoch_loss", "training loss, mean of an epoch"),
        Curve("top-1, %", "top1", "training paths"),
        *(Curve("top-1, %", f"{name}/top1", name, *FIXED.get(name, (PALE, 1.0))) for name in monitored),
        Curve("panel, Kendall", "panel/kendall", "Kendall tau-b of the panel"),
        Curve("learning rate", "lr", "learning rate", MUTED),
    ]
    return [curve for curve in curves if curve.column in columns]


def _means(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of (rows, n): at most ``MOST_POINTS`` columns, each the mean of equally many neighbours."""
    count = values.shape[1]
    first = np.arange(0, count, max(1, -(-count // MOST_POINTS)))
    return np.add.reduceat(values, first, axis=1) / np.diff([*first, count]) if count else values
