"""What is known of predicted scores: how they were made, and how far they can be trusted."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nas_lightning.errors import InputError
from nas_lightning.runs.reading import read_json


class LayerEffect(NamedTuple):
    """How a layer's largest width changes the cross entropy of the middle candidate against its smallest, in nats."""

    layer: str
    stage: str
    """Side of the layer's output, in pixels."""
    predicted: float
    without_assumption: float
    """By the same fit without the predictor's assumption: what the scores themselves say."""


@dataclass(frozen=True)
class Prediction:
    """The content of ``predictor.json``."""

    predictor: str
    scored: int
    """Candidates that it was fitted on."""
    explained: float
    """Share of the variance of scores left out of the fit that it explains, in ten folds."""
    error: float
    """Root mean square of its differences from scores left out, in nats."""
    kendall: float | None
    """Kendall tau-b with scores left out; None if one side has no order."""
    explained_without_assumption: float | None
    """None of a predictor that makes no assumption."""
    doubtful: bool
    """The fit without the assumption is clearly better: some layers do seem to be better narrower."""
    effects: tuple[LayerEffect, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "effects": [effect._asdict() for effect in self.effects]}

    def shares(self) -> dict[str, float]:
        """Each stage's part of the sum of all layers' predicted effects; empty if all are 0."""
        total = sum(effect.predicted for effect in self.effects)
        if not total:
            return {}
        stages = dict.fromkeys(effect.stage for effect in self.effects)
        return {stage: sum(effect.predicted for effect in self.effects if effect.stage == stage) / total for stage in stages}

    @property
    def tau(self) -> str:
        """``kendall`` as a text."""
        return "undefined" if self.kendall is None else f"{self.kendall:.3f}"

    @property
    def doubt(self) -> str:
        """What a reader should know if the assumption is doubtful."""
        share = f"only {self.explained:.1%}" if self.explained > 0 else "none of it"
        return (
            f"The predictor {self.predictor} assumes that a wider layer is never worse. Without that assumption the same fit explains "
            f"{self.explained_without_assumption:.1%} of the variance of scores left out of it, with it {share}: "
            f"some layers score better when narrower{'' if self.explained > 0 else ', or the supernet is hardly trained'}."
        )


def read_prediction(path: Path) -> Prediction:
    """Reads ``predictor.json``.

    Raises:
        InputError: if it does not hold what a ranking writes.
    """
    content = read_json(path)
    try:
        effects = tuple(
            LayerEffect(str(node["layer"]), str(node["stage"]), _number(node["predicted"]), _number(node["without_assumption"]))
            for node in content["effects"]
        )
        tau, free = (None if content[key] is None else _number(content[key]) for key in ("kendall", "explained_without_assumption"))
        return Prediction(
            predictor=str(content["predictor"]),
            scored=int(_number(content["scored"])),
            doubtful=content["doubtful"] is True,
            effects=effects,
            explained=_number(content["explained"]),
            error=_number(content["error"]),
            kendall=tau,
            explained_without_assumption=free,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: does not hold what a ranking writes there ({type(error).__name__}: {error}); rank again") from None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise ValueError(f"{str(value)[:80]!r} is not a number")
    return float(value)
