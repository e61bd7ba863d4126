"""What a candidate is."""

from nas_lightning.space.architecture import AnyWidths, Architecture, ReadsCodes
from nas_lightning.space.cost import Cost, cost, cost_of
from nas_lightning.space.population import Candidate, CandidateRows, Candidates, Population, read_accuracies
from nas_lightning.space.search_space import Block, SearchSpace
from nas_lightning.space.shortcuts import ShortcutRule

__all__ = [
    "AnyWidths",
    "Architecture",
    "Block",
    "Candidate",
    "CandidateRows",
    "Candidates",
    "Cost",
    "Population",
    "ReadsCodes",
    "SearchSpace",
    "ShortcutRule",
    "cost",
    "cost_of",
    "read_accuracies",
]
