"""Candidates trained alone: the truth that a ranking is compared with."""

from nas_lightning.standalone.choice import spread_by_accuracy, spread_by_cost
from nas_lightning.standalone.summary import table, write_summary
from nas_lightning.standalone.train_alone import Recipe, train_alone
from nas_lightning.standalone.truth import Truth, read_accuracies_so_far, train_truth

__all__ = [
    "Recipe",
    "Truth",
    "read_accuracies_so_far",
    "spread_by_accuracy",
    "spread_by_cost",
    "table",
    "train_alone",
    "train_truth",
    "write_summary",
]
