"""``network=``: any network through nas-train, and what it says where a network cannot be searched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.scoring.table import read_scores
from nas_lightning.supernet.checkpoint import load_supernet
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.program import Program
from tests.composing import composed
from tests.supernet.traced.grey import Pooled, Tokens

HERE = "tests.supernet.traced"
ALLOWED = f"plugins=[{HERE}]"
DIGITS = ["data=digits", "data.resolution=8", "data.train_images=200", "loader.batch_size=64", "trainer.log_every_n_steps=1"]
SMALL = ["population.count=24", "ranking=whole", "ranking.images=200", "ranking.fitted_on=30", "ranking.resamples=50"]
FEW_STEPS = ["stages.pretrain.max_steps=4", "stages.pretrain.sampler.paths=2"]


def network(target: str = "grey.Plain", *more: str) -> list[str]:
    """A class of these tests, from the command line."""
    widths = ["network.widths.divisor=1", "network.widths.least=1"]
    return ["network=custom", f"network.network._target_={HERE}.{target}", "network.classes_argument=classes", ALLOWED, *widths, *more]


WHOLE = [*network(), *DIGITS, *SMALL, *FEW_STEPS, "augmentation=none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, command: Callable) -> Path:
    """The run folder of a supernet of the user's class, with its truth and ranking; read it, do not change it."""
    folder = tmp_path_factory.mktemp("network") / "run"
    truth = ["standalone.enabled=true", "standalone.count=3", "standalone.epochs=1"]
    done = command("train", *WHOLE, *truth, f"run_dir={folder}")
    assert done.code == 0, done.err
    return folder


def test_a_network_of_ones_own_is_trained_ranked_and_judged(run: Path):
    supernet, header = load_supernet(run / "supernet.safetensors")
    assert header["supernet"]["network"] == {"_target_": f"{HERE}.grey.Plain", "classes": 10}
    assert supernet.space.names == ("stem.0", "inner.0", "last")
    assert len(read_scores(run / "ranking/scores.csv", supernet.space)) == 24
    assert (run / "standalone/accuracies.csv").read_text().count("\n") == 4


def test_a_checkpoint_is_ranked_only_where_its_class_is_allowed(run: Path, command: Callable, tmp_path: Path):
    arguments = [f"checkpoint={run}/supernet.safetensors", f"ranking.list={run}/ranking/submission.json", "ranking.images=200"]
    more = ["ranking.fitted_on=30", "ranking.resamples=50", f"run_dir={tmp_path}"]
    done = command("rank", *arguments, *more, ALLOWED)
    assert done.code == 0, done.err
    assert (tmp_path / "ranking/scores.csv").read_text() == (run / "ranking/scores.csv").read_text()


@pytest.mark.slow
def test_a_stage_that_was_stopped_goes_on_to_the_same_bits(run: Path, command: Callable, tmp_path: Path):
    strike = "{_target_: tests.strike.Strike, signum: 15, step: 2}"
    stopped = ["plugins=[tests]", f"trainer.callbacks=[{strike}]", "ranking=none", f"run_dir={tmp_path}"]
    arguments = [word for word in WHOLE if not word.startswith("plugins=")]
    done = command("train", *arguments, *stopped)
    assert (done.code, done.err.strip().splitlines()[-1][:27]) == (143, "stopped by SIGTERM after st")
    assert not (tmp_path / "supernet.safetensors").exists()
    done = command("train", *WHOLE, "ranking=none", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    for name in ("supernet.safetensors", "stages/pretrain/metrics.csv"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name


def test_another_network_does_not_go_on_in_the_folder(run: Path, command: Callable):
    done = command("train", *WHOLE, "ranking=none", "network.fixed=[last]", f"run_dir={run}")
    assert done.code == 2
    assert "holds a run with another config: network.fixed was [], is ['last']" in done.err


def test_weights_of_another_network_are_no_start(run: Path, command: Callable, tmp_path: Path):
    start = f"initial_checkpoint={run}/supernet.safetensors"
    done = command("train", *WHOLE, "ranking=none", "network.fixed=[last]", start, f"run_dir={tmp_path}/run")
    assert done.code == 2
    line = f"initial_checkpoint: {run}/supernet.safetensors is of another supernet than the config describes (2 choices here, 3 there)"
    assert done.err == f"error: {line}\n"


@pytest.mark.slow
@pytest.mark.parametrize("more", [["supernet=official"], ["stages.pretrain.low_resolution={side: 6, share: 0.5}"], ["experiment=finetune"]])
def test_other_ways_to_train_take_a_network_too(command: Callable, tmp_path: Path, more: list[str]):
    stage = "finetune" if "finetune" in more[0] else "pretrain"
    steps = [word.replace("pretrain", stage) for word in FEW_STEPS]
    done = command("train", *network(), *DIGITS, *SMALL, *steps, *more, f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert (tmp_path / "ranking/scores.csv").read_text().count("\n") == 25


@pytest.mark.slow
def test_a_space_too_small_for_a_predictor_is_ordered_by_its_own_scores(command: Callable, tmp_path: Path):
    few = ["network.fixed=[inner.0]", "network.tie=['[sl]*']", "population.count=4"]  # four candidates
    done = command("train", *WHOLE, *few, f"run_dir={tmp_path}/refused")
    assert (done.code, done.err) == (
        2,
        "error: ranking.predictor: needs 30 candidates to fit on, but Plain has 4; more widths make more, or order by their own scores: "
        "ranking=cross_entropy\n",
    )
    done = command("train", *WHOLE, *few, "ranking=cross_entropy", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert "The best of 4 candidates, ordered by negative cross entropy" in done.out


@pytest.mark.slow
def test_a_fixed_teacher_answers_smaller_images_too(run: Path, command: Callable, tmp_path: Path):
    teacher = ["objective@stages.pretrain.objective=fixed_teacher", f"stages.pretrain.objective.checkpoint={run}/supernet.safetensors"]
    low = "stages.pretrain.low_resolution={side: 6, share: 0.5}"
    done = command("train", *WHOLE, "ranking=none", *teacher, low, f"run_dir={tmp_path}")
    assert done.code == 0, done.err


@pytest.mark.parametrize(("given", "key"), [("loader.batch_size=199", "loader"), ("standalone.batch_size=199", "standalone")])
def test_a_last_batch_of_one_image_is_refused_where_a_norm_would_read_one_value(given: str, key: str, command: Callable, tmp_path: Path):
    truth = ["ranking=none", "population.count=8", "standalone.enabled=true", "standalone.count=3"]
    arguments = [*network("grey.Pooled"), *DIGITS, *FEW_STEPS, *truth, "augmentation=none", given]
    done = command("train", *arguments, f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"error: {key}.batch_size: 199 leaves a last batch of one image, of which a batch norm of " in done.err
    assert not (tmp_path / "run/stages").exists()


def test_a_norm_over_the_pixels_of_one_image_is_no_norm_of_single_values():
    assert not Program(Tokens(), torch.zeros(2, 1, 8, 8), Widths(divisor=1, least=1)).norms_single_values
    assert Program(Pooled(), torch.zeros(2, 1, 8, 8), Widths(divisor=1, least=1)).norms_single_values


def test_a_dry_run_shows_what_was_understood(command: Callable, tmp_path: Path):
    done = command(
        "train", *WHOLE, "ranking=none", "network.fixed=[inner.0]", "network.tie=['[sl]*']", "dry_run=true", f"run_dir={tmp_path}/run"
    )
    assert done.code == 0, done.err
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[0].startswith("images: digits, ")
    assert lines[3:5] == ["Plain at 8x8: 1 choice, 4 candidates", "(a candidate cut out is Plain itself, narrowed)"]
    assert "stem.0    12          3, 6, 9, 12  outer.0" in lines
    assert "inner.0  16          is fixed by network.fixed (inner.0)" in lines
    assert "head     10          gives the logits" in lines
    assert [line.split()[:2] for line in lines if line.startswith(("smallest", "largest"))] == [["smallest", "749"], ["largest", "4,490"]]
    assert max(len(line) for line in lines if not line.startswith("Stages")) <= 80
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("target", ["grey.Plain", "grey.Counting"])
def test_the_dry_run_says_what_a_candidate_cut_out_is(command: Callable, tmp_path: Path, target: str):
    done = command("train", *network(target), *DIGITS, *SMALL, *FEW_STEPS, "ranking=none", "dry_run=true", f"run_dir={tmp_path}/run")
    graph = "a torch.fx.GraphModule, as Counting cannot run narrowed"
    assert f"(a candidate cut out is {graph if target == 'grey.Counting' else 'Plain itself, narrowed'})" in done.out


def keys(*overrides: str) -> dict[str, Any]:
    return composed("config", "run_dir=out", *overrides)


@pytest.mark.slow
def test_a_network_takes_the_short_experiment_unless_another_is_given():
    assert keys("network=resnet18")["stages"].keys() == {"pretrain"}
    assert keys("network=resnet18", "experiment=micro")["stages"].keys() == {"pretrain", "finetune", "distill_1"}
    assert keys() == keys("experiment=quickstart")
    assert keys()["network"] is None


def test_the_calls_of_the_page_name_their_networks():
    named = keys("network=torchvision", "network.name=mnasnet1_0")["network"]
    assert named["network"] == {"_target_": "torchvision.models.mnasnet1_0"}
    named = keys("network=timm", "network.name=resnet10t", "plugins=[timm]")["network"]
    assert named["network"] == {"_target_": "timm.resnet10t"}
    named = keys("network=custom", "network.network._target_=my_package.Net", "network.network.depth=3")["network"]
    assert named["network"] == {"_target_": "my_package.Net", "depth": 3}


def plain(*more: str) -> list[str]:
    return network("grey.Plain", *more)


MISTAKES = {
    "no plugin": (
        ["network=custom", f"network.network._target_={HERE}.grey.Plain"],
        "network.network._target_: tests.supernet.traced.grey.Plain is not allowed as a network",
    ),
    "no such class": (
        network("grey.Plane"),
        "there is no tests.supernet.traced.grey.Plane (ImportError); did you mean tests.supernet.traced.grey.Plain?",
    ),
    "no network": (network("grey.Sequence"), "is not defined below one of tests.supernet.traced"),
    "a function": (["network=custom", "network.network._target_=os.system", ALLOWED], "os.system is not allowed as a network"),
    "no name": (["network=torchvision"], "network.name"),
    "unknown name": (
        ["network=torchvision", "network.name=resnet19"],
        "resnet19 is not allowed as a network; did you mean torchvision.models.resnet1",
    ),
    "timm is not there": (["network=timm", "network.name=resnet10t", "plugins=[no_timm]"], "plugins: 'no_timm' cannot be imported"),
    "timm is not allowed": (["network=timm", "network.name=resnet10t"], "timm.resnet10t is not allowed as a network"),
    "no such argument for classes": (
        plain("network.classes_argument=num_classes"),
        "network.classes_argument: tests.supernet.traced.grey.Plain takes no num_classes; it takes classes, widths: give the name",
    ),
    "an unknown argument": (plain("network.network.depth=3"), "network.network.depth: is not a key"),
    "a wrong value": (plain("network.network.widths=few"), "does not take these values"),
    "another head": (
        plain("network.classes_argument=null", "network.network.classes=7"),
        "network: Plain has 7 outputs, but the images have 10 classes",
    ),
    "other channels": (network("networks.Everything"), "network: Everything does not run on images of (2, 1, 8, 8)"),
    "weights as an argument": (
        ["network=resnet18", "network.network.weights=DEFAULT"],
        "network.network.weights: cannot be given here; network.weights=DEFAULT",
    ),
    "weights of a class of one's own": (
        plain("network.weights=DEFAULT"),
        "network.weights: DEFAULT must be a file that ends in .safetensors",
    ),
    "weights of no file": (
        plain("network.weights=/nowhere.safetensors"),
        "network.weights: /nowhere.safetensors is not a whole safetensors file",
    ),
    "sort without weights": (plain("network.sort=l1"), "network.sort: l1 orders trained weights; give network.weights"),
    "an unknown key": (plain("+network.width=3"), "network.width: is not a key; did you mean widths?"),
    "a wrong ratio": (plain("network.widths.ratios=[2]"), "network.widths.ratios: [2"),
    "a pattern of nothing": (
        plain("network.fixed=[layer9]"),
        "network.fixed: layer9 matches no layer; layers are stem.0, ",
    ),
    "an override of nothing": (
        plain("network.widths.overrides={layer9: {step: 4}}"),
        "network.widths.overrides: layer9 matches no choice",
    ),
    "nothing to narrow": (plain("network.fixed=['*']"), "network: no channels of Plain can be narrowed"),
    "batched paths": (
        plain("stages.pretrain.path_execution=batched"),
        "stages.pretrain.path_execution: batched runs the residual networks of space alone",
    ),
    "smaller images of a fixed side": (
        network("grey.Viewing", "stages.pretrain.low_resolution={side: 6, share: 0.5}"),
        "stages.pretrain.low_resolution.side: images of 6x6 pixels: Viewing does not run on them",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, command: Callable, tmp_path: Path):
    arguments, line = MISTAKES[name]
    done = command("train", *arguments, *DIGITS, *SMALL, *FEW_STEPS, "augmentation=none", f"run_dir={tmp_path}/run")
    assert done.code == 2
    assert line in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
