"""What candidates learn."""

from nas_lightning.objective.objectives import CrossEntropy, InplaceDistillation, Objective, Pass

__all__ = ["CrossEntropy", "InplaceDistillation", "Objective", "Pass"]
