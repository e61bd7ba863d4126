"""What candidates learn."""

from nas_lightning.training.objectives.objectives import CrossEntropy, InplaceDistillation, Objective, PathLoss

__all__ = ["CrossEntropy", "InplaceDistillation", "Objective", "PathLoss"]
