"""The effect of each layer's width on the score: the mean score of the candidates with that width."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import Figure, heat_map
from nas_lightning.report.run import RunFiles

STRONG = 0.97
"""Share of the cells with distinct colours; the few stronger ones share the last colour."""
MOST = 10**6
"""Widths of a foreign file are below."""
NOTES = (
    "A mean over few candidates moves by chance; the widths of other layers are not held fixed.",
    f"The strongest {100 * (1 - STRONG):.0f} % of the cells share the last colours.",
)


def widths(run: RunFiles) -> Part | None:
    """A heat map of layer and width."""
    if (ranking := run.ranking) is None:
        return None
    candidates = ranking.table.population.widths[ranking.distinct]
    shown, index, names = _rows(candidates, run.protocol.get("choices"))
    layers = candidates.shape[1]
    cell = (index * layers + np.arange(layers)).ravel()
    counts = np.bincount(cell, minlength=len(shown) * layers).reshape(len(shown), layers)
    scores = ranking.quality[ranking.distinct]
    sums = np.bincount(cell, weights=np.repeat(scores, layers), minlength=counts.size).reshape(counts.shape)
    effect = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0) - scores.mean()
    largest = float(np.nanquantile(np.abs(effect), STRONG)) or float(np.nanmax(np.abs(effect))) or 1.0
    unit = ranking.unit.replace("%", "points")
    gain = f"{ranking.name} {'higher' if ranking.key == 'top1' else 'lower'} by"
    strongest = np.argsort(np.nanmin(effect, axis=0) - np.nanmax(effect, axis=0), kind="stable")[:3]
    width_of = np.zeros(counts.shape, dtype=np.int64)
    width_of[index, np.arange(layers)] = candidates
    texts = {
        (row, layer): f"{names[layer] if names else f'layer {layer + 1}'}, width {width_of[row, layer]}\n"
        f"{gain} {effect[row, layer]:+.3f} {unit}\n{counts[row, layer]:,} candidates"
        for row in range(len(shown))
        for layer in range(layers)
        if counts[row, layer]
    }
    columns = "choice, in forward order" if names else "layer (1 is the stem)", [str(layer + 1) for layer in range(layers)]
    rows = "place in the choice's list of widths" if names else "width, channels", shown
    draw = heat_map(effect, columns, rows, f"{gain}, {unit}", (-largest, largest), texts)
    says = f"Heat map of the mean score by layer (1 to {layers}) and width"
    return Part(
        "What each layer's width does",
        (
            f"Each cell says by how much the candidates with that width in that layer have their mean {gain.removesuffix(' by')} than all. "
            f"Layers whose widths move the score most: {', '.join(names[layer] if names else str(layer + 1) for layer in strongest)}.",
        ),
        figures=(Figure("widths", says, draw, NOTES, 440, 430),),
    )


def _rows(candidates: npt.NDArray[np.int64], choices: Any) -> tuple[list[str], npt.NDArray[np.int64], list[str]]:
    """The names of the rows, the row of each candidate's width in each layer, and the names of the layers, if a protocol has them.

    Widths of a traced network differ from layer to layer: its rows are the places in each list, 1 the narrowest.
    """
    if isinstance(choices, Mapping) and len(choices) == candidates.shape[1] and all(map(_is_list_of_widths, choices.values())):
        lists = [np.unique(legal) for legal in choices.values()]
        if all(np.isin(column, legal).all() for column, legal in zip(candidates.T, lists, strict=True)):
            index = np.stack([np.searchsorted(legal, column) for column, legal in zip(candidates.T, lists, strict=True)], axis=1)
            return [str(place + 1) for place in range(max(map(len, lists)))], index, list(map(str, choices))
    legal, index = np.unique(candidates, return_inverse=True)
    return list(map(str, legal)), index.reshape(candidates.shape), []


def _is_list_of_widths(legal: Any) -> bool:
    return isinstance(legal, list) and all(type(width) is int and 0 < width < MOST for width in legal)
