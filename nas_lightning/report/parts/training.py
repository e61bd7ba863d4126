"""The training curves of the stages, one after the other, from their metrics."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part, missing
from nas_lightning.report.drawing import ACCENT, INK, MUTED, PALE, TINT, Figure, Hover
from nas_lightning.report.run import RunFiles, StageMetrics
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

    column: str
    label: str
    colour: str = ACCENT
    width: float = 1.6
    scale: float = 1


FIXED = {"largest": (INK, 1.6), "smallest": (TINT, 1.6)}
"""Colour and line width of monitored candidates; others are grey."""
NOTES = (
    "Loss: light, single steps; dark, the mean of an epoch's steps.",
    "Top-1: coloured, the paths that train, on training images; black, the largest candidate, on held-out images; light, the smallest "
    "candidate; grey, other fixed candidates, on held-out images.",
)


def training(run: RunFiles) -> Part | None:
    """Strips over a common axis of steps."""
    if run.is_only_alone:
        return None
    if not run.stages:
        return missing(TITLE, "stages/*/metrics.csv")
    counts = [stage.last_step + 1 for stage in run.stages]
    starts = np.cumsum([0, *counts[:-1]])
    strips = {title: drawn for title, curves in _strips(run).items() if (drawn := [curve for curve in curves if _has_values(run, curve)])}
    if not strips:
        return Part(TITLE, ("The metrics of the stages hold no values.",))
    steps = ", ".join(f"{stage.name} ({count:,} steps)" for stage, count in zip(run.stages, counts, strict=True))

    def draw(canvas: Canvas) -> list[Hover]:
        all_axes = canvas.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
        hovers = []
        for axes, (title, curves) in zip(all_axes, strips.items(), strict=True):
            axes.set_ylabel(title)
            for curve in curves:
                pieces = [_values(stage, curve, int(start)) for stage, start in zip(run.stages, starts, strict=True)]
                across, values = np.concatenate(pieces, axis=1)
                marker = "o" if len(values) <= FEW else None
                for piece in pieces:
                    axes.plot(*piece, color=curve.colour, linewidth=curve.width, marker=marker, markersize=3)
                texts = [f"{short(curve.label)}\n{value:.4g}\nstep {step:,.0f}" for step, value in zip(across, values, strict=True)]
                hovers.append(Hover(axes, across.tolist(), values.tolist(), texts))
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
            f"Not trained yet, or without metrics: {', '.join(run.untrained)}." if run.untrained else "",
            f"Of stages with more than {MOST_POINTS:,} rows neighbouring rows are averaged.",
        ),
        figure=Figure("training", f"Training curves, stage after stage: {'; '.join(strips)}", draw, NOTES, height, height),
    )


def _strips(run: RunFiles) -> dict[str, list[Curve]]:
    """The curves by the title of the axis that they share."""
    columns = dict.fromkeys(column for stage in run.stages for column in stage.columns)
    monitored = [column.removesuffix("/top1") for column in columns if column.endswith("/top1")][:MOST_MONITORED]
    return {
        "loss": [Curve("loss", "training loss, single steps", TINT, 1.0), Curve("epoch_loss", "training loss, mean of an epoch")],
        "top-1, %": [
            Curve("top1", "training paths", scale=100),
            *(Curve(f"{name}/top1", name, *FIXED.get(name, (PALE, 1.0)), scale=100) for name in monitored),
        ],
        "panel, Kendall": [Curve("panel/kendall", "Kendall tau-b of the panel")],
        "learning rate": [Curve("lr", "learning rate", MUTED)],
    }


def _has_values(run: RunFiles, curve: Curve) -> bool:
    return any(np.isfinite(stage.columns.get(curve.column, np.nan)).any() for stage in run.stages)


def _values(stage: StageMetrics, curve: Curve, start: int) -> npt.NDArray[np.float64]:
    """(2, at most ``MOST_POINTS``) steps and values of one stage, each the mean of equally many neighbours."""
    steps = stage.columns["step"]
    column = stage.columns.get(curve.column, np.full(len(steps), np.nan))
    kept = np.stack([steps + start, column * curve.scale])[:, np.isfinite(column)]
    count = kept.shape[1]
    first = np.arange(0, count, max(1, -(-count // MOST_POINTS)))
    return np.add.reduceat(kept, first, axis=1) / np.diff([*first, count]) if count else kept
