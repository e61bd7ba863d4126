"""What candidates learn."""

from nas_lightning.training.objectives.distillation import FixedTeacher, SandwichDistillation
from nas_lightning.training.objectives.divergences import AlphaDivergence, Divergence, KLDivergence
from nas_lightning.training.objectives.objectives import CrossEntropy, InplaceDistillation, Objective, PathLoss

__all__ = [
    "AlphaDivergence",
    "CrossEntropy",
    "Divergence",
    "FixedTeacher",
    "InplaceDistillation",
    "KLDivergence",
    "Objective",
    "PathLoss",
    "SandwichDistillation",
]
