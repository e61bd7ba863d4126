"""Candidates, lists of candidates, and the spaces they belong to."""

from nas_lightning.space.architecture import AnyWidths, Architecture, ReadsCodes
from nas_lightning.space.listed_space import ListedSpace
from nas_lightning.space.population import Candidate, CandidateRows, Candidates, Population, as_fractions, read_accuracies, read_values
from nas_lightning.space.search_space import SearchSpace
from nas_lightning.space.space import Space
from nas_lightning.space.structure import ResidualStructure, ShortcutRule, Structure
from nas_lightning.space.untrained import size_and_last_width

__all__ = [
    "AnyWidths",
    "Architecture",
    "Candidate",
    "CandidateRows",
    "Candidates",
    "ListedSpace",
    "Population",
    "ReadsCodes",
    "ResidualStructure",
    "SearchSpace",
    "ShortcutRule",
    "Space",
    "Structure",
    "as_fractions",
    "read_accuracies",
    "read_values",
    "size_and_last_width",
]
