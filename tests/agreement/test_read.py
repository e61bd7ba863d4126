"""The reader of agreement.json: everything that is written, and what older files lack."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas_lightning.agreement import Agreement, Estimate, measure, read_agreement
from nas_lightning.agreement.noise_ceiling import NoiseCeiling
from nas_lightning.agreement.supervised_predictor import supervised_predictors
from nas_lightning.errors import InputError

RNG = np.random.default_rng(0)


def measured() -> Agreement:
    truth, noise = RNG.normal(size=(2, 80))
    columns = {"top-1": truth + noise, "cross entropy": truth - noise, "parameters": noise, "last width": np.full(80, 64.0)}
    return replace(
        measure(columns, truth, baselines=["parameters", "last width"], resamples=30),
        copies=3,
        fitted=supervised_predictors(RNG.integers(1, 9, size=(80, 2)) * 4, truth),
        noise_ceiling=NoiseCeiling.of(truth[:, None] + 0.1 * RNG.normal(size=(80, 2))),
    )


def test_all_that_is_measured_is_written_and_read(tmp_path: Path):
    agreement = measured()
    (tmp_path / "agreement.json").write_text(json.dumps(agreement.to_json()))
    read = read_agreement(tmp_path / "agreement.json")
    assert read.scores == agreement.scores
    assert read.baselines == agreement.baselines
    assert read.fitted == agreement.fitted
    assert list(read.fitted) == [50]
    assert read.noise_ceiling == agreement.noise_ceiling
    assert (read.n, read.missing, read.copies, read.resamples, read.seed) == (80, 0, 3, 30, 0)
    assert read.wins_over_baselines("top-1") == agreement.wins_over_baselines("top-1")
    assert list(read.wins_over_baselines("top-1", "regret_10")) == ["parameters", "last width"]
    assert read.table() == agreement.table()


def test_what_an_older_file_does_not_hold_is_absent(tmp_path: Path):
    older = {"n": 40, "scores": {"top-1": {"kendall": 0.5, "pearson": {"value": 0.6, "low": 0.5, "high": 0.7}}}}
    (tmp_path / "agreement.json").write_text(json.dumps(older))
    read = read_agreement(tmp_path / "agreement.json")
    assert read.scores["top-1"].estimates == {"pearson": Estimate(0.6, 0.5, 0.7), "kendall": Estimate(0.5)}
    assert (read.baselines, read.fitted, read.noise_ceiling, read.wins_over_baselines("top-1")) == ({}, {}, None, {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"scores": {"top-1": {"regret": {"x": 1}}}}, "scores.top-1.regret: the key 'x' is not a count"),
        ({"beats": {"top-1": {"parameters": 4}}}, "beats.top-1: parameters: must be an object"),
        ({"fitted": {"50": {"kendall": True}}}, "fitted.50.kendall: 'True' is not a number"),
        ({"ceiling": {"seeds": -1}}, "ceiling: seeds: '-1' is not a count"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(content: dict, says: str, tmp_path: Path):
    path = tmp_path / "agreement.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as refused:
        read_agreement(path)
    assert str(refused.value) == f"{path}: {says}"
