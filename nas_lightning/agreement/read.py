"""Reads ``agreement.json``, also that of older runs: what a file lacks is absent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_lightning.agreement.agreement import CORRELATIONS, OF_THE_TOP, Agreement, ScoreAgreement
from nas_lightning.agreement.estimate import Estimate
from nas_lightning.agreement.noise_ceiling import NoiseCeiling
from nas_lightning.agreement.sampling_error import SamplingError
from nas_lightning.agreement.supervised_predictor import SupervisedPredictor
from nas_lightning.errors import InputError
from nas_lightning.runs.reading import read_json
from nas_lightning.scoring.table import OLDER

LARGEST = 1e300
"""Largest magnitude of a legal number."""


def read_agreement(path: Path) -> Agreement:
    """Reads the file.

    Raises:
        InputError: naming the key that does not hold what it should.
    """
    content, place = read_json(path), str(path)
    ceiling = _mapping(content, "ceiling", place)
    seeds = _count(ceiling, "seeds", f"{path}: ceiling")
    return Agreement(
        n=_count(content, "n", place),
        missing=_count(content, "missing", place),
        resamples=_count(content, "resamples", place),
        seed=_count(content, "seed", place),
        scores=_scores(content, "scores", place),
        baselines=_scores(content, "baselines", place),
        win_shares=_win_shares(content, place),
        fitted={
            _key(count, f"{path}: fitted"): SupervisedPredictor(
                _correlations(node, where := f"{path}: fitted.{count}"), _count(node, "repeats", where)
            )
            for count, node in _objects(content, "fitted", place).items()
        },
        noise_ceiling=NoiseCeiling(seeds, _correlations(ceiling, f"{path}: ceiling")) if ceiling else None,
        sampling_error=_sampling_error(_mapping(content, "sampling_error", place), f"{path}: sampling_error"),
        copies=_count(content, "copies", place),
        kendall_subset=_count(content, "kendall_subset", place) or None,
    )


def _scores(content: Mapping[str, Any], key: str, place: str) -> dict[str, ScoreAgreement]:
    return {OLDER.get(name, name): _score(node, f"{place}: {key}.{name}") for name, node in _objects(content, key, place).items()}


def _score(node: Mapping[str, Any], place: str) -> ScoreAgreement:
    estimates = _correlations(node, place)
    for statistic in OF_THE_TOP:
        for k, value in _mapping(node, statistic, place).items():
            estimates[f"{statistic}_{_key(k, f'{place}.{statistic}')}"] = _estimate(value, f"{place}.{statistic}.{k}")
    ties, dropped = _number(node.get("ties"), f"{place}.ties"), _count(node, "dropped_resamples", place)
    return ScoreAgreement(estimates, node.get("constant") is True, ties, dropped)


def _correlations(node: Mapping[str, Any], place: str) -> dict[str, Estimate]:
    return {name: _estimate(node[name], f"{place}.{name}") for name in CORRELATIONS if node.get(name) is not None}


def _sampling_error(node: Mapping[str, Any], place: str) -> SamplingError | None:
    error, spread = (_number(node.get(key), f"{place}.{key}") for key in ("standard_error", "spread"))
    images = _count(node, "images", place)
    return SamplingError(images, error, spread) if images and error is not None and spread is not None else None


def _win_shares(content: Mapping[str, Any], place: str) -> dict[str, dict[str, dict[str, float | None]]]:
    shares: dict[str, dict[str, dict[str, float | None]]] = {}
    for score, others in _objects(content, "beats", place).items():
        for other in others:
            where = f"{place}: beats.{score}"
            by_statistic = _mapping(others, other, where)
            values = {name: _number(value, f"{where}.{other}.{name}") for name, value in by_statistic.items()}
            shares.setdefault(OLDER.get(score, score), {})[other] = values
    return shares


def _estimate(node: Any, place: str) -> Estimate:
    """Reads value, low and high, or a single value, as in older files."""
    if isinstance(node, dict):
        return Estimate(*(_number(node.get(key), f"{place}.{key}") for key in ("value", "low", "high")))
    return Estimate(_number(node, place))


def _number(value: Any, place: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < LARGEST:
        raise InputError(f"{place}: {str(value)[:80]!r} is not a number")
    return float(value)


def _key(text: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(f"{place}: the key {text[:80]!r} is not a count")
    return int(text)


def _count(node: Mapping[str, Any], key: str, place: str) -> int:
    value = node.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{place}: {key}: {str(value)[:80]!r} is not a count")
    return value


def _mapping(node: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    value = node.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{place}: {key}: must be an object")
    return value


def _objects(node: Mapping[str, Any], key: str, place: str) -> dict[str, dict[str, Any]]:
    """A mapping of names to mappings."""
    objects = _mapping(node, key, place)
    for name, value in objects.items():
        if not isinstance(value, dict):
            raise InputError(f"{place}: {key}.{name}: must be an object")
    return objects
