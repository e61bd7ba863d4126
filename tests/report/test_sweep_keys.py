"""Which jobs a multirun folder has, which keys were swept, and what a setting is called."""

from pathlib import Path
from typing import Any

import pytest
from example_sweep import write_job, write_sweep

from nas_lightning.report.sweep import read_sweep

RATE, PATHS, EPOCHS = "stages.pretrain.optimizer.lr", "stages.pretrain.sampler.paths", "stages.pretrain.epochs"


def test_jobs_are_found_at_any_depth_by_number_and_not_within_a_run(tmp_path: Path):
    for name in ("10", "2", "deep/er/0", "2/stages/pretrain", "2/copy", "ranking/0", ".submitit/1"):
        write_job(tmp_path / name)
    assert [job.name for job in read_sweep(tmp_path).jobs] == ["2", "10", "deep/er/0"]


def test_swept_keys_are_those_that_differ_but_for_the_seed_and_places(tmp_path: Path):
    sweep = read_sweep(write_sweep(tmp_path))
    assert [(factor.keys, factor.names, factor.values) for factor in sweep.factors] == [
        ((EPOCHS, PATHS), ("pretrain.epochs", "sampler.paths"), (("1", "4"), ("4", "1"))),
        ((RATE,), ("optimizer.lr",), (("0.02",), ("0.1",))),
    ]
    assert [len(one.jobs) for one in sweep.settings] == [3, 3, 3, 3]


def test_a_swept_class_goes_by_its_last_name_and_an_absent_key_is_none(tmp_path: Path):
    write_job(tmp_path / "0", changes={"stages.pretrain.sampler._target_": "there.Fair"})
    write_job(tmp_path / "1", changes={"stages.pretrain.sampler.file": None, "extra": [1, {"a": 2}]})
    write_job(tmp_path / "2", changes={"stages.pretrain.sampler._target_": "here.Fair"})
    sampler, extra = read_sweep(tmp_path).factors
    assert (sampler.title, sampler.values) == ("pretrain.sampler", (("Fair",), ("Uniform",), ("Fair",)))
    assert (extra.title, extra.values) == ("extra", (("none",), ('[1, {"a": 2}]',)))


def test_arguments_that_one_of_two_swept_classes_lacks_are_not_shown(tmp_path: Path):
    sgd, adamw = (
        {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9},
        {"_target_": "torch.optim.AdamW", "lr": 0.001, "betas": [0.9, 0.999]},
    )
    for number, node in enumerate((sgd, adamw)):
        write_job(tmp_path / str(number), changes={"stages.pretrain.optimizer": node})
    (optimizer,) = read_sweep(tmp_path).factors
    assert optimizer.title == "pretrain.optimizer, optimizer.lr"
    assert optimizer.values == (("SGD", "0.1"), ("AdamW", "0.001"))


def test_a_setting_is_named_by_a_key_of_each_factor_first(tmp_path: Path):
    for number in range(2):
        together = {f"extra.k{key}": number for key in range(6)}
        write_job(tmp_path / f"{number}", changes={**together, PATHS: 5})
    write_job(tmp_path / "2", changes={**together, PATHS: 6})
    labels = [one.label for one in read_sweep(tmp_path).settings]
    assert sorted(labels) == [
        f"sampler.paths {paths}, extra.k0 {k}, extra.k1 {k}, extra.k2 {k}, extra.k3 {k}, extra.k4 {k}, 1 more"
        for paths, k in ((5, 0), (5, 1), (6, 1))
    ]


def test_one_and_one_point_zero_are_the_same_value(tmp_path: Path):
    write_job(tmp_path / "0", changes={RATE: 1})
    write_job(tmp_path / "1", changes={RATE: 1.0})
    assert read_sweep(tmp_path).factors == ()


@pytest.mark.parametrize(
    ("rates", "scale", "places"),
    [
        ([0.001, 0.1, 0.01], ", logarithmic", [-3.0, -2.0, -1.0]),
        ([1, 2, 4], "", [1.0, 2.0, 4.0]),
        ([0, 1, 4], "", [0.0, 1.0, 4.0]),
        ([0, 0.001, 1], "", [0.0, 1.0, 2.0]),  # by value the first two would lie on each other
        (["b", "a", 3], "", [0.0, 1.0, 2.0]),
    ],
)
def test_values_that_span_a_decade_stand_on_a_logarithmic_axis(rates: list[Any], scale: str, places: list[float], tmp_path: Path):
    for number, rate in enumerate(rates):
        write_job(tmp_path / f"{number}", changes={RATE: rate})
    (factor,) = read_sweep(tmp_path).factors
    assert factor.axis == (scale, pytest.approx(places))
