"""Draws candidates of one cost and many shapes from MobileNet-V2's space: ``python band.py FOLDER``.

Writes ``list.json``, 1,000 candidates within two percent of 2.5 million multiply-adds, and ``truth.json``, its first 24. A
candidate is a line over the depth, from narrow first layers and wide last ones to the opposite, with noise in each choice.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from torchvision.models import mobilenet_v2

from nas_lightning import Architecture, Population
from nas_lightning.supernet.traced.family import TracedFamily

MULTIPLY_ADDS, TOLERANCE, COUNT, TRUTH, DRAWN, SEED = 2_500_000, 0.02, 1000, 24, 60_000, 0


def main(folder: Path) -> None:
    """Writes both lists."""
    make = partial(mobilenet_v2, num_classes=100)
    family = TracedFamily(make, "mobilenet_v2", classes=100, channels=3, resolution=32)
    rng, depth = np.random.default_rng(SEED), np.linspace(-1, 1, family.space.layers)
    scale, tilt = rng.uniform(0.2, 1, (DRAWN, 1)), rng.uniform(-0.5, 0.5, (DRAWN, 1))
    shares = scale + tilt * depth + rng.normal(0, 0.15, (DRAWN, len(depth)))
    rows = np.empty(shares.shape, dtype=np.int64)
    for choice, widths in enumerate(map(np.array, family.space.choices)):  # the nearest legal width
        rows[:, choice] = widths[np.abs(widths / widths[-1] - shares[:, [choice]]).argmin(axis=1)]
    costs = family.cost(rows).multiply_adds
    within = rows[np.abs(costs / MULTIPLY_ADDS - 1) <= TOLERANCE]
    chosen = list(dict.fromkeys(Architecture(tuple(row)) for row in within.tolist()))[:COUNT]
    folder.mkdir(parents=True, exist_ok=True)
    Population.of(family.space, chosen).write(folder / "list.json")
    Population.of(family.space, chosen[:TRUTH]).write(folder / "truth.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
