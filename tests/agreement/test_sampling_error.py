"""The binomial standard error of known accuracies, from the run to the file, the screen and the page."""

import json
from pathlib import Path

import numpy as np
import pytest

from nas_lightning.agreement.read import read_agreement
from nas_lightning.agreement.sampling_error import SamplingError


def test_the_standard_error_is_the_spread_of_accuracies_on_drawn_images():
    rng = np.random.default_rng(0)
    drawn = rng.binomial(180, 0.65, size=20_000) / 180
    error = SamplingError.of(np.full(10, 0.65), 180)
    assert error.standard_error == pytest.approx(drawn.std(), rel=0.02)
    assert error.is_large
    assert error.spread == pytest.approx(0, abs=1e-12)


def test_it_is_told_beside_the_spread_and_only_where_it_is_large_as_such():
    accuracies = np.array([0.5, 0.6, 0.7])
    few, many = SamplingError.of(accuracies, 40), SamplingError.of(accuracies, 10_000)
    assert str(many).startswith("On 10,000 test images one accuracy has a standard error of 0.48 points (binomial); the candidates'")
    assert str(many).endswith(" accuracies spread by 10.")
    assert str(few).endswith(", so that close ones cannot be told apart.")


def test_a_run_records_it_and_an_older_file_has_none(micro: Path, tmp_path: Path):
    content = json.loads((micro / "ranking/agreement.json").read_text())
    assert content["sampling_error"]["images"] == 1797 - 200
    known = json.loads((micro / "ranking/known_accuracies.json").read_text())
    spread = np.std([entry["acc"] for entry in known.values() if entry["acc"]], ddof=1)
    assert content["sampling_error"]["spread"] == pytest.approx(spread, abs=1e-5)
    assert str(read_agreement(micro / "ranking/agreement.json").sampling_error).startswith("On 1,597 test images")
    del content["sampling_error"]
    (tmp_path / "agreement.json").write_text(json.dumps(content))
    assert read_agreement(tmp_path / "agreement.json").sampling_error is None
