"""Stand-alone training of candidates: the ground truth of a ranking."""

from nas_lightning.standalone.choice import check_seeds, spread_by_accuracy, spread_by_cost
from nas_lightning.standalone.side_by_side import on_one_device, pack
from nas_lightning.standalone.summary import table, write_summary
from nas_lightning.standalone.train_alone import Diverged, Recipe, check_trainer_arguments, train_alone
from nas_lightning.standalone.truth import Failure, GroundTruth, check_enough, describe_failures, read_accuracies_so_far, train_ground_truth

__all__ = [
    "Diverged",
    "Failure",
    "GroundTruth",
    "Recipe",
    "check_enough",
    "check_seeds",
    "check_trainer_arguments",
    "describe_failures",
    "on_one_device",
    "pack",
    "read_accuracies_so_far",
    "spread_by_accuracy",
    "spread_by_cost",
    "table",
    "train_alone",
    "train_ground_truth",
    "write_summary",
]
