"""What a candidate is."""

from nas_lightning.space.architecture import AnyWidths, Architecture, ReadsCodes
from nas_lightning.space.population import Candidate, CandidateRows, Candidates, Population, read_accuracies
from nas_lightning.space.search_space import Block, SearchSpace
from nas_lightning.space.structure import IMAGES, Cost, ResidualStructure, ShortcutRule, Unit

__all__ = [
    "IMAGES",
    "AnyWidths",
    "Architecture",
    "Block",
    "Candidate",
    "CandidateRows",
    "Candidates",
    "Cost",
    "Population",
    "ReadsCodes",
    "ResidualStructure",
    "SearchSpace",
    "ShortcutRule",
    "Unit",
    "read_accuracies",
]
