"""What candidates learn."""

from nas_lightning.training.objectives.objectives import CrossEntropy, InplaceDistillation, Objective, Pass

__all__ = ["CrossEntropy", "InplaceDistillation", "Objective", "Pass"]
