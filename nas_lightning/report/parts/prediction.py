"""How well the predicted scores foretell the supernet's, and what they take each layer to be worth."""

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import ACCENT, MUTED, Figure, Hover, is_narrow, spaced
from nas_lightning.report.run import RunFiles

NOTE = "Against the smallest width; the other layers are at their middle widths."
ASSUMED = "It assumes that a wider layer is never worse; the scores do not clearly contradict it."


def prediction(run: RunFiles) -> Part | None:
    """The fit, and bars of the layers' effects."""
    if (found := run.prediction) is None or not found.effects:
        return None
    effects, numbers = found.effects, list(range(len(found.effects)))
    # A gain is a lower cross entropy.
    predicted, free = [-effect.predicted for effect in effects], [-effect.without_assumption for effect in effects]
    texts = [
        f"{effect.layer}\npredicted {gain:.4f} nats\nwithout the assumption {alone:.4f} nats"
        for effect, gain, alone in zip(effects, predicted, free, strict=True)
    ]

    def draw(canvas: Canvas) -> list[Hover]:
        axes = canvas.subplots()
        axes.bar(numbers, predicted, width=0.7, color=ACCENT, label="predicted")
        axes.scatter(numbers, free, marker="_", s=60 if is_narrow(canvas) else 160, color=MUTED, zorder=3, label="without the assumption")
        named = spaced(np.arange(len(effects)), 10 if is_narrow(canvas) else 24)
        axes.set_xticks(named, [effects[row].layer for row in named], rotation=60, ha="right", rotation_mode="anchor")
        axes.set_ylabel("gain of the largest width, nats")
        axes.legend(frameon=False)
        return [Hover(axes, [float(number) for number in numbers], predicted, texts)]

    shares = ", ".join(f"{share:.0%} by the layers of {stage}x{stage} pixels" for stage, share in found.shares().items())
    says = f"Bars of the predicted gain of each of {len(effects)} layers, from its smallest to its largest width"
    return Part(
        "What is predicted",
        (
            f"{found.predictor} was fitted on the scores of {found.scored:,} candidates. On scores that were left out of the fit it has "
            f"Kendall {found.tau}, explains {found.explained:.1%} of their variance, and is off by {found.error:.4f} nats.",
            found.doubt if found.doubtful else "" if found.explained_without_assumption is None else ASSUMED,
            f"Of all gains, {shares}." if shares else "No layer gains from its width: all predictions are equal.",
        ),
        figures=(Figure("prediction", says, draw, (NOTE,), 400, 380),),
    )
