"""A statistic and its spread over resamples."""

from dataclasses import dataclass

import numpy as np

FEWEST_ARCHITECTURES = 3
"""Minimum architectures to measure an agreement."""
FEWEST_OF_A_GROUP = 5
"""Minimum of each of two groups for an interval of the difference of their means: of two it is several times as wide as of five."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic and the interval of 95 % of its values on resamples; None if undefined or not measured."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float | None, resampled: np.ndarray) -> "Estimate":
        """From the value, nan or None if undefined, and its values on resamples, nan where undefined."""
        if value is None or np.isnan(value):
            return cls(None)
        defined = resampled[~np.isnan(resampled)]
        if not len(defined):
            return cls(float(value))
        low, high = np.percentile(defined, [2.5, 97.5])
        return cls(float(value), float(low), float(high))

    def scaled(self, factor: float) -> "Estimate":
        """The same estimate in another unit."""
        return Estimate(*(None if number is None else factor * number for number in (self.value, self.low, self.high)))

    def to_json(self) -> dict[str, float | None]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def text(self, form: str = ".3f") -> str:
        """Value and interval in a number format, such as ``0.729 [0.684, 0.771]``."""
        if self.value is None:
            return "undefined"
        interval = "" if self.low is None or self.high is None else f" [{self.low:{form}}, {self.high:{form}}]"
        return f"{self.value:{form}}{interval}".replace("%", " %")  # Python writes 40%

    def __str__(self) -> str:
        return self.text()
