"""A key of the command line that another key keeps from doing anything is refused, in a line that names both."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.console.foreign import values_of
from nas_lightning.console.idle_keys import BESIDE, WITHOUT, check_idle
from nas_lightning.errors import InputError
from tests.composing import composed_by_hydra

TRAIN = ["run_dir=x", "experiment=short", "data=digits"]
IDLE = {
    "space.blocks=[1,1]": (["network=resnet18"], "space.blocks: does nothing beside network; leave one of them out"),
    "space=resnet32": (["network=resnet18"], "space: does nothing beside network; "),
    "supernet.shortcuts=where_needed": (["network=resnet18"], "supernet.shortcuts: does nothing beside network; "),
    "population.count=9": (["population.file=list.json"], "population.count: does nothing beside population.file; "),
    "ranking.most_images=9": (["ranking.images=5"], "ranking.most_images: does nothing beside ranking.images; "),
    "monitor.candidates=9": ([], "monitor.candidates: does nothing without loader.holdout; give that, or leave it out"),
    "loader.eval_batch_size=9": ([], "loader.eval_batch_size: does nothing without loader.holdout; "),
    "ranking.recalibration_images=9": ([], "recalibration_images: does nothing without ranking.statistics=recalibrated; give that, "),
    "ranking.cheap_first_keep=0.5": ([], "ranking.cheap_first_keep: does nothing without ranking.cheap_first; "),
    "ranking.fitted_on=50": (["ranking.predictor=none"], "ranking.fitted_on: does nothing without ranking.predictor; "),
    "ranking.resamples=50": (["ranking=none"], "ranking.resamples: does nothing without ranking.enabled; "),
    "standalone.count=5": ([], "standalone.count: does nothing without standalone.enabled; "),
    "augmentation.operations={}": (
        [],
        "augmentation.operations: {} adds nothing to what is there; augmentation.operations.NAME=null leaves",
    ),
    "trainer.gradient_clip_algorithm=value": ([], "trainer.gradient_clip_algorithm: does nothing without trainer.gradient_clip_val; "),
}
EFFECTIVE = [
    *(["network=resnet18", "space.resolution=32"], ["ranking=none"], ["standalone.enabled=true", "standalone.count=5"]),
    *(["space.resolution=8"], ["supernet.shortcuts=always"], ["population.count=9"], ["ranking.images=null", "ranking.most_images=9"]),
    *(["ranking.images=5", "ranking.most_images=null"], ["loader.holdout=9", "monitor.candidates=2", "loader.eval_batch_size=9"]),
    *(["ranking.statistics=recalibrated", "ranking.recalibration_images=9"], ["network=resnet18", "network.widths.step=8"]),
    ["trainer.gradient_clip_val=1.0", "trainer.gradient_clip_algorithm=value"],
]


@pytest.mark.parametrize("given", IDLE)
def test_a_key_that_does_nothing_is_refused(given: str):
    others, says = IDLE[given]
    words = [*TRAIN, *others, given]
    cfg, typed = composed_by_hydra("config", *words), values_of(words)
    with pytest.raises(InputError, match=r"(does|adds) nothing") as refused:
        check_idle(cfg, typed)
    assert says in str(refused.value)
    if "adds nothing" in says:
        return
    switch = str(refused.value).split("; ")[0].split()[-1].partition("=")[0]
    check_idle(cfg, typed, swept={switch})  # in other jobs of a multirun it may do something


@pytest.mark.parametrize("given", EFFECTIVE, ids=" ".join)
def test_a_key_that_does_something_is_taken(given: list[str]):
    words = [*TRAIN, *given]
    check_idle(composed_by_hydra("config", *words), values_of(words))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rank", ["checkpoint=x", "ranking.images=5", "ranking.score=top1"]),
        ("standalone", ["standalone=short", "standalone.count=5", "choose=best", "scores=x"]),
        ("search", ["checkpoint=x", "search.objective=predicted", "search.fitted_on=50"]),
        ("export", ["checkpoint=x", "architecture=1"]),
    ],
)
def test_keys_of_other_commands_are_their_own(name: str, words: list[str]):
    check_idle(composed_by_hydra(name, "run_dir=x", *words), values_of(words))


def test_a_search_by_the_supernets_scores_fits_nothing():
    words = ["checkpoint=x", "search.fitted_on=50"]
    with pytest.raises(InputError, match=r"^search\.fitted_on: does nothing without search\.objective=predicted; "):
        check_idle(composed_by_hydra("search", "run_dir=x", *words), values_of(words))


def test_every_rule_is_tested():
    switches = {*BESIDE, *(key for key, _ in WITHOUT)} - {"search.objective"}
    assert {switch for switch in switches if any(f" {switch}" in says for _, says in IDLE.values())} == switches


def test_the_command_stops_before_it_makes_a_folder(tmp_path: Path, command: Callable):
    done = command("train", *TRAIN[1:], "monitor.candidates=9", f"run_dir={tmp_path}/run")
    assert (done.code, done.err) == (2, "error: monitor.candidates: does nothing without loader.holdout; give that, or leave it out\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_sweep_over_a_key_that_does_nothing_is_refused(tmp_path: Path, command: Callable):
    words = ["-m", *TRAIN[1:], "dry_run=true", f"hydra.sweep.dir={tmp_path}/sweep", "ranking.images=5", "ranking.most_images=9,8"]
    done = command("train", *words)
    assert done.code == 2
    assert "ranking.most_images: does nothing beside ranking.images; leave one of them out" in done.err


@pytest.mark.slow
def test_a_sweep_may_switch_what_makes_a_key_do_something(tmp_path: Path, command: Callable):
    words = ["-m", *TRAIN[1:], "dry_run=true", f"hydra.sweep.dir={tmp_path}/sweep", "ranking.images=5,null", "ranking.most_images=9"]
    assert command("train", *words).code == 0
