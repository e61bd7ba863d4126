"""Agreement of scores with known accuracies, and with each other. Needs no torch."""

from nas_lightning.agreement.agreement import Agreement, ScoreAgreement
from nas_lightning.agreement.correlations import kendall_tau
from nas_lightning.agreement.estimate import Estimate
from nas_lightning.agreement.measure import agreement_with, measure
from nas_lightning.agreement.read import read_agreement

__all__ = ["Agreement", "Estimate", "ScoreAgreement", "agreement_with", "kendall_tau", "measure", "read_agreement"]
