"""Every argument, callback, strategy, precision and optimizer of the installed libraries is ruled, and the docs say the same."""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.connector import _PRECISION_INPUT_STR, _PRECISION_INPUT_STR_ALIAS
from pytorch_lightning import callbacks
from pytorch_lightning.plugins import AsyncCheckpointIO, DoublePrecision, HalfPrecision, TorchCheckpointIO, TorchSyncBatchNorm
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy, StrategyRegistry
from pytorch_lightning.trainer.connectors.data_connector import _parse_num_batches
from pytorch_lightning.trainer.states import RunningStage

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import check_optimizer, prepare
from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.read import read
from nas_lightning.config.roles import OPTIMIZER
from nas_lightning.devices.trainer import limited, make_trainer
from nas_lightning.devices.trainer_arguments import CALLBACKS, DECIDED_BY, PRECISIONS, REFUSED, STRATEGIES, SUPPORTED, check_arguments
from nas_lightning.errors import InputError
from tests.composing import composed

DOCS = Path(__file__).parents[2] / "docs" / "trainer_arguments.md"
CPU = {"accelerator": "cpu", "devices": 1}
OPTIMIZERS = sorted(name for name, kind in vars(torch.optim).items() if isinstance(kind, type))
NO_OPTIMIZERS = {"LBFGS": "closure", "SparseAdam": "dense gradients", "Muon": "2D parameters", "Optimizer": ""}


def table(heading: str) -> dict[str, tuple[str, str]]:
    """The first table of a section of the docs: status and reason by name."""
    section = re.split(r"^## ", DOCS.read_text(), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(heading))
    rows = re.findall(r"^\| `(.+?)` \| (.*?) \| (.*?) ?\|$", text, flags=re.MULTILINE)
    return {name: (status, reason) for name, status, reason in rows}


def status_of(reason: str | None) -> tuple[str, str]:
    return ("supported", "") if reason is None else ("refused", reason)


def test_every_argument_of_the_installed_lightning_has_a_rule():
    assert {*SUPPORTED, *REFUSED, *DECIDED_BY} == inspect.signature(pl.Trainer.__init__).parameters.keys() - {"self"}


def test_each_callback_and_precision_of_lightning_has_a_rule():
    assert CALLBACKS.keys() == set(callbacks.__all__)
    assert PRECISIONS.keys() == {*get_args(_PRECISION_INPUT_STR), *get_args(_PRECISION_INPUT_STR_ALIAS)}


def test_the_docs_have_the_rules_of_the_code():
    arguments = table("Arguments")
    assert {name for name, (status, _) in arguments.items() if status == "supported"} == SUPPORTED.keys()
    assert {name: reason for name, (status, reason) in arguments.items() if status == "refused"} == {
        name: reason for name, (reason, _) in REFUSED.items()
    }
    assert {name: status for name, (status, _) in arguments.items() if name not in {*SUPPORTED, *REFUSED}} == {
        name: f"decided by {key}" for name, key in DECIDED_BY.items()
    }
    assert table("Callbacks") == {name: status_of(reason) for name, reason in CALLBACKS.items()}
    assert table("Precisions") == {name: status_of(reason) for name, reason in PRECISIONS.items()}


def test_the_docs_name_every_strategy_of_the_installed_lightning():
    documented = table("Strategies")
    assert documented.keys() == {"auto", *StrategyRegistry.available_strategies()}
    assert {name for name, (status, _) in documented.items() if status == "supported"} == set(STRATEGIES)


def test_the_rules_have_exactly_the_arguments_of_lightning():
    assert inspect.signature(pl.Trainer).parameters.keys() == {*SUPPORTED, *REFUSED, *DECIDED_BY}


def test_an_argument_that_no_file_names_is_given_without_a_plus(compose_micro: Callable[..., TrainConfig]):
    config = compose_micro("trainer.precision=64-true", "trainer.callbacks=[]", "~trainer.log_every_n_steps")
    assert config.trainer == {"accelerator": "cpu", "devices": 1, "precision": "64-true", "callbacks": []}


def test_an_unknown_argument_is_refused_with_the_names_of_all():
    with pytest.raises(InputError, match=r"^trainer\.nope: is not a key; known: accelerator, .*, model_registry$"):
        check_arguments({"nope": 3})


def named(value: object) -> str:
    """Of a parameter, the same in every process."""
    return re.sub(r" object at 0x\w+", "", str(value))


@pytest.mark.parametrize("name", callbacks.__all__)
def test_a_callback_class_is_taken_or_refused_with_its_reason(name: str):
    kind = getattr(callbacks, name)
    callback = kind.__new__(kind)  # what its constructor needs is not the question
    if CALLBACKS[name] is None:
        check_arguments({"callbacks": [callback]})
    else:
        with pytest.raises(InputError, match=rf"trainer.callbacks: \[{name}\] cannot be used: {name}, {re.escape(CALLBACKS[name])}"):
            check_arguments({"callbacks": [callback]})


class OwnCallback(pl.Callback):
    pass


class OwnWriter(callbacks.BasePredictionWriter):
    pass


class OwnAveraging(callbacks.StochasticWeightAveraging):
    pass


def test_an_own_callback_is_taken_unless_built_upon_a_refused_one():
    check_arguments({"callbacks": [OwnCallback(), OwnWriter("batch")]})
    with pytest.raises(InputError, match=r"OwnAveraging.* cannot be used: StochasticWeightAveraging, it replaces the schedule"):
        check_arguments({"callbacks": [OwnCallback(), OwnAveraging(0.1)]})


@pytest.mark.parametrize("name", ["auto", *StrategyRegistry.available_strategies()])
def test_a_strategy_is_taken_by_name_or_refused_with_its_reason(name: str):
    if name in STRATEGIES:
        assert make_trainer({**CPU, "strategy": name}).world_size == 1
        return
    with pytest.raises(
        InputError, match=f"trainer.strategy: '{name}' is not one of auto, ddp, .*: {re.escape(table('Strategies')[name][1])}"
    ):
        make_trainer({**CPU, "strategy": name})


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_precision_is_taken_or_refused_with_its_reason(name: str):
    if PRECISIONS[name] is None:
        check_arguments({"precision": name})
        return
    with pytest.raises(InputError, match=f"trainer.precision: '{name}' cannot be used, {PRECISIONS[name]}"):
        check_arguments({"precision": name})


@pytest.mark.parametrize("name", DECIDED_BY)
def test_an_argument_that_another_key_decides_is_refused_with_that_key(name: str):
    with pytest.raises(InputError, match=f"trainer.{name}: 1 cannot be given here; use {re.escape(DECIDED_BY[name])}$"):
        make_trainer({**CPU, name: 1})


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (
            {"sync_batchnorm": True},
            "trainer.sync_batchnorm: True cannot be used, the statistics of each device's own images are the method",
        ),
        ({"plugins": [TorchSyncBatchNorm()]}, r"trainer.plugins: \[TorchSyncBatchNorm\] cannot be used, the statistics of each device's"),
        (
            {"plugins": HalfPrecision("bf16-true")},
            "trainer.plugins: HalfPrecision cannot be used, HalfPrecision is chosen by trainer.precision",
        ),
        ({"plugins": [AsyncCheckpointIO()]}, "AsyncCheckpointIO is neither a ClusterEnvironment nor TorchCheckpointIO"),
        ({"strategy": SingleDeviceStrategy(precision_plugin=DoublePrecision())}, "DoublePrecision is chosen by trainer.precision"),
        ({"strategy": DDPStrategy(static_graph=True)}, "trainer.strategy: DDPStrategy cannot be used with static_graph=true"),
        ({"strategy": DDPStrategy(start_method="spawn")}, "trainer.devices: 1 cannot be used in a notebook, nor a strategy that spawns"),
        ({"strategy": DDPStrategy(start_method="fork")}, "trainer.devices: 1 cannot be used in a notebook, nor a strategy that spawns"),
        ({"strategy": FSDPStrategy.__new__(FSDPStrategy)}, "trainer.strategy: FSDPStrategy cannot be used, only DDPStrategy and Single"),
        ({"overfit_batches": 1}, "trainer.overfit_batches: 1 cannot be used, each epoch draws its own batches; use limit_train_batches"),
        ({"overfit_batches": 0.5}, "trainer.overfit_batches: 0.5 cannot be used"),
        ({"limit_train_batches": 0}, "trainer.limit_train_batches: 0 must be a share of the batches, above 0 and at most 1.0, or a number"),
        ({"limit_train_batches": 1.5}, "trainer.limit_train_batches: 1.5 must be a share of the batches, above 0"),
        ({"limit_val_batches": -1}, "trainer.limit_val_batches: -1 must be a share of the batches, above 0"),
        ({"val_check_interval": "00:00:01:00"}, "trainer.val_check_interval: '00:00:01:00' cannot be used, .* clock; give a share"),
        ({"val_check_interval": {"minutes": 1}}, "trainer.val_check_interval: {'minutes': 1} cannot be used, .* clock; give a share"),
        ({"enable_checkpointing": False}, "trainer.enable_checkpointing: False cannot be used, a run resumes from its checkpoints"),
        ({"use_distributed_sampler": True}, "trainer.use_distributed_sampler: True cannot be used, images and candidates are divided"),
        ({"barebones": True}, "trainer.barebones: True cannot be used, it writes neither metrics nor checkpoints"),
        ({"model_registry": "mine"}, "trainer.model_registry: 'mine' cannot be used, checkpoints stay in the run folder"),
        ({"profiler": "xla"}, "trainer.profiler: 'xla' cannot be used, no run on a TPU was ever tried"),
        ({"profiler": "nope"}, "trainer.profiler: 'nope' is not one of simple, advanced, pytorch"),
        ({"max_time": {}}, "trainer.max_time: {} must be longer than no time"),
        ({"max_time": "00:00:00:00"}, "trainer.max_time: '00:00:00:00' must be longer than no time"),
        ({"max_time": {"foo": 1}}, "trainer.max_time: {'foo': 1} is no duration: DD:HH:MM:SS"),
        ({"callbacks": [pl.Callback(), 3]}, r"trainer.callbacks: \[Callback, 3\] must be callbacks chosen by _target_"),
        ({"logger": [True]}, r"trainer.logger: \[True\] must be true, false, or loggers chosen by _target_"),
    ],
    ids=named,
)
def test_a_value_that_a_run_does_not_survive_is_refused_in_one_line(arguments: dict[str, Any], rule: str):
    with pytest.raises(InputError, match=rule) as refusal:
        make_trainer({**CPU, **arguments})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {
            "sync_batchnorm": False,
            "overfit_batches": 0.0,
            "barebones": False,
            "use_distributed_sampler": False,
            "accumulate_grad_batches": 1,
        },
        {"limit_train_batches": 0.5, "limit_val_batches": 0, "val_check_interval": 0.5, "num_sanity_val_steps": -1},
        {"max_time": "01:00:00:00", "deterministic": "warn", "inference_mode": False, "reload_dataloaders_every_n_epochs": 1},
        {"max_time": {"weeks": 1}, "enable_checkpointing": True, "profiler": "simple", "enable_progress_bar": True},
        {"plugins": [LightningEnvironment(), TorchCheckpointIO()], "precision": 64},
        {"callbacks": [callbacks.TQDMProgressBar(), callbacks.Timer("00:01:00:00")]},
        {"strategy": SingleDeviceStrategy(), "callbacks": callbacks.ModelSummary()},
    ],
    ids=named,
)
def test_what_changes_nothing_or_is_supported_is_taken(arguments: dict[str, Any]):
    given = arguments if "strategy" in arguments else {**CPU, **arguments}
    assert make_trainer(given).world_size == 1


def test_an_argument_that_a_newer_lightning_adds_is_refused(monkeypatch: pytest.MonkeyPatch):
    known = {name: check for name, check in SUPPORTED.items() if name != "benchmark"}
    monkeypatch.setattr("nas_lightning.devices.trainer_arguments.SUPPORTED", known)
    with pytest.raises(InputError, match=r"trainer.benchmark: True cannot be used, this version of Lightning is newer than what was tried"):
        make_trainer({**CPU, "benchmark": True})


def test_checkpoint_callbacks_of_the_stages_are_left_out_of_a_ranking():
    kept = callbacks.LearningRateMonitor()
    trainer = make_trainer({**CPU, "callbacks": [callbacks.ModelCheckpoint(), kept]}, enable_checkpointing=False)
    assert trainer.checkpoint_callbacks == []
    assert kept in trainer.callbacks


@pytest.mark.parametrize(("devices", "nodes"), [(1, 2), (2, 3)])
def test_several_nodes_without_a_launcher_are_refused(devices: int, nodes: int, monkeypatch: pytest.MonkeyPatch):
    for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    arguments = {"accelerator": "cpu", "devices": devices, "num_nodes": nodes}
    with pytest.raises(
        InputError, match=f"trainer.num_nodes: {nodes} needs a launcher .torchrun, srun., or NODE_RANK, MASTER_ADDR, MASTER_"
    ):
        make_trainer(arguments)
    monkeypatch.setenv("NODE_RANK", "1")
    with pytest.raises(InputError, match=f"trainer.num_nodes: {nodes} needs a launcher .torchrun, srun., or MASTER_ADDR, MASTER_PORT in"):
        make_trainer(arguments)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert make_trainer(arguments).world_size == devices * nodes


def test_a_launch_of_another_number_of_processes_is_refused(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert make_trainer({"accelerator": "cpu", "devices": 2}).world_size == 2
    with pytest.raises(InputError, match=r"trainer: .*product .4 . 1. does not match the world size .2."):
        make_trainer({"accelerator": "cpu", "devices": 4})


def test_ddp_without_unused_parameters_is_refused_where_paths_skip():
    arguments = {**CPU, "strategy": "ddp_find_unused_parameters_false"}
    make_trainer(arguments)
    with pytest.raises(InputError, match=r"trainer.strategy: ddp_find_unused_parameters_false cannot be used with this supernet"):
        make_trainer(arguments, find_unused_parameters=True)
    make_trainer({**CPU, "strategy": "ddp"}, find_unused_parameters=True)


def test_a_profiler_writes_below_the_folder_of_its_trainer(tmp_path: Path):
    for profiler in ("simple", "advanced", pl.profilers.SimpleProfiler()):
        made: Any = vars(make_trainer({**CPU, "profiler": profiler}, default_root_dir=tmp_path))["profiler"]
        assert (made.dirpath, made.filename) == (str(tmp_path), "profile")
    given = pl.profilers.SimpleProfiler(dirpath="elsewhere", filename="mine")
    made = vars(make_trainer({**CPU, "profiler": given}, default_root_dir=tmp_path))["profiler"]
    assert (made.dirpath, made.filename) == ("elsewhere", "mine")


@pytest.mark.parametrize("limit", [1, 2, 7, 0.2, 0.34, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("batches", [3, 5, 10])
def test_a_limit_leaves_as_many_batches_as_lightning_takes(batches: int, limit: float):
    taken = limited(batches, limit)
    if taken:
        assert taken == _parse_num_batches(RunningStage.TRAINING, batches, limit)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_torch_is_taken_if_it_steps_from_gradients_alone(name: str):
    node = Target({"_target_": f"torch.optim.{name}", **({} if name == "Optimizer" else {"lr": 0.1})}, OPTIMIZER, is_partial=True)
    if name in NO_OPTIMIZERS:
        with pytest.raises(InputError, match=f"^stages.a.optimizer.*{NO_OPTIMIZERS[name]}"):
            check_optimizer(Builder().build(node, "stages.a.optimizer"), "stages.a.optimizer")
        return
    parameter = torch.nn.Parameter(torch.ones(3))
    check_optimizer(make := Builder().build(node, "stages.a.optimizer"), "stages.a.optimizer")
    optimizer = make([parameter])
    parameter.grad = torch.ones(3)
    optimizer.step()
    assert (parameter != 1).all()


@pytest.mark.parametrize("option", ["capturable", "differentiable"])
def test_an_option_with_which_an_optimizer_takes_no_step_is_refused(option: str):
    with pytest.raises(InputError, match=r"stages.a.optimizer: Adam cannot take a step from the summed gradients of paths"):
        check_optimizer(lambda parameters: torch.optim.Adam(parameters, **{option: True}), "stages.a.optimizer")


@pytest.fixture(scope="module")
def compose_micro() -> Callable[..., TrainConfig]:
    return lambda *overrides: read(TrainConfig, composed("config", "experiment=micro", "run_dir=run", *overrides))


FUSED = ["+stages.pretrain.optimizer.fused=true", "trainer.gradient_clip_val=1", "trainer.precision=bf16-mixed"]
PANEL = "returns=panel_cross_entropy"
BEFORE_WORK: Mapping[str, tuple[list[str], str]] = {
    "less than a training batch": (["trainer.limit_train_batches=0.1"], "trainer.limit_train_batches: 0.1 of 3 batches is less than one"),
    "a third is not one of three": (
        ["trainer.limit_train_batches=0.33"],
        "trainer.limit_train_batches: 0.33 of 3 batches is less than one",
    ),
    "less than a validation batch": (["trainer.limit_val_batches=0.001"], "trainer.limit_val_batches: 0.001 of 1 batches is less than one"),
    "an interval above an epoch": (["trainer.val_check_interval=50"], "trainer.val_check_interval: 50 is more than an epoch's 3 steps"),
    "an interval above a short epoch": (
        ["trainer.val_check_interval=3", "trainer.limit_train_batches=2"],
        "trainer.val_check_interval: 3 is more than an epoch's 2 steps",
    ),
    "a panel that is switched off": ([PANEL, "trainer.limit_val_batches=0"], "returns: panel_cross_entropy .* trainer.limit_val_batches=0"),
    "a panel after the end": ([PANEL, "monitor.every_epochs=2"], "returns: panel_cross_entropy .* after step 6 of 3 of stages.distill_1"),
    "a panel after the last step": (
        [PANEL, "stages.distill_1.max_steps=2"],
        "returns: panel_cross_entropy .* after step 3 of 2 of stages.",
    ),
    "a fused optimizer": (FUSED, "stages.pretrain.optimizer.fused: true cannot be clipped in mixed precision"),
    "more devices than images": (["trainer.devices=151"], "trainer.devices: 151 devices cannot share the training images"),
    "a value that a callback refuses": (
        ["trainer.callbacks=[{_target_: pytorch_lightning.callbacks.ModelCheckpoint, save_top_k: -5}]"],
        r"trainer.callbacks\[0\]: pytorch_lightning.callbacks.ModelCheckpoint does not take these values",
    ),
}


@pytest.mark.parametrize("case", BEFORE_WORK)
def test_what_could_not_be_trained_stops_when_the_run_is_prepared(case: str, compose_micro: Callable[..., TrainConfig]):
    overrides, rule = BEFORE_WORK[case]
    with pytest.raises(InputError, match=rule):
        prepare(compose_micro(*overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["loader.holdout=0", "trainer.limit_val_batches=0.001"],
        ["loader.holdout=0", "trainer.val_check_interval=50"],
        ["trainer.limit_val_batches=0", "trainer.val_check_interval=50"],
        [PANEL, "trainer.val_check_interval=2", "stages.distill_1.max_steps=2"],
        FUSED[:2],
    ],
    ids=named,
)
def test_a_limit_that_nothing_runs_into_is_taken(overrides: list[str], compose_micro: Callable[..., TrainConfig]):
    prepare(compose_micro(*overrides))


def test_a_package_that_is_missing_is_named_in_one_line():
    class Absent:
        def __init__(self) -> None:
            raise ModuleNotFoundError("Requirement 'mine>=1' not met.\n Try pip install mine")

    builder = Builder()
    object.__setattr__(builder, "_locate", lambda *_: Absent)
    with pytest.raises(
        InputError, match=r"^trainer.logger: mine.Logger needs what is not installed .Requirement 'mine>=1' not met. Try pip"
    ):
        builder.build_values({"logger": {"_target_": "mine.Logger"}}, "trainer")
