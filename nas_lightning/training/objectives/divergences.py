"""How far a student's class probabilities are from its teacher's."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from nas_lightning.config.fields import Checked, number
from nas_lightning.errors import InputError
from nas_lightning.supernet.cpu_kernels import at_least_float32


class Divergence(Protocol):
    """Compares answers."""

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean over the images; logits (batch, classes) of both, of which only the student's receive gradients."""
        ...


@dataclass(frozen=True)
class KLDivergence(Checked, place="divergence"):
    """The Kullback-Leibler divergence KL(teacher || student) of probabilities softened by a temperature.

    Times its square, so that gradients keep their size (Hinton et al., Distilling the Knowledge in a Neural Network, 2015).
    """

    temperature: float = number(1.0, above=0)

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See Divergence."""
        log_q, log_p = (log_probabilities(logits, self.temperature) for logits in (student, teacher.detach()))
        return self.temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class AlphaDivergence(Checked, place="divergence"):
    """For each image the larger of two alpha-divergences D_alpha(teacher p || student q), as in AlphaNet (Wang et al. 2021).

    D_alpha = sum of q ((p / q)^alpha - 1) / (alpha (alpha - 1)). A negative alpha punishes a student that spreads over
    classes where its teacher does not, a positive one a student that misses some. The factors (p / q)^alpha are clipped, in
    the value and in the gradient, -sum of q (p / q)^alpha / alpha times the gradient of log q. The limits KL(p || q) at alpha 1
    and KL(q || p) at alpha 0 have no such factors to clip.
    """

    alpha_min: float = number(-1.0)
    alpha_max: float = number(1.0)
    clip: float = number(5.0, least=1)
    """The highest (p / q)^alpha."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -math.inf < self.alpha_min <= self.alpha_max < math.inf:
            raise InputError(f"divergence.alpha_min: {self.alpha_min} must be a number up to alpha_max={self.alpha_max}")

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See Divergence."""
        log_q, log_p = (log_probabilities(logits, 1.0) for logits in (student, teacher.detach()))
        (low, low_weights), (high, high_weights) = (self._of(alpha, log_q.detach(), log_p) for alpha in (self.alpha_min, self.alpha_max))
        weights = torch.where((low > high)[:, None], low_weights, high_weights)
        # Its gradient is clipped, so that it is not the gradient of its value.
        slope = -(weights * log_q).sum(dim=1)
        return (torch.maximum(low, high) + slope - slope.detach()).mean()

    def _of(self, alpha: float, log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """(batch,) the divergence, and (batch, classes) the negative weights of the gradient of log q in its own."""
        log_ratio, p, q = log_p - log_q, log_p.exp(), log_q.exp()
        if math.isclose(alpha, 1, abs_tol=NEAR):
            return (p * log_ratio).sum(dim=1), p
        if math.isclose(alpha, 0, abs_tol=NEAR):
            return -(q * log_ratio).sum(dim=1), q * log_ratio
        factors = (alpha * log_ratio).clamp(max=math.log(self.clip)).exp()
        return (q * (factors - 1)).sum(dim=1) / (alpha * (alpha - 1)), q * factors / alpha


NEAR = 1e-3
"""An alpha this near to 0 or 1 means the limit: there the formula divides rounding errors by nearly nothing."""


def log_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """In float32 at least."""
    return F.log_softmax(at_least_float32(logits) / temperature, dim=1)
