"""The benchmarks run on the code as it is: they call it from outside, where no type check looks."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import findings, others
from tests.composing import composed


def test_a_batch_of_the_data_path_can_be_timed():
    assert 0 < others.data_path("cutout")() < 60


def test_a_step_with_few_pixels_can_be_timed():
    assert others.few_pixels(1).seconds > 0


def test_a_row_of_the_findings_follows_the_one_that_it_starts_from():
    places = {name: place for place, name in enumerate(findings.ROWS)}
    assert all(places[row.after] < places[name] for name, row in findings.ROWS.items() if row.after)
    assert all(findings.ROWS[row.against].against is None for row in findings.ROWS.values() if row.against)


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_row_that_waits_for_another_keeps_none_from_beginning(exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun, other_began = [], threading.Event()

    def train(command: list[str], **_: object) -> SimpleNamespace:
        name = Path(command[-1].removeprefix("run_dir=")).name
        begun.append(name)
        if name == "no_cutout_0":
            other_began.set()
        assert name != "recipe_0" or other_began.wait(30)
        return SimpleNamespace(returncode=exit_code if name == "recipe_0" else 0)

    monkeypatch.setattr(findings.subprocess, "run", train)
    failures = findings.run(tmp_path, [0], ["recipe", "finetuned", "distilled", "no_cutout"], 2, [], dry=False)
    if exit_code == 0:
        assert failures == 0
        assert sorted(begun[:2]) == ["no_cutout_0", "recipe_0"]
        assert begun[2:] == ["finetuned_0", "distilled_0"]
    else:
        assert failures == 3
        assert sorted(begun) == ["no_cutout_0", "recipe_0"]


@pytest.mark.parametrize("name", findings.ROWS)
def test_each_row_of_the_findings_composes(name: str, tmp_path: Path):
    _, *overrides = findings.command_of(name, 0, tmp_path, ["data.root=D"])
    config = composed("config", *overrides)
    assert config["loader"]["batch_size"] == 28
    assert len(config["stages"]) == 1


def test_a_gain_is_the_mean_difference_of_the_seeds_with_an_interval_over_seeds_and_candidates():
    kept, undone = np.random.default_rng(0).normal(0.7, 0.05, (2, 3, 4001))
    mean, low, high = findings.gain_of(kept, undone)
    assert mean == pytest.approx(sum(kept[seed, 0] - undone[seed, 0] for seed in range(3)) / 3)
    # Three of three seeds, drawn with replacement, have a mean square count of 5 / 3 each; differences deviate by 0.05 * sqrt(2).
    assert (high - low) / 2 == pytest.approx(1.96 * 0.05 * np.sqrt(2) * np.sqrt(3 * 5 / 3) / 3, rel=0.05)


@pytest.mark.parametrize(
    ("seeds", "gain", "said"),
    [
        (1, (0.1, 0.05, 0.2), "(one seed)"),
        (2, (0.1, 0.05, 0.2), "(two seeds)"),
        (3, (0.1, 0.05, 0.2), "confirmed"),
        (3, (-0.1, -0.2, -0.05), "contradicted"),
        (3, (0.1, -0.05, 0.2), "not shown"),
        (0, None, ""),
    ],
)
def test_what_is_said_of_a_finding(seeds: int, gain: tuple[float, float, float] | None, said: str):
    assert findings.Judged(dict.fromkeys(range(3), 0.7), gain, seeds).verdict == said


def test_the_tables_of_a_row_are_those_of_its_runs_or_the_kept_ones(tmp_path: Path):
    for path in ("rate_0.1_0.csv", "rate_0.1_1.csv", "finetuned_100_2.csv", "finetuned_0/ranking/scores.csv", "finetuned_1/config.yaml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert {name: [*findings.tables_of(tmp_path, name)] for name in ("rate_0.1", "finetuned", "finetuned_100", "recipe")} == {
        "rate_0.1": [0, 1],
        "finetuned": [0],
        "finetuned_100": [2],
        "recipe": [],
    }
