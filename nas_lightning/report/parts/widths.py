"""The effect of each layer's width on the score: the mean score of the candidates with that width."""

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import Figure, Hover, heat_map
from nas_lightning.report.run import RunFiles

STRONG = 0.97
"""Share of the cells with distinct colours; the few stronger ones share the last colour."""
MOST_CELLS = 5000
"""Maximum cells of the figure; a larger space is not drawn."""
NOTES = (
    "A mean over few candidates moves by chance; the widths of other layers are not held fixed.",
    f"The strongest {100 * (1 - STRONG):.0f} % of the cells share the last colours.",
)


def widths(run: RunFiles) -> Part | None:
    """A heat map of layer and width."""
    if (ranking := run.ranking) is None:
        return None
    rows = ranking.table.population.widths[ranking.distinct]
    legal, index = np.unique(rows, return_inverse=True)
    layers = rows.shape[1]
    if layers * len(legal) > MOST_CELLS:
        return None
    cell = (index.reshape(-1, layers) * layers + np.arange(layers)).ravel()
    counts, scores = np.bincount(cell, minlength=len(legal) * layers), ranking.shown[ranking.distinct]
    sums = np.bincount(cell, weights=np.repeat(scores, layers), minlength=len(counts))
    with np.errstate(invalid="ignore"):
        effect = (sums / counts - scores.mean()).reshape(len(legal), layers)
    largest = float(np.nanquantile(np.abs(effect), STRONG)) or float(np.nanmax(np.abs(effect))) or 1.0
    unit = ranking.unit.replace("%", "points")
    strongest = np.argsort(np.nanmin(effect, axis=0) - np.nanmax(effect, axis=0), kind="stable")[:3] + 1
    filled = np.argwhere(~np.isnan(effect))
    texts = [
        f"layer {layer + 1}, width {legal[row]}\n{ranking.label} {effect[row, layer]:+.3f} {unit}\n{count:,} candidates"
        for (row, layer), count in zip(filled, counts[counts > 0], strict=True)
    ]

    def draw(canvas: Canvas) -> list[Hover]:
        names = [str(layer + 1) for layer in range(layers)], [str(width) for width in legal]
        axes = heat_map(canvas, effect, *names, centre=0, spread=largest, unit=f"mean score minus mean of all, {unit}")
        axes.set(xlabel="layer (1 is the stem)", ylabel="width, channels")
        return [Hover(axes, filled[:, 1].tolist(), filled[:, 0].tolist(), texts, reach=200)]

    says = f"Heat map of the mean score by layer (1 to {layers}) and width"
    return Part(
        "What each layer's width does",
        (
            f"Each cell is the mean score ({ranking.label}) of the candidates with that width in that layer, minus the mean of all. "
            f"Layers whose widths move the score most: {', '.join(map(str, strongest))}.",
            "" if ranking.names_space else "The config names no space: all entries of a code are shown, also those that no layer may read.",
        ),
        figure=Figure("widths", says, draw, NOTES, 440, 430),
    )
