"""The effect of each layer's width on the score: the mean score of the candidates with that width."""

import numpy as np

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import Figure, heat_map
from nas_lightning.report.run import RunFiles

STRONG = 0.97
"""Share of the cells with distinct colours; the few stronger ones share the last colour."""
NOTES = (
    "A mean over few candidates moves by chance; the widths of other layers are not held fixed.",
    f"The strongest {100 * (1 - STRONG):.0f} % of the cells share the last colours.",
)


def widths(run: RunFiles) -> Part | None:
    """A heat map of layer and width."""
    if (ranking := run.ranking) is None:
        return None
    candidates = ranking.table.population.widths[ranking.distinct]
    legal, index = np.unique(candidates, return_inverse=True)
    layers = candidates.shape[1]
    cell = (index.reshape(-1, layers) * layers + np.arange(layers)).ravel()
    counts = np.bincount(cell, minlength=len(legal) * layers).reshape(len(legal), layers)
    scores = ranking.quality[ranking.distinct]
    sums = np.bincount(cell, weights=np.repeat(scores, layers), minlength=counts.size).reshape(counts.shape)
    effect = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0) - scores.mean()
    largest = float(np.nanquantile(np.abs(effect), STRONG)) or float(np.nanmax(np.abs(effect))) or 1.0
    unit = ranking.unit.replace("%", "points")
    gain = f"{ranking.name} {'higher' if ranking.key == 'top1' else 'lower'} by"
    strongest = np.argsort(np.nanmin(effect, axis=0) - np.nanmax(effect, axis=0), kind="stable")[:3] + 1
    texts = {
        (row, layer): f"layer {layer + 1}, width {width}\n{gain} {effect[row, layer]:+.3f} {unit}\n{counts[row, layer]:,} candidates"
        for row, width in enumerate(legal.tolist())
        for layer in range(layers)
        if counts[row, layer]
    }
    columns = "layer (1 is the stem)", [str(layer + 1) for layer in range(layers)]
    rows = "width, channels", list(map(str, legal))
    draw = heat_map(effect, columns, rows, f"{gain}, {unit}", (-largest, largest), texts)
    says = f"Heat map of the mean score by layer (1 to {layers}) and width"
    return Part(
        "What each layer's width does",
        (
            f"Each cell says by how much the candidates with that width in that layer have their mean {gain.removesuffix(' by')} than all. "
            f"Layers whose widths move the score most: {', '.join(map(str, strongest))}.",
        ),
        figures=(Figure("widths", says, draw, NOTES, 440, 430),),
    )
