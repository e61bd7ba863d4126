"""The effect of each layer's width on the score: the mean score of the candidates with that width."""

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import Figure, Hover, heat_map
from nas_lightning.report.run import Ranking

TITLE = "What each layer's width does"
STRONG = 0.97
"""Share of the cells with distinct colours; the few stronger ones share the last colour."""
MOST_CELLS = 5000
"""Maximum cells of the figure; a larger space is not drawn."""


def widths(ranking: Ranking) -> Part:
    """A heat map of layer and width."""
    rows = ranking.table.population.widths[ranking.distinct]
    legal, index = np.unique(rows, return_inverse=True)
    layers = rows.shape[1]
    if layers * len(legal) > MOST_CELLS:
        return Part(TITLE, (f"Not drawn: {layers} layers of {len(legal):,} different widths are too many for a figure.",))
    cell = index.reshape(-1, layers) * layers + np.arange(layers)
    counts = np.bincount(cell.ravel(), minlength=len(legal) * layers).reshape(len(legal), layers)
    scores = ranking.shown[ranking.distinct]
    sums = np.bincount(cell.ravel(), weights=np.repeat(scores, layers), minlength=len(legal) * layers).reshape(counts.shape)
    effect = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0) - scores.mean()
    largest = float(np.nanquantile(np.abs(effect), STRONG)) or float(np.nanmax(np.abs(effect))) or 1.0
    unit = ranking.unit.replace("%", "points")
    strongest = sorted(range(layers), key=lambda layer: float(np.nanmin(effect[:, layer]) - np.nanmax(effect[:, layer])))[:3]
    filled = np.argwhere(counts > 0)
    texts = [
        f"layer {layer + 1}, width {legal[row]}\n{ranking.label} {effect[row, layer]:+.3f} {unit}\n{counts[row, layer]:,} candidates"
        for row, layer in filled
    ]

    def draw(canvas: Canvas) -> list[Hover]:
        names = [str(layer + 1) for layer in range(layers)], [str(width) for width in legal]
        axes = heat_map(canvas, effect, *names, centre=0, spread=largest, unit=f"mean score minus mean of all, {unit}")
        axes.set(xlabel="layer (1 is the stem)", ylabel="width, channels")
        return [Hover(axes, filled[:, 1].tolist(), filled[:, 0].tolist(), texts, reach=200)]

    entries = (
        ""
        if ranking.layers is not None
        else " The config names no space: all entries of a code are shown, also those that no layer may read."
    )
    return Part(
        TITLE,
        (
            f"Each cell is the mean score ({ranking.label}) of the candidates with that width in that layer (typically "
            f"{int(np.median(counts[counts > 0])):,} of them), minus the mean of all. Layers whose widths move the score most: "
            f"{', '.join(str(layer + 1) for layer in strongest)}.{entries}",
        ),
        figure=Figure("widths", f"Heat map of the mean score by layer (1 to {layers}) and width", draw, 440, 430),
        notes=(
            "A mean over few candidates moves by chance; the widths of other layers are not held fixed.",
            f"The strongest {100 * (1 - STRONG):.0f} % of the cells share the last colours.",
        ),
    )
