"""``python -m benchmarks.predictors SCORES.csv [...] --known FILE [--space resnet20_track1] [--json FILE]``: which predictor agrees best.

Refits every predictor on the scores of each table, which takes seconds, and compares with known accuracies. The constants of
``ranking.predictor`` were chosen so, on the 250 known accuracies of the challenge's space: figures of these are selected on these.
"""

import argparse
from pathlib import Path
from statistics import mean

import numpy as np
from omegaconf import OmegaConf
from tabulate import tabulate

from benchmarks.ways import ROOT
from nas_lightning.agreement.measure import agreement_with
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.predictors import Monotone, predict
from nas_lightning.scoring.table import ScoreTable, read_table
from nas_lightning.space import Architecture, Population, ResidualStructure, SearchSpace, read_accuracies

STATISTICS = ("kendall", "pearson", "top_k_overlap_10")
PREDICTORS = {
    "monotone, ridge 0.03": Monotone(ridge=0.03),
    "monotone": Monotone(),
    "monotone, ridge 0.3": Monotone(ridge=0.3),
    "no assumption": Monotone(is_constrained=False),
    **{f"monotone + {capacity} of capacity": Monotone(capacity=capacity) for capacity in (0.25, 0.5, 0.75, 1.0)},
}


def structure_of(space: str, classes: int, channels: int) -> ResidualStructure:
    """Of an option of conf/space."""
    node = dict(OmegaConf.load(ROOT / f"conf/space/{space}.yaml"))
    node.pop("_target_")
    return ResidualStructure(SearchSpace(**node), classes, channels)


def agreements(path: Path, structure: ResidualStructure, known: dict[Architecture, float]) -> dict[str, tuple[float, ...]]:
    """Statistics of each score of a table, of each predictor fitted on it, and of each baseline."""
    table = read_table(path, structure.space)
    scored = Population(structure.space, tuple(table.population))
    found: dict[str, tuple[float, ...]] = {}
    for name, predictor in PREDICTORS.items():
        predicted = predict(predictor, structure, scored, table.scores, scored, 0)[0]
        agreement = agreement_with(ScoreTable.of(scored, table.scores, structure, predicted), known, 0)
        for label, one in agreement.by_name.items():
            values = (one.estimates[key].value if key in one.estimates else None for key in STATISTICS)
            found[name if label == "predicted" else label] = tuple(np.nan if value is None else value for value in values)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictors", description="Which predictor agrees best.")
    parser.add_argument("tables", type=Path, nargs="+", metavar="SCORES.csv", help="such as those of several seeds")
    parser.add_argument("--known", type=Path, required=True, metavar="FILE", help="accuracies in the challenge's format")
    parser.add_argument("--space", default="resnet20_track1", help="an option of conf/space (default %(default)s)")
    parser.add_argument("--classes", type=int, default=100, help="(default %(default)s)")
    parser.add_argument("--channels", type=int, default=3, help="of the images (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    structure = structure_of(arguments.space, arguments.classes, arguments.channels)
    known = read_accuracies(arguments.known, structure.space)
    by_table = [agreements(path, structure, known) for path in arguments.tables]
    rows = [
        [
            name,
            *(" / ".join(f"{value:.3f}" for value in one) for one in values),
            *(f"{mean(column):.3f}" for column in zip(*values, strict=True)),
        ]
        for name, values in ((name, [found[name] for found in by_table]) for name in by_table[0])
    ]
    headers = [
        "Kendall / Pearson / ten best",
        *(f"{path.parent.parent.name}/{path.stem}" for path in arguments.tables),
        *["mean"] * len(STATISTICS),
    ]
    print(tabulate(rows, headers, disable_numparse=True))
    if arguments.json is not None:
        write_json(arguments.json, dict(zip(map(str, arguments.tables), by_table, strict=True)))


if __name__ == "__main__":
    main()
