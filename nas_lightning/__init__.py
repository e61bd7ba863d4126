"""Rank neural architectures with one weight-sharing network. The public names are here, imported on first use."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
HOMES = {
    "Architecture": "space.architecture",
    "Population": "space.population",
    "SearchSpace": "space.search_space",
    "ResidualFamily": "supernet.family",
    "Supernet": "supernet.network",
    "Digits": "data.digits",
    "ImageDataset": "data.image_dataset",
    "ImageFolder": "data.image_folder",
    "cut": "supernet.single_network",
    "load_supernet": "supernet.checkpoint",
    "evaluation_images": "data.image_dataset",
    "rank": "python",
    "score_candidates": "scoring.score",
    "ScoreTable": "scoring.table",
    "read_table": "scoring.table",
    "measure": "agreement.measure",
    "read_agreement": "agreement.read",
}
"""The file of each public name."""
__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
