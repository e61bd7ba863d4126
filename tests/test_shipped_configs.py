"""Every config that we ship is a test case: it composes, is read, and its objects are made, without images or network."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from PIL import Image

from nas_lightning.commands.configs import RankConfig, StandaloneCommandConfig, TrainConfig
from nas_lightning.commands.prepare import make_family, make_population, make_stages, of_resolution
from nas_lightning.config.build import Builder
from nas_lightning.config.read import read
from nas_lightning.config.schema import CompareConfig
from nas_lightning.console.help import options_of
from nas_lightning.console.start import conf_folder
from nas_lightning.data import Digits
from nas_lightning.data.check import describe
from nas_lightning.data.cifar import BinaryCifar
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.devices.trainer_arguments import DECIDED_BY
from nas_lightning.space import Population, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from nas_lightning.supernet.traced.source import NetworkSource
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation
from nas_lightning.training.samplers import ListedSampler, UniformSampler
from nas_lightning.training.schedules import EpochwiseCosine
from nas_lightning.training.stage import Stage
from nas_lightning.training.step_rules import Sum
from tests.composing import composed

CONF = conf_folder()
EXPERIMENTS = [name for name, _ in options_of(CONF / "experiment")]
MOUNTED = {"sampler", "objective", "optimizer", "schedule"}  # on the stages
BASES = {"stage=default"}  # what others build on
# A group with one option has it in the default run already.
GROUPS = [folder for folder in CONF.iterdir() if folder.is_dir() and folder.name != "experiment" and len([*folder.glob("*.yaml")]) > 1]
OPTIONS = sorted({f"{folder.name}={path.stem}" for folder in GROUPS for path in folder.glob("*.yaml")} - BASES)


@pytest.fixture(autouse=True)
def _no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("images were read")

    monkeypatch.setattr(BinaryCifar, "_found", refuse)


class Built(NamedTuple):
    config: TrainConfig
    space: SearchSpace
    population: Population
    stages: dict[str, Stage]


def build(*overrides: str) -> Built:
    """All objects of a run but those that read images."""
    config = read(TrainConfig, composed("config", "run_dir=out", *overrides))
    builder = Builder(tuple(config.plugins), {"seed": config.seed})
    dataset = builder.build(config.data, "data")
    if config.network is not None:
        keys = config.network
        assert NetworkSource.for_classes(keys.network, keys.classes_argument, dataset.classes, config.plugins).outline()
    space = builder.build(config.space if config.space.node["resolution"] else of_resolution(config.space, dataset.resolution), "space")
    population = make_population(config.population, space)
    family = make_family(space, dataset, config.supernet.shortcuts)
    supernet = family.supernet(config.supernet.norm, config.seed)
    builder = builder.offering(space=space, population=population, family=family, dataset=dataset)
    stages = {stage.name: stage for stage in make_stages(builder, config.stages, supernet)}
    builder.build(config.augmentation, "augmentation")
    if config.standalone is not None:
        builder.make(config.standalone.recipe, "standalone", family=make_family(space, dataset, config.standalone.shortcuts))
    if config.trainer["accelerator"] != "gpu" or torch.cuda.is_available():
        make_trainer(builder.build_values(config.trainer, "trainer"))
    return Built(config, space, population, stages)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_composes_and_all_its_objects_are_made(experiment: str):
    built = build(f"experiment={experiment}")
    assert built.stages
    assert all(isinstance(stage, Stage) for stage in built.stages.values())


@pytest.mark.slow
@pytest.mark.parametrize("choice", OPTIONS)
def test_an_option_of_a_group_fits_into_the_default_run(choice: str, tmp_path: Path):
    group, option = choice.split("=")
    place = {"stage": "stage@stages.pretrain"}.get(group, f"{group}@stages.pretrain.{group}" if group in MOUNTED else group)
    more = {
        "listed_file": [f"stages.pretrain.sampler.choose.path={tmp_path}/list.json"],
        "fixed_teacher": [f"stages.pretrain.objective.checkpoint={tmp_path}/teacher.safetensors"],
        "image_folder": [f"data.root={tmp_path}/images", f"data.cache={tmp_path}"],
        "network=custom": [
            "network.network._target_=tests.supernet.traced.networks.Gates",
            "network.classes_argument=null",
            "plugins=[tests]",
        ],
        "network=torchvision": ["network.name=mnasnet0_5"],
        "network=timm": ["network.name=test_resnet", "plugins=[timm]"],
        **{key: ["population.count=50000"] for key in ("listed_spaced200", "finetune")},  # every 250th
    }
    given = more.get(choice, more.get(option, []))
    for path in (tmp_path / "images" / name for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (1, 2, 3)).save(path)
    (tmp_path / "list.json").write_text('{"a": {"acc": 0, "arch": "2-2-2-2-2-2-2"}}')
    if option == "fixed_teacher":
        teacher = Supernet(SearchSpace("tiny", (1,), (4,), 2, 8), classes=10, channels=1)
        save_supernet(tmp_path / "teacher.safetensors", teacher, make_header(teacher, describe(Digits(8))))
    build(f"{place}={option}", *given)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_option_none_switches_a_part_off_in_every_experiment(experiment: str):
    config = read(TrainConfig, composed("config", "run_dir=out", f"experiment={experiment}", "standalone=none", "ranking=none"))
    assert not config.standalone.enabled
    assert not config.ranking.enabled


@pytest.mark.slow
@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_cifar_is_a_choice_for_the_recipe_without_its_files(data: str):
    build("experiment=track1", f"data={data}", "data.download=false", "data.root=/nowhere")


def test_the_ranking_command_composes_for_every_ranking_of_all_options():
    for option in ("whole", "official", "sample", "predicted"):
        config = read(RankConfig, composed("rank", "run_dir=out", "checkpoint=x.safetensors", f"ranking={option}"))
        assert config.ranking.scorer.chunk_size >= 1


def test_the_standalone_command_composes_and_its_recipe_is_the_challenges():
    config = read(StandaloneCommandConfig, composed("standalone"))
    space, dataset = Builder().build(config.space, "space"), Builder().build(config.data, "data")
    family = make_family(space, dataset, config.standalone.shortcuts)
    recipe = Builder().make(config.standalone.recipe, "standalone", family=family)
    optimizer = recipe.optimizer([torch.nn.Parameter(torch.zeros(1))])
    group = optimizer.param_groups[0]
    assert (recipe.epochs, recipe.batch_size, recipe.family.shortcuts, recipe.norm) == (300, 128, "where_needed", "running")
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (0.1, 0.9, 5e-4, False)
    assert recipe.schedule.rate(0.1, 300, 300) == pytest.approx(0)
    assert list(yaml.safe_load((CONF / "augmentation/official.yaml").read_text())["operations"]) == ["crop", "jitter", "flip", "rotate"]


def test_the_compare_command_composes_and_its_space_is_made():
    config = read(CompareConfig, composed("compare", "first=a", "second=b"))
    assert Builder().build(config.space, "space").layers == 19


TRACK1 = {  # method.md, Recipe: epochs, lr, final lr, weight decay, candidates listed, distillation
    "pretrain": (250, 0.025, 0.0, 5e-4, None, False),
    "finetune": (30, 1e-3, 5e-4, 0.0, 200, False),
    "distill_1": (30, 1e-3, 5e-4, 0.0, 200, True),
    "distill_2": (30, 4e-3, 5e-4, 0.0, 200, True),
    "distill_3": (20, 3.5e-3, 5e-4, 0.0, 100, True),
}


@pytest.fixture(scope="module")
def track1() -> Built:
    return build("experiment=track1")


def test_track1_has_exactly_the_five_stages_of_the_method(track1: Built):
    assert list(track1.stages) == list(TRACK1)
    for name, (epochs, lr, final_lr, weight_decay, listed, distills) in TRACK1.items():
        stage = track1.stages[name]
        optimizer = stage.optimizer([torch.nn.Parameter(torch.zeros(1))])
        group = optimizer.param_groups[0]
        assert isinstance(optimizer, torch.optim.SGD)
        assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (lr, 0.9, weight_decay, False)
        assert (stage.epochs, stage.max_steps, stage.gradients, stage.sampler.paths) == (epochs, None, Sum(), 6)
        assert stage.schedule == EpochwiseCosine(final_lr)
        if distills:
            assert stage.objective == InplaceDistillation(track1.space, 0.5, 2.0, 1.0)
        else:
            assert stage.objective == CrossEntropy(0.0)
        assert isinstance(stage.sampler, UniformSampler if listed is None else ListedSampler)
        if listed is not None:
            assert len(stage.sampler.listed) == listed


def test_the_lists_of_track1_are_every_250th_and_three_different_draws(track1: Built):
    lists = {name: [one.name for one in stage.sampler.listed] for name, stage in track1.stages.items() if name != "pretrain"}
    assert lists["finetune"] == [f"arch{number}" for number in range(1, 50_001, 250)]
    first, second, third = (set(lists[f"distill_{number}"]) for number in (1, 2, 3))
    assert first != second
    assert not third <= first
    assert not third <= second


def test_track1_trains_and_ranks_as_the_method_says(track1: Built):
    config = track1.config
    assert (config.loader.batch_size, config.loader.holdout) == (128, 0)
    assert (config.supernet.shortcuts, config.supernet.norm) == ("always", "batch")
    assert (config.ranking.count, config.ranking.images, config.ranking.scorer.batch_size, config.ranking.score) == (
        None,
        None,
        None,
        "top1",
    )
    assert config.data.node["mean"] == [0.5071, 0.4865, 0.4409]
    assert config.data.node["std"] == [0.1942, 0.1918, 0.1958]
    operations = config.augmentation.node["operations"]
    assert [one["_target_"].rsplit(".", 1)[1] for one in operations.values()] == [
        "RandomCrop",
        "RandomHorizontalFlip",
        "RandomRotation",
        "Cutout",
    ]
    assert (operations["crop"]["padding"], operations["rotate"]["degrees"], operations["cutout"]["size"]) == (4, 15, 16)
    assert config.trainer == {"accelerator": "cpu", "devices": 1, "log_every_n_steps": 50}


@pytest.mark.parametrize("argument", sorted(DECIDED_BY))
def test_a_trainer_argument_that_has_a_key_of_its_own_is_refused(argument: str):
    with pytest.raises(ValueError, match=rf"trainer\.{argument}: 3 cannot be given here; use {DECIDED_BY[argument]}"):
        make_trainer({"accelerator": "cpu", argument: 3})


@pytest.mark.parametrize("path", sorted(CONF.glob("**/*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_a_config_file_opens_by_saying_what_it_is_for(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[1 if lines[0].startswith("# @package") else 0]
    assert first.startswith("# ")
    assert first.split("   ")[0].endswith("."), "the first line is what --help shows"
