"""How much of the differences between known accuracies is the choice of the test images."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LARGE = 0.5
"""Standard error, as a share of the spread, from which on neighbours in the order cannot be told apart."""


@dataclass(frozen=True, slots=True)
class SamplingError:
    """Of accuracies that were measured on one set of test images."""

    images: int
    standard_error: float
    """Binomial, of one training's accuracy; a fraction."""
    spread: float
    """Standard deviation of the candidates' accuracies; a fraction."""

    @classmethod
    def of(cls, accuracies: np.ndarray, images: int) -> "SamplingError":
        """Of (n,) accuracies as fractions, on so many images each."""
        error = float(np.sqrt((accuracies * (1 - accuracies)).mean() / images))
        return cls(images, error, float(accuracies.std(ddof=1)) if len(accuracies) > 1 else 0.0)

    @property
    def is_large(self) -> bool:
        """Whether close candidates cannot be told apart."""
        return self.standard_error >= LARGE * self.spread

    def __str__(self) -> str:
        error = f"On {self.images:,} test images one accuracy has a standard error of {100 * self.standard_error:.2g} points (binomial)"
        spread = f"the candidates' accuracies spread by {100 * self.spread:.2g}"
        return f"{error}; {spread}{', so that close ones cannot be told apart' if self.is_large else ''}."

    def to_json(self) -> Mapping[str, Any]:
        """Plain values."""
        return asdict(self)
