"""What each layer's width does to the score: the mean score of the candidates that have it."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Figure, Part
from nas_lightning.report.look import ACCENT, INK, axis, layout, plain
from nas_lightning.report.run import Run

TITLE = "What each layer's width does"
BELOW, MIDDLE = "#8c7a6b", "#f7f8f8"
STRONG = 0.97
"""Share of the cells whose effect the colours tell apart; the few stronger ones have the last colour."""
MOST_CELLS = 5000
"""Of the figure; a space of more widths is not drawn."""


def widths(run: Run) -> Part:
    """A heat map of layer and width."""
    if run.candidates is None:
        return Part.missing(TITLE, "Missing: ranking/scores.csv.")
    distinct = run.candidates.distinct
    legal, place = np.unique(run.candidates.widths[distinct], return_inverse=True)
    layers = run.candidates.widths.shape[1]
    if layers * len(legal) > MOST_CELLS:
        return Part.missing(TITLE, f"Not drawn: {layers} layers of {len(legal):,} different widths are too many for a figure.")
    cell = place.reshape(-1, layers) * layers + np.arange(layers)
    counts = np.bincount(cell.ravel(), minlength=len(legal) * layers).reshape(len(legal), layers)
    shown = run.kind.shown(run.quality)[distinct]
    sums = np.bincount(cell.ravel(), weights=np.repeat(shown, layers), minlength=len(legal) * layers).reshape(counts.shape)
    effect = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0) - shown.mean()
    largest = float(np.nanquantile(np.abs(effect), STRONG)) or float(np.nanmax(np.abs(effect))) or 1.0
    unit = "points" if run.kind.percent else "nats"
    texts = [
        [
            f"layer {layer + 1}, width {width}<br>{run.kind.name} {effect[row, layer]:+.3f} {unit}<br>{counts[row, layer]:,} candidates"
            for layer in range(layers)
        ]
        for row, width in enumerate(legal)
    ]
    spread = [float(np.nanmax(column) - np.nanmin(column)) for column in effect.T]
    strongest = sorted(range(layers), key=lambda layer: -spread[layer])[:3]
    layer_names = [str(layer + 1) for layer in range(layers)]
    width_names = [str(width) for width in legal]
    colour_title = f"mean score minus mean of all, {unit}"
    trace = {
        "type": "heatmap",
        "x": layer_names,
        "y": width_names,
        "z": [plain(row, 4) for row in effect],
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "coloraxis": "coloraxis",
    }

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        colours = LinearSegmentedColormap.from_list("effect", [BELOW, MIDDLE, ACCENT])
        image = axes.imshow(effect, origin="lower", aspect="auto", cmap=colours, norm=TwoSlopeNorm(0, -largest, largest))
        axes.set_xticks(range(layers), layer_names)
        every = range(0, len(legal), max(1, len(legal) // 16))
        axes.set_yticks(list(every), [width_names[row] for row in every])
        axes.set_xlabel("layer (1 is the stem)")
        axes.set_ylabel("width, channels")
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        bar = canvas.colorbar(image, ax=axes)
        bar.set_label(colour_title, color=INK)
        bar.outline.set_visible(False)

    trailing = _trailing(run, layers)
    typical = int(np.median(counts[counts > 0]))
    return Part(
        TITLE,
        (
            f"Each cell is the mean score ({run.kind.name}) of the candidates with that width in that layer (typically {typical:,} of "
            f"them), minus the mean of all. The widths of {_layers_listed(strongest)} move the score most.{trailing}",
        ),
        figure=Figure(
            "widths",
            f"Heat map of the mean score by layer (1 to {layers}) and width",
            [trace],
            layout(
                440,
                xaxis=axis("layer (1 is the stem)", type="category", showgrid=False, tickangle=0),
                yaxis=axis("width, channels", type="category", showgrid=False),
                coloraxis={
                    "cmin": -largest,
                    "cmax": largest,
                    "colorscale": [[0, BELOW], [0.5, MIDDLE], [1, ACCENT]],
                    "colorbar": {
                        "title": {"text": colour_title, "side": "right", "font": {"size": 12}},
                        "thickness": 12,
                        "outlinewidth": 0,
                        "nticks": 7,
                    },
                },
            ),
            {
                "height": 430,
                "xaxis": {"dtick": max(1, layers // 7)},
                "coloraxis": {
                    "colorbar": {
                        "title": {"side": "top"},
                        "orientation": "h",
                        "len": 1,
                        "x": 0,
                        "xanchor": "left",
                        "y": 1.02,
                        "yanchor": "bottom",
                        "nticks": 5,
                    }
                },
            },
            draw,
            (7.2, 4.6),
        ),
        notes=(
            "A mean over few candidates moves by chance; the widths of other layers are not held fixed.",
            f"The strongest {100 * (1 - STRONG):.0f} % of the cells share the last colours.",
        ),
    )


def _layers_listed(layers: list[int]) -> str:
    numbers = [str(layer + 1) for layer in layers]
    return f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {', '.join(numbers[:-1])} and {numbers[-1]}"


def _trailing(run: Run, layers: int) -> str:
    if run.layers is not None:
        return ""
    return f" The config names no space: all {layers} entries of a code are shown, also those that no layer may read."
