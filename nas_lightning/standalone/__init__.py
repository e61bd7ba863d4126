"""Candidates trained alone: the truth that a ranking is compared with."""

from nas_lightning.standalone.train_alone import Recipe, train_alone
from nas_lightning.standalone.truth import Truth, spread_by_cost, train_truth

__all__ = ["Recipe", "Truth", "spread_by_cost", "train_alone", "train_truth"]
